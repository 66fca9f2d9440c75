"""How the scores of several models become one's: pure functions of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array, expand_binary

Voting = Literal["mean", "weighted", "max", "majority"]


def vote(
    scores: npt.NDArray[np.floating],
    voting: Voting,
    *,
    weights: Sequence[float] | None = None,
    exclusive: bool = True,
    positive: int | None = None,
    threshold: float = 0.5,
) -> Float32Array:
    """Combine the scores of several models.

    - ``mean``: their mean. ``weighted``: the mean by ``weights``. - ``max``: each label's highest score. With
    ``positive`` the highest of that label, and the rest is the other's; with other exclusive labels the highest scores
    are divided by their sum. - ``majority``: the share of members that decide for a label: whose best it is, or, with
    ``positive`` or labels that do not exclude each other, whose score for it is at least ``threshold``. Labels with
    equal shares are equally good.

    Args:
        scores: [M, ..., C] in 0..1, one row per member, all in one order of labels.
        voting: How to combine them.
        weights: M numbers, not all 0, for ``weighted``.
        exclusive: Whether exactly one label is right, so that scores add up to 1.
        positive: The column of the label that the threshold is for, of two; None for none.
        threshold: A score in 0..1.

    Returns:
        float32 [..., C] in 0..1.
    """
    values = np.asarray(scores, np.float64)
    if voting == "max":
        best = values.max(axis=0)
        if positive is not None:
            return expand_binary(best[..., positive, None].astype(np.float32), positive)
        return np.asarray(best / best.sum(axis=-1, keepdims=True) if exclusive else best, np.float32)
    if voting == "majority":
        values = _decisions(values, exclusive, positive, threshold)
    by = None if voting in ("mean", "majority") else weights
    return np.asarray(np.average(values, axis=0, weights=by), np.float32)


def _decisions(
    values: npt.NDArray[np.float64], exclusive: bool, positive: int | None, threshold: float
) -> npt.NDArray[np.float64]:
    """1 where a member is for a label, else 0."""
    if positive is not None:
        yes = (values[..., positive, None] >= threshold).astype(np.float32)
        return expand_binary(yes, positive).astype(np.float64)
    if not exclusive:
        return (values >= threshold).astype(np.float64)
    return np.asarray(np.eye(values.shape[-1])[values.argmax(axis=-1)], np.float64)
