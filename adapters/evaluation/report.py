"""What an evaluation found, and the gates that it must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from adapters.errors import ConfigError
from adapters.system import did_you_mean

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
    "max_size_bytes": ("size_bytes", -1),
}


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the rest. support: clips of it; predicted: clips given to it. None is undefined."""

    label: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    roc_auc: float | None


@dataclass(frozen=True)
class Mistake:
    """A clip that the model got wrong. start, end: seconds, None for the video's own.

    score: 0..1, the higher the surer the model was: the score of the class that it gave; for multi_label that of a
    class wrongly given, or one minus that of a class wrongly withheld, whichever is higher.
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

    average: ``positive``: precision, recall, f1, average_precision and roc_auc are those of positive_label;
        ``macro``: their plain mean over the classes that define them (see evaluate).
    confusion_matrix: single_label: counts, a row for each true label and a column for each predicted one;
        multi_label: for each label [[true negatives, false positives], [false negatives, true positives]].
    threshold: what the decision was taken at; None where the best class wins.
    curves: points of the precision-recall and ROC curves and of the reliability diagram, for plots.
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

    def to_json(self) -> dict[str, Any]:
        """The content of evaluation.json: every field, plain JSON."""
        return asdict(self)


def check_gates(report: EvaluationReport, gates: Mapping[str, float]) -> list[str]:
    """The gates that the report does not pass, a sentence each with the figure and the gate; none where all pass.

    gates: any of GATES. A figure equal to its gate passes; one that is undefined or was not measured fails.
    Raises ConfigError for a gate that there is not, or whose value is no number.
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
        if figure is None:
            why = "was not measured" if measure in ("latency_ms", "size_bytes") else "is undefined on these clips"
            failures.append(f"{measure} {why}, and {name} asks for {gate:.6g}.")
        elif sign * (figure - gate) < 0:
            failures.append(f"{measure} {figure:.6g} is {'under' if sign > 0 else 'over'} {name} {gate:.6g}.")
    return failures
