"""What an evaluation found, and the gates that it must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from adapters.errors import ConfigError
from adapters.evaluation.class_figures import Intervals
from adapters.evaluation.thresholds import ThresholdFigures
from adapters.reports import rounded
from adapters.system import did_you_mean, quoted_list

Average = Literal["positive", "macro"]

# What each gate is of, and whether the figure must not be under (+1) or over (-1) it.
GATES: dict[str, tuple[str, int]] = {
    "min_precision": ("precision", 1),
    "min_recall": ("recall", 1),
    "min_f1": ("f1", 1),
    "min_accuracy": ("accuracy", 1),
    "min_average_precision": ("average_precision", 1),
    "min_roc_auc": ("roc_auc", 1),
    "max_log_loss": ("log_loss", -1),
    "max_calibration_error": ("calibration_error", -1),
    "max_latency_ms": ("latency_ms", -1),
    "max_frame_latency_ms": ("frame_latency_ms", -1),
    "max_size_bytes": ("size_bytes", -1),
}

COSTS = ("latency_ms", "frame_latency_ms", "size_bytes")  # measures of the program and not of its scores

# Sums of thirds and the like are off by a last bit, which must not fail a gate.
_LAST_BITS = 1e-9


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the rest. A measure that the clips do not define is None.

    Attributes:
        label: The class.
        support: How many clips have it.
        predicted: For how many clips it was decided.
        precision: The share of the decisions for it that are right.
        recall: The share of its clips that were decided for it.
        f1: The harmonic mean of precision and recall.
        average_precision: The area under precision over recall, as scikit-learn sums it.
        roc_auc: The area under the ROC curve.
        groups: How many groups have clips of it; clips of one recording or source are a group.
        intervals: The 95% intervals of precision, recall and F1; None where they are undefined.
    """

    label: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    roc_auc: float | None
    groups: int = 0
    intervals: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A clip that the model got wrong.

    Attributes:
        path: The video.
        start: The clip's start in seconds; None for the video's own.
        end: The clip's end in seconds; None for the video's own.
        truth: The true labels.
        predicted: The labels that the model decided for.
        score: 0..1, the higher the surer the model was: the score of the class that it decided for; for multi_label
            that of a class wrongly decided for, or one minus that of a class wrongly omitted, whichever is higher.
    """

    path: str
    start: float | None
    end: float | None
    truth: tuple[str, ...]
    predicted: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class EvaluationReport:
    """The measures of one model on one set of clips. A measure that the clips do not define is None, never NaN.

    Attributes:
        task: Whether one label or any number of labels is right.
        labels: The labels in the model's order.
        positive_label: The class whose measures count; None for macro averages.
        average: ``positive``: precision, recall, f1, average_precision and roc_auc are those of positive_label;
            ``macro``: their plain mean over the classes, in which one without clips counts 0 (see ``evaluate``).
        clips: How many clips.
        threshold: The score at which was decided; None where the best class wins.
        precision: The share of decisions that are right.
        recall: The share of true labels that were decided for.
        f1: The harmonic mean of precision and recall.
        accuracy: The share of clips decided right.
        average_precision: The area under precision over recall.
        roc_auc: The area under the ROC curve.
        log_loss: In nats; see ``evaluate``.
        calibration_error: 0..1; see ``evaluate``.
        confusion_matrix: single_label: counts, a row per true label and a column per predicted one; multi_label: for
            each label [[true negatives, false positives], [false negatives, true positives]].
        per_class: Each class against the rest.
        latency_ms: The time per clip; None if it was not measured.
        size_bytes: The model's size; None if it was not measured.
        mistakes: The surest mistakes.
        mistake_count: How many mistakes there are.
        curves: Points of the precision-recall and ROC curves and of the reliability diagram, for plots.
        labels_without_clips: The classes of which no clip was measured, so that the figures say nothing about them.
        groups: How many groups the clips are of; the intervals resample whole groups.
        intervals: The 95% intervals of accuracy, precision, recall and F1; None where they are undefined.
        macro: The plain means over the classes of precision, recall and F1, each with its ``intervals``, also where the
            measures above are those of positive_label.
        largest_class: What always answering the most frequent answer reaches: its ``labels``, and their ``share`` of
            the clips.
        notes: What a reader should know of the figures, in sentences.
        thresholds: What the thresholds that were asked for reach; see ``ThresholdFigures``.
        frame_latency_ms: The time per frame times the config's ``device_factor``; None if it was not measured.
    """

    task: Literal["single_label", "multi_label"]
    labels: tuple[str, ...]
    positive_label: str | None
    average: Average
    clips: int
    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    accuracy: float
    average_precision: float | None
    roc_auc: float | None
    log_loss: float
    calibration_error: float
    confusion_matrix: list[Any]
    per_class: tuple[ClassMetrics, ...]
    latency_ms: float | None = None
    size_bytes: int | None = None
    mistakes: tuple[Mistake, ...] = ()
    mistake_count: int = 0
    curves: dict[str, Any] = field(default_factory=dict)
    labels_without_clips: tuple[str, ...] = ()
    groups: int = 0
    intervals: Intervals = field(default_factory=dict)
    macro: dict[str, Any] = field(default_factory=dict)
    largest_class: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    thresholds: tuple[ThresholdFigures, ...] = ()
    frame_latency_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of evaluation.json: every field, plain JSON, fractions with six digits."""
        return dict(rounded(asdict(self)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EvaluationReport:
        """The report that ``to_json`` made JSON of, as a model keeps it; keys that it lacks have their defaults.

        Args:
            content: The JSON object.

        Raises:
            ConfigError: It is not such a report.
        """
        try:
            fields = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
            fields["per_class"] = tuple(ClassMetrics(**item) for item in fields["per_class"])
            fields["thresholds"] = tuple(ThresholdFigures(**item) for item in fields.get("thresholds", ()))
            fields["mistakes"] = tuple(Mistake(**item) for item in fields.get("mistakes", ()))
            for name in ("labels", "labels_without_clips", "notes"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"evaluation: is not a report that this version can read ({error}). Evaluate the model again"
            ) from None


def check_gates(report: EvaluationReport, gates: Mapping[str, float]) -> list[str]:
    """The gates that a report does not pass.

    Args:
        report: The evaluation.
        gates: Limits by name, any of GATES. A figure equal to its gate passes; one that is undefined or was not
            measured fails, and so does every one of scores where a class has no clips.

    Returns:
        One sentence per failed gate, with the figure and the gate; empty if all pass.

    Raises:
        ConfigError: There is no such gate, or its value is not a number.
    """
    failures = []
    for name, gate in gates.items():
        if name not in GATES:
            hint = did_you_mean(name, GATES)
            raise ConfigError(f'gates: "{name}" is not a gate.{hint} Allowed: {", ".join(GATES)}')
        if isinstance(gate, bool) or not isinstance(gate, (int, float)) or not np.isfinite(gate):
            raise ConfigError(f"gates: {name} must be a number, got {gate!r}")
        measure, sign = GATES[name]
        figure = getattr(report, measure)
        if measure == "frame_latency_ms" and figure is None:
            figure = report.latency_ms  # of a whole clip, which is never below that of a frame
        of_scores = measure not in COSTS
        if figure is None:
            why = "is undefined on these clips" if of_scores else "was not measured"
            failures.append(f"{measure} {why}; {name} requires {gate:.6g}.")
        elif of_scores and report.labels_without_clips:
            failures.append(
                f"{measure} {figure:.6g} says nothing about {quoted_list(report.labels_without_clips)}, since there "
                f"are no such clips, so {name} {gate:.6g} fails. Add clips of every class to the split."
            )
        elif sign * (figure - gate) < -_LAST_BITS:
            failures.append(f"{measure} {figure:.6g} is {'below' if sign > 0 else 'above'} {name} {gate:.6g}.")
    return failures
