"""How far annotators agree: Krippendorff's alpha of labels, and of interval edges the share within a tolerance.

Alpha is 1 where all agree, 0 where they agree as chance would have it, and below 0 where they agree less. The formulas
are those of Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", for nominal data with missing values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

EDGE_TOLERANCES = (0.5, 1.0, 2.0)
_TAIL = 0.025
# An item, or a second of one: what each annotator called it. Whoever did not see it is absent.
Unit = Mapping[str, str]


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha of some units.

    Attributes:
        alpha: At most 1; None where it is undefined: fewer than two units that two annotators saw, or one label alone.
        interval: Its 95% interval, by resampling whole items; None without an alpha, or with fewer than two items.
        units: Units that two annotators or more labelled: items, or seconds.
        items: Items that they are of.
        same: The share of the pairs of annotators, over all units, that agree, in 0..1; None without units.
        note: Why there is no alpha, or what to know of it; empty otherwise.
    """

    alpha: float | None
    interval: tuple[float, float] | None
    units: int
    items: int
    same: float | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "alpha": None if self.alpha is None else round(self.alpha, 4),
            "interval": None if self.interval is None else [round(end, 4) for end in self.interval],
            "units": self.units,
            "items": self.items,
            "same": None if self.same is None else round(self.same, 4),
            "note": self.note,
        }


@dataclass(frozen=True)
class EdgeAgreement:
    """How many edges of intervals another annotator set too.

    Attributes:
        tolerance_seconds: Edges this near are the same.
        matched: Edges of either annotator that the other has too.
        edges: Edges of both.
    """

    tolerance_seconds: float
    matched: int
    edges: int

    @property
    def share(self) -> float | None:
        """Matched of all edges, in 0..1 (the F1 of one annotator's edges by the other's); None without edges."""
        return self.matched / self.edges if self.edges else None


def agreement(items: Sequence[Sequence[Unit]], seed: int = 0) -> Agreement:
    """Krippendorff's alpha of nominal labels, with a 95% interval over resampled items.

    Args:
        items: Of each item its units: one for an item with one label, one for each second of a video.
        seed: The seed of the resampling.

    Returns:
        The agreement. Units that fewer than two annotators labelled say nothing and do not count.
    """
    kept = [[unit for unit in units if len(unit) >= 2] for units in items]
    kept = [units for units in kept if units]
    labels = sorted({label for units in kept for unit in units for label in unit.values()})
    count = sum(map(len, kept))
    if not kept:
        return Agreement(None, None, 0, 0, None, "no item has labels by two annotators yet")
    sums = np.array([_sums_of(units, labels) for units in kept])
    pairs = sum(len(unit) * (len(unit) - 1) for units in kept for unit in units)
    equal = sum(n * (n - 1) for units in kept for unit in units for n in Counter(unit.values()).values())
    same = equal / pairs
    alpha = float(_alpha(sums.sum(axis=0)[None])[0])
    if not np.isfinite(alpha):
        note = f"all labels of the {count} units are {labels[0]!r}: alpha needs at least two different labels"
        return Agreement(None, None, count, len(kept), same, note)
    return Agreement(alpha, _interval(sums, alpha, seed), count, len(kept), same, _note(len(kept)))


def _note(items: int) -> str:
    return f"only {items} {'item' if items == 1 else 'items'}: the interval says little" if items < 10 else ""


def _sums_of(units: Sequence[Unit], labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Of one item, float64 [C + 1]: how often each label was given, and the observed disagreement.

    In the coincidence matrix each ordered pair of a unit's m values counts 1 / (m - 1), so that its row sums are the
    counts, and what is off its diagonal are the pairs that differ.
    """
    place = {label: number for number, label in enumerate(labels)}
    sums = np.zeros(len(labels) + 1)
    for unit in units:
        counts = Counter(unit.values())
        for label, number in counts.items():
            sums[place[label]] += number
        given = len(unit)
        sums[-1] += (given**2 - sum(number**2 for number in counts.values())) / (given - 1)
    return sums


def _alpha(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Alpha of sums [R, C + 1]: 1 - (n - 1) observed / expected disagreement; NaN where none is expected."""
    each, observed = sums[:, :-1], sums[:, -1]
    n = each.sum(axis=1)
    expected = n**2 - np.square(each).sum(axis=1)
    known = expected > 0
    return np.where(known, 1.0 - (n - 1) * observed / np.where(known, expected, 1.0), np.nan)


def _interval(sums: npt.NDArray[np.float64], alpha: float, seed: int) -> tuple[float, float] | None:
    """The 95% interval around alpha, by a percentile bootstrap over items.

    Hayes and Krippendorff (2007) draw pairs; seconds of one video hang together, so that whole items are drawn here.
    """
    from adapters.evaluation import resample_groups

    count = len(sums)
    found = _alpha(resample_groups(sums, seed))
    found = found[np.isfinite(found)]
    if count < 2 or not len(found):
        return None
    low, high = np.quantile(found, [_TAIL, 1 - _TAIL])
    if high - low < 1e-12:  # full agreement: as if one more item would disagree
        low = min(low, alpha - 2.0 / (count + 1))
    return max(-1.0, min(float(low), alpha)), min(1.0, max(float(high), alpha))


Stretch = tuple[str, float, float]  # label, start and end in seconds


def units_per_second(intervals: Mapping[str, Sequence[Stretch]], seconds: float, other: str = "") -> list[Unit]:
    """A video as one unit for each second: what each annotator has for most of it.

    Args:
        intervals: Of each annotator who is done with the video their intervals; also of those who set none.
        seconds: The length of the video. A last part of a second counts as one if it is half a second or more.
        other: What a second without an interval is called.

    Returns:
        One unit for each second. Where intervals of an annotator overlap, the one with the most of the second counts.
    """
    count = max(int(seconds + 0.5), 1) if seconds > 0 else 0
    columns = {name: _second_labels(given, count, other) for name, given in intervals.items()}
    return [{name: labels[at] for name, labels in columns.items()} for at in range(count)]


def _second_labels(given: Sequence[Stretch], count: int, other: str) -> list[str]:
    held: list[dict[str, float]] = [{} for _ in range(count)]
    for label, start, end in given:
        if not (np.isfinite(start) and np.isfinite(end)):
            continue
        for at in range(max(int(start), 0), min(int(np.ceil(end)), count)):
            part = min(end, at + 1.0) - max(start, float(at))
            held[at][label] = held[at].get(label, 0.0) + max(part, 0.0)
    found = []
    for parts in held:
        free = 1.0 - sum(parts.values())
        label, most = max(sorted(parts.items()), key=lambda entry: entry[1], default=(other, 0.0))
        found.append(label if most > 0 and most >= free else other)
    return found


def edge_agreement(
    pairs: Sequence[tuple[Sequence[Stretch], Sequence[Stretch]]], tolerances: Sequence[float] = EDGE_TOLERANCES
) -> tuple[EdgeAgreement, ...]:
    """How many edges two annotators share, within each tolerance. A start is matched with a start of the same label.

    Each edge is matched once, so that two edges of one annotator near one of the other count as one match.

    Args:
        pairs: Of each video and pair of annotators, the intervals of both.
        tolerances: In seconds, each at least 0.
    """
    found = []
    for tolerance in tolerances:
        matched = edges = 0
        for one, other in pairs:
            for kind in (1, 2):
                for label in {entry[0] for entry in (*one, *other)}:
                    mine = sorted(float(entry[kind]) for entry in one if entry[0] == label)
                    theirs = sorted(float(entry[kind]) for entry in other if entry[0] == label)
                    matched += 2 * _matches(mine, theirs, tolerance)
                    edges += len(mine) + len(theirs)
        found.append(EdgeAgreement(float(tolerance), matched, edges))
    return tuple(found)


def _matches(one: Sequence[float], other: Sequence[float], tolerance: float) -> int:
    """The most pairs of sorted times that are within the tolerance, each time used once."""
    at = number = 0
    for time in one:
        while at < len(other) and other[at] < time - tolerance - 1e-9:
            at += 1
        if at < len(other) and abs(other[at] - time) <= tolerance + 1e-9:
            at += 1
            number += 1
    return number
