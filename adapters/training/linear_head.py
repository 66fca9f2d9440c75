"""How strong the penalty of a linear head is: the one whose heads are best on groups that they never saw."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from adapters.litert import available_cores
from adapters.records import Float32Array
from adapters.training.calibration import fit_temperature
from adapters.training.clip_features import FloatArray, IntArray, LabelledFeatures
from adapters.training.fold_division import group_folds
from adapters.training.regression import LinearHead, Problem, main_directions, minimise, problem_of
from adapters.training.regression import feature_scale as feature_scale
from adapters.training.regression import mean_loss as mean_loss
from adapters.training.regression import solve as solve
from adapters.training.solver_libraries import one_thread, threads_for

# Penalties that cross-validation tries, from strong to weak, until two in a row are worse than the best.
PENALTIES = tuple(10.0 ** (half / 2) for half in range(1, -9, -1))
_WORSE_IN_A_ROW = 2
# Losses that differ by less are equal: rounding in 32 bits decides between them. The weaker penalty is taken.
_SAME_LOSS = 1e-4
# What suits standardised features of most backbones. A decade away from it has to gain two nats over all clips
# together: with few clips the loss alone would wander over three decades.
_TYPICAL_PENALTY = 0.05
# Items of one clip resemble each other: this many rows are enough to compare penalties.
_ROWS_TO_COMPARE = 1500
# How exactly the heads of folds are solved, which only compare penalties: on 1,000 clips of eight items of 1,280
# numbers the out-of-fold losses stay the same to four digits, with a third to half fewer evaluations.
_CONVERGED_TO_COMPARE = 1e-7


@dataclass(frozen=True)
class CrossValidation:
    """What cross-validation chose, and the logits that each clip got from a head that never saw its group.

    Attributes:
        penalty: The penalty of the lowest out-of-fold loss.
        logits: float32 [N, items, units], by that penalty; rows of clips without a fold are NaN.
        folds: How many folds there were; 0 where the clips cannot be divided.
        directions: Those of ``main_directions``, where they were found: they help to solve the head of all clips.
    """

    penalty: float
    logits: Float32Array
    folds: int
    directions: Float32Array | None = None


def cross_validate(data: LabelledFeatures, seed: int, most: int | None = None) -> CrossValidation:
    """Choose the penalty whose heads have the lowest loss, after calibration, on groups that they never saw.

    Args:
        data: Clips, each in one view.
        seed: Seed of the division of the groups.
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
            better = loss < lowest + _SAME_LOSS
            worse = 0 if better else worse + 1
            if better:
                lowest, best = min(loss, lowest), CrossValidation(penalty, logits, len(folds))
            if worse == _WORSE_IN_A_ROW:
                break
    return replace(best, directions=heads.directions)


class _FoldHeads:
    """The heads of all folds at one penalty after another, each from where the penalty before ended.

    What does not depend on the penalty is computed once. One fold per core: a core of its own is worth more to a fold
    than a share of all cores.
    """

    def __init__(self, data: LabelledFeatures, learn: Sequence[IntArray]) -> None:
        self._data, self._learn = data, learn

    def __enter__(self) -> _FoldHeads:
        with threads_for(self._data.features.size):
            self.directions = main_directions(self._data)  # once for all folds
        self._open = ExitStack()
        self._open.enter_context(one_thread())
        self._pool = self._open.enter_context(ThreadPoolExecutor(min(len(self._learn), available_cores())))
        whole, known = self._data, self.directions
        self._problems = list(self._pool.map(lambda rows: problem_of(whole.take(rows), known), self._learn))
        self._found = [problem.numbers(None) for problem in self._problems]
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def next(self, penalty: float) -> list[LinearHead]:
        """The head of each fold."""

        def solved(problem: Problem, start: FloatArray) -> FloatArray:
            return minimise(problem, penalty, start, _CONVERGED_TO_COMPARE)

        self._found = list(self._pool.map(solved, self._problems, self._found))
        return [problem.head(found) for problem, found in zip(self._problems, self._found, strict=True)]
