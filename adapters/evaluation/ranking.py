"""Figures of scores against the truth that need no threshold: curves, the areas under them, and the logarithmic loss.

The same values as scikit-learn's functions of these names, which take a second to import.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int64]


def _counts(truth: BoolArray, scores: npt.NDArray[Any]) -> tuple[CountArray, CountArray]:
    """Wrong and right clips at or above each different score, from the highest score down, int64 [T] each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    right = np.cumsum(truth[order])[ends].astype(np.int64)
    return ends + 1 - right, right


def precision_recall_curve(truth: BoolArray, scores: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Precision and recall at each different score, from the lowest score up; the last point is (1, 0).

    Args:
        truth: bool [N], at least one of them true.
        scores: float [N].

    Returns:
        float64 [T + 1] each.
    """
    wrong, right = _counts(truth, scores)
    precision, recall = right / (right + wrong), right / right[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0)


def roc_curve(truth: BoolArray, scores: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """False and true positive rate from the highest score down, beginning at (0, 0); only where the curve bends.

    Args:
        truth: bool [N], of both kinds.
        scores: float [N].

    Returns:
        float64 [T] each.
    """
    wrong, right = _counts(truth, scores)
    if len(wrong) > 2:
        bends = (np.diff(wrong, 2) != 0) | (np.diff(right, 2) != 0)
        kept = np.concatenate([[True], bends, [True]])
        wrong, right = wrong[kept], right[kept]
    return np.append(0, wrong) / wrong[-1], np.append(0, right) / right[-1]


def average_precision(truth: BoolArray, scores: npt.NDArray[Any]) -> float:
    """The sum of precision times the gain in recall, without interpolation.

    Args:
        truth: bool [N], at least one of them true.
        scores: float [N].
    """
    precision, recall = precision_recall_curve(truth, scores)
    return max(0.0, float(-(np.diff(recall) * precision[:-1]).sum()))


def roc_auc(truth: BoolArray, scores: npt.NDArray[Any]) -> float:
    """The area under the true over the false positive rate: how often a true clip scores above a false one.

    Args:
        truth: bool [N], of both kinds.
        scores: float [N].
    """
    false, true = roc_curve(truth, scores)
    return float((np.diff(false) * (true[1:] + true[:-1]) / 2).sum())


def log_loss(scores: npt.NDArray[Any], truth: BoolArray) -> float:
    """The mean of minus the logarithm of the right class's score, in nats.

    Args:
        scores: float [N, C] in 0..1; clipped at float32's epsilon.
        truth: bool [N, C], one true in each row.
    """
    least = np.finfo(np.float32).eps
    kept = np.clip(scores.astype(np.float32), least, 1 - least).astype(np.float64)
    return float(-np.log(kept[truth]).mean())


def confusion_matrix(truth: CountArray, decided: CountArray, classes: int) -> CountArray:
    """Number of clips by true and decided class, int64 [C, C]: rows are the truth.

    Args:
        truth: int64 [N], from 0.
        decided: int64 [N], from 0.
        classes: C.
    """
    return np.bincount(truth * classes + decided, minlength=classes * classes).reshape(classes, classes)
