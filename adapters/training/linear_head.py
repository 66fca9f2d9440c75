"""A linear head solved to convergence: logistic regression on standardised features, its strength cross-validated.

The objective is the weighted mean cross-entropy of the clips' items plus ``penalty / 2`` times the squared weights of
the standardised features, minimised by L-BFGS. With ``penalty = 1 / (C * N)`` it is scikit-learn's
``LogisticRegression``; it is written out here because that class reports no iterations, which the learning curves are
drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from adapters.errors import MissingExtraError
from adapters.litert import available_cores
from adapters.records import Float32Array
from adapters.training.calibration import fit_temperature
from adapters.training.clip_features import FloatArray, IntArray, LabelledFeatures

MAX_ITERATIONS = 500
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
_NUMBERS_PER_THREAD = 10_000_000


@dataclass(frozen=True)
class LinearHead:
    """Features to logits.

    Attributes:
        kernel: float32 [D, units].
        bias: float32 [units].
    """

    kernel: Float32Array
    bias: Float32Array

    def logits(self, features: Float32Array) -> Float32Array:
        """The logits of items.

        Args:
            features: float32 [..., D].

        Returns:
            float32 [..., units].
        """
        return np.asarray(features @ self.kernel + self.bias, np.float32)


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


def require_solver() -> None:
    """MissingExtraError where a package is missing that solving, cross-validation or the report needs."""
    from importlib.util import find_spec

    packages = {
        "sklearn": "scikit-learn",
        "scipy": "scipy",
        "threadpoolctl": "threadpoolctl",
        "matplotlib": "matplotlib",
    }
    for module, package in packages.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, "learn", "training a head")


def mean_loss(logits: FloatArray, data: LabelledFeatures) -> float:
    """The weighted mean cross-entropy of clips, each the mean over its items, as ``losses.clip_losses`` has it.

    Args:
        logits: float [N, items, units].
        data: The clips.
    """
    loss, _ = _losses(logits, data.targets[:, None], data.exclusive)
    return float((loss.mean(axis=1) * data.weights).sum() / data.weights.sum())


def _losses(logits: FloatArray, targets: FloatArray, exclusive: bool) -> tuple[FloatArray, FloatArray]:
    """The cross-entropy [...] of logits [..., units], and its gradient with respect to them."""
    from scipy.special import expit

    if exclusive:
        logs = logits - logits.max(axis=-1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=-1, keepdims=True))
        return -(logs * targets).sum(axis=-1), np.exp(logs) - targets
    # ln(1 + e^-z) + (1 - t) z, the mean over units
    losses = np.logaddexp(0.0, -logits) + (1 - targets) * logits
    return losses.mean(axis=-1), (expit(logits) - targets) / logits.shape[-1]


def _shares(data: LabelledFeatures) -> FloatArray:
    """How much each item counts, float64 [N * items], 1 in sum."""
    items = data.features.shape[1]
    shares = np.repeat(data.weights / items, items).astype(np.float64)
    return np.asarray(shares / shares.sum())


def feature_scale(data: LabelledFeatures) -> tuple[Float32Array, Float32Array]:
    """What standardises features: ``(x - mean) * scale`` has mean 0 and variance 1 over the weighted clips.

    Args:
        data: The clips.

    Returns:
        mean and scale, float32 [D]. The scale of a feature that never varies, but for rounding, is 0.
    """
    rows, shares = data.features.reshape(-1, data.features.shape[-1]), _shares(data)
    mean = (shares @ rows).astype(np.float32)
    spread = np.sqrt(np.maximum(shares @ np.square(rows - mean), 0)).astype(np.float32)
    constant = spread <= 1e-6 * np.maximum(1.0, np.abs(mean))
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread)).astype(np.float32)
    return mean, scale


def solve(
    data: LabelledFeatures,
    penalty: float,
    start: LinearHead | None = None,
    on_iteration: Callable[[LinearHead, float], object] | None = None,
) -> LinearHead:
    """The head that minimises the objective.

    Args:
        data: The clips.
        penalty: Above 0.
        start: Where to begin; None: at zero.
        on_iteration: Receives the head and the objective after each iteration; the solution stays where it is if it
            returns False.
    """
    with _threads_for(data.features.size):
        return _solve(data, penalty, start, on_iteration)


def _threads_for(numbers: int) -> AbstractContextManager[object]:
    """One thread for small matrices: several would wait for each other longer than they compute."""
    if numbers >= _NUMBERS_PER_THREAD:
        return nullcontext()
    limit: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return limit


@cache
def _blas() -> Any:
    """The matrix libraries of this process. To look for them takes as long as to solve a small head."""
    import scipy.linalg  # noqa: F401  # brings its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _solve(
    data: LabelledFeatures,
    penalty: float,
    start: LinearHead | None,
    on_iteration: Callable[[LinearHead, float], object] | None,
) -> LinearHead:
    from scipy.optimize import minimize

    items, size = data.features.shape[1:]
    rows = data.features.reshape(-1, size)
    shares = _shares(data)
    mean, scale = feature_scale(data)
    standardised = (rows - mean) * scale
    turn: Float32Array | None = None
    if len(rows) < size:
        # The best weights lie in the span of the rows, where the penalty is the same: fewer numbers to solve for.
        turn = np.linalg.qr(standardised.T)[0].T
        standardised = standardised @ turn.T
    targets = np.repeat(data.targets, items, axis=0)
    units = targets.shape[1]
    width = standardised.shape[1]
    # The loss is the mean over units where they are sigmoids, and so is the penalty: each is a regression by itself.
    strength = penalty if data.exclusive else penalty / units

    def unpack(flat: FloatArray) -> tuple[FloatArray, FloatArray]:
        return flat[: width * units].reshape(width, units), flat[width * units :]

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        kernel, bias = unpack(flat)
        logits = standardised @ kernel.astype(np.float32) + bias.astype(np.float32)
        losses, slopes = _losses(logits, targets, data.exclusive)
        slopes = (slopes * shares[:, None]).astype(np.float32)
        gradient = np.concatenate([(standardised.T @ slopes + strength * kernel).ravel(), slopes.sum(axis=0)])
        return float(shares @ losses + strength / 2 * np.square(kernel).sum()), gradient.astype(np.float64)

    def head_of(flat: FloatArray) -> LinearHead:
        kernel, bias = unpack(flat)
        whole = (kernel if turn is None else turn.T @ kernel) * scale[:, None]
        return LinearHead(whole.astype(np.float32), (bias - mean @ whole).astype(np.float32))

    def after(intermediate_result: Any) -> None:
        found = intermediate_result
        if on_iteration is not None and on_iteration(head_of(found.x), float(found.fun)) is False:
            raise StopIteration

    first = np.zeros(width * units + units)
    if start is not None:
        whole = start.kernel / np.where(scale > 0, scale, np.inf)[:, None]
        first = np.concatenate([(whole if turn is None else turn @ whole).ravel(), start.bias + mean @ start.kernel])
    options = {"maxiter": MAX_ITERATIONS, "gtol": 1e-6, "ftol": 1e-9, "maxcor": 20}
    found = minimize(objective, first, jac=True, method="L-BFGS-B", callback=after, options=options)
    return head_of(found.x)


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
    heads: Sequence[LinearHead | None] = [None] * len(folds)
    lowest, worse = np.inf, 0
    for penalty in PENALTIES:
        logits = np.empty((count, items, units), np.float32)
        heads = _fold_heads(thin, penalty, folds, heads)
        for head, (_, judge) in zip(heads, folds, strict=True):
            logits[judge] = head.logits(data.features[judge])
        _, loss = fit_temperature(logits, data)
        loss += 2 * np.log10(penalty / _TYPICAL_PENALTY) ** 2 / count
        worse = worse + 1 if loss >= lowest else 0
        if loss < lowest:
            lowest, best = loss, CrossValidation(penalty, logits, len(folds))
        if worse == _WORSE_IN_A_ROW:
            break
    return best


def _fold_heads(
    data: LabelledFeatures,
    penalty: float,
    folds: Sequence[tuple[IntArray, IntArray]],
    starts: Sequence[LinearHead | None],
) -> list[LinearHead]:
    """The head of each fold, one fold per core: a core of its own is worth more to a fold than a share of all cores."""

    def head(learn: IntArray, start: LinearHead | None) -> LinearHead:
        return _solve(data.take(learn), penalty, start, None)

    one_thread: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    with one_thread, ThreadPoolExecutor(min(len(folds), available_cores())) as pool:
        return list(pool.map(head, [learn for learn, _ in folds], starts))


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
