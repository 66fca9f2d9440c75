"""What the plots of an evaluation are drawn from, and the calibration error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.evaluation.ranking import precision_recall_curve, roc_curve

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

CALIBRATION_BINS = 15
_CURVE_POINTS = 200
_CURVE_CLASSES = 10


def _calibration_pairs(
    values: FloatArray, onehot: BoolArray, positive: int | None, multi: bool
) -> list[tuple[FloatArray, BoolArray]]:
    """Scores and whether they were right, of each thing whose calibration counts."""
    if multi:
        return [(values[:, i], onehot[:, i]) for i in range(values.shape[1])]
    if positive is not None:
        return [(values[:, positive], onehot[:, positive])]
    best = values.argmax(axis=1)
    return [(values.max(axis=1), onehot[np.arange(len(values)), best])]


def _reliability(scores: FloatArray, right: BoolArray) -> dict[str, list[float]]:
    """Mean score, share right and number of clips of each bin that has clips."""
    bins = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    held = count > 0
    score = np.bincount(bins, scores, CALIBRATION_BINS)[held] / count[held]
    share = np.bincount(bins, right.astype(np.float64), CALIBRATION_BINS)[held] / count[held]
    return {
        "start": (np.flatnonzero(held) / CALIBRATION_BINS).tolist(),
        "score": score.tolist(),
        "share": share.tolist(),
        "clips": count[held].tolist(),
    }


def calibration_error(values: FloatArray, onehot: BoolArray, positive: int | None, multi: bool) -> float:
    """The expected calibration error as ``evaluate`` describes it.

    Args:
        values: float64 [N, C] scores in 0..1.
        onehot: bool [N, C], which classes are right.
        positive: The column of the positive label; None for none.
        multi: Whether several classes may be right.
    """
    errors = []
    for scores, right in _calibration_pairs(values, onehot, positive, multi):
        bins = _reliability(scores, right)
        gaps = np.abs(np.array(bins["share"]) - np.array(bins["score"]))
        errors.append(float(np.average(gaps, weights=bins["clips"])))
    return float(np.mean(errors))


def curves(
    values: FloatArray, onehot: BoolArray, labels: tuple[str, ...], positive: int | None, multi: bool
) -> dict[str, Any]:
    """Points for the plots, at most 200 per curve: of the positive label, or of the ten classes with the most clips.

    Args:
        values: float64 [N, C] scores in 0..1.
        onehot: bool [N, C], which classes are right.
        labels: C names.
        positive: The column of the positive label; None for none.
        multi: Whether several classes may be right.

    Returns:
        ``precision_recall`` and ``roc`` by label, and ``reliability``, as JSON values.
    """
    support = onehot.sum(axis=0)
    order = [positive] if positive is not None else np.argsort(-support, kind="stable")[:_CURVE_CLASSES].tolist()
    curves: dict[str, Any] = {"precision_recall": {}, "roc": {}, "reliability": {}}
    for index in order:
        if not 0 < support[index] < len(values):
            continue
        precision, recall = precision_recall_curve(onehot[:, index], values[:, index])
        false, true = roc_curve(onehot[:, index], values[:, index])
        curves["precision_recall"][labels[index]] = {"recall": _thin(recall), "precision": _thin(precision)}
        curves["roc"][labels[index]] = {"false_positive_rate": _thin(false), "true_positive_rate": _thin(true)}
    curves["reliability"] = reliability_of(values, onehot, positive, multi)
    return curves


def reliability_of(values: FloatArray, onehot: BoolArray, positive: int | None, multi: bool) -> dict[str, Any]:
    """The points of a reliability diagram: how often scores of each of 15 bins of equal width were right.

    Args:
        values: float64 [N, C] scores in 0..1.
        onehot: bool [N, C], which classes are right.
        positive: The column of the positive label; None for none.
        multi: Whether several classes may be right.

    Returns:
        For each bin that has clips, where it begins (``start``), the mean ``score``, the ``share`` that was right, and
        the number of ``clips``; and the expected calibration ``error``.
    """
    pairs = _calibration_pairs(values, onehot, positive, multi)
    points: dict[str, Any] = dict(
        _reliability(np.concatenate([scores for scores, _ in pairs]), np.concatenate([right for _, right in pairs]))
    )
    return {**points, "error": calibration_error(values, onehot, positive, multi)}


def _thin(points: FloatArray) -> list[float]:
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), _CURVE_POINTS)).round().astype(np.int64))
    return [round(float(value), 6) for value in points[keep]]
