"""A second opinion on the pictures: which of the model's features tell this recording's breaks from its programme.

A model of ads was trained elsewhere, and takes some adverts for programme. Within one recording the programme is of a
few kinds and the adverts are of another, so that what the decoder is sure of teaches a linear discriminant, which then
judges every second without having seen it or its neighbours.

Features are kept in short: projected on 64 random directions of signs, which keep distances nearly (D. Achlioptas,
"Database-friendly random projections", Journal of Computer and System Sciences 66, 2003). The signs come from a hash,
so that they are the same everywhere and a file of observations stays readable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import ConfigError
from adapters.records import Float32Array, Float64Array

Float16Array = npt.NDArray[np.float16]
SHORT = 64
LOGIT_LIMIT = 4.0
_BLOCK_SECONDS, _AROUND_SECONDS = 20.0, 15.0  # an advert or so is judged by what is further away
_MOST_BLOCKS = 150
_LEAST_BREAK_SECONDS, _LEAST_PROGRAMME_SECONDS = 30.0, 60.0
HEAD_SHARE = 0.6  # of the scores, that a channel's head counts at most: its breaks were checked by somebody
_RIDGE = 0.1  # of the mean variance
# Of both classes, rightly told without having been seen: from here on it counts, and from there on in full.
_LEAST_RIGHT, _ALL_RIGHT = 0.75, 0.95


def no_features() -> Float16Array:
    """Features where none were observed, float16 [0, 64]."""
    return np.zeros((0, SHORT), np.float16)


def short_features(features: Float32Array) -> Float16Array:
    """Features projected on 64 directions.

    Args:
        features: float32 [D], of any size D.

    Returns:
        float16 [64], of about the same length as a vector.
    """
    projected = np.nan_to_num(features) @ _directions(len(features))
    return np.asarray(np.clip(projected, -6e4, 6e4), np.float16)


@lru_cache(maxsize=4)
def _directions(size: int) -> Float32Array:
    """Signs by the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), float32 [size, 64]."""
    mixed = (np.arange(1, size * SHORT + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    signs = (mixed & np.uint64(1)).astype(np.float32) * 2 - 1
    return np.asarray(signs.reshape(size, SHORT) / np.sqrt(SHORT), np.float32)


@dataclass(frozen=True, eq=False)
class SecondOpinion:
    """What the recording's own pictures say.

    Attributes:
        logits: float64 [T], log-odds of an ad within 4 either way; 0 where the features are unknown.
        trust: 0..1, how far it is to be trusted.
    """

    logits: Float64Array
    trust: float


def second_opinion(features: Float16Array, chance: Float64Array, grid_seconds: float) -> SecondOpinion | None:
    """Judge every second by the rest of the recording.

    Args:
        features: float16 [T, 64], NaN where they are unknown; may be empty.
        chance: float64 [T], the probability of a break at each second, as the decoder has it now.
        grid_seconds: Seconds from one to the next.

    Returns:
        The opinion; None where there is too little of breaks or of programme to learn from.
    """
    if not len(features):
        return None
    rows = np.asarray(features, np.float64)
    known = _known(rows)
    shares = np.stack([1 - chance, chance], axis=1) * known[:, None]
    seconds = shares.sum(axis=0) * grid_seconds
    if seconds[0] < _LEAST_PROGRAMME_SECONDS or seconds[1] < _LEAST_BREAK_SECONDS:
        return None
    shares /= shares.sum(axis=0)  # both classes count the same
    rows = standardised(np.where(known[:, None], rows, 0.0), shares.sum(axis=1))
    values = _judged_apart(rows, shares, grid_seconds)
    logits = np.where(known, to_logits(values, shares), 0.0)
    right = 0.5 * float((shares[:, 1] * (logits > 0)).sum() + (shares[:, 0] * (logits < 0)).sum())
    trust = float(np.clip((right - _LEAST_RIGHT) / (_ALL_RIGHT - _LEAST_RIGHT), 0.0, 1.0))
    return SecondOpinion(logits, trust)


def _known(rows: Float64Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(rows).all(axis=1), np.bool_)


def standardised(rows: Float64Array, shares: Float64Array) -> Float64Array:
    """Rows with mean 0 and variance 1 by weight, and a last column of 1.

    Args:
        rows: float64 [T, D].
        shares: float64 [T], weights of any sum.
    """
    mean, spread = _moments(rows, shares)
    return np.concatenate([(rows - mean) / spread, np.ones((len(rows), 1))], axis=1)


def _moments(rows: Float64Array, shares: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Mean and standard deviation [D] by weight; that of a feature that never varies is infinite."""
    weights = shares / shares.sum()
    mean = weights @ rows
    spread = np.sqrt(np.maximum(weights @ (rows - mean) ** 2, 0.0))
    return mean, np.where(spread > 1e-5, spread, np.inf)


def _judged_apart(rows: Float64Array, shares: Float64Array, grid_seconds: float) -> Float64Array:
    """Values of a linear discriminant (least squares on -1 and 1) that saw neither a block nor its neighbours."""
    targets, weighted = shares[:, 1] - shares[:, 0], rows * shares.sum(axis=1)[:, None]
    square, product, ridge = _normal_equations(rows, shares)
    steps = len(rows)
    block = max(round(_BLOCK_SECONDS / grid_seconds), -(-steps // _MOST_BLOCKS))
    around = round(_AROUND_SECONDS / grid_seconds)
    values = np.zeros(steps)
    for first in range(0, steps, block):
        last = min(first + block, steps)
        left = slice(max(first - around, 0), min(last + around, steps))
        part = rows[left]
        kernel = np.linalg.solve(square - part.T @ weighted[left] + ridge, product - part.T @ targets[left])
        values[first:last] = rows[first:last] @ kernel
    return values


def _normal_equations(rows: Float64Array, shares: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The matrix and the right side of least squares on -1 for programme and 1 for breaks, and the ridge."""
    square = rows.T @ (rows * shares.sum(axis=1)[:, None])
    ridge = _RIDGE * float(np.trace(square)) / len(square) * np.eye(len(square))
    ridge[-1, -1] *= 1e-3  # of the constant
    return square, rows.T @ (shares[:, 1] - shares[:, 0]), ridge


def _solved(rows: Float64Array, shares: Float64Array) -> Float64Array:
    square, product, ridge = _normal_equations(rows, shares)
    return np.asarray(np.linalg.solve(square + ridge, product))


def to_logits(values: Float64Array, shares: Float64Array) -> Float64Array:
    """Values of a discriminant as log-odds: two normal distributions of one variance.

    Args:
        values: float64 [T].
        shares: float64 [T, 2], how far each is programme and break; each column sums to 1.
    """
    slope, middle = _slope(values, shares)
    return np.asarray(np.clip(slope * (values - middle), -LOGIT_LIMIT, LOGIT_LIMIT))


def _slope(values: Float64Array, shares: Float64Array) -> tuple[float, float]:
    """Log-odds per unit of the discriminant, and its value at even odds."""
    means = values @ shares
    variance = float((shares * (values[:, None] - means) ** 2).sum() / 2)
    return max(float(means[1] - means[0]), 0.0) / max(variance, 1e-6), float(means.mean())


@dataclass(frozen=True)
class ScoreHead:
    """A channel's own head: log-odds of an ad from short features, averaged with the model's.

    Attributes:
        model: The digest of the model whose features it reads.
        kernel: 64 numbers.
        bias: A number.
        share: 0..1, of the average.
    """

    model: str
    kernel: tuple[float, ...]
    bias: float
    share: float

    def __post_init__(self) -> None:
        numbers = (*self.kernel, self.bias, self.share)
        if len(self.kernel) != SHORT or not all(map(_is_number, numbers)) or not 0 <= self.share <= 1:
            raise ConfigError(
                f"break_profile: score_head must have {SHORT} finite numbers as kernel, a bias, and a share of 0 to 1. "
                "Learn it again with `cliplab ads-learn`"
            )

    def logits(self, features: Float16Array) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
        """Log-odds within 4 either way, and where the features are known.

        Args:
            features: float16 [T, 64].
        """
        rows = np.asarray(features, np.float64)
        known = _known(rows)
        found = np.where(known[:, None], rows, 0.0) @ np.array(self.kernel) + self.bias
        return np.clip(found, -LOGIT_LIMIT, LOGIT_LIMIT), known

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {"model": self.model, "kernel": list(self.kernel), "bias": self.bias, "share": self.share}

    @staticmethod
    def from_dict(value: Mapping[str, Any] | None) -> ScoreHead | None:
        """Read what ``to_dict`` gave; None from nothing.

        Args:
            value: The JSON object.

        Raises:
            ConfigError: It is not such an object.
        """
        if value is None:
            return None
        try:
            model, bias, share = value["model"], value["bias"], value["share"]
            return ScoreHead(str(model), tuple(value["kernel"]), bias, share)
        except (KeyError, TypeError):
            raise ConfigError("break_profile: score_head must have model, kernel, bias and share") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, eq=False)
class LabelledSeconds:
    """Seconds of a recording whose breaks are known.

    Attributes:
        features: float16 [T, 64].
        logits: float64 [T], what the model says, within 4 either way; NaN where it says nothing.
        inside: bool [T], whether each second is in a break.
        grid_seconds: Seconds from one to the next.
    """

    features: Float16Array
    logits: Float64Array
    inside: npt.NDArray[np.bool_]
    grid_seconds: float


@dataclass(frozen=True)
class LearnedHead:
    """A head, and how good it was on seconds that it had not seen.

    Attributes:
        head: The head.
        right_before: Share of seconds that the model alone tells right, both classes counting the same.
        right_after: The same with the head.
    """

    head: ScoreHead
    right_before: float
    right_after: float


def learn_head(recordings: Sequence[LabelledSeconds], model: str) -> LearnedHead | None:
    """Learn a head for a channel, in well under a second.

    Args:
        recordings: With their true breaks.
        model: The digest of the model.

    Returns:
        The head; None where there is too little of breaks or of programme to learn from.
    """
    usable = [each for each in recordings if len(each.features)]
    if not usable:
        return None
    rows = np.concatenate([each.features for each in usable]).astype(np.float64)
    inside = np.concatenate([each.inside for each in usable])
    model_logits = np.concatenate([each.logits for each in usable])
    known, grid = _known(rows) & np.isfinite(model_logits), usable[0].grid_seconds
    shares = np.stack([~inside & known, inside & known], axis=1).astype(np.float64)
    seconds = shares.sum(axis=0) * grid
    if seconds[0] < _LEAST_PROGRAMME_SECONDS or seconds[1] < _LEAST_BREAK_SECONDS:
        return None
    shares /= shares.sum(axis=0)
    rows, model_logits = np.where(known[:, None], rows, 0.0), np.where(known, model_logits, 0.0)
    scaled = standardised(rows, shares.sum(axis=1))
    apart = _judged_apart(scaled, shares, grid)
    logits = to_logits(apart, shares)

    def right(values: Float64Array) -> float:
        return 0.5 * float((shares[:, 1] * (values > 0)).sum() + (shares[:, 0] * (values < 0)).sum())

    trust = float(np.clip((right(logits) - _LEAST_RIGHT) / (_ALL_RIGHT - _LEAST_RIGHT), 0.0, 1.0))
    share = HEAD_SHARE * trust
    blended = (1 - share) * model_logits + share * logits
    kernel = _solved(scaled, shares)
    slope, middle = _slope(apart, shares)
    mean, spread = _moments(rows, shares.sum(axis=1))
    raw = slope * kernel[:-1] / spread
    bias = slope * (kernel[-1] - middle) - float(mean @ raw)
    head = ScoreHead(model, tuple(round(float(each), 6) for each in raw), round(bias, 6), round(share, 4))
    return LearnedHead(head, right(model_logits), right(blended))
