"""Measures of ad breaks: found or missed, accuracy of edges, programme lost and ads still seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from adapters.evaluation.intervals import percentile_interval, resample_groups, resampled_interval
from adapters.records import Float64Array

Extent = tuple[float, float]
MIN_IOU = 0.5
_HOUR = 3600.0
_EDGE_RESAMPLES = 1000
_UNDEFINED = (float("nan"), float("nan"))


@dataclass(frozen=True)
class RecordingBreaks:
    """The found and the true breaks of one recording.

    Attributes:
        predicted: (start, end) in seconds of each break that was found; they may touch or overlap.
        truth: (start, end) in seconds of each true break.
        duration_seconds: The length of the recording, above 0.
        ignored: (start, end) in seconds of parts without known truth; they are not counted.
        group: Recordings of one group belong together in the intervals; empty for one of its own.
    """

    predicted: tuple[Extent, ...]
    truth: tuple[Extent, ...]
    duration_seconds: float
    ignored: tuple[Extent, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class BreakReport:
    """The measures of breaks over recordings. What the recordings do not define is None.

    Attributes:
        recordings: How many recordings.
        hours: Their length together, less what is ignored.
        min_iou: Intersection over union from which a break counts as found.
        predicted: How many breaks were found.
        truth: How many there are.
        matched: How many of them are found.
        precision: Share of found breaks that are breaks.
        recall: Share of breaks that are found.
        f1: Harmonic mean of the two; 2 matched / (predicted + truth).
        edge_error_median: Median distance in seconds of the edges of matched breaks from the true ones.
        edge_error_p95: The 95th percentile of that distance.
        programme_lost_per_hour: Seconds of programme within found breaks, for each hour of recording.
        ads_seen_per_hour: Seconds of breaks outside found ones, for each hour of recording.
        second_accuracy: Share of time that is decided right.
        intervals: The 95% intervals of all of them from precision on, over resampled recordings; None where a figure
            is undefined, or where fewer than two recordings (groups) leave nothing to resample.
    """

    recordings: int
    hours: float
    min_iou: float
    predicted: int
    truth: int
    matched: int
    precision: float | None
    recall: float | None
    f1: float | None
    edge_error_median: float | None
    edge_error_p95: float | None
    programme_lost_per_hour: float | None
    ads_seen_per_hour: float | None
    second_accuracy: float | None
    intervals: dict[str, tuple[float, float] | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Every field as plain JSON, fractions with six digits."""
        return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()}


def iou(first: Extent, second: Extent) -> float:
    """Intersection over union of two stretches.

    Args:
        first: (start, end) in seconds.
        second: The same.

    Returns:
        0..1; 0 where both have no length.
    """
    shared = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    union = (first[1] - first[0]) + (second[1] - second[0]) - shared
    return shared / union if union > 0 else 0.0


def match_breaks(
    predicted: Sequence[Extent], truth: Sequence[Extent], min_iou: float = MIN_IOU
) -> list[tuple[int, int]]:
    """Pair found breaks with true ones, each at most once, those that agree best first.

    Args:
        predicted: (start, end) in seconds.
        truth: (start, end) in seconds.
        min_iou: Minimum intersection over union of a pair, above 0.

    Returns:
        Pairs (place in predicted, place in truth), in the order of predicted.
    """
    options = [
        (iou(found, true), -place, -other)
        for place, found in enumerate(predicted)
        for other, true in enumerate(truth)
        if found[0] < true[1] and true[0] < found[1]
    ]
    pairs: list[tuple[int, int]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for share, place, other in sorted(options, reverse=True):
        if share >= min_iou and -place not in used[0] and -other not in used[1]:
            pairs.append((-place, -other))
            used[0].add(-place)
            used[1].add(-other)
    return sorted(pairs)


def join_extents(extents: Sequence[Extent]) -> list[Extent]:
    """Stretches in order, those that touch or overlap as one; stretches without length are left out.

    Args:
        extents: (start, end) in seconds, in any order.
    """
    joined: list[Extent] = []
    for start, end in sorted(extents):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def total_seconds(extents: Sequence[Extent]) -> float:
    """Seconds that are in any of the stretches.

    Args:
        extents: (start, end) in seconds, in any order.
    """
    return float(sum(end - start for start, end in join_extents(extents)))


def without(extents: Sequence[Extent], removed: Sequence[Extent]) -> list[Extent]:
    """What is in the one set of stretches and not in the other, in order.

    Args:
        extents: (start, end) in seconds, in any order.
        removed: (start, end) in seconds, in any order.
    """
    rest: list[Extent] = []
    holes = join_extents(removed)
    for start, end in join_extents(extents):
        at = start
        for low, high in holes:
            if high <= at or low >= end:
                continue
            if low > at:
                rest.append((at, low))
            at = max(at, high)
        if at < end:
            rest.append((at, end))
    return rest


def measure_breaks(recordings: Sequence[RecordingBreaks], min_iou: float = MIN_IOU, seed: int = 0) -> BreakReport:
    """Measure found breaks against true ones.

    Args:
        recordings: The recordings.
        min_iou: Minimum intersection over union of a found break, above 0 up to 1.
        seed: The seed of the intervals' resampling.

    Returns:
        The measures.

    Raises:
        ValueError: min_iou is out of range, or a recording has no length.
    """
    if not 0 < min_iou <= 1:
        raise ValueError(f"min_iou must be above 0 and at most 1, got {min_iou!r}")
    by_group: dict[str, list[float]] = {}
    rows: dict[str, Float64Array] = {}
    for place, recording in enumerate(recordings):
        row, errors_here = _measure_one(recording, min_iou)
        group = recording.group or f"\0{place}"
        by_group.setdefault(group, []).extend(errors_here)
        rows[group] = rows.get(group, np.zeros(len(row))) + row
    errors = [error for group in by_group.values() for error in group]
    counts = np.stack(list(rows.values())) if rows else np.zeros((0, 6))
    matched, predicted, truth, lost, seen, seconds = (float(value) for value in counts.sum(axis=0))
    figures = _figures(counts.sum(axis=0))
    drawn = _figures(resample_groups(counts, seed).T)
    sizes = {"precision": predicted, "recall": truth, "f1": predicted + truth, "second_accuracy": seconds / 60}
    intervals: dict[str, tuple[float, float] | None] = {}
    for name, size in sizes.items():
        value = float(figures[name])
        known = np.isfinite(value)
        intervals[name] = resampled_interval(value, drawn[name], len(counts), int(size)) if known else None
    intervals |= _edge_intervals(list(by_group.values()), seed)
    for name in ("programme_lost_per_hour", "ads_seen_per_hour"):
        intervals[name] = percentile_interval(drawn[name], len(counts))
    hours = seconds / _HOUR
    return BreakReport(
        recordings=len(recordings), hours=hours, min_iou=min_iou, predicted=int(predicted), truth=int(truth),
        matched=int(matched), precision=_known(figures["precision"]), recall=_known(figures["recall"]),
        f1=_known(figures["f1"]), edge_error_median=float(np.median(errors)) if errors else None,
        edge_error_p95=float(np.percentile(errors, 95)) if errors else None,
        programme_lost_per_hour=lost / hours if hours else None, ads_seen_per_hour=seen / hours if hours else None,
        second_accuracy=_known(figures["second_accuracy"]), intervals=intervals,
    )  # fmt: skip


def _measure_one(recording: RecordingBreaks, min_iou: float) -> tuple[Float64Array, list[float]]:
    """Counts of one recording, float64 [6], and the distances of matched edges."""
    duration = recording.duration_seconds
    if not 0 < duration < float("inf"):
        raise ValueError(f"the length of a recording must be above 0 seconds, got {duration!r}")
    ignored = [*recording.ignored, (duration, float("inf")), (float("-inf"), 0.0)]
    truth = without(recording.truth, ignored)
    predicted = without(recording.predicted, ignored)
    pairs = match_breaks(predicted, truth, min_iou)
    errors = [abs(predicted[a][side] - truth[b][side]) for a, b in pairs for side in (0, 1)]
    known = total_seconds(without([(0.0, duration)], recording.ignored))
    lost = total_seconds(without(predicted, truth))
    seen = total_seconds(without(truth, predicted))
    return np.array([len(pairs), len(predicted), len(truth), lost, seen, known], np.float64), errors


def _figures(sums: Float64Array) -> dict[str, Float64Array]:
    """Shares from sums [6] or [6, R]; NaN where they are undefined."""
    matched, predicted, truth, lost, seen, seconds = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": np.asarray(np.true_divide(matched, predicted)),
            "recall": np.asarray(np.true_divide(matched, truth)),
            "f1": np.asarray(np.true_divide(2 * matched, predicted + truth)),
            "second_accuracy": np.asarray(1 - np.true_divide(lost + seen, seconds)),
            "programme_lost_per_hour": np.asarray(_HOUR * np.true_divide(lost, seconds)),
            "ads_seen_per_hour": np.asarray(_HOUR * np.true_divide(seen, seconds)),
        }


def _edge_intervals(errors: Sequence[Sequence[float]], seed: int) -> dict[str, tuple[float, float] | None]:
    """The intervals of the median and the 95th percentile of edge errors, over groups that are drawn again."""
    arrays = [np.asarray(each, np.float64) for each in errors]
    drawn: list[tuple[float, float]] = []
    if len(arrays) > 1:
        rng = np.random.default_rng(seed)
        for places in rng.integers(0, len(arrays), (_EDGE_RESAMPLES, len(arrays))):
            values = np.concatenate([arrays[place] for place in places])
            drawn.append((float(np.median(values)), float(np.percentile(values, 95))) if len(values) else _UNDEFINED)
    table = np.array(drawn, np.float64).reshape(-1, 2)
    return {
        "edge_error_median": percentile_interval(table[:, 0], len(arrays)),
        "edge_error_p95": percentile_interval(table[:, 1], len(arrays)),
    }


def _known(value: Float64Array) -> float | None:
    return float(value) if np.isfinite(value) else None
