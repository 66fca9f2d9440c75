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
_RESAMPLES_OF_RANKS = 400  # each ranks all clips again
_DIFFERENT = 0.05  # on 0..1: clips nearer than a fifth of a star are in no order
_MANY_SOURCES, _FEWEST_SOURCES = 5, 3


@dataclass(frozen=True)
class Ranking:
    """The share of pairs of clips in the right order, chance being 0.5.

    Attributes:
        share: In 0..1.
        interval: Its 95% interval, over resampled sources (over clips, where ``stay_together`` does not hold).
        better_than_chance: Whether this interval lies above 0.5 and ``spearman_interval`` above 0.
        spearman: Spearman's rank correlation of the same scores, averaged over the repeats.
        spearman_interval: Its 95% interval, over resampled sources likewise.
        clips: How many clips.
        pairs: How many different pairs were compared.
    """

    share: float
    interval: tuple[float, float]
    better_than_chance: bool
    spearman: float
    clips: int
    pairs: int
    spearman_interval: tuple[float, float] = (-1.0, 1.0)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        lists = {name: list(getattr(self, name)) for name in ("interval", "spearman_interval")}
        return {**vars(self), **lists}


@dataclass(frozen=True)
class Division:
    """How clips are divided, several times over, into those that are learned from and those that are ranked.

    Attributes:
        folds: int64 [repeats, N]: the fold of each clip.
        units: int64 [N]: what each clip was divided with, its source or itself; these are resampled.
    """

    folds: IntArray
    units: IntArray

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


def stay_together(units: IntArray) -> bool:
    """Whether clips of one source are learned from or judged together, as those of a new source will be.

    Where there are three or four, none may have more than half of the clips, so that enough is left to learn from.

    Args:
        units: int64 [N]: the source of each clip.
    """
    counts = np.unique(units, return_counts=True)[1]
    return len(counts) >= _MANY_SOURCES or (len(counts) >= _FEWEST_SOURCES and 2 * int(counts.max()) <= len(units))


def divide(sources: Sequence[str], seed: int = 0) -> Division:
    """Divide clips so that those of one source stay together, where ``stay_together`` says so.

    Args:
        sources: Where each of N clips comes from.
        seed: Another seed divides in another way.
    """
    _, member = np.unique(np.array(sources, dtype=object).astype(str), return_inverse=True)
    member = member.reshape(-1)
    units = member if stay_together(member) else np.arange(len(sources))
    count = int(units.max()) + 1 if len(units) else 0
    rng = np.random.default_rng(seed)
    folds = min(_FOLDS, count)
    repeats = _REPEATS_OF_FEW if len(sources) <= _FEW else _REPEATS
    made = [(rng.permutation(count) % max(folds, 1))[units] for _ in range(repeats)]
    return Division(np.array(made, np.int64).reshape(repeats, len(sources)), np.asarray(units, np.int64))


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
    drawn = []
    for times in _resampled(division, seed, _RESAMPLES):
        weight = times[first] * times[second]
        if weight.sum():
            drawn.append(float(weight @ right / weight.sum()))
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (0.0, 1.0)
    least, most = np.quantile(_correlations(division, wide, targets, seed), [0.025, 0.975])
    different = len({(min(a, b), max(a, b)) for a, b in zip(first.tolist(), second.tolist(), strict=True)})
    correlation = float(np.mean([_spearman(row, targets) for row in wide]))
    is_better, interval = bool(low > 0.5 and least > 0), (float(low), float(high))
    return Ranking(share, interval, is_better, correlation, len(targets), different, (float(least), float(most)))


def advantage(
    division: Division, scores: Float64Array, others: Float64Array, targets: Float64Array, seed: int = 0
) -> tuple[float, float]:
    """By how much scores rank better than others, in Spearman's rank correlation on the same clips.

    Args:
        division: How the clips were divided.
        scores: float64 [repeats, N], or [N] of a model that learned from none of them.
        others: Likewise.
        targets: float64 [N]: what people said.
        seed: The seed of the resampling.

    Returns:
        The 80% interval of the difference, over resampled sources, in pairs.
    """
    both = (
        _correlations(division, np.broadcast_to(one, division.folds.shape), targets, seed) for one in (scores, others)
    )
    first, second = both
    low, high = np.quantile(first - second, [0.1, 0.9])
    return float(low), float(high)


def correlation_interval(
    division: Division, scores: Float64Array, targets: Float64Array, less: Float64Array | None = None
) -> tuple[float, tuple[float, float]]:
    """Spearman's rank correlation of scores with targets, and its 95% interval over resampled units.

    Args:
        division: Whose ``units`` are resampled.
        scores: float64 [N].
        targets: float64 [N].
        less: float64 [N]: further scores, whose correlation is subtracted; None: none.
    """
    drawn = _correlations(division, scores[None], targets, 0)
    value = _spearman(scores, targets)
    if less is not None:
        drawn, value = drawn - _correlations(division, less[None], targets, 0), value - _spearman(less, targets)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value, (float(low), float(high))


def _resampled(division: Division, seed: int, count: int) -> Float64Array:
    """How often each clip is drawn, float64 [count, N], where whole units are drawn with replacement."""
    rng, units = np.random.default_rng(seed), int(division.units.max()) + 1
    drawn = rng.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
    times = np.bincount(drawn.reshape(-1), minlength=count * units).reshape(count, units)
    return np.asarray(times[:, division.units], np.float64)


def _correlations(division: Division, scores: Float64Array, targets: Float64Array, seed: int) -> Float64Array:
    """Spearman's rank correlation in each resample, float64 [resamples], the mean over the repeats."""
    rows = scores[:1] if (scores == scores[:1]).all() else scores
    times = _resampled(division, seed, _RESAMPLES_OF_RANKS)
    others = _ranks(targets, times)
    return np.asarray(np.mean([_correlation(_ranks(row, times), others, times) for row in rows], axis=0))


def _ranks(values: Float64Array, times: Float64Array) -> Float64Array:
    """Mean ranks of values [N] in each resample, [resamples, N], where each counts as often as it was drawn."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > 0)
    counts = np.add.reduceat(times[:, order], begins, axis=1)
    middle = np.cumsum(counts, axis=1) - (counts - 1) / 2
    place = np.empty(len(values), np.int64)
    place[order] = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(values))))
    return np.asarray(middle[:, place])


def _correlation(first: Float64Array, second: Float64Array, times: Float64Array) -> Float64Array:
    """Pearson's correlation of each row, with weights; 0 where one of both is constant."""
    total = times.sum(axis=1, keepdims=True)
    first = first - (times * first).sum(axis=1, keepdims=True) / total
    second = second - (times * second).sum(axis=1, keepdims=True) / total
    both, one, other = ((times * a * b).sum(axis=1) for a, b in ((first, second), (first, first), (second, second)))
    scale = np.sqrt(one * other)
    return np.asarray(np.divide(both, scale, out=np.zeros_like(both), where=scale > 1e-9))


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
