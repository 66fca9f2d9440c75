"""Scores of labelled clips by heads that never saw their group: what a model is worth on footage like theirs.

Nested cross-validation: for each fold, penalty and temperature are chosen by cross-validation within the other folds,
so that nothing of the judged clips takes part in the choice (Cawley and Talbot 2010, JMLR 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from adapters.base import OnProgress
from adapters.config import Config
from adapters.errors import DatasetError
from adapters.records import Float32Array
from adapters.system import quoted_list
from adapters.training.calibration import clip_probabilities, fit_temperature
from adapters.training.clip_features import IntArray, LabelledFeatures
from adapters.training.fold_division import group_folds
from adapters.training.head import class_scores
from adapters.training.linear_head import cross_validate
from adapters.training.regression import solve

Division = Literal["folds", "groups"] | Sequence[int] | IntArray
Folds = Sequence[tuple[IntArray, IntArray]]

_FOLDS = 10
# Within a fold the choice is between penalties half a decade apart: fewer folds choose as well, in half the time.
_INNER_FOLDS = 5
_FEWEST_CLIPS = 4


@dataclass(frozen=True)
class OutOfFold:
    """Calibrated scores of clips, each by a head that did not see the clip's group.

    Attributes:
        probabilities: float32 [N, C] in 0..1, in the order of the labels.
        fold: int64 [N], the fold that judged each clip, from 0.
        penalties: The penalty that each fold chose.
        temperatures: The temperature that each fold chose.
        warnings: What a reader should know of the figures, one sentence each; empty where nothing is unusual.
    """

    probabilities: Float32Array
    fold: IntArray
    penalties: tuple[float, ...]
    temperatures: tuple[float, ...]
    warnings: tuple[str, ...]

    @property
    def folds(self) -> int:
        """How many folds there were."""
        return len(self.penalties)


def out_of_fold_scores(
    data: LabelledFeatures,
    labels: Sequence[str],
    config: Config,
    *,
    division: Division = "folds",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> OutOfFold:
    """Judge each clip by a linear head that was solved, chosen and calibrated without the clip's group.

    The result depends on the arguments alone.

    Args:
        data: N clips, each in one view, as ``ExampleFeatures.labelled`` has them.
        labels: C classes in order.
        config: The complete config that the targets were made for.
        division: "folds": whole groups in up to ten folds, classes spread evenly. "groups": each group is a fold of its
            own. Or the number of the fold of each clip, int [N].
        seed: Seed of the division of the groups.
        on_progress: Receives ("heads", folds done, folds in all).

    Returns:
        The scores.

    Raises:
        DatasetError: The clips cannot be divided: fewer than four, all of one class, or one clip of each class.
    """
    folds = divide_clips(data, division, seed)
    scores = np.zeros((len(data.targets), len(labels)), np.float32)
    fold = np.zeros(len(data.targets), np.int64)
    penalties, temperatures, unchosen = [], [], 0
    for number, (learn, judge) in enumerate(folds):
        if on_progress is not None:
            on_progress("heads", number, len(folds))
        seen = data.take(learn)
        inner = cross_validate(seen, seed, _INNER_FOLDS)
        temperature = fit_temperature(inner.logits, seen)[0]
        logits = solve(seen, inner.penalty, directions=inner.directions).logits(data.features[judge])
        probabilities = np.asarray(clip_probabilities(logits, temperature, data.exclusive), np.float32)
        scores[judge], fold[judge] = class_scores(probabilities, config, tuple(labels)), number
        penalties.append(inner.penalty)
        temperatures.append(temperature)
        unchosen += inner.folds == 0
    if on_progress is not None:
        on_progress("heads", len(folds), len(folds))
    warnings = division_warnings(data, labels, config, folds)
    if unchosen:
        warnings.append(
            f"{unchosen} of {len(folds)} folds have too few clips to choose a penalty and to calibrate: they use the "
            "default penalty and uncalibrated scores"
        )
    return OutOfFold(scores, fold, tuple(penalties), tuple(temperatures), tuple(warnings))


def right_labels(probabilities: Float32Array, truth: npt.NDArray[np.bool_], exclusive: bool) -> npt.NDArray[np.bool_]:
    """Whether each clip is decided right: its top class, or every class on the right side of 0.5.

    Args:
        probabilities: float32 [N, C] in 0..1.
        truth: bool [N, C], the labels that are right, as ``label_matrix`` has them.
        exclusive: Whether each clip has one label.

    Returns:
        bool [N].
    """
    if exclusive:
        return np.asarray(probabilities.argmax(axis=1) == truth.argmax(axis=1))
    return np.asarray(((probabilities >= 0.5) == truth).all(axis=1))


def _require_classes(data: LabelledFeatures) -> None:
    count = len(data.targets)
    if not np.isfinite(data.features).all():
        raise DatasetError("the features of a clip are not finite numbers; leave such clips out")
    if count < _FEWEST_CLIPS:
        raise DatasetError(
            f"cross-validation needs at least {_FEWEST_CLIPS} readable clips, got {count}. Label more clips"
        )
    if (data.targets == data.targets[0]).all():
        raise DatasetError(
            f"all {count} readable clips have the same labels, so there is nothing to learn. "
            "Also label clips of another class"
        )


def divide_clips(data: LabelledFeatures, division: Division, seed: int, most: int | None = None) -> Folds:
    """Rows to learn from and rows to judge for each fold.

    Args:
        data: N clips.
        division: As for ``out_of_fold_scores``.
        seed: Seed of the division of the groups.
        most: At most this many folds; None: up to ten, and three of a large set. Each group is a fold with "groups".

    Raises:
        DatasetError: The clips cannot be divided.
    """
    _require_classes(data)
    count = len(data.targets)
    if isinstance(division, str):
        several = len(np.unique(data.groups)) > 1
        if division == "groups" and several:
            return _by_number(data.groups)
        folds = group_folds(data.groups, data.targets, seed, most or (None if several else _FOLDS))
        if not folds:
            raise DatasetError(
                f"the {count} clips cannot be divided into folds: each class has a single clip, or each clip differs "
                "in its labels from all others. Label at least two clips of each class"
            )
        return folds
    numbers = np.asarray(division)
    if numbers.shape != (count,) or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"division must be {count} whole numbers, one for each clip, got {list(numbers.shape)}")
    if len(np.unique(numbers)) < 2:
        raise DatasetError("all clips are in one fold; a division needs at least two")
    return _by_number(numbers)


def _by_number(numbers: IntArray) -> Folds:
    return [(np.flatnonzero(numbers != value), np.flatnonzero(numbers == value)) for value in np.unique(numbers)]


def division_warnings(data: LabelledFeatures, labels: Sequence[str], config: Config, folds: Folds) -> list[str]:
    """What is unusual of the clips or of their division, in sentences.

    Args:
        data: N clips.
        labels: C classes in order.
        config: The complete config that the targets were made for.
        folds: Rows to learn from and rows to judge for each fold.
    """
    found = []
    if len(np.unique(data.groups)) == 1:
        found.append(
            f"all {len(data.groups)} clips are in one group: training and test clips come from the same footage, so "
            "accuracy on new footage may be lower"
        )
    elif any(np.isin(data.groups[judge], data.groups[learn]).any() for learn, judge in folds):
        found.append("clips of one group are in several folds, so accuracy on new footage may be lower")
    # With one output for two classes, it decides between both: 1 is the positive label and 0 the other.
    binary = config["positive_label"] is not None
    columns = [data.targets[:, 0], 1 - data.targets[:, 0]] if binary else list(data.targets.T)
    other = [label for label in labels if label != config["positive_label"]]
    names = [config["positive_label"], *other[:1]] if binary else list(labels)
    unseen = [
        name
        for name, column in zip(names, columns, strict=True)
        if column.any() and any(column[judge].any() and not column[learn].any() for learn, judge in folds)
    ]
    absent = [name for name, column in zip(names, columns, strict=True) if not column.any()]
    if absent:
        found.append(f"no readable clip has the label {quoted_list(absent)}: the figures say nothing about it")
    if unseen:
        found.append(
            f"clips of {quoted_list(unseen)} are always judged by a head that has not seen the class, because they "
            "are in too few groups: label clips from other footage"
        )
    return found
