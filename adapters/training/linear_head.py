"""How strong the penalty of a linear head is: the one whose heads are best on groups that they never saw."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from adapters.litert import available_cores
from adapters.records import Float32Array
from adapters.training.calibration import fit_temperature
from adapters.training.clip_features import FloatArray, IntArray, LabelledFeatures
from adapters.training.regression import CONVERGED, LinearHead, Problem, minimise, problem_of
from adapters.training.regression import feature_scale as feature_scale
from adapters.training.regression import mean_loss as mean_loss
from adapters.training.regression import solve as solve
from adapters.training.solver_libraries import one_thread

# Penalties that cross-validation tries, from strong to weak, until two in a row are worse than the best.
PENALTIES = tuple(10.0 ** (half / 2) for half in range(1, -9, -1))
_WORSE_IN_A_ROW = 2
# What suits standardised features of most backbones. A decade away from it has to gain two nats over all clips
# together: with few clips the loss alone would wander over three decades.
_TYPICAL_PENALTY = 0.05
_FOLDS = 10
_FOLDS_OF_LARGE_SETS = 3
_LARGE_SET_CLIPS = 400
# Items of one clip resemble each other: this many rows are enough to compare penalties.
_ROWS_TO_COMPARE = 1500


@dataclass(frozen=True)
class CrossValidation:
    """What cross-validation chose, and the logits that each clip got from a head that never saw its group.

    Attributes:
        penalty: The penalty of the lowest out-of-fold loss.
        logits: float32 [N, items, units], by that penalty; rows of clips without a fold are NaN.
        folds: How many folds there were; 0 where the clips cannot be divided.
    """

    penalty: float
    logits: Float32Array
    folds: int


def cross_validate(data: LabelledFeatures, seed: int, most: int | None = None) -> CrossValidation:
    """Choose the penalty whose heads have the lowest loss, after calibration, on groups that they never saw.

    Args:
        data: Clips, each in one view.
        seed: Another seed divides the groups in another way.
        most: At most this many folds; see ``group_folds``.
    """
    folds = group_folds(data.groups, data.targets, seed, most)
    count, items, _ = data.features.shape
    units = data.targets.shape[1]
    best = CrossValidation(PENALTIES[len(PENALTIES) // 3], np.full((count, items, units), np.nan, np.float32), 0)
    if not folds:
        return best
    step = max(1, -(-count * items // _ROWS_TO_COMPARE))
    thin = LabelledFeatures(data.features[:, ::step], data.targets, data.weights, data.groups, data.exclusive)
    lowest, worse = np.inf, 0
    with _FoldHeads(thin, [learn for learn, _ in folds]) as heads:
        for penalty in PENALTIES:
            logits = np.empty((count, items, units), np.float32)
            for head, (_, judge) in zip(heads.next(penalty), folds, strict=True):
                logits[judge] = head.logits(data.features[judge])
            _, loss = fit_temperature(logits, data)
            loss += 2 * np.log10(penalty / _TYPICAL_PENALTY) ** 2 / count
            worse = worse + 1 if loss >= lowest else 0
            if loss < lowest:
                lowest, best = loss, CrossValidation(penalty, logits, len(folds))
            if worse == _WORSE_IN_A_ROW:
                break
    return best


class _FoldHeads:
    """The heads of all folds at one penalty after another, each from where the penalty before ended.

    What does not depend on the penalty is computed once. One fold per core: a core of its own is worth more to a fold
    than a share of all cores.
    """

    def __init__(self, data: LabelledFeatures, learn: Sequence[IntArray]) -> None:
        self._data, self._learn = data, learn

    def __enter__(self) -> _FoldHeads:
        self._open = ExitStack()
        self._open.enter_context(one_thread())
        self._pool = self._open.enter_context(ThreadPoolExecutor(min(len(self._learn), available_cores())))
        self._problems = list(self._pool.map(lambda rows: problem_of(self._data.take(rows)), self._learn))
        self._found = [problem.numbers(None) for problem in self._problems]
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def next(self, penalty: float) -> list[LinearHead]:
        """The head of each fold."""

        def solved(problem: Problem, start: FloatArray) -> FloatArray:
            return minimise(problem, penalty, start, CONVERGED)

        self._found = list(self._pool.map(solved, self._problems, self._found))
        return [problem.head(found) for problem, found in zip(self._problems, self._found, strict=True)]


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
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    if len(targets) < 4:
        return []
    names = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    wanted = most or (_FOLDS if len(targets) < _LARGE_SET_CLIPS else _FOLDS_OF_LARGE_SETS)
    for count in range(min(wanted, len(np.unique(names))), 1, -1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a class has fewer clips than there are folds is dealt with here
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
            try:
                folds = list(splitter.split(kinds, kinds, names))
            except ValueError:  # every class has fewer clips than there are folds
                continue
        if all(len(learn) and len(judge) for learn, judge in folds):
            return folds
    return []
