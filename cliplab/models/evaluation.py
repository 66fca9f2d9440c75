"""`cliplab evaluate`: a model's figures on labelled clips, held against the gates of its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """A model's metrics on one split.

    Attributes:
        report: The metrics, with latency and size.
        split: The split that was measured, or "all".
        failures: One sentence for each gate of the config that was missed.
        skipped: The clips that could not be read.
        output: The folder of evaluation.json and the plots; None where nothing was written.
    """

    report: EvaluationReport
    split: str
    failures: tuple[str, ...]
    skipped: tuple[VideoResult, ...]
    output: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object: the split, the metrics, gate_failures and skipped."""
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
    trust_adapters: Sequence[str] = (),
    on_progress: OnVideoProgress | None = None,
) -> Evaluation:
    """Measure a model on the labelled clips of one split, and compare the metrics with the config's gates.

    Clips that cannot be read are left out of the metrics and listed in the result.

    Args:
        model: A bundle directory, a .tflite, a config file, a ready config's name, or the config itself.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads. Clips without a split are assigned the
            one that training assigns them.
        split: "train", "validation", "test" or "all".
        output: A folder for evaluation.json and plots; None writes nothing.
        overrides: Config keys to change.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with the clip's path, its seconds done, its length in seconds (None if unknown), clips done,
            and clips in all.

    Returns:
        The metrics, the gates that were missed, and the clips that could not be read.

    Raises:
        ConfigError: A key or the split is wrong.
        DatasetError: The split is empty, or the labels are unknown to the model.
        StorageError: The output exists, or cannot be written.
    """
    from adapters.evaluation import check_gates, write_report
    from adapters.training import evaluate_examples
    from cliplab.models.measure import labelled_clips, with_cost

    require_new(output, force)
    adapter = open_model(model, overrides, trust_adapters)
    examples = labelled_clips(adapter, data, (split,)) if split != "all" else labelled_clips(adapter, data)
    report, skipped = evaluate_examples(adapter, examples, on_progress)
    report = with_cost(report, adapter)
    if output is not None:
        write_report(report, output)
    failures = check_gates(report, adapter.config["gates"])
    return Evaluation(report, split, tuple(failures), skipped, None if output is None else str(output))
