"""How sure a share is: 95% intervals that count groups, not clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000
_LEVEL = 0.95
_NORMAL_QUANTILE = 1.959964  # of a standard normal, two-sided 95%


def share_interval(
    right: npt.NDArray[Any] | Sequence[bool], groups: Sequence[Any], seed: int = 0
) -> tuple[float, float]:
    """The 95% interval of a share of clips, by resampling whole groups (percentile bootstrap).

    Clips of one recording are right or wrong together, so that the groups are what was drawn at random. Where every
    clip is right, or none, resampling says nothing: then it is Wilson's interval (1927) for as many trials as there are
    groups.

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
    count = len(set(map(str, groups)))
    if count < 2 or values.min() == values.max():
        return _wilson(float(values.mean()), count)
    return _resampled(values, groups, seed)


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
        raise ValueError(f"{len(differences)}, {len(other)} and {len(groups)} values are not of the same clips")
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
    return mean, *_resampled(differences, groups, seed)


def _resampled(values: npt.NDArray[np.float64], groups: Sequence[Any], seed: int) -> tuple[float, float]:
    """The 95% interval of the mean of clips' values, over resampled groups."""
    _, member = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    sums, sizes = np.bincount(member, values), np.bincount(member)
    count = len(sizes)
    drawn = np.random.default_rng(seed).integers(0, count, size=(_RESAMPLES, count))
    shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return round(float(low), 6), round(float(high), 6)


def _wilson(share: float, trials: int) -> tuple[float, float]:
    square = _NORMAL_QUANTILE**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = _NORMAL_QUANTILE / (1 + square / trials) * np.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, round(float(middle - half), 6)), min(1.0, round(float(middle + half), 6))
