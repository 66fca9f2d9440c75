"""Clips divided into folds by whole groups, the classes spread evenly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adapters.training.clip_features import FloatArray, IntArray

_FOLDS = 10
_FOLDS_OF_LARGE_SETS = 3
_LARGE_SET_CLIPS = 400


def group_folds(
    groups: IntArray, targets: FloatArray, seed: int, most: int | None = None
) -> Sequence[tuple[IntArray, IntArray]]:
    """Divide clips into folds by whole groups, classes spread evenly.

    Clips of one group alone are divided as if each were a group of its own: better an optimistic choice than none.

    Args:
        groups: int64 [N].
        targets: float [N, units].
        seed: The seed of the division.
        most: At most this many folds; None: 10, and 3 of a large set.

    Returns:
        Rows to learn from and rows to judge for each fold; empty with fewer than four clips, or where a fold would
        leave a class without a clip to learn from in every division.
    """
    if len(targets) < 4:
        return []
    names = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    wanted = most or (_FOLDS if len(targets) < _LARGE_SET_CLIPS else _FOLDS_OF_LARGE_SETS)
    most_of_a_class = int(np.bincount(kinds).max())
    for count in range(min(wanted, len(np.unique(names)), most_of_a_class), 1, -1):
        fold = stratified_folds(kinds, names, count, seed)
        folds = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(count)]
        if all(len(learn) and len(judge) for learn, judge in folds):
            return folds
    return []


def stratified_folds(kinds: IntArray, groups: npt.NDArray[np.int64], count: int, seed: int) -> IntArray:
    """The fold of each clip; the same division as scikit-learn's ``StratifiedGroupKFold`` with ``shuffle``.

    Groups are dealt out one by one, those of the most uneven classes first, each to the fold where the classes are then
    spread most evenly; of equal folds to the one with the fewest clips. scikit-learn itself takes longer to import than
    a head takes to be solved.

    Args:
        kinds: int64 [N], the class of each clip, from 0.
        groups: int64 [N].
        count: How many folds.
        seed: The seed of the order of groups that are equally uneven.

    Returns:
        int64 [N], from 0.
    """
    member = np.unique(groups, return_inverse=True)[1].reshape(-1)
    in_class = np.bincount(kinds)
    by_group = np.zeros((int(member.max()) + 1, len(in_class)))
    np.add.at(by_group, (member, kinds), 1)
    order = np.arange(len(by_group))
    np.random.RandomState(seed % 2**32).shuffle(order)  # the division of earlier versions
    order = order[np.argsort(-np.std(by_group[order], axis=1), kind="stable")]
    clips_of = np.zeros((count, len(in_class)))
    fold_of = np.zeros(len(by_group), np.int64)
    for group in order:
        # Each fold in turn with the group added to it: [count, count, classes].
        tried = np.repeat(clips_of[None], count, axis=0)
        tried[np.arange(count), np.arange(count)] += by_group[group]
        uneven = np.std(tried / in_class, axis=1).mean(axis=1)
        chosen = _most_even(uneven, clips_of.sum(axis=1))
        clips_of[chosen] += by_group[group]
        fold_of[group] = chosen
    return np.asarray(fold_of[member])


def _most_even(uneven: FloatArray, clips: FloatArray) -> int:
    """The fold of the least value; of nearly the same one the fold of the fewest clips."""
    best = 0
    for number in range(1, len(uneven)):
        same = np.isclose(uneven[number], uneven[best])
        if uneven[number] < uneven[best] or (same and clips[number] < clips[best]):
            best = number
    return best
