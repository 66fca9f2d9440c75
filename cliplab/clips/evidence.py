"""How strongly ratings speak for a model: what it predicted of clips before they were rated, bet by bet.

A model that is trained again after every five ratings is judged again each time, and of many looks at luck one
succeeds. So the evidence here may be looked at after every rating. Ratings are gone through in the order in which they
came. Learners learn from the first ones and predict the next, and each prediction is a bet on where the rating will lie
among earlier ones. Where features say nothing of ratings, every place is equally likely, whatever was seen before, so
that no betting wins in the mean: with probability 0.95 the winnings never reach 20 times the stake, however long
people rate (Ville 1939; sequential ranks as in Vovk, Nouretdinov and Gammerman 2003, "Testing exchangeability
on-line").

Clips of one source may be liked alike for reasons that no feature holds. So a prediction comes from a model that knows
no other clip of the source, the first clip of a source is placed among the first ones of others, and each later one
among earlier clips of its own source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplab.clips.learners import fitted, may_learn
from cliplab.clips.ranking import stay_together

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FALSE_RATE = 0.05  # at most, of all histories of ratings that have nothing to do with the features
# A model is taken back when the evidence has fallen by this factor since its height.
TAKEN_BACK_FACTOR = 100.0
# Who bets. A Gaussian process would take minutes to learn dozens of times; what it knows, one of these knows nearly.
BETTING = ("ridge", "gradient_boosting")
_FIRST, _GROWTH = 4, 1.4  # ratings before the first bet; after as many times the ratings, learners learn again
_FOLDS = 5
# A rank correlation that is bet on from the beginning, chosen on simulated tastes of 0.5 and 0.8; any would be valid.
# Each further one takes an equal part of the stake.
_STRENGTHS = np.array([0.4])
# Another one follows how predictions came true of late, so that a model that learns slowly loses little before.
_KEPT, _UNSURE, _STRONGEST = 0.97, 6.0, 0.8
_SAME = 1e-3  # on 0..1: the consensus is found to about this


@dataclass(frozen=True)
class Evidence:
    """What ratings said of predictions, rating by rating.

    Attributes:
        path: float64 [N], natural logarithm of the winnings after each of N clips, in the order of their ratings.
        stage1: The same of bets on stage 1's scores.
    """

    path: Float64Array
    stage1: Float64Array

    @property
    def factor(self) -> float:
        """How many times the stake was won until now: the odds for the learners against chance."""
        return float(np.exp(min(self.path[-1], 700.0))) if len(self.path) else 1.0

    @property
    def is_proven(self) -> bool:
        """Whether the learners are shown to be better than chance, and it was not taken back since."""
        return proven_since(self.path) is not None

    @property
    def beats_stage1(self) -> bool:
        """Whether the learners won more than stage 1's scores did."""
        return bool(len(self.path) and self.path[-1] > self.stage1[-1])


def proven_since(path: Float64Array) -> int | None:
    """After which clip learners were shown to be better than chance; None: not yet, or taken back since.

    Args:
        path: As in ``Evidence``.
    """
    begin = height = 0.0
    since: int | None = None
    for place, value in enumerate(path):
        height = max(height, value)
        if since is None and value - begin >= -np.log(FALSE_RATE):
            since, height = place, value
        elif since is not None and height - value >= np.log(TAKEN_BACK_FACTOR):
            since, begin, height = None, value, value
    return since


def find_evidence(
    rows: Float64Array,
    targets: Float64Array,
    weight: Float64Array,
    scores: Float64Array,
    sources: Sequence[str],
    learners: Sequence[str],
) -> Evidence:
    """Go through ratings in their order.

    Args:
        rows: float64 [N, D], features around 0.
        targets: float64 [N]: what people said.
        weight: float64 [N]: how much each counts.
        scores: float64 [N]: what stage 1 gave.
        sources: Where each clip comes from.
        learners: Which of ``LEARNERS`` bet, each with an equal part of the stake.

    Returns:
        The evidence; at each rating it is the same, whatever comes later.
    """
    units = _units(sources)
    among = _references(units)
    paths = [_bets(targets, among, lambda place, others: (scores[place], scores[others]))]
    for learner in learners:
        predictor = _Predictor(rows, targets, weight, units, learner)
        paths.append(_bets(targets, among, predictor.scores))
    stage1, *own = (np.cumsum(path, axis=0) for path in paths)
    together = np.concatenate(own, axis=1) if own else np.zeros((len(targets), 1))
    return Evidence(_mean_of_logs(together), _mean_of_logs(stage1))


def _mean_of_logs(values: Float64Array) -> Float64Array:
    """The logarithm of the mean of what the rows [N, B] are logarithms of: [N]."""
    if not len(values):
        return np.zeros(0)
    top = values.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(values - top).mean(axis=1)) + top[:, 0])


def _units(sources: Sequence[str]) -> IntArray:
    """Sources as numbers in the order of their first clip."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(str(source), len(known)) for source in sources], np.int64)


def _references(units: IntArray) -> list[IntArray]:
    """The clips that each is placed among: earlier ones of its source, or the first ones of other sources."""
    _, firsts = np.unique(units, return_index=True)  # in the order of their places, as units are numbered by it
    own = {unit: np.flatnonzero(units == unit) for unit in range(len(firsts))}
    seen, found = dict.fromkeys(own, 0), list[IntArray]()
    for place, unit in enumerate(units.tolist()):
        earlier = own[unit][: seen[unit]]
        found.append(earlier if len(earlier) else firsts[: np.searchsorted(firsts, place)])
        seen[unit] += 1
    return found  # all of them parts of few arrays


def _bets(
    targets: Float64Array,
    among: Sequence[IntArray],
    scores_of: Callable[[int, IntArray], tuple[float, Float64Array]],
) -> Float64Array:
    """Logarithms of what each bet wins, float64 [N, strengths + 1]; the last strength follows the bets before."""
    won = np.zeros((len(targets), len(_STRENGTHS) + 1))
    product, count = 0.0, 0.0
    for place in range(_FIRST, len(targets)):
        others = among[place]
        if not len(others):
            continue
        score, known = scores_of(place, others)
        if np.ptp(known) < 1e-12 and abs(score - known[0]) < 1e-12:
            continue  # no prediction, no bet
        strength = min(max(product / (count + _UNSURE), 0.0), _STRONGEST)
        won[place], come_true = _bet(score, known, targets[place], targets[others], np.append(_STRENGTHS, strength))
        product, count = _KEPT * product + come_true, _KEPT * count + 1
    return won


def _bet(
    score: float, known: Float64Array, target: float, others: Float64Array, strengths: Float64Array
) -> tuple[Float64Array, float]:
    """What bets win: the density of a Gaussian copula at the place of the rating, over its mean at all places.

    Returns:
        Logarithms, one for each strength; and the product of both normal scores, whose mean is their correlation.
    """
    from scipy.special import ndtri

    count = len(others)
    places = ndtri((np.arange(count + 1) + 0.5) / (count + 1))
    lower, same = int((known < score - 1e-12).sum()), int((np.abs(known - score) <= 1e-12).sum())
    expected = ndtri((lower + 0.5 * same + 0.5) / (count + 1))
    ratio = strengths[:, None]
    logs = (2 * ratio * expected * places - ratio**2 * places**2) / (2 * (1 - ratio**2))
    density = np.exp(logs - logs.max(axis=1, keepdims=True))
    least = int((others < target - _SAME).sum())
    most = least + int((np.abs(others - target) <= _SAME).sum())
    won = np.log(density[:, least : most + 1].mean(axis=1) / density.mean(axis=1))
    return won, float(expected * places[least : most + 1].mean())


class _Predictor:
    """Predictions of one learner, each by a model that was learned before and knows nothing of the clip's source."""

    def __init__(
        self, rows: Float64Array, targets: Float64Array, weight: Float64Array, units: IntArray, learner: str
    ) -> None:
        self._rows, self._targets, self._weight = rows, targets, weight
        self._units, self._learner = units, learner
        self._until, self._next = 0, _FIRST
        self._known = np.zeros(0)
        self._models: dict[int, tuple[Any, float]] = {}

    def scores(self, place: int, others: IntArray) -> tuple[float, Float64Array]:
        """The prediction of a clip, and those of earlier ones by the same rules."""
        if place >= self._next:
            self._learn(place)
        return float(self._predict(np.array([place]))[0]), self._scored(place)[others]

    def _learn(self, until: int) -> None:
        """Learn from the first clips again, once with each part of the sources left out."""
        self._until, self._next = until, max(until + 2, round(until * _GROWTH))
        folds = self._folds(until)
        self._models = {}
        for fold in range(_FOLDS):
            learn = np.flatnonzero(folds != fold)
            if len(learn) < 3 or np.ptp(self._targets[learn]) < 1e-3 or not may_learn(self._learner, len(learn)):
                continue
            model = fitted(self._learner, self._rows[learn], self._targets[learn], self._weight[learn])
            # Without their means, which differ by what each does not know, predictions of several models compare.
            self._models[fold] = model, float(np.mean(model.predict(self._rows[:until])))
        self._known = np.zeros(0)

    def _folds(self, count: int) -> IntArray:
        """The part of each of the first clips; sources stay together where there were enough when it was learned."""
        kept = stay_together(self._units[: self._until])
        return np.asarray((self._units[:count] if kept else np.arange(count)) % _FOLDS, np.int64)

    def _scored(self, place: int) -> Float64Array:
        """Predictions of all clips before one."""
        if len(self._known) < place:
            new = np.arange(len(self._known), place)
            self._known = np.concatenate([self._known, self._predict(new)])
        return self._known

    def _predict(self, places: IntArray) -> Float64Array:
        folds = self._folds(int(places.max()) + 1)[places]
        found = np.zeros(len(places))
        for fold, (model, usual) in self._models.items():
            own = np.flatnonzero(folds == fold)
            if len(own):
                found[own] = model.predict(self._rows[places[own]]) - usual
        return found
