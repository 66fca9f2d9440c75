"""`cliplab evaluate`: a model's figures on labelled clips, held against the gates of its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.inference import OnVideoProgress, open_model
from adapters.records import VideoResult
from cliplab.models.source import ModelSource
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from adapters.evaluation import EvaluationReport


@dataclass(frozen=True)
class Evaluation:
    """The metrics, the gates that they missed (a sentence each), and the clips that could not be read."""

    report: EvaluationReport
    split: str
    failures: tuple[str, ...]
    skipped: tuple[VideoResult, ...]
    output: str | None = None

    def to_json(self) -> dict[str, Any]:
        skipped = [{"path": item.path, "error": item.error} for item in self.skipped]
        return {"split": self.split, **self.report.to_json(), "gate_failures": list(self.failures), "skipped": skipped}


def evaluate(
    model: ModelSource,
    data: str | Path,
    *,
    split: str = "test",
    output: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    on_progress: OnVideoProgress | None = None,
) -> Evaluation:
    """Measure a model on the labelled clips of one split, and hold the figures against the config's gates.

    split: train, validation, test or all. output: a folder for evaluation.json and plots. Clips without a split get
    the one that training gives them. Clips that cannot be read are set aside and listed.
    Raises ConfigError, DatasetError, StorageError.
    """
    from adapters.evaluation import check_gates, write_report
    from adapters.training import evaluate_examples
    from cliplab.models.measure import labelled_clips, with_cost

    require_new(output, force)
    adapter = open_model(model, overrides)
    examples = labelled_clips(adapter, data, (split,)) if split != "all" else labelled_clips(adapter, data)
    report, skipped = evaluate_examples(adapter, examples, on_progress)
    report = with_cost(report, adapter)
    if output is not None:
        write_report(report, output)
    failures = check_gates(report, adapter.config["gates"])
    return Evaluation(report, split, tuple(failures), skipped, None if output is None else str(output))
