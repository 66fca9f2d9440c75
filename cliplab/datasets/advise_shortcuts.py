"""Shortcuts: how well a tiny model tells classes by the shape, length or light of clips, or by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import OnProgress
from adapters.records import Float32Array
from adapters.training import group_folds, right_labels
from cliplab.datasets.advise_figures import AdvisedClips, BoolArray, Figure, figure_of
from cliplab.datasets.advise_looks import PROPERTIES, Looks

SOURCE_NAME, ALL = "source name", "all together"
_MOST_NAMES = 200
_TREES = 40
_FEWEST_CLIPS = 5
_RESAMPLES = 300
# A class is said to be given away where a clip of it ranks above one of another class so often, surely.
_AUC, _LOWEST_AUC = 0.85, 0.7


@dataclass(frozen=True)
class GivenAway:
    """A class that one property alone tells from the others.

    Attributes:
        label: The class.
        auc: How often a clip of it ranks above one of another class: 0.5 by chance, 1 always.
        interval: Its 95% interval.
    """

    label: str
    auc: float
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"label": self.label, "auc": round(self.auc, 4), "interval": [round(end, 4) for end in self.interval]}


@dataclass(frozen=True)
class Shortcut:
    """What one property, or all of them, tell of the classes.

    Attributes:
        name: The property.
        figure: The accuracy on clips of unseen groups; the model sees nothing but this property.
        classes: The classes that it gives away, the surest first.
    """

    name: str
    figure: Figure
    classes: tuple[GivenAway, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"property": self.name, **self.figure.to_json(), "classes": [item.to_json() for item in self.classes]}


def find_shortcuts(
    clips: AdvisedClips, looks: Looks, names: Sequence[str], seed: int, on_progress: OnProgress | None = None
) -> tuple[Shortcut, ...]:
    """Judge clips by each property alone and by all of them, with the groups as they are.

    A tree for each property, and 40 random ones for all (Geurts et al. 2006): brightness may tell a class by being
    neither high nor low.

    Args:
        clips: The clips.
        looks: Their looks.
        names: What the file name of each says of its source.
        seed: The seed of the folds and trees.
        on_progress: Receives ("shortcuts", properties done, properties in all).

    Returns:
        The properties, the most telling first, and all together at the end; empty where clips cannot be divided.
    """
    folds = group_folds(clips.groups, clips.truth.astype(np.float32), seed)
    if not folds:
        return ()
    inputs: dict[str, Float32Array] = {}
    start = 0
    for name, numbers in PROPERTIES.items():
        inputs[name] = looks.properties[:, start : start + len(numbers)]
        start += len(numbers)
    inputs[SOURCE_NAME] = _one_hot(names)
    inputs[ALL] = np.concatenate(list(inputs.values()), axis=1)
    found = []
    for number, (name, values) in enumerate(inputs.items()):
        if on_progress is not None:
            on_progress("shortcuts", number, len(inputs))
        if values.shape[1] and (np.ptp(values, axis=0) > 1e-6).any():
            found.append(_shortcut(clips, name, values, folds, seed))
    return tuple(sorted(found, key=lambda item: (item.name == ALL, -item.figure.accuracy)))


def _one_hot(names: Sequence[str]) -> Float32Array:
    """Names and their words that several clips have, float32 [N, K]."""
    sets = [{name, *name.split(" ")} - {""} for name in names]
    counts = Counter(word for found in sets for word in sorted(found) if word)
    kept = [word for word, count in counts.most_common(_MOST_NAMES) if count > 1]
    return np.array([[word in found for word in kept] for found in sets], np.float32).reshape(len(names), len(kept))


def _shortcut(clips: AdvisedClips, name: str, values: Float32Array, folds: Sequence[Any], seed: int) -> Shortcut:
    scores = np.zeros(clips.truth.shape, np.float32)
    for learn, judge in folds:
        model = _model(name, clips.truth.shape[1], seed)
        # Squared error on columns of 0 and 1 is Gini's impurity: the means in the leaves are shares of classes.
        model.fit(values[learn], clips.truth[learn].astype(np.float32))
        scores[judge] = model.predict(values[judge]).reshape(len(judge), -1)
    figure = figure_of(right_labels(scores, clips.truth, clips.exclusive), clips.groups)
    given = [found for column in range(len(clips.labels)) if (found := _given_away(clips, scores, column, seed))]
    return Shortcut(name, figure, tuple(sorted(given, key=lambda item: -item.auc)))


def _model(name: str, classes: int, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.tree import DecisionTreeRegressor

    leaves = max(6, 2 * classes)
    if name == ALL:
        return ExtraTreesRegressor(_TREES, min_samples_leaf=2, random_state=seed % 2**32)
    return DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=3, random_state=seed % 2**32)


def _given_away(clips: AdvisedClips, scores: Float32Array, column: int, seed: int) -> GivenAway | None:
    from adapters.evaluation import share_interval

    truth = clips.truth[:, column]
    if min(truth.sum(), (~truth).sum()) < _FEWEST_CLIPS or len(np.unique(clips.groups[truth])) < 2:
        return None
    order, ties = _midranks(scores[:, column])
    auc = _auc(order, ties, truth, np.ones((1, len(truth))))[0]
    if auc < _AUC:
        return None
    _, member = np.unique(clips.groups, return_inverse=True)
    count = int(member.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    resampled = _auc(order, ties, truth, drawn[:, member.reshape(-1)].astype(np.float64))
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    if auc == 1:  # resampling says nothing where all are right
        low = share_interval(np.ones(truth.sum(), bool), clips.groups[truth].tolist())[0]
    return GivenAway(clips.labels[column], float(auc), (float(low), float(high))) if low >= _LOWEST_AUC else None


def _midranks(scores: Float32Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The order of the scores, and for each in that order the number of its run of equal scores."""
    order = np.argsort(scores, kind="stable")
    runs = np.concatenate([[0], np.cumsum(np.diff(scores[order]) > 0)])
    return order, runs.astype(np.int64)


def _auc(
    order: npt.NDArray[np.int64], runs: npt.NDArray[np.int64], truth: BoolArray, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The area under the ROC curve of weighted clips (Mann and Whitney 1947), float64 [W]; NaN without both kinds."""
    own = weights[:, order] * truth[order]
    others = weights[:, order] * ~truth[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(runs) > 0]))
    own_sums, other_sums = np.add.reduceat(own, starts, axis=1), np.add.reduceat(others, starts, axis=1)
    below = np.cumsum(other_sums, axis=1) - other_sums / 2
    total = own_sums.sum(axis=1) * other_sums.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((own_sums * below).sum(axis=1) / total)
