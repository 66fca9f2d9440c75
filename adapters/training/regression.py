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
from adapters.training.clip_features import FloatArray, LabelledFeatures, item_probabilities
from adapters.training.solver_libraries import threads_for

MAX_ITERATIONS = 500
# How much less the objective may become by a further iteration, as a share of it.
CONVERGED = 1e-9
# Directions in which rows vary less than this share of the most are left out: they are what 32 bits rounded.
_LEAST_VARIANCE = 1e-6
_ROWS_PER_DIRECTION = 4
_LEAST_CURVATURE = 1e-4
# A step along a line of descent is found at the first or second try, or 32 bits cannot tell a further one.
_TRIES_PER_STEP = 5


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

    The solver's numbers are the weights along the directions in which rows vary, most first: there the curvature of the
    objective is nearly diagonal and known, so that a few iterations are enough at every penalty.

    Attributes:
        rows: float32 [R, K], what all items are along the directions; [R, D], the standardised features, where there
            are too many rows to turn each.
        targets: float32 [R, units].
        shares: float32 [R], how much each row counts, 1 in sum.
        mean: float32 [D].
        scale: float32 [D].
        turn: float32 [K, D], the directions: of length 1, at right angles. None: each feature is one.
        turned: Whether rows are along the directions.
        exclusive: Softmax or sigmoids.
    """

    rows: Float32Array
    targets: Float32Array
    shares: Float32Array
    mean: Float32Array
    scale: Float32Array
    turn: Float32Array | None
    turned: bool
    exclusive: bool

    def _features(self, along: FloatArray) -> FloatArray:
        """Weights of standardised features [D, units] from those of the directions."""
        return along if self.turn is None else np.asarray(self.turn.T @ along)

    def _along(self, features: FloatArray) -> FloatArray:
        """Along the directions, [K, N], from standardised features [D, N]."""
        return features if self.turn is None else np.asarray(self.turn @ features)

    def strength(self, penalty: float) -> float:
        """The penalty of the numbers: of sigmoids the loss is the mean over units, and so is the penalty."""
        return penalty if self.exclusive else penalty / self.targets.shape[1]

    def logits(self, flat: FloatArray) -> Float32Array:
        """The logits of all rows, float32 [R, units], by numbers float64 [(K + 1) * units]: kernel and bias."""
        units = self.targets.shape[1]
        numbers = flat.astype(np.float32)
        kernel = numbers[:-units].reshape(-1, units)
        return np.asarray(self.rows @ (kernel if self.turned else self._features(kernel)) + numbers[-units:])

    def objective(self, flat: FloatArray, penalty: float) -> tuple[float, FloatArray]:
        """The objective and its gradient at numbers, float64 [(K + 1) * units]."""
        units, strength = self.targets.shape[1], self.strength(penalty)
        weights = flat[:-units]
        # In 64 bits from here: what 32 bits round would end the descent early, or have it look for steps in vain.
        losses, slopes = _losses(self.logits(flat).astype(np.float64), self.targets, self.exclusive)
        slopes = np.asarray(slopes * self.shares[:, None], np.float32)
        gradient = np.empty_like(flat)
        along = self.rows.T @ slopes
        gradient[:-units] = (along if self.turned else self._along(along)).ravel()
        gradient[:-units] += strength * weights
        gradient[-units:] = slopes.sum(axis=0, dtype=np.float64)
        loss = float(self.shares.astype(np.float64) @ losses)
        return loss + strength / 2 * float(weights @ weights), gradient

    def steps(self, flat: FloatArray, penalty: float) -> FloatArray:
        """How far the objective lets each number move: 1 over the root of its curvature, float64 [(K + 1) * units]."""
        scores = item_probabilities(self.logits(flat), self.exclusive)
        share = scores * (1 - scores) * self.shares[:, None]
        if not self.exclusive:
            share /= self.targets.shape[1]
        by_unit = share.sum(axis=0)
        # Turning rows for this alone takes long: fewer are enough for a guess.
        wanted = max(1, self.rows.shape[1]) * (_ROWS_PER_DIRECTION if self.turned else 1)
        some = slice(None, None, max(1, len(self.rows) // wanted))
        along = self.rows[some] if self.turned else self._along(self.rows[some].T).T
        kernel = (np.square(along).T @ share[some]) * (by_unit / np.maximum(share[some].sum(axis=0), 1e-30))
        curvature = np.concatenate([kernel.ravel() + self.strength(penalty), np.maximum(by_unit, _LEAST_CURVATURE)])
        return np.asarray(1 / np.sqrt(curvature, dtype=np.float64))

    def head(self, flat: FloatArray) -> LinearHead:
        """The head of features as they come."""
        units = self.targets.shape[1]
        kernel, bias = flat[:-units].reshape(-1, units), flat[-units:]
        whole = self._features(kernel) * self.scale[:, None]
        return LinearHead(np.asarray(whole, np.float32), np.asarray(bias - self.mean @ whole, np.float32))

    def numbers(self, head: LinearHead | None) -> FloatArray:
        """What is solved for, from a head; None: all zero."""
        if head is None:
            return np.zeros(((len(self.mean) if self.turn is None else len(self.turn)) + 1) * self.targets.shape[1])
        whole = head.kernel / np.where(self.scale > 0, self.scale, np.inf)[:, None]
        return np.concatenate([self._along(whole).ravel(), head.bias + self.mean @ head.kernel]).astype(np.float64)


def main_directions(data: LabelledFeatures) -> Float32Array | None:
    """The directions in which standardised features vary, float32 [D, D], of length 1 and at right angles.

    They may be those of other clips of the same features: they only decide how soon the solver is done.

    Args:
        data: The clips.

    Returns:
        The directions as rows; None where there are fewer rows than features, so that each problem finds its own.
    """
    size = data.features.shape[-1]
    mean, scale = feature_scale(data)
    rows = data.features.reshape(-1, size)
    if len(rows) < size:
        return None
    some = (rows[:: max(1, len(rows) // (_ROWS_PER_DIRECTION * size))] - mean) * scale
    return np.asarray(np.linalg.eigh(some.T @ some)[1].T, np.float32, order="C")


def problem_of(data: LabelledFeatures, directions: Float32Array | None = None) -> Problem:
    """Standardise clips, and turn their features to the directions in which they vary.

    Args:
        data: The clips.
        directions: Those of ``main_directions``. None: they are found here where that is quick, with fewer rows than
            features; finding them takes as long as solving one penalty without.
    """
    items, size = data.features.shape[1:]
    mean, scale = feature_scale(data)
    rows: Float32Array = (data.features.reshape(-1, size) - mean) * scale
    turn, turned = directions, True
    if len(rows) < size:
        # The best weights lie in the span of the rows, where the penalty is the same: fewer numbers to solve for.
        squares, found = np.linalg.eigh(rows @ rows.T)
        kept = squares > _LEAST_VARIANCE * max(float(squares[-1]), 1e-30)
        lengths = np.sqrt(squares[kept])
        turn = np.asarray((found[:, kept] / lengths).T @ rows, np.float32)
        rows = np.asarray(found[:, kept] * lengths, np.float32, order="C")
    elif turn is not None:
        turned = len(rows) <= _ROWS_PER_DIRECTION * size
        rows = rows @ turn.T if turned else rows
    targets = np.repeat(data.targets, items, axis=0)
    return Problem(rows, targets, _shares(data).astype(np.float32), mean, scale, turn, turned, data.exclusive)


def solve(
    data: LabelledFeatures,
    penalty: float,
    start: LinearHead | None = None,
    on_iteration: Callable[[LinearHead, float], object] | None = None,
    directions: Float32Array | None = None,
) -> LinearHead:
    """The head that minimises the objective.

    Args:
        data: The clips.
        penalty: Above 0.
        start: Where to begin; None: at zero.
        on_iteration: Receives the head and the objective after each iteration; the solution stays where it is if it
            returns False.
        directions: Those of ``main_directions`` of clips like these, where they are known.
    """
    with threads_for(data.features.size):
        problem = problem_of(data, directions)

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
        if after is not None and after(intermediate_result.x * steps, float(intermediate_result.fun)) is False:
            raise StopIteration

    steps = problem.steps(start, penalty)

    def objective(stepped: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.objective(stepped * steps, penalty)
        return value, gradient * steps

    options = {"maxiter": MAX_ITERATIONS, "gtol": 1e-6, "ftol": tolerance, "maxcor": 20, "maxls": _TRIES_PER_STEP}
    found = minimize(objective, start / steps, jac=True, method="L-BFGS-B", callback=callback, options=options)
    return np.asarray(found.x * steps)
