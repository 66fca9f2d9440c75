"""Where the breaks of a recording are: the likeliest ones, their confidence, and the decisions that came next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.records import Float64Array
from cliplab.detect.adapting import second_opinion
from cliplab.detect.break_evidence import Candidates, edge_evidence, find_candidates, second_evidence, usual_mark
from cliplab.detect.break_lattice import Lattice, Posterior, best_path, build_lattice, end_places, posterior, row_blocks
from cliplab.detect.break_profile import BreakProfile, read_break_profile
from cliplab.detect.break_words import describe
from cliplab.detect.observations import Observations

_SAME_BREAK = 0.5  # intersection over union from which two breaks are one
_NEAR_SECONDS = 1.0  # an edge within this is the same edge
_ALTERNATIVES = 3
_LEAST_ALTERNATIVE = 0.01
_LEAST_PAIR = 1e-4  # probability of a break from the likeliest beginning to the likeliest end
_ROUNDS = 3  # of the chain and of what is usual at cuts, at most
_SURE_SECONDS = 0.9  # probability of a break at each second, from which it is reported whatever its extent
_SETTLED = 0.02  # change of the log-odds that are usual at cuts, under which another round changes nothing


@dataclass(frozen=True)
class Alternative:
    """A decision that was considered and not taken.

    Attributes:
        start_seconds: Where the break would begin.
        end_seconds: Where it would end; equal to the start for "no break here".
        probability: How likely it is.
        what: The decision in words.
    """

    start_seconds: float
    end_seconds: float
    probability: float
    what: str


@dataclass(frozen=True)
class AdBreak:
    """One break.

    Attributes:
        start_seconds: When it begins, in seconds since the first frame.
        end_seconds: When it ends.
        confidence: Probability in 0..1 that there is a break of about this extent (intersection over union of 0.5 or
            more). It says nothing of the exact edges, see ``start_confidence``.
        why: Sentences: the evidence at its edges and within it.
        start_evidence: What there is at the beginning, by row, 0..1.
        end_evidence: What there is at the end, by row, 0..1.
        evidence: Log-odds that the seconds within add, by row; positive speaks for a break.
        alternatives: The decisions that came next, the likeliest first.
        start_confidence: Probability in 0..1 that it begins within 1 s of ``start_seconds``; None where it is unknown,
            as while a recording is followed.
        end_confidence: Probability in 0..1 that it ends within 1 s of ``end_seconds``; None where it is unknown.
    """

    start_seconds: float
    end_seconds: float
    confidence: float
    why: tuple[str, ...] = ()
    start_evidence: dict[str, float] | None = None
    end_evidence: dict[str, float] | None = None
    evidence: dict[str, float] | None = None
    alternatives: tuple[Alternative, ...] = ()
    start_confidence: float | None = None
    end_confidence: float | None = None


def decide_breaks(observations: Observations, profile: BreakProfile | None = None) -> list[AdBreak]:
    """Decide where the breaks of a recording are.

    Args:
        observations: What was seen and heard. Rows that are missing or NaN add nothing.
        profile: What breaks of this channel look like; None takes the general profile.

    Returns:
        The breaks in order, without overlap, each at least ``profile.min_confidence`` likely. A less likely one is
        among them where each of its seconds is almost surely within a break: it may be one with its neighbour, but
        there are ads.
    """
    profile = read_break_profile() if profile is None else profile
    if not len(observations.times) or observations.duration_seconds < 1.0:
        return []
    rows, candidates, lattice, found = _chain(observations, profile)
    breaks, seconds = list[AdBreak](), observations.times + observations.grid_seconds / 2
    shares = _on_at(candidates, found, seconds)
    for pair in _likeliest_edges(candidates.times, found, best_path(lattice)):
        made = _break(observations, candidates, found, rows, pair)
        inside = shares[(seconds > made.start_seconds + _NEAR_SECONDS) & (seconds < made.end_seconds - _NEAR_SECONDS)]
        sure = inside.min(initial=1.0) if len(inside) else 0.0
        if made.confidence >= profile.min_confidence or sure >= max(_SURE_SECONDS, profile.min_confidence):
            breaks.append(made)
    return breaks


def break_probabilities(observations: Observations, profile: BreakProfile | None = None) -> Float64Array:
    """The probability of a break at each second.

    Args:
        observations: What was seen and heard.
        profile: What breaks of this channel look like; None takes the general profile.

    Returns:
        float64 [T] in 0..1 on the grid of the observations.
    """
    profile = read_break_profile() if profile is None else profile
    if not len(observations.times) or observations.duration_seconds < 1.0:
        return np.zeros(len(observations.times))
    _, candidates, _, found = _chain(observations, profile)
    return _on_at(candidates, found, observations.times + observations.grid_seconds / 2)


def _chain(
    observations: Observations, profile: BreakProfile
) -> tuple[dict[str, Float64Array], Candidates, Lattice, Posterior]:
    """The chain, first as if no cut were an edge, then with what was found left out of what is usual.

    How usual black or silence is at cuts of the programme is unknown until breaks are, and breaks are known by it:
    a round of expectation and maximisation after another, from the side of no break. So it is with what the pictures
    of this recording's breaks have in common.
    """
    rows = second_evidence(observations, profile)
    explained = np.zeros(len(observations.cuts))
    usual = usual_mark(observations, profile, explained)
    middles = observations.times + observations.grid_seconds / 2
    lattices = list[Lattice]()  # the present one alone: those of hours of recording are large
    for left in reversed(range(_ROUNDS)):
        lattices.clear()
        total = sum(rows.values(), np.zeros(len(observations.times)))
        candidates = find_candidates(observations, profile, total, explained)
        lattices.append(build_lattice(candidates, profile))
        found = posterior(lattices[0])
        near = np.stack([_on_at(candidates, found, observations.cuts + shift) for shift in (-0.5, 0.5)])
        explained = near.max(axis=0)
        before, usual = usual, usual_mark(observations, profile, explained)
        opinion = second_opinion(observations.features, _on_at(candidates, found, middles), observations.grid_seconds)
        again = second_evidence(observations, profile, opinion)
        changed = np.abs(sum(again.values(), -total)).mean() if len(total) else 0.0
        if not left or (abs(usual - before) < _SETTLED and changed < _SETTLED):  # all that a round changes
            break
        rows = again
    return rows, candidates, lattices[0], found


def _on_at(candidates: Candidates, found: Posterior, moments: Float64Array) -> Float64Array:
    """The probability of a break at moments."""
    count, most = found.breaks.shape
    begins = found.breaks.sum(axis=1)
    ends = np.zeros(count)
    for rows in row_blocks(count):
        np.add.at(ends, end_places(rows, most, count), found.breaks[rows])
    on = np.cumsum(begins - ends)
    place = np.clip(np.searchsorted(candidates.times, moments, side="right") - 1, 0, count - 1)
    return np.asarray(np.clip(on[place], 0, 1))


def _likeliest_edges(times: Float64Array, found: Posterior, path: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Breaks with each edge where it is likeliest, whatever the other one is.

    The likeliest break as a whole may owe its end to one length that fits by chance, while several breaks that differ
    in their beginnings agree on another end.
    """
    count, most = len(times), found.breaks.shape[1]
    settled = list[tuple[int, int]]()
    for pair in path:
        first, last = max(0, pair[1] - most - 1), pair[1]  # as in _weigh
        index = np.minimum(np.arange(first, last)[:, None] + 1 + np.arange(most), count - 1)
        shared, union = _overlap(times, (first, last), index, pair)
        chance = np.where(shared >= _SAME_BREAK * np.maximum(union, 1e-9), found.breaks[first:last], 0.0)
        start = first + int(chance.sum(axis=1).argmax())
        end = int(np.bincount(index.ravel(), chance.ravel(), count).argmax())
        free = settled[-1][1] if settled else 0
        fits = free <= start < end <= start + most and found.breaks[start, end - start - 1] > _LEAST_PAIR
        settled.append((start, end) if fits else pair)
    return settled


def _overlap(
    times: Float64Array, rows: tuple[int, int], ends: npt.NDArray[np.intp], pair: tuple[int, int]
) -> tuple[Float64Array, Float64Array]:
    """Seconds that breaks share with a pair of candidates, and seconds of both together, [rows, most]."""
    begin, finish = times[slice(*rows), None], times[ends]
    start, end = times[pair[0]], times[pair[1]]
    shared = np.clip(np.minimum(finish, end) - np.maximum(begin, start), 0, None)
    return shared, np.maximum(finish, end) - np.minimum(begin, start)


def _break(
    observations: Observations,
    candidates: Candidates,
    found: Posterior,
    rows: dict[str, Float64Array],
    pair: tuple[int, int],
) -> AdBreak:
    start, end = (float(candidates.times[place]) for place in pair)
    at = edge_evidence(observations, np.array([start, end]))
    edges = [{name: float(values[place]) for name, values in at.items()} for place in (0, 1)]
    for place, edge in enumerate(edges):
        edge["cut_strength"] = edge["cut_strength"] + 0.5
        edge["recording_end"] = float(pair[place] in (0, len(candidates.times) - 1))
    inside = (observations.times + observations.grid_seconds / 2 > start) & (observations.times < end)
    evidence = {name: float(values[inside].sum() * observations.grid_seconds) for name, values in rows.items()}
    likely, alternatives = _weigh(candidates, found, pair)
    sure = _edge_probabilities(candidates, found, (start, end))
    return AdBreak(
        start, end, likely, describe(observations, (start, end), edges, evidence), edges[0], edges[1], evidence,
        alternatives, *sure,
    )  # fmt: skip


def _edge_probabilities(candidates: Candidates, found: Posterior, extent: tuple[float, float]) -> tuple[float, float]:
    """The probability that a break begins within a second of the extent's start, and that one ends so at its end."""
    times, most = candidates.times, found.breaks.shape[1]
    low, high = np.searchsorted(times, (extent[0] - _NEAR_SECONDS, extent[0] + _NEAR_SECONDS), side="left")
    begins = found.breaks[low:high].sum()
    low, high = np.searchsorted(times, (extent[1] - _NEAR_SECONDS, extent[1] + _NEAR_SECONDS), side="left")
    ends = 0.0
    for end in range(low, high):
        start = np.arange(max(0, end - most), end)
        ends += float(found.breaks[start, end - start - 1].sum())
    return float(min(1.0, begins)), float(min(1.0, ends))


def _weigh(candidates: Candidates, found: Posterior, pair: tuple[int, int]) -> tuple[float, tuple[Alternative, ...]]:
    """The probability of a break of about this extent, and what else was considered there."""
    times, most = candidates.times, found.breaks.shape[1]
    start = times[pair[0]]
    # A break that overlaps begins at most the longest break before this one's end.
    first, last = max(0, pair[1] - most - 1), pair[1]
    index = np.minimum(np.arange(first, last)[:, None] + 1 + np.arange(most), len(times) - 1)
    finish = times[index]
    shared, union = _overlap(times, (first, last), index, pair)
    chance = found.breaks[first:last]
    same = shared / np.maximum(union, 1e-9) >= _SAME_BREAK
    likely = float(min(1.0, chance[same].sum()))
    options = []
    considered = np.where(shared > 0, chance, 0.0)
    considered[pair[0] - first, pair[1] - pair[0] - 1] = 0.0
    for flat in np.argsort(-considered, axis=None)[:_ALTERNATIVES]:
        row, column = np.unravel_index(int(flat), considered.shape)
        share = float(considered[row, column])
        if share >= _LEAST_ALTERNATIVE:
            a, b = float(times[first + row]), float(finish[row, column])
            options.append(Alternative(a, b, share, f"a break from {a:.2f} s to {b:.2f} s"))
    touched = float(min(1.0, chance[shared > 0].sum()))
    if 1 - touched >= _LEAST_ALTERNATIVE:
        options.append(Alternative(float(start), float(start), 1 - touched, "no break here"))
    return likely, tuple(sorted(options, key=lambda option: -option.probability)[:_ALTERNATIVES])
