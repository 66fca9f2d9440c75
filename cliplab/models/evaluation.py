"""`cliplab evaluate`: a model's figures on labelled clips, held against the gates of its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, DatasetError
from adapters.inference import OnVideoProgress, open_model, read_stored
from adapters.records import VideoResult
from cliplab.models.source import ModelSource, is_stored, name_list
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from adapters.data import Dataset, Example
    from adapters.evaluation import EvaluationReport

GroupFolds = Literal["folds", "groups"]
_LEARNED_FROM = "If the model learned from them, the figures say nothing about new clips: use --cross-validate"


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on labelled clips.

    Attributes:
        report: The metrics, with latency and size.
        split: What was measured: "train", "validation", "test", "all", "out_of_fold" for the figures that training kept
            of its own clips, or "cross_validation" for heads that were refitted.
        measured_on: The same in words.
        failures: One sentence for each gate of the config that was missed.
        skipped: The clips that could not be read.
        output: The folder of evaluation.json and the plots, or the .json file; None where nothing was written.
        notes: Why these clips were measured, where no split was named and there are no test clips.
    """

    report: EvaluationReport
    split: str
    measured_on: str
    failures: tuple[str, ...]
    skipped: tuple[VideoResult, ...]
    output: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object: what was measured, the metrics, gate_failures and skipped."""
        skipped = [{"path": item.path, "error": item.error} for item in self.skipped]
        content = {
            "split": self.split,
            "measured_on": self.measured_on,
            **self.report.to_json(),
            "gate_failures": list(self.failures),
            "skipped": skipped,
        }
        return {**content, "notes": [*self.notes, *content["notes"]]}


@dataclass(frozen=True)
class _Clips:
    """The clips to measure, or the report that training kept of them."""

    split: str
    words: str
    examples: tuple[Example, ...] = ()
    kept: EvaluationReport | None = None
    note: str = ""


def evaluate(
    model: ModelSource,
    data: str | Path,
    *,
    split: str | None = None,
    cross_validate: GroupFolds | None = None,
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
        split: "train", "validation", "test" or "all". None: test clips; without any the validation clips; without these
            the out-of-fold figures that training kept, if data has the clips that the model was trained on; and all
            clips otherwise. The result says which.
        cross_validate: "folds" or "groups": refit the head of the model's config for each fold of whole groups, or with
            one group left out, and measure it on the clips of that fold; all clips of data count, and model may also be
            a config that is not trained. None: measure the model as it is.
        output: A folder for evaluation.json and plots, or a file X.json for the figures alone; None writes nothing.
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
    if cross_validate is not None:
        if split is not None:
            raise ConfigError(f"split is {split!r}, but cross-validation uses all clips. Remove one of the two options")
        adapter = open_model(model, overrides, trust_adapters)
        return _cross_validated(model, adapter, data, cross_validate, output, on_progress)
    adapter = open_model(model, overrides, trust_adapters)
    stored = {} if isinstance(model, Mapping) or not is_stored(model) else read_stored(model).metrics
    if split is None:
        clips = _choose_clips(adapter, data, stored)
    elif split == "all":
        clips = _Clips("all", "all clips", labelled_clips(adapter, data))
    else:
        clips = _Clips(split, f"{split} split", labelled_clips(adapter, data, (split,)))
    skipped: tuple[VideoResult, ...] = ()
    if clips.kept is not None:
        report = clips.kept
    else:
        report, skipped = evaluate_examples(adapter, clips.examples, on_progress, temperature=_temperature(stored))
    report = with_cost(report, adapter)
    if output is not None:
        write_report(report, output)
    gates, unjudged = _judged_gates(model, adapter)
    failures = check_gates(report, gates)
    where = None if output is None else str(output)
    notes = (*([clips.note] if clips.note else []), *_missed_targets(stored), *unjudged)
    return Evaluation(report, clips.split, clips.words, tuple(failures), skipped, where, notes)


def _cross_validated(
    model: ModelSource,
    adapter: BaseModelAdapter,
    data: str | Path,
    division: GroupFolds,
    output: str | Path | None,
    on_progress: OnVideoProgress | None,
) -> Evaluation:
    from adapters.data import read_dataset
    from adapters.evaluation import COSTS, GATES, check_gates, write_report
    from adapters.training import cross_validate_examples, fitting_dataset
    from cliplab.models.measure import with_cost

    def progress(stage: str, done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(stage, 0.0, None, done, total)

    trained = not isinstance(model, Mapping) and is_stored(model)
    wanted = adapter.labels if trained else adapter.config["labels"]
    dataset = fitting_dataset(read_dataset(data), adapter.config, wanted)
    found = cross_validate_examples(adapter, dataset.examples, dataset.labels, division, progress)
    report, (gates, unjudged) = found.report, _judged_gates(model, adapter)
    notes = [*found.notes, *unjudged]
    if trained:
        report = with_cost(report, adapter)
    elif costs := [name for name in gates if GATES[name][0] in COSTS]:
        gates = {name: value for name, value in gates.items() if name not in costs}
        notes.append(f"{', '.join(costs)}: not checked, since the config is not trained and has no program to measure")
    if output is not None:
        write_report(report, output)
    kind = f"{found.folds} folds of whole groups" if report.groups > 1 else f"{found.folds} folds"
    kind = "each group left out once" if division == "groups" and report.groups > 1 else kind
    skipped = tuple(VideoResult(reason.partition(": ")[0], error=reason) for reason in found.skipped)
    where = None if output is None else str(output)
    failures = tuple(check_gates(report, gates))
    return Evaluation(report, "cross_validation", f"cross-validation, {kind}", failures, skipped, where, tuple(notes))


def _judged_gates(model: ModelSource, adapter: BaseModelAdapter) -> tuple[dict[str, float], list[str]]:
    """The gates that this model is judged by, and a sentence on those that only the file that ships is judged by."""
    from adapters.evaluation import COSTS, GATES

    gates, precision = dict(adapter.config["gates"]), adapter.config["shipped_precision"]
    ships = not isinstance(model, Mapping) and Path(model).suffix.lower() == ".tflite"
    costs = [name for name in gates if name in GATES and GATES[name][0] in COSTS]
    if ships or precision == "float32" or not costs:
        return gates, []
    note = (
        f"{name_list(costs)}: checked only on the {precision} file that ships. Write it with `cliplab convert MODEL "
        f"--quantize {precision} --data DATA --output FILE.tflite` and evaluate that"
    )
    return {name: value for name, value in gates.items() if name not in costs}, [note]


def _missed_targets(stored: Mapping[str, Any]) -> list[str]:
    """A sentence where training could not reach what its thresholds were to be chosen for."""
    try:
        chosen = stored["thresholds"]
        entries = dict(chosen["classes"])
        missed = [f"{label!r} ({entry['value']:.3f})" for label, entry in entries.items() if not entry["reached"]]
        objective = str(chosen["optimize"])
    except (KeyError, TypeError, ValueError):  # a model without, or of other software
        return []
    if not missed:
        return []
    return [
        f"training found no threshold that reaches {objective} for {name_list(missed)}: the stored thresholds give "
        "the highest values, shown in brackets"
    ]


def _temperature(stored: Mapping[str, Any]) -> float | None:
    """The temperature that calibration folded into a model; None where its metrics do not name one."""
    calibration = stored.get("calibration")
    found = calibration.get("temperature") if isinstance(calibration, Mapping) else None
    usable = isinstance(found, (int, float)) and not isinstance(found, bool) and 1e-3 < found < 1e3
    return float(found) if usable and found is not None else None


def _choose_clips(adapter: BaseModelAdapter, data: str | Path, stored: Mapping[str, Any]) -> _Clips:
    """The most telling clips that there are: test, validation, out-of-fold figures, all."""
    from cliplab.models.measure import labelled_dataset, with_splits

    dataset = labelled_dataset(adapter, data)
    try:
        divided = with_splits(adapter, dataset)
    except DatasetError as error:
        note = f"measured on all clips, since they cannot be divided: {error}. {_LEARNED_FROM}"
        return _Clips("all", "all clips", dataset.examples, note=note)
    if examples := divided.of_split("test").examples:
        return _Clips("test", "test split", examples)
    if examples := divided.of_split("validation").examples:
        note = f"{data}: has no test clips; measured on the validation clips, which training may have used to choose"
        return _Clips("validation", "validation split", examples, note=note)
    kept = _kept_report(adapter, dataset, stored)
    if kept is not None:
        note = (
            f"{data}: has no test or validation clips; these are the figures that training stored: each clip is judged "
            "by a head that did not see its group"
        )
        return _Clips("out_of_fold", "out-of-fold (cross-validation in training)", kept=kept, note=note)
    note = f"{data}: has no test or validation clips; measured on all of them. {_LEARNED_FROM}"
    return _Clips("all", "all clips", dataset.examples, note=note)


def _kept_report(adapter: BaseModelAdapter, dataset: Dataset, stored: Mapping[str, Any]) -> EvaluationReport | None:
    """The report that training kept of these very clips; None where there is none of this form."""
    from adapters.data import clips_digest
    from adapters.evaluation import EvaluationReport

    content = stored.get("out_of_fold")
    if not isinstance(content, Mapping) or content.get("clips_digest") != clips_digest(dataset.examples):
        return None
    try:
        report = EvaluationReport.from_json(content)
    except ConfigError:
        return None
    return report if report.labels == adapter.labels else None
