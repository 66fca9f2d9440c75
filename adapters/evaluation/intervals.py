"""95% confidence intervals of figures, which resample whole groups instead of clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000
_TAIL = 0.025  # on each side of a 95% interval
_NORMAL_QUANTILE = 1.959964  # of a standard normal, two-sided 95%
# Resampling fewer groups than this repeats the same few values, so that Wilson's interval is joined to it.
_FEW_GROUPS = 5
_NO_SPREAD = 1e-12
_NUMBERS_AT_ONCE = 4_000_000

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Interval = tuple[float, float]


def share_interval(right: npt.NDArray[Any] | Sequence[bool], groups: Sequence[Any], seed: int = 0) -> Interval:
    """The 95% interval of a share of clips, by resampling whole groups (percentile bootstrap).

    Clips of one recording are right or wrong together, so that the groups are what was drawn at random. Where every
    clip is right, or none, resampling says nothing: then it is Wilson's interval (1927) for as many trials as there are
    groups. See ``resampled_interval``, which also says what is done for few groups.

    Args:
        right: bool [N], whether each clip counts.
        groups: N names; clips of one name belong together.
        seed: The seed of the resampling.

    Returns:
        The lower and the upper end, in 0..1; (0, 1) without clips.
    """
    values = np.asarray(right, np.float64)
    if not len(values):
        return 0.0, 1.0
    member = group_numbers(groups)
    counts = sums_by_group(np.stack([values, np.ones_like(values)], axis=1), member)
    drawn = resample_groups(counts, seed)
    return resampled_interval(float(values.mean()), drawn[:, 0] / drawn[:, 1], len(counts), len(values))


def difference_interval(
    right: npt.NDArray[Any] | Sequence[bool],
    other: npt.NDArray[Any] | Sequence[bool],
    groups: Sequence[Any],
    seed: int = 0,
) -> tuple[float, float, float]:
    """How much more often one model is right than another on the same clips, with its 95% interval.

    The clips' differences are resampled by whole groups, as ``share_interval`` does, so that what is hard for both
    models cancels out. Where no resample differs from another, the interval is as far from 0 as Wilson's interval
    (1927) of no difference in as many trials as there are groups.

    Args:
        right: bool [N], whether the first model is right on each clip.
        other: bool [N], the same of the second model, in the same order.
        groups: N names; clips of one name belong together.
        seed: The seed of the resampling.

    Returns:
        The difference of the shares and its lower and upper end, in -1..1; (0, -1, 1) without clips.

    Raises:
        ValueError: The lengths differ.
    """
    differences = np.asarray(right, np.float64)
    if not len(differences) == len(other) == len(groups):
        raise ValueError(f"{len(differences)}, {len(other)} and {len(groups)} values do not belong to the same clips")
    if not len(differences):
        return 0.0, -1.0, 1.0
    differences = differences - np.asarray(other, np.float64)
    mean = round(float(differences.mean()), 6)
    count = len(set(map(str, groups)))
    if count < 2:
        return mean, -1.0, 1.0
    if differences.min() == differences.max():
        reach = _wilson(0.0, count)[1]
        return mean, max(-1.0, mean - reach), min(1.0, mean + reach)
    member = group_numbers(groups)
    counts = sums_by_group(np.stack([differences, np.ones_like(differences)], axis=1), member)
    drawn = resample_groups(counts, seed)
    low, high = _percentiles(drawn[:, 0] / drawn[:, 1], count)
    return mean, round(low, 6), round(high, 6)


def group_numbers(groups: Sequence[Any]) -> IntArray:
    """Numbers of groups from their names.

    Args:
        groups: N names; clips of one name belong together.

    Returns:
        int64 [N], from 0.
    """
    return np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)[1].reshape(-1).astype(np.int64)


def sums_by_group(values: FloatArray, member: IntArray) -> FloatArray:
    """Sums over the clips of each group.

    Args:
        values: float64 [N, K].
        member: int64 [N], the number of each clip's group.

    Returns:
        float64 [G, K].
    """
    sums = np.zeros((int(member.max()) + 1, values.shape[1]))
    np.add.at(sums, member, values)
    return sums


def resample_groups(counts: FloatArray, seed: int = 0) -> FloatArray:
    """Sums over groups that are drawn with replacement, 2,000 times.

    Args:
        counts: float64 [G, K], the sums of each group.
        seed: The seed of the draws.

    Returns:
        float64 [2000, K]; [0, K] with fewer than two groups, of which nothing can be drawn.
    """
    total, width = counts.shape
    if total < 2:
        return np.zeros((0, width))
    rng, found, rows = np.random.default_rng(seed), [], max(1, _NUMBERS_AT_ONCE // total)
    for first in range(0, _RESAMPLES, rows):
        here = min(rows, _RESAMPLES - first)
        drawn = rng.integers(0, total, size=(here, total)) + np.arange(here)[:, None] * total
        times = np.bincount(drawn.ravel(), minlength=here * total).reshape(here, total)
        found.append(times @ counts)
    return np.concatenate(found)


def resampled_interval(figure: float, drawn: FloatArray, groups: int, clips: float) -> Interval:
    """The 95% interval of a figure from its values on resampled groups.

    The percentiles are widened for few groups (the expanded percentile interval, Hesterberg 2015, "What teachers should
    know about the bootstrap", section 3.2). Near 0 and 1 they are too short all the same, so that Wilson's interval
    (1927) counts too, for the number of independent clips that would vary as the resamples do, and no more than there
    are (Korn and Graubard 1998, Survey Methodology 24). Where the figure is 0 or 1, or with fewer than five groups,
    resampling says little: then it is Wilson's for as many trials as there are groups.

    Args:
        figure: The figure on all clips, in 0..1.
        drawn: float64 [R], its values on resampled groups; NaN where one is undefined.
        groups: How many groups have clips that define the figure.
        clips: How many clips define it.

    Returns:
        The lower and the upper end, in 0..1, around the figure.
    """
    known = drawn[np.isfinite(drawn)]
    few = _wilson(figure, max(groups, 1))
    spread = figure * (1 - figure)
    if groups < 2 or not len(known) or spread < _NO_SPREAD or np.ptp(known) < _NO_SPREAD:
        return few
    independent = max(groups, min(clips, spread / float(np.var(known))))
    wilson = few if groups < _FEW_GROUPS else _wilson(figure, independent)
    low, high = _percentiles(known, groups)
    return round(max(0.0, min(low, wilson[0])), 6), round(min(1.0, max(high, wilson[1])), 6)


def percentile_interval(drawn: FloatArray, groups: int) -> Interval | None:
    """The 95% interval of a figure that is not a share, such as seconds: the expanded percentile interval alone.

    Where no resample differs from another, as of zeros, both ends are that value.

    Args:
        drawn: float64 [R], its values on resampled groups; NaN where one is undefined.
        groups: How many groups were drawn from.

    Returns:
        The lower and the upper end; None with fewer than two groups, or without a value.
    """
    known = drawn[np.isfinite(drawn)]
    if groups < 2 or not len(known):
        return None
    low, high = _percentiles(known, groups)
    return round(low, 6), round(high, 6)


def _percentiles(drawn: FloatArray, groups: int) -> Interval:
    tail = _tail_of(groups)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _tail_of(groups: int) -> float:
    """The share of resamples beyond each end: of a normal at Student's quantile times sqrt(n / (n - 1))."""
    degrees, z = max(groups, _FEW_GROUPS) - 1, _NORMAL_QUANTILE
    # Abramowitz and Stegun, 26.7.5; within 1% from four degrees of freedom.
    student = (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )
    return min(_TAIL, NormalDist().cdf(-student * ((degrees + 1) / degrees) ** 0.5))


def _wilson(share: float, trials: float) -> Interval:
    square = _NORMAL_QUANTILE**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = _NORMAL_QUANTILE / (1 + square / trials) * np.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, round(float(middle - half), 6)), min(1.0, round(float(middle + half), 6))


def separate_difference(
    value: float, interval: Interval, other: float, other_interval: Interval
) -> tuple[float, float]:
    """The 95% interval of a difference of two figures that were measured apart, from each one's own interval.

    The distances to the ends are added as squares (Newcombe 1998, method 10; Zou and Donner 2008, "MOVER"). It is right
    for figures of different clips. For two models on the same clips it is too wide where the same clips are hard for
    both; ``difference_interval`` is for those.

    Args:
        value: The first figure.
        interval: Its 95% interval.
        other: The figure that is subtracted.
        other_interval: Its 95% interval.

    Returns:
        The lower and the upper end of the interval of value - other.
    """
    difference = value - other
    below = math.hypot(value - interval[0], other_interval[1] - other)
    above = math.hypot(interval[1] - value, other - other_interval[0])
    return difference - below, difference + above
