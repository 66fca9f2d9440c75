"""Precision, recall, F1 and accuracy of decisions, each with its interval over groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adapters.evaluation.curves import BoolArray, FloatArray
from adapters.evaluation.intervals import IntArray, resample_groups, resampled_interval, sums_by_group

MEASURES = ("precision", "recall", "f1")
Intervals = dict[str, list[float] | None]


@dataclass(frozen=True)
class FigureIntervals:
    """The 95% intervals of a set of decisions.

    Attributes:
        accuracy: Of the share of clips decided right.
        macro: Of the plain means over classes of precision, recall and F1, 0 for one that is undefined.
        per_class: Of each class's precision, recall and F1; None where no clip defines it.
        class_groups: How many groups have clips of each class.
    """

    accuracy: list[float]
    macro: Intervals
    per_class: tuple[Intervals, ...]
    class_groups: tuple[int, ...]


def figure_intervals(onehot: BoolArray, decided: BoolArray, member: IntArray, seed: int = 0) -> FigureIntervals:
    """The intervals of all figures, from the same resamples of whole groups.

    Args:
        onehot: bool [N, C], which classes are right.
        decided: bool [N, C], which classes were decided for.
        member: int64 [N], the number of each clip's group.
        seed: The seed of the resampling.
    """
    classes = onehot.shape[1]
    right = (onehot == decided).all(axis=1, keepdims=True)
    columns = np.concatenate([onehot & decided, decided, onehot, right, np.ones_like(right)], axis=1)
    counts = sums_by_group(columns.astype(np.float64), member)
    drawn, whole = resample_groups(counts, seed), counts.sum(axis=0, keepdims=True)
    figures, resampled = _ratios(whole, classes), _ratios(drawn, classes)
    groups = {
        "precision": (counts[:, classes : 2 * classes] > 0).sum(axis=0),
        "recall": (counts[:, 2 * classes : 3 * classes] > 0).sum(axis=0),
        "f1": (counts[:, classes : 2 * classes] + counts[:, 2 * classes : 3 * classes] > 0).sum(axis=0),
    }

    def of_class(name: str, index: int) -> list[float] | None:
        figure = float(figures[name][0, index])
        if np.isnan(figure):
            return None
        clips = _denominators(whole, classes)[name][0, index]
        return list(resampled_interval(figure, resampled[name][:, index], int(groups[name][index]), clips))

    def of_macro(name: str) -> list[float]:
        mean, means = (np.nan_to_num(found[name]).mean(axis=1) for found in (figures, resampled))
        return list(resampled_interval(float(mean[0]), means, len(counts), len(member)))

    accuracy = resampled_interval(
        float(whole[0, -2] / whole[0, -1]), _divide(drawn[:, -2], drawn[:, -1]), len(counts), len(member)
    )
    return FigureIntervals(
        accuracy=list(accuracy),
        macro={name: of_macro(name) for name in MEASURES},
        per_class=tuple({name: of_class(name, index) for name in MEASURES} for index in range(classes)),
        class_groups=tuple(int(number) for number in groups["recall"]),
    )


def _ratios(sums: FloatArray, classes: int) -> dict[str, FloatArray]:
    found, given, true = (sums[:, part * classes : (part + 1) * classes] for part in range(3))
    return {
        "precision": _divide(found, given),
        "recall": _divide(found, true),
        "f1": _divide(2 * found, given + true),
    }


def _denominators(sums: FloatArray, classes: int) -> dict[str, FloatArray]:
    """How many clips define each figure; of F1 the mean of those with the class and those decided for it."""
    given, true = (sums[:, part * classes : (part + 1) * classes] for part in (1, 2))
    return {"precision": given, "recall": true, "f1": (given + true) / 2}


def _divide(part: FloatArray, whole: FloatArray) -> FloatArray:
    """part / whole, NaN where whole is 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
