"""How good a model's scores are: metrics, gates and the files that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.data import Example
from adapters.errors import DatasetError
from adapters.evaluation.class_figures import FigureIntervals, figure_intervals
from adapters.evaluation.curves import (
    CALIBRATION_BINS,
    BoolArray,
    FloatArray,
    calibration_error,
    curves,
    reliability_of,
)
from adapters.evaluation.intervals import IntArray, group_numbers
from adapters.evaluation.mistakes import find_mistakes
from adapters.evaluation.ranking import average_precision, confusion_matrix, log_loss, roc_auc
from adapters.evaluation.report import GATES, ClassMetrics, EvaluationReport, Mistake, check_gates
from adapters.evaluation.thresholds import ThresholdFigures, reached, threshold_figures
from adapters.evaluation.words import figure_notes
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
    groups: Sequence[Any] | None = None,
    thresholds: Mapping[str, float] | None = None,
    uncalibrated: Float32Array | None = None,
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

    Accuracy, precision, recall and F1 have 95% intervals, which resample whole groups: clips of one recording are right
    or wrong together. ``notes`` says in words what the figures do not show, such as that the model is better than
    always answering the largest class.

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
        groups: N names; clips of one name (a recording, a source) belong together. None: those of the examples in
            paths, or each clip by itself.
        thresholds: A score for some of the labels; the report says what each of them reaches.
        uncalibrated: float32 [N, C], the scores before calibration, for the reliability diagram; None if not known.

    Raises:
        DatasetError: Arrays do not fit each other or are out of range.
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
    member = _group_numbers(groups, paths, len(values))
    decided = _decide(values, positive, threshold, multi)
    intervals = figure_intervals(onehot, decided, member)
    per_class = tuple(_class_metrics(i, names, values, onehot, decided, intervals) for i in range(len(names)))
    by_threshold = _by_threshold(values, onehot, names, thresholds or {}, member)
    if not multi:
        values = values / values.sum(axis=1, keepdims=True)
    wrong = find_mistakes(values, onehot, decided, names, paths, multi)
    macro = _macro(per_class, intervals)
    mean = per_class[positive] if positive is not None else macro
    drawn = curves(values, onehot, names, positive, multi)
    if uncalibrated is not None:
        drawn["reliability_before"] = reliability_of(uncalibrated.astype(np.float64), onehot, positive, multi)
    report = EvaluationReport(
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
        frame_latency_ms=latency_ms,
        size_bytes=size_bytes,
        mistakes=tuple(wrong[: max(worst, 0)]),
        mistake_count=len(wrong),
        curves=drawn,
        labels_without_clips=tuple(item.label for item in per_class if not item.support),
        groups=int(member.max()) + 1,
        intervals={**mean.intervals, "accuracy": intervals.accuracy},
        macro={
            **{name: getattr(macro, name) for name in ("precision", "recall", "f1")},
            "intervals": macro.intervals,
        },
        largest_class=_largest_class(onehot, names),
        thresholds=by_threshold,
    )
    return replace(report, notes=tuple(figure_notes(report)))


def write_report(report: EvaluationReport, folder: str | Path) -> list[Path]:
    """Write evaluation.json and its plots, each atomically.

    The plots are confusion_matrix.png, precision_recall.png, roc.png and reliability.png. A plot whose figures the
    clips do not define is not drawn, and a file of that name from an earlier evaluation is removed, so that no old plot
    lies beside new figures.

    Args:
        report: The evaluation.
        folder: Where to write; made if it does not exist. A name that ends in .json is that file alone, without plots.

    Returns:
        What was written, evaluation.json last.

    Raises:
        StorageError: A file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    folder = Path(folder)
    if folder.suffix.lower() == ".json" and not folder.is_dir():
        write_json_atomic(folder, report.to_json())
        return [folder]
    from adapters.evaluation import plots

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


def _group_numbers(groups: Sequence[Any] | None, paths: Sequence[Example | str | Path] | None, clips: int) -> IntArray:
    if groups is None:
        known = paths is not None and all(isinstance(item, Example) for item in paths)
        groups = [item.group for item in paths if isinstance(item, Example)] if known and paths else range(clips)
    if len(groups) != clips:
        raise DatasetError(f"{len(groups)} groups for {clips} clips of scores")
    return group_numbers(groups)


def _by_threshold(
    values: FloatArray, onehot: BoolArray, labels: tuple[str, ...], thresholds: Mapping[str, float], member: IntArray
) -> tuple[ThresholdFigures, ...]:
    if not thresholds:
        return ()
    unknown = [label for label in thresholds if label not in labels]
    if unknown:
        raise DatasetError(f"thresholds: {unknown[0]!r} is not one of the labels {', '.join(labels[:20])}")
    columns, wanted = [labels.index(label) for label in thresholds], list(thresholds.values())
    return threshold_figures(reached(values[:, columns], wanted), onehot[:, columns], wanted, list(thresholds), member)


def _largest_class(onehot: BoolArray, labels: tuple[str, ...]) -> dict[str, Any]:
    """The most frequent answer: a label, or for multi_label a set of them. Of equal ones, that of the first labels."""
    rows, counts = np.unique(onehot, axis=0, return_counts=True)
    best = len(counts) - 1 - int(np.argmax(counts[::-1]))
    named = [label for label, on in zip(labels, rows[best], strict=True) if on]
    return {"labels": named, "share": float(counts[best] / len(onehot))}


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
            f"positive_label {positive!r} needs a single-label task with two classes and must be one of them; got "
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
    index: int,
    labels: tuple[str, ...],
    values: FloatArray,
    onehot: BoolArray,
    decided: BoolArray,
    intervals: FigureIntervals,
) -> ClassMetrics:
    truth, chosen = onehot[:, index], decided[:, index]
    support, predicted = int(truth.sum()), int(chosen.sum())
    right = int((truth & chosen).sum())
    both = 0 < support < len(truth)
    return ClassMetrics(
        label=labels[index],
        support=support,
        predicted=predicted,
        precision=right / predicted if predicted else None,
        recall=right / support if support else None,
        f1=2 * right / (support + predicted) if support or predicted else None,
        average_precision=average_precision(truth, values[:, index]) if both else None,
        roc_auc=roc_auc(truth, values[:, index]) if both else None,
        groups=intervals.class_groups[index],
        intervals=intervals.per_class[index],
    )


def _macro(per_class: Sequence[ClassMetrics], intervals: FigureIntervals) -> ClassMetrics:
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
        intervals=intervals.macro,
    )


def _log_loss(values: FloatArray, onehot: BoolArray, multi: bool) -> float:
    if not multi:
        return log_loss(values, onehot)
    columns = zip(onehot.T, values.T, strict=True)
    pairs = [(np.stack([1 - column, column], axis=1), np.stack([~truth, truth], axis=1)) for truth, column in columns]
    return float(np.mean([log_loss(scores, truth) for scores, truth in pairs]))


def _confusion(onehot: BoolArray, decided: BoolArray, multi: bool) -> list[Any]:
    if multi:
        pairs = zip(onehot.T.astype(np.int64), decided.T.astype(np.int64), strict=True)
        return [confusion_matrix(truth, chosen, 2).tolist() for truth, chosen in pairs]
    return list(confusion_matrix(onehot.argmax(axis=1), decided.argmax(axis=1), onehot.shape[1]).tolist())
