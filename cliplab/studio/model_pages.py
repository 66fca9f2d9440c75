"""What the page of one model shows: figures with clips and intervals, classes, confusion, curves, gates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.bundle import read_bundle
from adapters.config import check_config, migrate_config, read_config_file
from adapters.errors import AdapterError, ConfigError
from adapters.litert import read_description
from cliplab.studio.model_list import ModelRef

MOST_CLASSES = 60  # of a table or matrix on a page; more are named as left out
FIGURES = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "average_precision": "Average precision",
    "roc_auc": "ROC AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
    "latency_ms": "Latency, ms per clip",
}

_WINDOW_SECONDS = 2.0  # of a timeline


@dataclass(frozen=True)
class Figure:
    """A figure of a model.

    Attributes:
        name: As the metrics have it.
        title: What it is called.
        value: The figure.
        low: The lower end of its 95% interval; None without one.
        high: The upper end.
    """

    name: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """Such as "0.92 (95% 0.81 to 0.97)", or "3.9 MB"."""
        if self.name == "size_bytes":
            return size_words(round(self.value))
        return figure_words(self.value, self.low, self.high)


def figure_words(value: object, low: object = None, high: object = None) -> str:
    """A figure with its interval in words; "-" where it is undefined."""
    if not is_number(value):
        return "-"
    ends = f" (95% {low:.2f} to {high:.2f})" if is_number(low) and is_number(high) else ""
    return f"{value:.3g}{ends}" if abs(float(str(value))) >= 10 else f"{value:.2f}{ends}"


@dataclass(frozen=True)
class ModelDetail:
    """One model, read whole and verified.

    Attributes:
        ref: Which model.
        config: The config as it was written or stored, in the present form.
        complete: The config with every default; empty where it is wrong.
        problem: What is wrong with the config, in words; None for a good one.
        labels: The classes in their order.
        card: The model card, Markdown; empty without one.
        metrics: As stored.
        validation: The figures that training or evaluation stored; empty without them.
        files: Names and sizes in bytes of its programs and weights.
        size_bytes: The size of all its files.
        digest: Changes whenever the model does.
        trainable: Whether it has weights to train further.
    """

    ref: ModelRef
    config: dict[str, Any]
    complete: dict[str, Any]
    problem: str | None
    labels: tuple[str, ...]
    card: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    files: tuple[tuple[str, int], ...] = ()
    size_bytes: int = 0
    digest: str = ""
    trainable: bool = False


def read_detail(ref: ModelRef) -> ModelDetail:
    """Read a model; each byte of a bundle or .tflite is verified.

    Args:
        ref: Which model.

    Raises:
        BundleError: It is damaged, or gone.
        ConfigError: The config cannot be read, or is of a newer version.
    """
    if ref.kind == "bundle":
        bundle = read_bundle(ref.path)
        files = [(f"programs/{name}.tflite", path.stat().st_size) for name, path in sorted(bundle.programs.items())]
        if bundle.weights_file is not None:
            files.append(("weights.safetensors", bundle.weights_file.size))
        return _detail(
            ref,
            bundle.config,
            bundle.metrics,
            card=bundle.card,
            files=tuple(files),
            size_bytes=bundle.size_bytes,
            digest=bundle.digest,
            trainable=bundle.has_weights,
        )
    status = ref.path.stat() if ref.path.exists() else None
    if status is None:
        raise ConfigError(f"{ref.name}: the file is missing. It was removed or renamed after the list was made")
    stamp = f"{status.st_mtime_ns}-{status.st_size}"
    if ref.kind == "config":
        return _detail(ref, read_config_file(ref.path), {}, size_bytes=status.st_size, digest=stamp)
    description = read_description(ref.path)
    metrics = description.get("metrics")
    figures = {"validation": metrics} if isinstance(metrics, dict) and metrics else {}
    files = [(str(description.get("program", "program")), int(description["program_size_bytes"]))]
    return _detail(
        ref, dict(description["config"]), figures, files=tuple(files), size_bytes=status.st_size, digest=stamp
    )


def _detail(ref: ModelRef, config: dict[str, Any], metrics: dict[str, Any], **more: Any) -> ModelDetail:
    config, problem, complete = migrate_config(config, ref.name), None, {}
    try:
        complete = dict(check_config(config, ref.name))
    except AdapterError as error:
        problem = str(error)
    labels = config.get("labels")
    names = tuple(str(label) for label in labels) if isinstance(labels, list) else ()
    validation = metrics.get("validation")
    return ModelDetail(
        ref,
        config,
        complete,
        problem,
        names,
        metrics=metrics,
        validation=validation if isinstance(validation, dict) else {},
        **more,
    )


def headline(metrics: Mapping[str, Any]) -> tuple[Figure, int | None] | None:
    """The one figure that a list shows, with the clips that it was measured on: F1, else accuracy."""
    validation = metrics.get("validation")
    figures = figures_of(validation if isinstance(validation, Mapping) else metrics)
    found = next((figure for name in ("f1", "accuracy") for figure in figures if figure.name == name), None)
    if found is None:
        return None
    clips = validation.get("clips") if isinstance(validation, Mapping) else None
    return found, clips if isinstance(clips, int) else None


def figures_of(validation: Mapping[str, Any]) -> list[Figure]:
    """The figures of stored metrics that are numbers, each with its interval where there is one."""
    intervals = validation.get("intervals")
    found = []
    for name, title in FIGURES.items():
        value: Any = validation.get(name)
        if not is_number(value):
            continue
        ends = intervals.get(name) if isinstance(intervals, Mapping) else None
        pair = ends if isinstance(ends, Sequence) and len(ends) == 2 and all(map(is_number, ends)) else (None, None)
        found.append(Figure(name, title, float(value), *pair))
    return found


def class_rows(validation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each class: its clips, and its figures in words."""
    rows = validation.get("per_class")
    found = []
    for row in [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []:
        intervals = row.get("intervals")
        ends = intervals if isinstance(intervals, Mapping) else {}
        words = {
            name: figure_words(row.get(name), *(ends.get(name) or (None, None)))
            for name in ("precision", "recall", "f1", "average_precision")
        }
        found.append({"label": str(row.get("label", "")), "clips": row.get("support", "-"), **words})
    return found


def confusion(detail: ModelDetail) -> list[list[Any]] | None:
    """The counts of a model with one label for each clip, a row for each true class; None where there are none to show.

    Args:
        detail: The model.
    """
    matrix, size = detail.validation.get("confusion_matrix"), len(detail.labels)
    if detail.validation.get("task") != "single_label" or not isinstance(matrix, list) or len(matrix) != size:
        return None
    if size > MOST_CLASSES or not all(isinstance(row, list) and len(row) == size for row in matrix):
        return None
    return matrix


def gate_rows(config: Mapping[str, Any], validation: Mapping[str, Any], size_bytes: int) -> list[dict[str, Any]]:
    """A row for each gate of the config: the figure, the limit, and whether it passes ("-" where it is unknown)."""
    gates = config.get("gates")
    rows = []
    for name, limit in gates.items() if isinstance(gates, Mapping) else ():
        figure = name.partition("_")[2]
        value = size_bytes if figure == "size_bytes" and size_bytes else validation.get(figure)
        state = "not measured"
        if is_number(value) and is_number(limit):
            passes = value <= limit if name.startswith("max_") else value >= limit
            state = "passes" if passes else "fails"
        rows.append({"gate": name, "limit": limit, "value": value if is_number(value) else "-", "state": state})
    return rows


def chart_data(detail: ModelDetail) -> dict[str, Any]:
    """The points of a model's charts as JSON: epochs, precision over recall, ROC and reliability."""
    curves = detail.validation.get("curves")
    curves = curves if isinstance(curves, Mapping) else {}
    limited = {
        name: dict(list(value.items())[:8])
        for name, value in curves.items()
        if name != "reliability" and isinstance(value, Mapping)
    }
    history = detail.metrics.get("history")
    return {
        "epochs": history if isinstance(history, list) else [],
        "reliability": curves.get("reliability"),
        **limited,
        "left_out": max(0, len(detail.labels) - 8),
    }


def size_words(size_bytes: int | None) -> str:
    """A size for people, such as "3.9 MB"; "-" where it is unknown."""
    if size_bytes is None:
        return "-"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"


def is_number(value: Any) -> bool:
    """Whether a value of stored metrics is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def timeline_window(detail: ModelDetail) -> float:
    """The window that scores a video over time: the config's, what its frames last, or else a few seconds.

    A model without windows has one answer for the whole video, which would be a flat line.

    Args:
        detail: The model.
    """
    config = detail.complete
    frames, fps = config.get("n_frames"), config.get("fps")
    fixed = config.get("sampling") == "rate" and config.get("model_mode") != "stream"
    if config.get("window_seconds") is None and fixed and isinstance(frames, int) and isinstance(fps, (int, float)):
        return round(frames / fps, 6)
    return float(config.get("window_seconds") or _WINDOW_SECONDS)
