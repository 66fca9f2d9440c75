"""Logistic regression on standardised features: the objective of a linear head, and the head that minimises it.

The objective is the weighted mean cross-entropy of the clips' items plus ``penalty / 2`` times the squared weights of
the standardised features, minimised by L-BFGS. With ``penalty = 1 / (C * N)`` it is scikit-learn's
``LogisticRegression``; it is written out here because that class reports no iterations, which the learning curves are
drawn from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.records import Float32Array
from adapters.training.clip_features import FloatArray, LabelledFeatures
from adapters.training.solver_libraries import threads_for

MAX_ITERATIONS = 500
# How much less the objective may become by a further iteration, as a share of it.
CONVERGED = 1e-9
# Directions in which rows vary less than this share of the most are left out: they are what 32 bits rounded.
_LEAST_VARIANCE = 1e-6


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
        below = logits - logits.max(axis=-1, keepdims=True)
        powers = np.exp(below)
        total = powers.sum(axis=-1, keepdims=True)
        return np.log(total[..., 0]) * targets.sum(axis=-1) - (below * targets).sum(axis=-1), powers / total - targets
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


@dataclass(frozen=True)
class Problem:
    """Clips as the solver sees them; every penalty is solved on the same one.

    Attributes:
        rows: float32 [R, K], the standardised features of all items.
        targets: float32 [R, units].
        shares: float32 [R], how much each row counts, 1 in sum.
        mean: float32 [D].
        scale: float32 [D].
        turn: float32 [K, D], rows of length 1 at right angles, from standardised features to ``rows``; None: they are
            the same.
        exclusive: Softmax or sigmoids.
    """

    rows: Float32Array
    targets: Float32Array
    shares: Float32Array
    mean: Float32Array
    scale: Float32Array
    turn: Float32Array | None
    exclusive: bool

    def objective(self, flat: FloatArray, penalty: float) -> tuple[float, FloatArray]:
        """The objective and its gradient; both kernel and bias are in ``flat``, float64 [(K + 1) * units]."""
        units = self.targets.shape[1]
        # Of sigmoids the loss is the mean over units, and so is the penalty: each is a regression by itself.
        strength = penalty if self.exclusive else penalty / units
        numbers, weights = flat.astype(np.float32), flat[:-units]
        logits = self.rows @ numbers[:-units].reshape(-1, units) + numbers[-units:]
        losses, slopes = _losses(logits, self.targets, self.exclusive)
        slopes *= self.shares[:, None]
        gradient = np.empty_like(flat)
        gradient[:-units] = (self.rows.T @ slopes).ravel()
        gradient[:-units] += strength * weights
        gradient[-units:] = slopes.sum(axis=0)
        return float(self.shares @ losses) + strength / 2 * float(weights @ weights), gradient

    def head(self, flat: FloatArray) -> LinearHead:
        """The head of features as they come."""
        units = self.targets.shape[1]
        kernel, bias = flat[:-units].reshape(-1, units), flat[-units:]
        whole = (kernel if self.turn is None else self.turn.T @ kernel) * self.scale[:, None]
        return LinearHead(np.asarray(whole, np.float32), np.asarray(bias - self.mean @ whole, np.float32))

    def numbers(self, head: LinearHead | None) -> FloatArray:
        """What is solved for, from a head; None: all zero."""
        if head is None:
            return np.zeros((self.rows.shape[1] + 1) * self.targets.shape[1])
        whole = head.kernel / np.where(self.scale > 0, self.scale, np.inf)[:, None]
        kernel = whole if self.turn is None else self.turn @ whole
        return np.concatenate([kernel.ravel(), head.bias + self.mean @ head.kernel]).astype(np.float64)


def problem_of(data: LabelledFeatures) -> Problem:
    """Standardise clips, and turn their features where fewer numbers say the same.

    Args:
        data: The clips.
    """
    items, size = data.features.shape[1:]
    mean, scale = feature_scale(data)
    rows: Float32Array = (data.features.reshape(-1, size) - mean) * scale
    turn: Float32Array | None = None
    if len(rows) < size:
        # The best weights lie in the span of the rows, where the penalty is the same: fewer numbers to solve for.
        variances, directions = np.linalg.eigh(rows @ rows.T)
        kept = variances > _LEAST_VARIANCE * max(float(variances[-1]), 1e-30)
        lengths = np.sqrt(variances[kept])
        turn = np.asarray((directions[:, kept] / lengths).T @ rows, np.float32)
        rows = np.asarray(directions[:, kept] * lengths, np.float32, order="C")
    shares = _shares(data).astype(np.float32)
    return Problem(rows, np.repeat(data.targets, items, axis=0), shares, mean, scale, turn, data.exclusive)


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
    with threads_for(data.features.size):
        problem = problem_of(data)

        def after(flat: FloatArray, value: float) -> object:
            return on_iteration is None or on_iteration(problem.head(flat), value)

        return problem.head(minimise(problem, penalty, problem.numbers(start), CONVERGED, after))


def minimise(
    problem: Problem,
    penalty: float,
    start: FloatArray,
    tolerance: float,
    after: Callable[[FloatArray, float], object] | None = None,
) -> FloatArray:
    """The numbers at which the objective hardly falls any more, float64 [(K + 1) * units].

    Args:
        problem: The clips.
        penalty: Above 0.
        start: The numbers to begin with.
        tolerance: How much less the objective may become by a further iteration, as a share of it.
        after: Receives numbers and objective after each iteration, and ends it by returning False.
    """
    from scipy.optimize import minimize

    def callback(intermediate_result: Any) -> None:
        if after is not None and after(intermediate_result.x, float(intermediate_result.fun)) is False:
            raise StopIteration

    options = {"maxiter": MAX_ITERATIONS, "gtol": 1e-6, "ftol": tolerance, "maxcor": 20}
    found = minimize(
        problem.objective, start, args=(penalty,), jac=True, method="L-BFGS-B", callback=callback, options=options
    )
    return np.asarray(found.x)
