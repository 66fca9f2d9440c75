"""Which items to label next: those that the model is unsure of, and that differ from each other and from labelled ones.

Uncertainty alone asks for many items that are all alike. Here each pick is the item with the largest product of its
distance to everything labelled or picked so far (greedy k-centre: Gonzalez 1985, Theoretical Computer Science 38; Sener
and Savarese 2018, arXiv:1708.00489) and the root of its uncertainty.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array, Float64Array

IntArray = npt.NDArray[np.int64]

# Distances are computed in this many dimensions: a random projection keeps those between 100,000 items within about a
# fifth (Johnson and Lindenstrauss 1984), and a pick reads 26 MB in place of 512.
PROJECTED = 64
_ROWS_AT_ONCE = 4096
_ROWS_OF_STATISTICS = 20_000
_PROJECTION_SEED = 20190122
# With less, an item that the model is sure of would never be picked, however new it is.
_LEAST_UNCERTAINTY = 1e-3


def margin_uncertainty(scores: npt.NDArray[np.floating]) -> Float64Array:
    """How unsure scores are: 1 less the difference of the two highest (Scheffer, Decomain and Wrobel 2001).

    Args:
        scores: float [N, C] in 0..1. A row with a value that is not finite counts as entirely unsure.

    Returns:
        float64 [N] in 0..1; 0 where there is one class.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2:
        raise ValueError(f"scores must be [N, C], got {list(values.shape)}")
    known: npt.NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    if values.shape[1] < 2:
        return np.where(known, 0.0, 1.0)
    top = np.partition(np.where(known[:, None], values, 0.0), -2, axis=1)[:, -2:]
    return np.where(known, np.clip(1.0 - (top[:, 1] - top[:, 0]), 0.0, 1.0), 1.0)


def label_uncertainty(scores: npt.NDArray[np.floating], exclusive: bool) -> Float64Array:
    """How unsure scores are: by their margin, or where an item may have several labels by the class nearest to 0.5.

    Args:
        scores: float [N, C] in 0..1. A row with a value that is not finite counts as entirely unsure.
        exclusive: Whether each item has one label.

    Returns:
        float64 [N] in 0..1.
    """
    if exclusive:
        return margin_uncertainty(scores)
    values = np.asarray(scores, np.float64)
    nearest = 1.0 - np.abs(2.0 * values - 1.0).min(axis=1, initial=1.0)
    return np.where(np.isfinite(values).all(axis=1), np.clip(nearest, 0.0, 1.0), 1.0)


def direction_rows(embeddings: npt.NDArray[np.floating]) -> Float32Array:
    """Embeddings as directions of few dimensions, whose dot product is likeness.

    Each dimension is standardised over all items. Values that are not finite count as that dimension's mean.

    Args:
        embeddings: float [N, D]; may be memory-mapped, and is read in parts.

    Returns:
        float32 [N, min(D, 64)], of length 1, or 0 where an item is exactly the mean.
    """
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings must be [N, D], got {list(embeddings.shape)}")
    count, size = embeddings.shape
    if not count or not size:
        return np.zeros((count, min(size, PROJECTED)), np.float32)
    mean, spread = _mean_and_spread(embeddings)
    turn = None
    if size > PROJECTED:
        turn = np.random.default_rng(_PROJECTION_SEED).normal(size=(size, PROJECTED)).astype(np.float32)
    rows = np.empty((count, min(size, PROJECTED)), np.float32)
    for start in range(0, count, _ROWS_AT_ONCE):
        part = np.asarray(embeddings[start : start + _ROWS_AT_ONCE], np.float32)
        part = np.asarray(np.where(np.isfinite(part), part - mean, 0.0) / spread, np.float32)
        part = part if turn is None else part @ turn
        length = np.linalg.norm(part, axis=1, keepdims=True)
        rows[start : start + _ROWS_AT_ONCE] = part / np.where(length > 0, length, 1.0)
    return rows


def _mean_and_spread(embeddings: npt.NDArray[np.floating]) -> tuple[Float32Array, Float32Array]:
    """Of each dimension, float32 [D], over at most 20,000 items; the spread of a dimension that never varies is 1."""
    step = -(-len(embeddings) // _ROWS_OF_STATISTICS)
    part = np.asarray(embeddings[::step], np.float32)
    finite = np.isfinite(part)
    known = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, part, 0.0).sum(axis=0, dtype=np.float64) / known
    away = np.where(finite, part - mean.astype(np.float32), 0.0)
    spread = np.sqrt(np.square(away).sum(axis=0, dtype=np.float64) / known)
    constant = spread <= 1e-6 * np.maximum(1.0, np.abs(mean))
    return mean.astype(np.float32), np.where(constant, 1.0, spread).astype(np.float32)


def choose_diverse(
    rows: Float32Array,
    count: int,
    *,
    uncertainty: Float64Array | None = None,
    candidates: IntArray | None = None,
    labelled: IntArray | None = None,
) -> IntArray:
    """The items to label next, in order. The same arguments give the same items.

    Args:
        rows: float32 [N, d], from ``direction_rows``.
        count: How many, at most.
        uncertainty: float64 [N] in 0..1; None: all alike, so that diversity alone counts.
        candidates: int64 [M], the items to choose from; None: all that are not labelled.
        labelled: int64 [L], the items that are far from nothing new: what is labelled or skipped.

    Returns:
        int64 [min(count, M)], rows without a repetition. Where nothing is labelled the first is the most uncertain
        item, and of equally uncertain ones the one nearest to all others.
    """
    known = np.zeros(0, np.int64) if labelled is None else np.unique(np.asarray(labelled, np.int64))
    pool = np.setdiff1d(np.arange(len(rows)), known) if candidates is None else np.asarray(candidates, np.int64)
    count = max(0, min(count, len(pool)))
    if not count:
        return np.zeros(0, np.int64)
    weight = np.ones(len(pool))
    if uncertainty is not None:
        unsure = np.nan_to_num(np.asarray(uncertainty, np.float64)[pool], nan=1.0)
        weight = np.sqrt(np.clip(unsure, _LEAST_UNCERTAINTY, 1.0))
    here = np.ascontiguousarray(rows[pool])
    picks: list[int] = []
    taken = np.zeros(len(pool), bool)
    if len(known):
        apart = 1.0 - _nearest(here, rows[known])
    else:
        central = here @ here.mean(axis=0, dtype=np.float64).astype(np.float32)
        first = int((weight + 1e-3 * central).argmax())
        picks, taken[first] = [first], True
        apart = 1.0 - here @ here[first]
    while len(picks) < count:
        # Copies of what was picked come last, in the order of their uncertainty.
        value = (np.maximum(apart, 0.0) + 1e-6) * weight
        value[taken] = -1.0
        best = int(value.argmax())
        picks.append(best)
        taken[best] = True
        np.minimum(apart, 1.0 - here @ here[best], out=apart)
    return pool[np.array(picks, np.int64)]


def _nearest(rows: Float32Array, others: Float32Array) -> Float32Array:
    """The likeness of each row to the most alike of others, float32 [N]."""
    found = np.empty(len(rows), np.float32)
    step = max(1, 32_000_000 // max(len(others), 1))
    for start in range(0, len(rows), step):
        found[start : start + step] = (rows[start : start + step] @ others.T).max(axis=1)
    return found
