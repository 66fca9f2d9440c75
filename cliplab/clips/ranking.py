"""How well scores rank clips that were not learned from: the share of pairs in the right order, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FOLDS, _REPEATS = 5, 4
_FEW, _REPEATS_OF_FEW = 40, 8  # clips: folds of few hold few pairs
_RESAMPLES = 500
_DIFFERENT = 0.05  # on 0..1: clips nearer than a fifth of a star are in no order
_FEWEST_SOURCES = 5


@dataclass(frozen=True)
class Ranking:
    """The share of pairs of clips in the right order, chance being 0.5.

    Attributes:
        share: In 0..1.
        interval: Its 95% interval, over resampled clips.
        better_than_chance: Whether the whole interval lies above 0.5. Of 50 models of random ratings, the best of three
            learners each, 2 passed; a bound at 90% let 11 pass.
        spearman: Spearman's rank correlation of the same scores, averaged over the repeats.
        clips: How many clips.
        pairs: How many different pairs were compared.
    """

    share: float
    interval: tuple[float, float]
    better_than_chance: bool
    spearman: float
    clips: int
    pairs: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "interval": list(self.interval)}


@dataclass(frozen=True)
class Division:
    """How clips are divided, several times over, into those that are learned from and those that are ranked.

    Attributes:
        folds: int64 [repeats, N]: the fold of each clip.
    """

    folds: IntArray

    def held_out(self, predict: Callable[[IntArray, IntArray], Float64Array]) -> Float64Array:
        """Scores of each clip by a model that did not learn from it.

        Args:
            predict: Makes scores of the second rows from the first.

        Returns:
            float64 [repeats, N].
        """
        scores = np.zeros(self.folds.shape)
        for repeat, folds in enumerate(self.folds):
            for fold in np.unique(folds):
                judged = np.flatnonzero(folds == fold)
                scores[repeat, judged] = predict(np.flatnonzero(folds != fold), judged)
        return scores


def divide(sources: Sequence[str], seed: int = 0) -> Division:
    """Divide clips so that those of one source stay together, where there are five sources or more.

    Args:
        sources: Where each of N clips comes from.
        seed: Another seed divides in another way.
    """
    names, member = np.unique(np.array(sources, dtype=object).astype(str), return_inverse=True)
    units = member.reshape(-1) if len(names) >= _FEWEST_SOURCES else np.arange(len(sources))
    count = int(units.max()) + 1 if len(units) else 0
    rng = np.random.default_rng(seed)
    folds = min(_FOLDS, count)
    repeats = _REPEATS_OF_FEW if len(sources) <= _FEW else _REPEATS
    made = [(rng.permutation(count) % max(folds, 1))[units] for _ in range(repeats)]
    return Division(np.array(made, np.int64).reshape(repeats, len(sources)))


def rank(division: Division, scores: Float64Array, targets: Float64Array, seed: int = 0) -> Ranking:
    """Judge scores by the pairs of clips that were held out together.

    Args:
        division: How the clips were divided.
        scores: float64 [repeats, N], or [N] of a model that learned from none of them.
        targets: float64 [N]: what people said.
        seed: The seed of the interval.

    Returns:
        The share of pairs in the right order; equal scores count half.
    """
    wide = np.broadcast_to(scores, division.folds.shape)
    first, second, right = _pairs(division, wide, targets)
    if not len(first):
        return Ranking(0.5, (0.0, 1.0), False, 0.0, len(targets), 0)
    share = float(right.mean())
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, len(targets), len(targets)), minlength=len(targets))
        weight = (times[first] * times[second]).astype(np.float64)
        if weight.sum():
            drawn.append(float(weight @ right / weight.sum()))
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (0.0, 1.0)
    different = len({(min(a, b), max(a, b)) for a, b in zip(first.tolist(), second.tolist(), strict=True)})
    correlation = float(np.mean([_spearman(row, targets) for row in wide]))
    return Ranking(share, (float(low), float(high)), bool(low > 0.5), correlation, len(targets), different)


def _pairs(division: Division, scores: Float64Array, targets: Float64Array) -> tuple[IntArray, IntArray, Float64Array]:
    """Places of the better and the worse clip of each pair, and 1.0, 0.5 or 0.0 for the order of their scores."""
    firsts, seconds, rights = [], [], []
    for folds, row in zip(division.folds, scores, strict=True):
        for fold in np.unique(folds):
            at = np.flatnonzero(folds == fold)
            better, worse = np.nonzero(targets[at][:, None] > targets[at][None, :] + _DIFFERENT)
            better, worse = at[better], at[worse]
            firsts.append(better)
            seconds.append(worse)
            rights.append(0.5 + 0.5 * np.sign(row[better] - row[worse]))
    if not firsts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(rights)


def _spearman(scores: Float64Array, targets: Float64Array) -> float:
    from scipy.stats import rankdata

    first, second = rankdata(scores), rankdata(targets)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
