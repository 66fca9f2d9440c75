"""PNG plots of evaluations, training and timelines, written atomically. Drawn without a display and without pyplot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.evaluation.curves import CALIBRATION_BINS
from adapters.evaluation.drawing import BLUE, GREEN, GREY, ORANGE, new_figure, plot_text, png_bytes
from adapters.evaluation.report import EvaluationReport
from adapters.records import Float32Array, Float64Array, Segment
from adapters.reports import EpochLog
from adapters.system import write_bytes_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BIN_WIDTH = 1 / CALIBRATION_BINS
_NUMBERED_CLASSES = 30
_NAMED_CLASSES = 60
# Longer names than this would run into each other below a matrix of two or three classes.
_LEVEL_NAME = 12
# Seconds between the marks of a timeline: steps that people read clocks in.
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def plot_confusion_matrix(report: EvaluationReport, path: str | Path) -> Path | None:
    """True class by predicted class: counts, coloured by share of the true class; multi_label: bars per class.

    Args:
        report: The evaluation.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if report.task == "multi_label":
        return _plot_multi_label_counts(report, path)
    counts = np.array(report.confusion_matrix, dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(4.5 + 0.35 * len(counts), 14.0)
    figure, axes = _figure(size, size * 0.9)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046)
    if len(counts) <= _NUMBERED_CLASSES:
        for row, column in np.ndindex(*counts.shape):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", color=colour)
    if len(counts) <= _NAMED_CLASSES:
        names = [plot_text(label) for label in report.labels]
        slanted = len(names) > 3 or max(map(len, names)) > _LEVEL_NAME
        axes.set_xticks(range(len(names)), names, rotation=45 if slanted else 0, ha="right" if slanted else "center")
        axes.set_yticks(range(len(names)), names)
    low, high = report.intervals["accuracy"] or (0.0, 1.0)
    figures = f"accuracy {report.accuracy:.2f} (95% interval {low:.2f} to {high:.2f})"
    title = f"Confusion matrix: {_counted(report)}\n{figures}"
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return _save(figure, path)


def plot_precision_recall(report: EvaluationReport, path: str | Path) -> Path | None:
    """Precision over recall of the positive label or of the classes with the most clips.

    Args:
        report: The evaluation.
        path: The PNG to write.

    Returns:
        The path; None if the clips do not define the curve.
    """
    return _plot_curves(report, path, "precision_recall", ("recall", "precision"), "average_precision", diagonal=False)


def plot_roc(report: EvaluationReport, path: str | Path) -> Path | None:
    """True over false positive rate of the positive label or of the classes with the most clips.

    Args:
        report: The evaluation.
        path: The PNG to write.

    Returns:
        The path; None if the clips do not define the curve.
    """
    axes = ("false_positive_rate", "true_positive_rate")
    return _plot_curves(report, path, "roc", axes, "roc_auc", diagonal=True)


def plot_reliability(report: EvaluationReport, path: str | Path) -> Path | None:
    """Share that was right over mean score, bin by bin, with the number of clips of each bin below.

    Where the report has the scores before calibration, they are drawn too.

    Args:
        report: The evaluation.
        path: The PNG to write.

    Returns:
        The path; None without scores.
    """
    bins = report.curves.get("reliability") or {}
    if not bins.get("score"):
        return None
    return draw_reliability(bins, report.curves.get("reliability_before"), _counted(report), path)


def draw_reliability(bins: Mapping[str, Any], before: Mapping[str, Any] | None, clips: str, path: str | Path) -> Path:
    """A reliability diagram.

    Args:
        bins: What ``reliability_of`` gives for the scores.
        before: The same before calibration; None where there was none.
        clips: Which clips they are of, in words.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, (axes, below) = _figure(5.5, 6.0, rows=2, height_ratios=[3, 1], sharex=True)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    if before is not None and before.get("score"):
        name = f"before calibration: error {before['error']:.3f}"
        axes.plot(*_joined(before), "o--", color=ORANGE, markersize=4, label=name)
    name = "scores" if before is None else "after calibration"
    axes.plot(*_joined(bins), "o-", color=BLUE, label=f"{name}: error {bins['error']:.3f}")
    axes.set(ylabel="share right", xlim=(0, 1), ylim=(0, 1.02), title=f"Reliability: {clips}")
    axes.legend(loc="upper left", fontsize="small")
    middles = [start + _BIN_WIDTH / 2 for start in bins["start"]]
    bars = below.bar(middles, bins["clips"], width=_BIN_WIDTH * 0.9, color=BLUE)
    below.bar_label(bars, fontsize="x-small")
    below.margins(y=0.25)
    below.set(xlabel=f"score, in {CALIBRATION_BINS} bins", ylabel="clips")
    return _save(figure, path)


def _joined(bins: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Scores and shares of neighbouring bins; NaN where bins without clips lie between, so that no line joins them."""
    scores: list[float] = []
    shares: list[float] = []
    for number, start in enumerate(bins["start"]):
        if number and start - bins["start"][number - 1] > 1.5 * _BIN_WIDTH:
            scores.append(float("nan"))
            shares.append(float("nan"))
        scores.append(bins["score"][number])
        shares.append(bins["share"][number])
    return scores, shares


def plot_learning_curves(epochs: Sequence[EpochLog], path: str | Path) -> Path:
    """Loss and accuracy over epochs, training and validation, with the kept epoch and the start of each phase marked.

    Args:
        epochs: The epochs of all phases, in order.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ValueError: There are no epochs.
        MissingExtraError: matplotlib is not installed.
    """
    if not epochs:
        raise ValueError("learning curves need at least one epoch, got none")
    figure, (loss, accuracy) = _figure(6.5, 6.0, rows=2, sharex=True)
    x = np.arange(1, len(epochs) + 1)
    kept = max((number for number, epoch in enumerate(epochs, 1) if epoch.best), default=None)
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for prefix, colour, label in (("", BLUE, "train"), ("val_", ORANGE, "validation")):
            values = [getattr(epoch, prefix + name) for epoch in epochs]
            y = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            # Epochs whose loss was not finite leave a hole in the line.
            if np.isfinite(y).any():
                axes.plot(x, np.where(np.isfinite(y), y, np.nan), "o-", markersize=3, color=colour, label=label)
        for number, epoch in enumerate(epochs, 1):
            if number == kept:
                axes.axvline(number, color=GREEN, linestyle="--", linewidth=1, label="kept")
            if number > 1 and epoch.phase != epochs[number - 2].phase:
                axes.axvline(number - 0.5, color=GREY, linewidth=1, label=epoch.phase.replace("_", "-") + " starts")
        axes.set_ylabel(name)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        if handles:
            axes.legend(handles.values(), handles.keys())
    loss.set_title("Learning curves")
    accuracy.set_xlabel("epoch")
    accuracy.xaxis.get_major_locator().set_params(integer=True)
    return _save(figure, path)


def plot_timeline(
    times: Float64Array,
    scores: Float32Array,
    path: str | Path,
    *,
    label: str = "score",
    segments: Sequence[Segment] = (),
    truth: Sequence[Segment] = (),
    threshold: float | None = None,
    title: str | None = None,
) -> Path:
    """A label's score over a video, the segments found and, below, the true ones.

    Args:
        times: float64 [N], seconds, as ``segments.timeline`` returns them.
        scores: float32 [N] in 0..1; NaN leaves a gap.
        path: The PNG to write.
        label: The name in the legend.
        segments: The found segments.
        truth: The true segments.
        threshold: A score to draw as a line; None for none.
        title: The plot's title; None for none.

    Returns:
        The path.
    """
    figure, axes = _figure(11.0, 3.2)
    axes.plot(times, scores, color=BLUE, linewidth=1.2, label=plot_text(label))
    for number, item in enumerate(segments):
        axes.axvspan(item.start, item.end, color=ORANGE, alpha=0.35, label=None if number else "found", linewidth=0)
    for number, item in enumerate(truth):
        axes.axvspan(item.start, item.end, 0, 0.06, color=GREEN, label=None if number else "true", linewidth=0)
    if threshold is not None:
        axes.axhline(threshold, color=GREY, linestyle="--", linewidth=1, label=f"threshold {threshold:g}")
    end = max([*times[-1:].tolist(), *(item.end for item in (*segments, *truth)), 1e-3])
    axes.set(xlim=(0, end), ylim=(0, 1.03), xlabel="time", ylabel="score")
    ticks = next((step for step in _TICKS if end / step <= 10), end / 10)
    axes.set_xticks(np.arange(0, end + ticks / 1e3, ticks))
    axes.xaxis.set_major_formatter(_clock)
    if title:
        axes.set_title(plot_text(title, 60), loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize="small", frameon=False)
    return _save(figure, path)


def _plot_curves(
    report: EvaluationReport, path: str | Path, name: str, keys: tuple[str, str], measure: str, diagonal: bool
) -> Path | None:
    curves = report.curves.get(name) or {}
    if not curves:
        return None
    figure, axes = _figure(5.5, 5.0)
    figures = {item.label: getattr(item, measure) for item in report.per_class}
    for label, points in curves.items():
        legend = f"{plot_text(label)} ({measure.replace('_', ' ')} {figures[label]:.3f})"
        axes.plot(points[keys[0]], points[keys[1]], label=legend, drawstyle="default" if diagonal else "steps-post")
    if diagonal:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel=keys[0].replace("_", " "), ylabel=keys[1].replace("_", " "), xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(_counted(report), fontsize="small")
    axes.legend(loc="lower right" if diagonal else "lower left", fontsize="small")
    return _save(figure, path)


def _plot_multi_label_counts(report: EvaluationReport, path: str | Path) -> Path:
    shown = list(zip(report.labels, report.confusion_matrix, strict=True))[:_NAMED_CLASSES]
    figure, axes = _figure(7.0, 1.8 + 0.3 * len(shown))
    y = np.arange(len(shown))
    left = np.zeros(len(shown))
    parts = (("true positives", GREEN, 1, 1), ("missed", ORANGE, 1, 0), ("false positives", BLUE, 0, 1))
    for label, colour, row, column in parts:
        width = np.array([matrix[row][column] for _, matrix in shown], dtype=np.float64)
        axes.barh(y, width, left=left, color=colour, label=label)
        left += width
    axes.set_yticks(y, [plot_text(label) for label, _ in shown])
    axes.invert_yaxis()
    axes.set(xlabel="clips", title=f"Decisions by class: {_counted(report)}")
    axes.legend(fontsize="small")
    return _save(figure, path)


def _counted(report: EvaluationReport) -> str:
    """How many clips a report is of, such as "30 clips in 12 groups"."""
    return f"{report.clips} clips in {report.groups} group{'' if report.groups == 1 else 's'}"


def _clock(seconds: float, position: int | None = None) -> str:
    """Seconds as 1:05 or 1:02:05, with tenths where the tick is not a whole second."""
    rest = abs(seconds)
    minutes, rest = divmod(round(rest, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:02.0f}" if rest == int(rest) else f"{rest:04.1f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def _figure(
    width: float, height: float, rows: int = 1, height_ratios: Sequence[float] | None = None, sharex: bool = False
) -> tuple[Figure, Any]:
    figure = new_figure(width, height)
    axes: Any = figure.subplots(rows, 1, sharex=sharex, gridspec_kw={"height_ratios": height_ratios or [1] * rows})
    for item in np.ravel(axes):
        item.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: str | Path) -> Path:
    write_bytes_atomic(path, png_bytes(figure))
    return Path(path)
