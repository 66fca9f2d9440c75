"""The semi-Markov chain of programme and break over the candidates of a recording: best path and posteriors.

A recording alternates between programme and break. Each lasts as the profile says (log-normal), and a break is a
row of adverts of nominal lengths. With S. Z. Yu, "Hidden semi-Markov models", Artificial Intelligence 174 (2010):
scores of whole segments, one forward pass for the best path and a forward and a backward pass for posteriors. A cut
that is an edge is explained by the chain and not by the rate of other cuts, so each edge is divided by that rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.records import Float64Array
from cliplab.detect.break_evidence import Candidates
from cliplab.detect.break_profile import BreakProfile

_MAX_ADVERT_SECONDS = 65.0
_MEAN_ADVERT_SECONDS = 20.0
_FREE_ADVERT = (20.0, 0.6)  # median and spread of an advert of no nominal length
# Log-odds of a break without separable adverts against one of separate adverts: for the first minute, and for each
# further one. Without the second value, adverts, programme and adverts in a row would score like one long break.
_FREE_BREAK, _FREE_MINUTE = -1.0, -1.0
_STARTS_IN_BREAK = 0.15  # share of recordings that begin within a break, as of the seconds of television
# Share of the evidence's log-odds that probabilities count. Scores of a frame model on composed evenings correlate by
# 0.55 from one second to the next and 0.25 over two: 2.6 seconds are worth one. Their weight has a part of it already.
_SURENESS = 0.9
_NEVER = -1e9
_ROWS = 256  # rows of the lattice that are computed together
_HOPELESS = -12.0  # log score of a break below which it cannot be one; programme about it costs 7 more
# The log of the normal distribution's upper tail, which numpy does not have.
_DEVIATIONS = np.linspace(-6, 6, 241)
_LOG_TAILS = np.log([0.5 * math.erfc(z / math.sqrt(2)) for z in _DEVIATIONS])


@dataclass(frozen=True, eq=False)
class Lattice:
    """Scores of all possible breaks.

    Attributes:
        breaks: float64 [N, M], score of a break from candidate i to candidate i + 1 + m.
        evidence: float64 [N, M], the part of ``breaks`` that was seen and heard; the rest is its length.
        times: float64 [N], seconds.
        profile: The profile.
    """

    breaks: Float64Array
    evidence: Float64Array
    times: Float64Array
    profile: BreakProfile


def build_lattice(candidates: Candidates, profile: BreakProfile) -> Lattice:
    """Score every pair of candidates that may bound a break.

    Args:
        candidates: Where edges may be.
        profile: What breaks look like.
    """
    times, count = candidates.times, len(candidates.times)
    reach = np.searchsorted(times, times + profile.max_break_seconds, side="right") - np.arange(count) - 1
    most = max(int(reach.max(initial=1)), 1)
    edge = candidates.edge - np.log(candidates.rate)
    edge[[0, -1]] = 0.0  # the recording's own ends are not edges of a break
    scores = _tilings(candidates, profile, most)
    evidence = np.empty_like(scores)
    for rows in row_blocks(count):
        _score_rows(candidates, profile, rows, reach[rows], edge, scores[rows], evidence[rows])
    return Lattice(scores, evidence, times, profile)


def row_blocks(count: int) -> Iterator[slice]:
    """The rows of a lattice some at a time, so that what is computed on the way takes little memory.

    Args:
        count: How many there are.
    """
    for first in range(0, count, _ROWS):
        yield slice(first, min(first + _ROWS, count))


def end_places(rows: slice, most: int, count: int) -> npt.NDArray[np.intp]:
    """The candidate at which each break of some rows ends, [rows, most]; the last one where there is none.

    Args:
        rows: Of the lattice.
        most: How many breaks a row has.
        count: How many candidates there are.
    """
    return np.minimum(np.arange(rows.start, rows.stop)[:, None] + 1 + np.arange(most), count - 1)


def _score_rows(
    candidates: Candidates,
    profile: BreakProfile,
    rows: slice,
    reach: npt.NDArray[np.intp],
    edge: Float64Array,
    scores: Float64Array,
    evidence: Float64Array,
) -> None:
    """Complete some rows of scores, which hold those of rows of adverts, and of evidence, in place."""
    times, count, most = candidates.times, len(candidates.times), scores.shape[1]
    ends, begin = end_places(rows, most, count), rows.start == 0
    length = times[ends] - times[rows, None]
    # The density of adverts given the break's length: divided by that of any advert's end, one in 20 s.
    free = _FREE_BREAK + _FREE_MINUTE * np.maximum(length / 60 - 1, 0)
    scores[:] = np.maximum(scores + math.log(_MEAN_ADVERT_SECONDS), free)
    cut_off = ends == count - 1
    # Where the recording begins or ends within an advert, its length is only a lower bound.
    if begin:
        scores[0] = np.maximum(scores[0], log_normal_survival(length[0], *_FREE_ADVERT))
    scores[cut_off] = np.maximum(scores[cut_off], log_normal_survival(length[cut_off], *_FREE_ADVERT))
    scores += candidates.cumulative[ends] - candidates.cumulative[rows, None]
    scores += edge[ends] + edge[rows, None]
    evidence[:] = scores
    typical = (profile.typical_break_seconds, profile.break_spread)
    lasting = log_normal_density(length, *typical)
    lasting[cut_off] = log_normal_survival(length[cut_off], *typical)
    if begin:  # a break that was on at the beginning: the rest of its length, by renewal theory
        mean = profile.typical_break_seconds * math.exp(0.5 * profile.break_spread**2)
        lasting[0] = log_normal_survival(length[0], *typical) - np.where(cut_off[0], 0.0, math.log(mean))
        cut_off[0] = True
    scores += lasting
    possible = (np.arange(most) < reach[:, None]) & (length > 0)
    possible &= cut_off | (length >= profile.min_break_seconds)
    scores[~possible], evidence[~possible] = _NEVER, 0.0


def _tilings(candidates: Candidates, profile: BreakProfile, most: int) -> Float64Array:
    """Best log-odds of a row of adverts between each pair of candidates against chance cuts, [N, most]."""
    times, count = candidates.times, len(candidates.times)
    step = int(
        (np.searchsorted(times, times + _MAX_ADVERT_SECONDS, side="right") - np.arange(count) - 1).max(initial=1)
    )
    step = max(min(step, most), 1)
    inner = candidates.edge - np.log(candidates.rate)  # an edge between two adverts
    # spot[q][j]: the advert that ends at candidate j and began q + 1 candidates earlier.
    spots = np.full((step, count + most + 1), _NEVER)
    for q in range(step):
        length = times[q + 1 :] - times[: count - q - 1]
        exact = candidates.is_cut[q + 1 :] & candidates.is_cut[: count - q - 1]
        slack = candidates.slack[: count - q - 1], candidates.slack[q + 1 :]
        spots[q, q + 1 : count] = advert_density(length, exact, profile, slack)
    padded = np.concatenate([inner, np.full(most + 1, 0.0)])
    best = np.full((most + 1, count), _NEVER)
    best[0] = -inner  # the first edge is counted by the break; taken back at the first advert
    # With the edge between two adverts, of the last ``step`` rows.
    joined, one = np.empty((step, count)), np.empty(count)
    joined[0] = 0.0
    for m in range(1, most + 1):
        row = best[m]
        for q in range(min(step, m)):
            np.add(joined[(m - q - 1) % step], spots[q, m : m + count], out=one)
            np.maximum(row, one, out=row)
        np.add(row, inner_at(padded, m, count), out=joined[m % step])
    return np.ascontiguousarray(best[1:].T)


def inner_at(padded: Float64Array, shift: int, count: int) -> Float64Array:
    """The edge scores of the candidates ``shift`` places on, [count]."""
    return padded[shift : shift + count]


def advert_density(
    length: Float64Array,
    exact: npt.NDArray[np.bool_],
    profile: BreakProfile,
    slack: tuple[Float64Array, Float64Array] | None = None,
) -> Float64Array:
    """Log density per second of an advert's length.

    Args:
        length: float64 [N], seconds.
        exact: bool [N], whether both ends are cuts; else the nominal lengths say nothing.
        profile: Nominal lengths, gaps and their tolerance.
        slack: How many seconds before its time its beginning and its end may be, float64 [N] each; None: both are
            where they are said to be. The less is known, the less a nominal length says.
    """
    share = profile.off_lattice_share
    early, late = (np.zeros(1), np.zeros(1)) if slack is None else slack
    # The variance of a uniform distribution is a twelfth of its square.
    width = np.sqrt(profile.advert_tolerance_seconds**2 + (early**2 + late**2) / 12)
    centre = length + (early - late) / 2
    free = np.exp(log_normal_density(length, *_FREE_ADVERT))
    on = np.zeros_like(length)
    for nominal, of_nominal in profile.adverts.items():
        for gap, of_gap in profile.advert_gaps.items():
            away = (centre - float(nominal) - float(gap)) / width
            on += of_nominal * of_gap * np.exp(-0.5 * away**2) / (width * math.sqrt(2 * math.pi))
    mixed = np.where(exact, share * free + (1 - share) * on, free)
    with np.errstate(divide="ignore"):
        return np.asarray(np.where((length > 2) & (length <= _MAX_ADVERT_SECONDS), np.log(mixed), _NEVER))


def log_normal_density(length: Float64Array, median: float, spread: float) -> Float64Array:
    """Log density per second of a log-normal length.

    Args:
        length: Seconds; 0 and less count as a hundredth of a second.
        median: The median in seconds.
        spread: The standard deviation of the natural logarithm.
    """
    logs = np.log(np.maximum(length, 0.01))
    return np.asarray(
        -0.5 * ((logs - math.log(median)) / spread) ** 2 - logs - math.log(spread * math.sqrt(2 * math.pi))
    )


def log_normal_survival(length: Float64Array, median: float, spread: float) -> Float64Array:
    """Log probability that a log-normal length is longer.

    Args:
        length: Seconds; 0 and less count as a hundredth of a second.
        median: The median in seconds.
        spread: The standard deviation of the natural logarithm.
    """
    return np.interp((np.log(np.maximum(length, 0.01)) - math.log(median)) / spread, _DEVIATIONS, _LOG_TAILS)


def programme_score(length: Float64Array, profile: BreakProfile) -> Float64Array:
    """Log density of programme between two breaks."""
    return log_normal_density(length, profile.typical_programme_seconds, profile.programme_spread)


def _programme_end(length: Float64Array, profile: BreakProfile) -> Float64Array:
    return log_normal_survival(length, profile.typical_programme_seconds, profile.programme_spread)


def best_path(lattice: Lattice) -> list[tuple[int, int]]:
    """The likeliest breaks as pairs of candidates, in order; empty for a recording without one.

    Args:
        lattice: The scores.
    """
    count, most = len(lattice.times), lattice.breaks.shape[1]
    starts, ends = np.full(count, _NEVER), np.full(count, _NEVER)
    from_end, from_start = np.full(count, -1), np.full(count, -1)
    may_start, may_end = _possible(lattice.breaks)
    for place in may_start:
        starts[place] = _first(lattice, place)
        earlier = may_end[: np.searchsorted(may_end, place)]
        if len(earlier):
            options = ends[earlier] + programme_score(lattice.times[place] - lattice.times[earlier], lattice.profile)
            best = int(options.argmax())
            if options[best] > starts[place]:
                starts[place], from_end[place] = options[best], earlier[best]
        width = min(most, count - place - 1)
        reached = starts[place] + lattice.breaks[place, :width]
        window = slice(place + 1, place + 1 + width)
        better = reached > ends[window]
        ends[window] = np.where(better, reached, ends[window])
        from_start[window] = np.where(better, place, from_start[window])
    finals = ends + _last(lattice)
    path: list[tuple[int, int]] = []
    place = int(finals.argmax())
    if finals[place] <= max(_nothing(lattice), _NEVER / 2):
        return path
    while place >= 0:
        start = int(from_start[place])
        path.append((start, place))
        place = int(from_end[start])
    return path[::-1]


def _possible(breaks: Float64Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Candidates at which a break may start and those at which one may end; the rest would only cost time."""
    count, most = breaks.shape
    good = breaks > _HOPELESS
    ends = np.zeros(count, bool)
    for rows in row_blocks(count):
        ends[end_places(rows, most, count)[good[rows]]] = True
    return np.flatnonzero(good.any(axis=1)), np.flatnonzero(ends)


def _first(lattice: Lattice, place: int) -> float:
    """Log score of the recording up to the first break's start."""
    if place == 0:
        return math.log(_STARTS_IN_BREAK)
    length = lattice.times[place : place + 1]
    return math.log(1 - _STARTS_IN_BREAK) + float(_restart(length, lattice.profile)[0])


def _restart(length: Float64Array, profile: BreakProfile) -> Float64Array:
    """Log density of the rest of a programme that was already on: its survival over its mean (renewal theory)."""
    mean = profile.typical_programme_seconds * math.exp(0.5 * profile.programme_spread**2)
    return _programme_end(length, profile) - math.log(mean)


def _last(lattice: Lattice) -> Float64Array:
    """Log score of the recording after each candidate, where the last break ends, [N]."""
    rest = lattice.times[-1] - lattice.times
    found = _programme_end(rest, lattice.profile)
    found[-1] = 0.0
    return found


def _nothing(lattice: Lattice) -> float:
    """Log score of a recording that is all programme."""
    return math.log(1 - _STARTS_IN_BREAK) + float(_programme_end(lattice.times[-1:] * 0.5, lattice.profile)[0])


@dataclass(frozen=True, eq=False)
class Posterior:
    """Probabilities of the chain.

    Attributes:
        breaks: float64 [N, M], probability of a break from candidate i to candidate i + 1 + m.
        none: Probability that the recording has no break.
    """

    breaks: Float64Array
    none: float


def posterior(lattice: Lattice) -> Posterior:
    """Probabilities of every break, by one forward and one backward pass.

    Evidence counts less here than in the best path, by ``_SURENESS``: neighbouring seconds show the same shot, and
    their evidence is not independent.

    Args:
        lattice: The scores.
    """
    times, (count, most) = lattice.times, lattice.breaks.shape
    breaks = lattice.breaks - (1 - _SURENESS) * lattice.evidence
    starts, ends = np.full(count, _NEVER), np.full(count, _NEVER)
    may_start, may_end = _possible(breaks)
    for place in may_start:
        earlier = may_end[: np.searchsorted(may_end, place)]
        before = ends[earlier] + programme_score(times[place] - times[earlier], lattice.profile)
        starts[place] = np.logaddexp(_first(lattice, place), _log_sum(before))
        width = min(most, count - place - 1)
        window = slice(place + 1, place + 1 + width)
        ends[window] = np.logaddexp(ends[window], starts[place] + breaks[place, :width])
    after_end = _last(lattice)
    for place in may_start[::-1]:
        width = min(most, count - place - 1)
        rest = _log_sum(breaks[place, :width] + after_end[place + 1 : place + 1 + width])
        # Programme from a break that ended earlier to this start.
        earlier = may_end[: np.searchsorted(may_end, place)]
        scores = programme_score(times[place] - times[earlier], lattice.profile) + rest
        after_end[earlier] = np.logaddexp(after_end[earlier], scores)
    total = np.logaddexp(_log_sum(ends + _last(lattice)), _nothing(lattice))
    for rows in row_blocks(count):
        logs = starts[rows, None] + breaks[rows] + after_end[end_places(rows, most, count)] - total
        breaks[rows] = np.exp(np.clip(logs, -700, 0))
    return Posterior(breaks, float(np.exp(_nothing(lattice) - total)))


def _log_sum(values: Float64Array) -> float:
    if not len(values):
        return _NEVER
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum())) if top > _NEVER / 2 else _NEVER
