"""What several people said of clips, in stars and in comparisons, as one number for each clip.

A Bayesian model whose most likely values are found at once: each clip has a quality; each rater an offset and a scale,
so that the four stars of a strict rater count for more than those of a generous one; stars are quality on the rater's
scale plus noise, less of it where the rater was sure; a comparison is won with the logistic function of the difference
(Bradley and Terry 1952). Offsets, scales and qualities are drawn to what is usual by normal priors, so that one rating
says little of a rater.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

_NOISE = 0.2  # of stars on 0..1: people repeat their own rating to about a star
_QUALITY = 0.3  # spread of clips on 0..1
_OFFSET, _SCALE = 0.15, 0.3  # spread of raters: of their offset on 0..1, and of the logarithm of their scale
_CHOICE = 0.1  # a difference in quality at which a comparison is won in 73 of 100
_SURE = 1.0  # of a rater who did not say how sure


@dataclass(frozen=True)
class Rating:
    """Stars of one rater for one clip.

    Attributes:
        clip: The clip's place in a list.
        rater: Who.
        stars: 1 to 5.
        confidence: Above 0 and up to 1; None where it was not said.
    """

    clip: int
    rater: str
    stars: int
    confidence: float | None = None


@dataclass(frozen=True)
class Consensus:
    """The quality of clips by all that was said.

    Attributes:
        quality: float64 [N] in 0..1, as stars minus 1 over 4.
        weight: float64 [N], 1.0 for a clip with one sure rating, more with more ratings.
        offsets: By rater, in 0..1: how much higher than others they rate.
        scales: By rater: how much further apart.
    """

    quality: Float64Array
    weight: Float64Array
    offsets: dict[str, float]
    scales: dict[str, float]

    def take(self, places: Sequence[int]) -> Consensus:
        """The same for some of the clips.

        Args:
            places: Of the clips in the list.
        """
        return replace(self, quality=self.quality[list(places)], weight=self.weight[list(places)])


def find_consensus(clips: int, ratings: Sequence[Rating], comparisons: Sequence[tuple[int, int]]) -> Consensus:
    """Find the quality of each clip.

    Args:
        clips: How many clips, N.
        ratings: Stars; each clip has at least one, or is in a comparison.
        comparisons: (better, worse), places in the list of clips.

    Returns:
        The most likely qualities and raters.
    """
    from scipy.optimize import minimize

    names = sorted({rating.rater for rating in ratings})
    problem = _Problem(clips, names, ratings, comparisons)
    found = minimize(problem.loss, problem.start(), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    quality, offset, log_scale = problem.parts(found.x)
    said = np.bincount(problem.clip, problem.sure**2, clips) + 0.5 * np.bincount(problem.pairs.ravel(), minlength=clips)
    return Consensus(
        np.clip(problem.mean + quality, 0.0, 1.0),
        np.maximum(said, 0.25),
        dict(zip(names, map(float, offset), strict=True)),
        dict(zip(names, map(float, np.exp(log_scale)), strict=True)),
    )


class _Problem:
    """The negative logarithm of the likelihood, and its gradient."""

    def __init__(
        self, clips: int, names: Sequence[str], ratings: Sequence[Rating], comparisons: Sequence[tuple[int, int]]
    ) -> None:
        place = {name: number for number, name in enumerate(names)}
        self.clips, self.raters = clips, len(names)
        self.clip = np.array([rating.clip for rating in ratings], np.int64)
        self.rater = np.array([place[rating.rater] for rating in ratings], np.int64)
        self.value = np.array([(rating.stars - 1) / 4 for rating in ratings], np.float64)
        self.sure = np.array([rating.confidence or _SURE for rating in ratings], np.float64)
        self.pairs = np.array(comparisons, np.int64).reshape(-1, 2)
        self.mean = float(self.value.mean()) if len(ratings) else 0.5

    def start(self) -> Float64Array:
        """All clips alike, all raters alike."""
        return np.zeros(self.clips + 2 * self.raters)

    def parts(self, x: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Quality less the mean, offsets, logarithms of scales."""
        return x[: self.clips], x[self.clips : self.clips + self.raters], x[self.clips + self.raters :]

    def loss(self, x: Float64Array) -> tuple[float, Float64Array]:
        """The value and its gradient."""
        quality, offset, log_scale = self.parts(x)
        scale = np.exp(log_scale)
        weight = (self.sure / _NOISE) ** 2
        off = self.mean + offset[self.rater] + scale[self.rater] * quality[self.clip] - self.value
        pull = weight * off
        slope: Float64Array = np.bincount(self.clip, pull * scale[self.rater], self.clips) + quality / _QUALITY**2
        slope_offset = np.bincount(self.rater, pull, self.raters) + offset / _OFFSET**2
        stretched = pull * scale[self.rater] * quality[self.clip]
        slope_scale = np.bincount(self.rater, stretched, self.raters) + log_scale / _SCALE**2
        value = 0.5 * float(weight @ off**2 + quality @ quality / _QUALITY**2)
        value += 0.5 * float(offset @ offset / _OFFSET**2 + log_scale @ log_scale / _SCALE**2)
        better, worse = self.pairs[:, 0], self.pairs[:, 1]
        margin = (quality[better] - quality[worse]) / _CHOICE
        value += float(np.logaddexp(0.0, -margin).sum())
        force = 1.0 / (1.0 + np.exp(margin)) / _CHOICE
        slope = slope + np.bincount(worse, force, self.clips) - np.bincount(better, force, self.clips)
        return value, np.concatenate([slope, slope_offset, slope_scale])


def to_ratings(rows: Sequence[Any], place: dict[int, int]) -> list[Rating]:
    """Stored rows as ratings of clips in a list.

    Args:
        rows: Of ``rating_rows``.
        place: The clip's place in the list by its id; rows of others are left out.
    """
    return [Rating(place[row.clip_id], row.rater, row.stars, row.confidence) for row in rows if row.clip_id in place]
