"""How good a model's scores are: metrics, gates and the files that show them. scikit-learn computes the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.data import Example
from adapters.errors import DatasetError
from adapters.evaluation.curves import (
    CALIBRATION_BINS,
    BoolArray,
    FloatArray,
    calibration_error,
    curves,
    sklearn_metrics,
)
from adapters.evaluation.report import GATES, ClassMetrics, EvaluationReport, Mistake, check_gates
from adapters.records import Float32Array
from adapters.system import write_json_atomic

__all__ = [
    "CALIBRATION_BINS",
    "GATES",
    "ClassMetrics",
    "EvaluationReport",
    "Mistake",
    "check_gates",
    "evaluate",
    "write_report",
]


def evaluate(
    scores: Float32Array,
    truth: npt.NDArray[Any] | Sequence[Any],
    labels: Sequence[str],
    *,
    positive_label: str | None = None,
    threshold: float = 0.5,
    latency_ms: float | None = None,
    size_bytes: int | None = None,
    paths: Sequence[Example | str | Path] | None = None,
    worst: int = 20,
) -> EvaluationReport:
    """Measure a model's scores against the truth.

    Decisions: with positive_label (two classes), that class where its score is at or above threshold; otherwise the
    best class, the first of equals; for multi_label every class at or above threshold.

    With positive_label the measures are those of that class. Otherwise they are macro averages over all classes. One
    that no clip has, or that never was predicted, counts 0, since nothing shows that the model knows it; average
    precision and ROC AUC leave out a class that every clip has. They are None where no class defines them.

    accuracy is the share of clips decided right; for multi_label with every class right. log_loss is the mean of
    -ln(score of the true class), scores summing to 1 and clipped at float32's epsilon; for multi_label the mean over
    classes of the two-class log loss. calibration_error is the expected calibration error over 15 equal-width bins: the
    mean over bins, weighted by clips, of |share right - mean score| (Guo et al. 2017, arXiv:1706.04599, section 2), of
    the best class's score; with positive_label of that class's score against its share of true clips; for multi_label
    the mean of that over classes.

    Args:
        scores: float32 [N, C] in 0..1.
        truth: int [N] class indices, or bool [N, C] for multi_label.
        labels: C names.
        positive_label: The class whose measures count, of two; None for macro averages.
        threshold: A score in 0..1.
        latency_ms: The time per clip, for the report and its gate.
        size_bytes: The model's size, for the report and its gate.
        paths: N examples or paths, for the mistakes.
        worst: How many mistakes to keep, the surest ones.

    Raises:
        DatasetError: Arrays do not fit each other or are out of range.
        MissingExtraError: scikit-learn is not installed.
    """
    names = tuple(labels)
    multi = np.asarray(truth).ndim == 2
    values = _check_scores(scores, names, multi)
    onehot = _onehot(truth, values.shape, names)
    positive = _positive_index(names, positive_label, multi)
    if not 0 <= threshold <= 1:
        raise DatasetError(f"threshold must be a score in 0..1, got {threshold!r}")
    if paths is not None and len(paths) != len(values):
        raise DatasetError(f"{len(paths)} paths for {len(values)} clips of scores")
    decided = _decide(values, positive, threshold, multi)
    per_class = tuple(_class_metrics(i, names, values, onehot, decided) for i in range(len(names)))
    if not multi:
        values = values / values.sum(axis=1, keepdims=True)
    wrong = _mistakes(values, onehot, decided, names, paths, multi)
    mean = per_class[positive] if positive is not None else _macro(per_class)
    return EvaluationReport(
        task="multi_label" if multi else "single_label",
        labels=names,
        positive_label=positive_label,
        average="macro" if positive is None else "positive",
        clips=len(values),
        threshold=threshold if multi or positive is not None else None,
        precision=mean.precision,
        recall=mean.recall,
        f1=mean.f1,
        accuracy=float((decided == onehot).all(axis=1).mean()),
        average_precision=mean.average_precision,
        roc_auc=mean.roc_auc,
        log_loss=_log_loss(values, onehot, multi),
        calibration_error=calibration_error(values, onehot, positive, multi),
        confusion_matrix=_confusion(onehot, decided, multi),
        per_class=per_class,
        latency_ms=latency_ms,
        size_bytes=size_bytes,
        mistakes=tuple(wrong[: max(worst, 0)]),
        mistake_count=len(wrong),
        curves=curves(values, onehot, names, positive, multi),
        labels_without_clips=tuple(item.label for item in per_class if not item.support),
    )


def write_report(report: EvaluationReport, folder: str | Path) -> list[Path]:
    """Write evaluation.json and its plots, each atomically.

    The plots are confusion_matrix.png, precision_recall.png, roc.png and reliability.png. A plot whose figures the
    clips do not define is not drawn, and a file of that name from an earlier evaluation is removed, so that no old plot
    lies beside new figures.

    Args:
        report: The evaluation.
        folder: Where to write; made if it does not exist.

    Returns:
        What was written, evaluation.json last.

    Raises:
        StorageError: A file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    from adapters.evaluation import plots

    folder = Path(folder)
    draw: dict[str, Callable[[EvaluationReport, Path], Path | None]] = {
        "confusion_matrix.png": plots.plot_confusion_matrix,
        "precision_recall.png": plots.plot_precision_recall,
        "roc.png": plots.plot_roc,
        "reliability.png": plots.plot_reliability,
    }
    written = []
    for name, plot in draw.items():
        path = plot(report, folder / name)
        if path is not None:
            written.append(path)
        else:
            (folder / name).unlink(missing_ok=True)
    write_json_atomic(folder / "evaluation.json", report.to_json())
    return [*written, folder / "evaluation.json"]


def _check_scores(scores: Float32Array, labels: tuple[str, ...], multi: bool) -> FloatArray:
    values: FloatArray = np.asarray(scores, dtype=np.float32).astype(np.float64)
    if values.ndim != 2 or values.shape[1] != len(labels) or not len(values):
        raise DatasetError(
            f"scores must be [N, C], at least one clip and a column for each of {len(labels)} labels; "
            f"got {list(values.shape)}"
        )
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1 + 1e-6:
        raise DatasetError(f"scores must be in 0..1, got {values.min():g} to {values.max():g}")
    if not multi and (len(labels) < 2 or values.sum(axis=1).min() <= 0):
        raise DatasetError("a single-label task needs two labels or more and a score above 0 in every clip")
    return np.clip(values, 0, 1)


def _onehot(truth: npt.NDArray[Any] | Sequence[Any], shape: tuple[int, ...], labels: tuple[str, ...]) -> BoolArray:
    array = np.asarray(truth)
    if array.ndim == 2 and array.dtype == np.bool_ and array.shape == shape:
        return array
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) != shape[0]:
        raise DatasetError(
            f"truth must be {shape[0]} whole class indices, or bool {list(shape)} for multi_label; "
            f"got {array.dtype.name} {list(array.shape)}"
        )
    if array.min() < 0 or array.max() >= len(labels):
        raise DatasetError(f"truth must be class indices 0 to {len(labels) - 1}, got {array.min()} to {array.max()}")
    return np.asarray(np.arange(len(labels)) == array[:, None])


def _positive_index(labels: tuple[str, ...], positive: str | None, multi: bool) -> int | None:
    if positive is None:
        return None
    if positive not in labels or len(labels) != 2 or multi:
        raise DatasetError(
            f"positive_label {positive!r} needs a single-label task of two classes, it being one; got "
            f"{'multi_label ' if multi else ''}labels {', '.join(labels[:20])}"
        )
    return labels.index(positive)


def _decide(values: FloatArray, positive: int | None, threshold: float, multi: bool) -> BoolArray:
    # The scores are float32: one of 0.7 must reach a threshold of 0.7.
    at_least = np.float64(np.float32(threshold))
    if multi:
        return np.asarray(values >= at_least)
    if positive is None:
        return np.asarray(np.arange(values.shape[1]) == values.argmax(axis=1)[:, None])
    chosen = values[:, positive] >= at_least
    return np.stack([chosen, ~chosen] if positive == 0 else [~chosen, chosen], axis=1)


def _class_metrics(
    index: int, labels: tuple[str, ...], values: FloatArray, onehot: BoolArray, decided: BoolArray
) -> ClassMetrics:
    metrics = sklearn_metrics()
    truth, chosen = onehot[:, index], decided[:, index]
    support, predicted = int(truth.sum()), int(chosen.sum())
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, chosen, average="binary", pos_label=True, zero_division=0.0
    )
    both = 0 < support < len(truth)
    return ClassMetrics(
        label=labels[index],
        support=support,
        predicted=predicted,
        precision=float(precision) if predicted else None,
        recall=float(recall) if support else None,
        f1=float(f1) if support or predicted else None,
        average_precision=float(metrics.average_precision_score(truth, values[:, index])) if both else None,
        roc_auc=float(metrics.roc_auc_score(truth, values[:, index])) if both else None,
    )


def _macro(per_class: Sequence[ClassMetrics]) -> ClassMetrics:
    def mean(figures: Sequence[float | None]) -> float | None:
        known = [figure for figure in figures if figure is not None]
        return float(np.mean(known)) if known else None

    def counted(figures: Sequence[float | None]) -> float | None:
        """The mean with 0 for each class without clips; None where no class has the figure."""
        if all(figure is None for figure in figures):
            return None
        pairs = zip(figures, per_class, strict=True)
        return mean([0.0 if not item.support else figure for figure, item in pairs])

    return ClassMetrics(
        label="macro",
        support=sum(item.support for item in per_class),
        predicted=sum(item.predicted for item in per_class),
        precision=mean([item.precision or 0.0 for item in per_class]),
        recall=mean([item.recall or 0.0 for item in per_class]),
        f1=mean([item.f1 or 0.0 for item in per_class]),
        average_precision=counted([item.average_precision for item in per_class]),
        roc_auc=counted([item.roc_auc for item in per_class]),
    )


def _log_loss(values: FloatArray, onehot: BoolArray, multi: bool) -> float:
    # float32 sets the clipping in scikit-learn: its epsilon is the finest that such scores can say.
    metrics, scores = sklearn_metrics(), values.astype(np.float32)
    if not multi:
        truth = onehot.argmax(axis=1)
        return float(metrics.log_loss(truth, scores, labels=np.arange(values.shape[1])))
    columns = zip(onehot.T, scores.T, strict=True)
    return float(np.mean([metrics.log_loss(truth, column, labels=[False, True]) for truth, column in columns]))


def _confusion(onehot: BoolArray, decided: BoolArray, multi: bool) -> list[Any]:
    metrics = sklearn_metrics()
    if multi:
        return [
            metrics.confusion_matrix(a, b, labels=[False, True]).tolist()
            for a, b in zip(onehot.T, decided.T, strict=True)
        ]
    labels = np.arange(onehot.shape[1])
    return list(metrics.confusion_matrix(onehot.argmax(axis=1), decided.argmax(axis=1), labels=labels).tolist())


def _mistakes(
    values: FloatArray,
    onehot: BoolArray,
    decided: BoolArray,
    labels: tuple[str, ...],
    paths: Sequence[Example | str | Path] | None,
    multi: bool,
) -> list[Mistake]:
    """Every clip that was decided wrong, the surest first."""
    wrong = decided != onehot
    if multi:
        surety = np.where(wrong, np.where(decided, values, 1 - values), -1.0).max(axis=1)
    else:
        surety = np.where(decided, values, 0.0).max(axis=1)
    rows = [row for row in np.argsort(-surety, kind="stable") if wrong[row].any()]
    found = []
    for row in rows:
        place = paths[row] if paths is not None else f"clip {row}"
        start, end = (place.start_seconds, place.end_seconds) if isinstance(place, Example) else (None, None)
        path = str(place.path if isinstance(place, Example) else place)
        truth, predicted = (
            tuple(name for name, on in zip(labels, mask[row], strict=True) if on) for mask in (onehot, decided)
        )
        found.append(Mistake(path, start, end, truth, predicted, float(surety[row])))
    return found
