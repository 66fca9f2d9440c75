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
    _, member = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    sums, sizes = np.bincount(member, values), np.bincount(member)
    count = len(sizes)
    if count < 2 or values.min() == values.max():
        return _wilson(float(values.mean()), count)
    drawn = np.random.default_rng(seed).integers(0, count, size=(_RESAMPLES, count))
    shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return round(float(low), 6), round(float(high), 6)


def drop_interval(
    before: npt.NDArray[Any], after: npt.NDArray[Any], groups: Sequence[Any], seed: int = 0
) -> tuple[float, float]:
    """The 95% interval of a difference of two shares on the same clips, by resampling whole groups.

    Where no clip differs, resampling says nothing: then it is as wide as Wilson's interval of no event in as many
    trials as there are groups.

    Args:
        before: [N], whether, or how far in 0..1, each clip is right before a change.
        after: The same after it.
        groups: N names; clips of one name belong together.
        seed: The seed of the resampling.

    Returns:
        The lower and the upper end of ``before`` less ``after``, in -1..1; (-1, 1) without clips.
    """
    lost = np.asarray(before, np.float64) - np.asarray(after, np.float64)
    if not len(lost):
        return -1.0, 1.0
    _, member = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    sums, sizes = np.bincount(member, lost), np.bincount(member)
    count = len(sizes)
    if count < 2 or not lost.any():
        width, middle = _wilson(0.0, count)[1], float(lost.mean())
        return max(-1.0, middle - width), min(1.0, middle + width)
    drawn = np.random.default_rng(seed).integers(0, count, size=(_RESAMPLES, count))
    drops = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(drops, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return round(float(low), 6), round(float(high), 6)


def _wilson(share: float, trials: int) -> tuple[float, float]:
    square = _NORMAL_QUANTILE**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = _NORMAL_QUANTILE / (1 + square / trials) * np.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, round(float(middle - half), 6)), min(1.0, round(float(middle + half), 6))
