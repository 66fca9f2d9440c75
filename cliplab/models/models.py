"""What a person does with a model: predict, train, fine-tune, evaluate, convert, verify. Each is a command too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import BaseModelAdapter, OnEpochEnd, OnProgress, TrainOptions
from adapters.config import check_config, key_effect, merge_config
from adapters.errors import ConfigError
from adapters.hosts.results import SHAPES, Shape, to_pipeline
from adapters.inference import FINETUNE_KEYS, OnVideoProgress, open_model, predict_videos
from adapters.records import Devices, Segment, VideoResult
from adapters.reports import EpochLog, TrainReport
from cliplab.library import find_videos
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from adapters.evaluation import EvaluationReport

Source = str | Path | Mapping[str, Any]
OnLine = Callable[[str], object]


# Predict ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PredictReport:
    """What every video gave. segments: one tuple a result, where they were asked for. shape: that of ``to_json``."""

    results: tuple[VideoResult, ...]
    top_k: int
    segments: tuple[tuple[Segment, ...], ...] | None = None
    shape: Shape = "rows"

    @property
    def failed(self) -> int:
        """How many videos could not be read."""
        return sum(result.error is not None for result in self.results)

    def to_json(self) -> list[Any]:
        """A row a video; in the shape "hf" a list of {"score", "label"} each, and None for one that failed."""
        if self.shape == "hf":
            return [None if result.error else to_pipeline(result, self.top_k) for result in self.results]
        rows = [result.to_json(self.top_k) for result in self.results]
        for row, found in zip(rows, self.segments or (), strict=False):
            row["segments"] = [asdict(segment) for segment in found]
        return rows


def predict(
    model: Source,
    videos: Sequence[str | Path],
    *,
    overrides: Mapping[str, Any] | None = None,
    window_seconds: float | None = None,
    stride_seconds: float | None = None,
    top_k: int | None = None,
    segments: str | None = None,
    shape: Shape = "rows",
    output: str | Path | None = None,
    force: bool = False,
    on_progress: OnVideoProgress | None = None,
) -> PredictReport:
    """Predict videos with a bundle, a self-describing .tflite, a config or a ready config's name.

    videos: files, folders (every video below them) and patterns. A video that cannot be read is a result with an error.
    window_seconds, stride_seconds, top_k: short for these keys of overrides. segments: a label; its scores become
    segments by the config's threshold, smoothing_seconds, min_segment_seconds and merge_gap_seconds.
    shape: of the report's JSON, "rows" or, as Hugging Face's video-classification pipeline gives it, "hf".
    output: a JSON file to write the rows to. Raises ConfigError, BundleError, WeightsError, StorageError.
    """
    require_new(output, force)
    if shape not in SHAPES:
        raise ConfigError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    if shape == "hf" and segments is not None:
        raise ConfigError("segments have no place in the shape hf. Ask for one of them")
    short = {"window_seconds": window_seconds, "stride_seconds": stride_seconds, "top_k": top_k}
    adapter = open_model(model, {**(overrides or {}), **{k: v for k, v in short.items() if v is not None}})
    if segments is not None and segments not in adapter.labels:
        raise ConfigError(f"segments: {segments!r} is not a label of this model; its labels: {some(adapter.labels)}")
    results = tuple(predict_videos(adapter, find_videos(videos), on_progress=on_progress))
    found = None if segments is None else tuple(tuple(find_segments(adapter, item, segments)) for item in results)
    report = PredictReport(results, adapter.config["top_k"], found, shape)
    if output is not None:
        from adapters.system import write_json_atomic

        write_json_atomic(output, report.to_json())
    return report


def find_segments(adapter: BaseModelAdapter, result: VideoResult, label: str) -> list[Segment]:
    """The segments of one label in one video's predictions, by the adapter's config."""
    from adapters.inference import scores_to_segments

    if not result.predictions:
        return []
    keys = ("threshold", "smoothing_seconds", "min_segment_seconds", "merge_gap_seconds")
    return scores_to_segments(result.predictions, label, **{key: adapter.config[key] for key in keys})


def some(names: Sequence[str]) -> str:
    """The first names of a long list, for messages."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


# Train --------------------------------------------------------------------------------------------------------------


def train(
    config: Source,
    data: str | Path,
    output: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    devices: Devices = 1,
    force: bool = False,
    on_epoch_end: OnEpochEnd | None = None,
    on_progress: OnProgress | None = None,
    on_line: OnLine | None = None,
) -> TrainReport:
    """Train a model from its config and pretrained weights on labelled clips, and write its bundle to output.

    output: a bundle directory, or X.tflite for one self-describing file of the config's precision; its bundle is then
    kept beside it as X, and the report says how far the file's scores are from the float32 network's.
    devices: how many GPUs share each batch, or "all".

    config: a config file, a ready config's name or the object. data: a dataset in any form. Interrupted training goes
    on where it stopped when called again with the same arguments. on_epoch_end(log) may return False to stop.
    on_line is told the device with its memory, how many clips there are, then each epoch's losses and accuracies, a
    line of text each.
    Raises ConfigError, DatasetError, TrainingError, StorageError.
    """
    from cliplab.models.single_file import require_places

    require_places(output, force)
    if not isinstance(config, Mapping) and _is_stored(config):
        raise ConfigError(
            f"{config}: is a trained model. Go on from its weights with finetune, or name a config to train"
        )
    return _train(open_model(config, overrides), data, output, devices, on_epoch_end, on_progress, on_line)


def finetune(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    devices: Devices = 1,
    force: bool = False,
    on_epoch_end: OnEpochEnd | None = None,
    on_progress: OnProgress | None = None,
    on_line: OnLine | None = None,
) -> TrainReport:
    """Train a stored model further, from its weights, on other labelled clips of the same labels.

    model: a bundle with weights. overrides: runtime keys and those of training (FINETUNE_KEYS), e.g.
    {"fine_tune_layers": 20}. The bundle itself is not altered: output is a new one, or X.tflite. output, devices and
    what is raised as for ``train``.
    """
    from cliplab.models.single_file import require_places

    require_places(output, force)
    if not _is_stored(model):
        raise ConfigError(f"{model}: is no trained model to go on from. Name a bundle directory, or use train")
    adapter = open_model(model)
    given = dict(overrides or {})
    for key in given:
        if key in adapter.config and key not in FINETUNE_KEYS and key_effect(type(adapter), key) != "runtime":
            raise ConfigError(
                f'{model}: "{key}" shapes the network, and fine-tuning keeps it: it is {adapter.config[key]!r}, got '
                f"{given[key]!r}. Leave it out, or train a model with it"
            )
    adapter.config = check_config(merge_config(adapter.config, given), str(model))
    return _train(adapter, data, output, devices, on_epoch_end, on_progress, on_line)


def _train(
    adapter: BaseModelAdapter,
    data: str | Path,
    output: str | Path,
    devices: Devices,
    on_epoch_end: OnEpochEnd | None,
    on_progress: OnProgress | None,
    on_line: OnLine | None,
) -> TrainReport:
    """Train, with each epoch told to on_progress as a stage as well, and to on_line as a line."""
    from adapters.training import describe_devices
    from cliplab.models.single_file import bundle_path, is_single_file, write_single_file

    if on_line is not None:
        on_line(f"device: {describe_devices(devices)}")
    most = {"head": adapter.config["num_epochs"], "fine_tune": adapter.config["fine_tune_epochs"]}

    def epoch_done(log: EpochLog) -> object:
        if on_line is not None:
            on_line(epoch_line(log, most[log.phase]))
        if on_progress is not None:
            validation = "" if log.val_loss is None else f", validation {log.val_loss:.3f}"
            name = "fine-tuning" if log.phase == "fine_tune" else "training"
            on_progress(f"{name}, loss {log.loss:.3f}{validation}", log.epoch + 1, most[log.phase])
        return None if on_epoch_end is None else on_epoch_end(log)

    report = adapter.train(data, bundle_path(output), epoch_done, TrainOptions(on_progress, on_line, devices))
    if not is_single_file(output):
        return report
    conversion = write_single_file(adapter, data, output, on_progress)
    return replace(report, output_path=str(output), conversion=conversion)


def epoch_line(log: EpochLog, epochs: int) -> str:
    """One epoch in a line: losses and accuracies in train and validation, and whether it is the best until then."""
    name = "fine-tuning epoch" if log.phase == "fine_tune" else "epoch"
    line = f"{name} {log.epoch + 1}/{epochs}: train loss {log.loss:.4f}, accuracy {log.accuracy:.2%}"
    if log.val_loss is not None and log.val_accuracy is not None:
        line += f"; validation loss {log.val_loss:.4f}, accuracy {log.val_accuracy:.2%}"
    return line + (" (best)" if log.best else "")


def _is_stored(model: str | Path) -> bool:
    return Path(model).is_dir() or Path(model).suffix.lower() == ".tflite"


# Evaluate -----------------------------------------------------------------------------------------------------------


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
    model: Source,
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
