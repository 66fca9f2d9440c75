"""Evidence as log-odds: what each second says for an ad, and what each moment says for an edge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.records import Float64Array
from cliplab.detect.adapting import SecondOpinion
from cliplab.detect.break_profile import BreakProfile
from cliplab.detect.observations import Observations

_SCORE_LIMIT = 4.0  # log-odds; a score of 0.999 is no surer than one of 0.98
_SEARCH_SECONDS = 1.0  # evidence of an edge may lie in the step before or after
_STEP_SECONDS = 8.0  # how far each side of a moment is averaged where there is no cut
_CUTS_PER_MINUTE = (50, 12)  # the strongest candidates that are kept, in a short recording and in a very long one
_MOST_CUTS = 6000
# Rows without a natural zero count from the recording's median. A spread under this is noise and is not blown up.
_LEAST_SPREAD = {"shot_rate": 0.12, "speech": 0.35, "music": 0.35}
_CUE_NEAR_SECONDS = 30
_CUE_ABSENT = -0.05  # of the weight of a cue, so that a break of a minute that is not announced has some 6 against it
_LOGO_ABSENT_SECONDS = 8  # of one break or more
_LOGO_ALWAYS = 0.1  # of the logo's weight, so that a typical break has some 4 against it and not 40
_PLAIN_CUTS = 20.0  # without a mark, that a recording is taken to have besides its own: a short one has few
_OPINION_SHARE = 0.7  # of the scores, that the recording's own pictures count at most
_NO_CUT = -3.0  # log of the share of edges at which the cut was missed, about 5%

EDGE_ROWS = ("black", "uniform", "silence", "loudness_jump", "aspect_change")


def second_evidence(
    observations: Observations, profile: BreakProfile, opinion: SecondOpinion | None = None
) -> dict[str, Float64Array]:
    """Log-odds of ad against programme that each row adds at each second; 0 where it is unknown.

    Args:
        observations: The recording.
        profile: The weights.
        opinion: What the recording's own pictures say, which the model's scores are averaged with; None: nothing.

    Returns:
        By row, float64 [T].
    """
    found: dict[str, Float64Array] = {}
    for name, weight in profile.second_weights.items():
        stored = observations.ad_scores if name == "ad_scores" else observations.row(name)
        values = np.asarray(stored, np.float64)
        if weight == 0 or not np.isfinite(values).any():
            continue
        with np.errstate(invalid="ignore"):
            signed = _signed(name, values)
        if name == "ad_scores":
            signed = _with_opinions(observations, profile, signed, opinion)
        for start, end in observations.damaged:
            signed[(observations.times >= start - observations.grid_seconds) & (observations.times < end)] = 0.0
        found[name] = weight * np.nan_to_num(signed)
    return found


def _with_opinions(
    observations: Observations, profile: BreakProfile, signed: Float64Array, opinion: SecondOpinion | None
) -> Float64Array:
    """The model's scores, averaged with what the channel's head says and with the recording's own pictures."""
    if profile.score_head is not None and len(observations.features):
        logits, known = profile.score_head.logits(observations.features)
        share = np.where(known, profile.score_head.share, 0.0)
        signed = (1 - share) * signed + share * logits
    if opinion is None:
        return signed
    of_opinion = _OPINION_SHARE * opinion.trust
    return np.asarray((1 - of_opinion) * signed + of_opinion * opinion.logits)


def _signed(name: str, values: Float64Array) -> Float64Array:
    """The row as log-odds of weight 1: positive for an ad."""
    if name == "ad_scores":
        clipped = np.clip(values, 1e-6, 1 - 1e-6)
        return np.asarray(np.clip(np.log(clipped / (1 - clipped)), -_SCORE_LIMIT, _SCORE_LIMIT))
    if name == "logo":  # a logo that is hardly ever seen says nothing by its absence
        seen = float(np.nanmean(values))
        worth = np.clip((seen - 0.2) / 0.3, 0, 1)
        # One that is never absent may be shown in breaks too, as some channels do.
        worth *= 1.0 if _longest(values < 0.5) >= _LOGO_ABSENT_SECONDS else _LOGO_ALWAYS
        return np.asarray((1 - 2 * values) * worth)
    if name == "repetition":  # an advert that is shown for the first time is not a programme
        return np.asarray(np.where(values >= 0.5, 2 * values - 1, -0.04))
    if name == "cue":
        # A break that is announced is announced with its extent; one that is not may have been left out.
        reach = np.convolve(values > 0, np.ones(2 * _CUE_NEAR_SECONDS + 1))
        near = reach[_CUE_NEAR_SECONDS : _CUE_NEAR_SECONDS + len(values)] > 0
        return np.asarray(np.where(near, 2 * values - 1, np.where(np.isfinite(values), _CUE_ABSENT, np.nan)))
    middle, spread = np.nanmedian(values), np.nanstd(values)
    centred = np.clip((values - middle) / max(float(spread), _LEAST_SPREAD[name]), -2, 2)
    # What is measured against the recording itself says nothing of the recording as a whole.
    centred -= np.nanmean(centred)
    return np.asarray(-centred if name == "speech" else centred)


def _longest(marked: npt.NDArray[np.bool_]) -> int:
    """Length of the longest row of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Moments at which a break may begin or end.

    Attributes:
        times: float64 [N], increasing seconds; the first is 0 and the last is the recording's end.
        edge: float64 [N], log-odds that an edge of a break or of an advert is there.
        is_cut: bool [N], whether the picture or the sound has a cut there.
        rate: float64 [N], cuts per second about the moment.
        cumulative: float64 [N], the evidence of the seconds before the moment, summed.
        slack: float64 [N], how many seconds before its time a cut may be.
    """

    times: Float64Array
    edge: Float64Array
    is_cut: npt.NDArray[np.bool_]
    rate: Float64Array
    cumulative: Float64Array
    slack: Float64Array


def find_candidates(
    observations: Observations, profile: BreakProfile, evidence: Float64Array, explained: Float64Array | None = None
) -> Candidates:
    """The cuts of a recording and, where there are none, the moments at which its evidence changes.

    Args:
        observations: The recording.
        profile: The weights.
        evidence: float64 [T], the log-odds of each second.
        explained: float64 [cuts], the probability that each cut of the observations is within a break or its edge, as
            an earlier decision has it; None: none is. What the other cuts have too tells no edge from them.
    """
    duration = float(observations.duration_seconds)
    inside = _within(observations)
    cuts = observations.cuts[inside]
    edge = _marks(observations, profile, inside)
    edge = edge - _usual(edge, np.zeros(len(cuts)) if explained is None else explained[inside])
    slack = observations.cut_slack[inside] if len(observations.cut_slack) else np.zeros(len(cuts))
    kept = _strongest(cuts, edge + 4 * _steps(observations, evidence, cuts))
    cuts, edge, slack = cuts[kept], edge[kept], slack[kept]
    grid = observations.grid_seconds
    ends = np.concatenate([[0.0], np.cumsum(evidence) * grid])
    at = np.concatenate([observations.times, [observations.times[-1] + grid]]) if len(evidence) else np.zeros(1)
    extra = _changes(observations, evidence, cuts)
    times = np.concatenate([[0.0], cuts, extra, [duration]])
    order = np.argsort(times, kind="stable")
    is_cut = np.zeros(len(times), bool)
    is_cut[1 : 1 + len(cuts)] = True
    all_edges = np.concatenate([[0.0], edge, np.full(len(extra), _NO_CUT), [0.0]])
    all_slack = np.concatenate([[0.0], slack, np.zeros(len(extra)), [0.0]])[order]
    times, is_cut, all_edges = times[order], is_cut[order], all_edges[order]
    around = np.searchsorted(cuts, times + 30) - np.searchsorted(cuts, times - 30)
    rate = np.maximum(around, 1) / np.maximum(np.minimum(times + 30, duration) - np.maximum(times - 30, 0), 1.0)
    return Candidates(times, all_edges, is_cut, rate, np.interp(times, at, ends), all_slack)


def usual_mark(observations: Observations, profile: BreakProfile, explained: Float64Array) -> float:
    """The log-odds that marks at cuts usually add in a recording, which edges have to exceed.

    Args:
        observations: The recording.
        profile: The weights.
        explained: As for ``find_candidates``.
    """
    inside = _within(observations)
    return _usual(_marks(observations, profile, inside), explained[inside])


def _within(observations: Observations) -> npt.NDArray[np.bool_]:
    """Which cuts are not the recording's own ends."""
    cuts, duration = observations.cuts, float(observations.duration_seconds)
    return np.asarray((cuts > 0.25) & (cuts < duration - 0.25))


def _marks(observations: Observations, profile: BreakProfile, inside: npt.NDArray[np.bool_]) -> Float64Array:
    """What the marks of cuts add, in log-odds, before the recording's other cuts are taken off."""
    values = edge_evidence(observations, observations.cuts[inside], np.flatnonzero(inside))
    none = np.zeros(int(inside.sum()))
    return sum((profile.edge_weights.get(name, 0.0) * value for name, value in values.items()), none)


def _usual(marks: Float64Array, explained: Float64Array) -> float:
    """The log-odds of marks at the recording's other cuts: what most cuts have tells no edge from them.

    A ratio of likelihoods has a mean of 1 over cuts that are not edges, so that a recording in which one cut of ten is
    black cannot have much more than tenfold odds for a black one.
    """
    weight = 1 - np.clip(explained, 0.0, 1.0)
    usual = (_PLAIN_CUTS + float((weight * np.exp(marks)).sum())) / (_PLAIN_CUTS + float(weight.sum()))
    return math.log(usual)


def edge_evidence(
    observations: Observations, moments: Float64Array, of_cut: npt.NDArray[np.intp] | None = None
) -> dict[str, Float64Array]:
    """What there is at moments that are edges, 0..1; 0 where it is unknown.

    Args:
        observations: The recording.
        moments: float64 [N], seconds.
        of_cut: [N], which cut of the recording each moment is; None finds the nearest within 0.1 s.

    Returns:
        By row, float64 [N]; "cut_strength" is among them, less 0.5.
    """
    steps = np.searchsorted(observations.times, moments, side="right") - 1
    reach = max(1, round(_SEARCH_SECONDS / observations.grid_seconds))
    found: dict[str, Float64Array] = {}
    for name in EDGE_ROWS:
        padded = np.pad(np.nan_to_num(np.asarray(observations.row(name), np.float64)), reach)
        near = [padded[np.clip(steps + shift, 0, len(padded) - 1)] for shift in range(2 * reach + 1)]
        found[name] = np.max(near, axis=0) if len(moments) else np.zeros(0)
    if of_cut is None:
        of_cut = _nearest_cut(observations, moments)
    kinds = [observations.cut_kinds[cut] if cut >= 0 else "" for cut in of_cut]
    for name in ("black", "silence"):
        exact = np.array([name in kind for kind in kinds], np.float64)
        # Evidence in the same second as a cut counts half where the cut itself is of another kind.
        found[name] = np.maximum(exact, 0.5 * found[name]) if len(moments) else exact
    strength = np.asarray(observations.cut_strength, np.float64)
    found["cut_strength"] = (
        np.where(of_cut >= 0, strength[of_cut], 0.0) if len(strength) else np.zeros(len(moments))
    ) - 0.5
    return found


def _nearest_cut(observations: Observations, moments: Float64Array) -> npt.NDArray[np.intp]:
    cuts = observations.cuts
    if not len(cuts):
        return np.full(len(moments), -1)
    after = np.clip(np.searchsorted(cuts, moments), 0, len(cuts) - 1)
    before = np.maximum(after - 1, 0)
    near = np.where(np.abs(cuts[after] - moments) <= np.abs(cuts[before] - moments), after, before)
    return np.where(np.abs(cuts[near] - moments) <= 0.1, near, -1)


def _steps(observations: Observations, evidence: Float64Array, moments: Float64Array) -> Float64Array:
    """The change of evidence at moments: mean of the seconds after less mean of the seconds before, as a magnitude."""
    if not len(evidence):
        return np.zeros(len(moments))
    width = max(1, round(_STEP_SECONDS / observations.grid_seconds))
    total = np.concatenate([[0.0], np.cumsum(evidence)])
    place = np.clip(np.searchsorted(observations.times, moments), 0, len(evidence))
    low, high = np.maximum(place - width, 0), np.minimum(place + width, len(evidence))
    after = (total[high] - total[place]) / np.maximum(high - place, 1)
    before = (total[place] - total[low]) / np.maximum(place - low, 1)
    return np.asarray(np.abs(after - before))


def _strongest(cuts: Float64Array, value: Float64Array) -> npt.NDArray[np.bool_]:
    """Which cuts are the strongest of each minute, fewer in a long recording: an evening is decided in two seconds."""
    minutes = (cuts // 60).astype(int)
    order = np.lexsort((-value, minutes))  # by minute, the strongest first
    first = np.searchsorted(minutes[order], minutes[order])
    rank = np.empty(len(cuts), int)
    rank[order] = np.arange(len(cuts)) - first
    limit, least = _CUTS_PER_MINUTE
    while limit > least and np.count_nonzero(rank < limit) > _MOST_CUTS:
        limit -= 1
    return np.asarray(rank < limit)


def _changes(observations: Observations, evidence: Float64Array, cuts: Float64Array) -> Float64Array:
    """Moments without a cut nearby at which the evidence changes more than at their neighbours."""
    moments = observations.times[1:]
    if len(moments) < 2:
        return np.zeros(0)
    steps = _steps(observations, evidence, moments)
    reach = max(1, round(3 / observations.grid_seconds))
    padded = np.pad(steps, reach)
    peak = np.max([padded[shift : shift + len(steps)] for shift in range(2 * reach + 1)], axis=0)
    after = np.searchsorted(cuts, moments)
    bounds = np.concatenate([[-np.inf], cuts, [np.inf]])
    far = np.minimum(moments - bounds[after], bounds[after + 1] - moments) > 1.5
    chosen = moments[(steps >= peak) & (steps > 1e-3) & far]
    return np.asarray(chosen[(chosen > 0.25) & (chosen < observations.duration_seconds - 0.25)])
