"""`cliplab train` and `cliplab finetune`: a bundle, or one self-describing .tflite, from labelled clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter, OnEpochEnd, OnProgress, TrainOptions
from adapters.config import check_config, key_effect, merge_config, with_own_names
from adapters.errors import ConfigError
from adapters.inference import FINETUNE_KEYS, open_model
from adapters.records import Devices
from adapters.reports import EpochLog, TrainReport
from cliplab.models.source import ModelSource, is_stored, is_weights_file

OnLine = Callable[[str], object]
# A head that may take more epochs than this, or is solved in iterations, has a line for the first and each tenth.
EPOCHS_WITH_LINES = 50
EPOCHS_PER_LINE = 10


def train(
    config: ModelSource,
    data: str | Path,
    output: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    base_model: str | Path | None = None,
    additional_data: str | Path | None = None,
    devices: Devices = 1,
    cross_validate: bool = False,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_epoch_end: OnEpochEnd | None = None,
    on_progress: OnProgress | None = None,
    on_line: OnLine | None = None,
) -> TrainReport:
    """Train a model from its config and pretrained weights on labelled clips, and write its bundle.

    If interrupted, call it again with the same arguments to resume.

    Args:
        config: A config file, a ready config's name, or the config itself.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        output: A bundle directory; or X.tflite for one self-describing file of the config's precision, whose bundle is
            kept beside it as X.
        overrides: Config keys to change.
        base_model: The file of weights to begin from; the same as the key ``weights``.
        additional_data: More labelled clips of the same classes, such as hard examples from devices; see
            ``with_additional``.
        devices: How many GPUs share each batch, or "all".
        cross_validate: First refit the head for each fold of whole groups of all clips, and measure it on the others,
            as ``evaluate`` does; the report has the figures.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_epoch_end: Called with each epoch's ``EpochLog``; returning False stops the training.
        on_progress: Called with the stage's name, the steps done and the steps in all.
        on_line: Called with a line of text for the device and its memory, the number of clips, and the losses and
            accuracies of each epoch; of each tenth where there may be more than 50, or where the head is solved.

    Returns:
        Every epoch, the best one, why training ended, and the clips that could not be read. For a single file, also how
        far its scores are from those of the float32 network.

    Raises:
        ConfigError: A key is wrong, or config is a model that is already trained.
        DatasetError: The clips are not usable.
        TrainingError: Training failed.
        StorageError: The output exists, or cannot be written.
    """
    from cliplab.models.single_file import require_places

    require_places(output, force)
    if not isinstance(config, Mapping) and is_stored(config):
        raise ConfigError(
            f"{config}: is a trained model. Continue from its weights with cliplab finetune, or give a config to train"
        )
    if base_model is not None:
        overrides = _with_base_model(dict(overrides or {}), Path(base_model))
    if additional_data is not None:
        from cliplab.models.additional_data import with_additional

        data = with_additional(data, additional_data, output)
    cross_validated = {}
    if cross_validate:
        cross_validated = _cross_validated(config, data, overrides, trust_adapters, on_progress)
    report = _train(
        open_model(config, overrides, trust_adapters), data, output, devices, on_epoch_end, on_progress, on_line
    )
    return replace(report, cross_validated=cross_validated)


def _cross_validated(
    config: ModelSource,
    data: str | Path,
    overrides: Mapping[str, Any] | None,
    trust_adapters: Sequence[str],
    on_progress: OnProgress | None,
) -> dict[str, Any]:
    """The figures of ``cliplab evaluate --cross-validate``, without the points of its plots."""
    from cliplab.models.evaluation import evaluate

    def progress(stage: str, seconds: float, length: float | None, done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(f"cross-validation: {stage}", done, total)

    found = evaluate(
        config,
        data,
        cross_validate="folds",
        overrides=overrides,
        trust_adapters=trust_adapters,
        on_progress=progress,
    )
    left_out = ("mistakes", "curves", "gate_failures")
    return {name: value for name, value in found.to_json().items() if name not in left_out}


def _with_base_model(overrides: dict[str, Any], base_model: Path) -> dict[str, Any]:
    if "weights" in overrides:
        raise ConfigError(f'a base model is given as {base_model} and as "weights" {overrides["weights"]!r}. Keep one')
    if base_model.is_dir() and (base_model / "config.json").exists():
        raise ConfigError(f"{base_model}: is a trained model. Continue from its weights with cliplab finetune")
    return {**overrides, "weights": str(base_model)}


def finetune(
    model: str | Path | None,
    data: str | Path,
    output: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    base_model: str | Path | None = None,
    devices: Devices = 1,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_epoch_end: OnEpochEnd | None = None,
    on_progress: OnProgress | None = None,
    on_line: OnLine | None = None,
) -> TrainReport:
    """Train a saved model further, from its weights, on other labelled clips of the same labels.

    The model itself is not changed. If interrupted, call it again with the same arguments to resume.

    Args:
        model: A bundle with weights; or a file of weights (.h5, .keras, .pth, .safetensors) of a network that is known
            here, whose classes are new: the head is trained first. None where base_model is given.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        output: A new bundle directory, or X.tflite, as for ``train``.
        overrides: Runtime keys and those of training (``FINETUNE_KEYS``), for example {"fine_tune_layers": 20}.
        base_model: The same as model, by the name that train has for it.
        devices: How many GPUs share each batch, or "all".
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_epoch_end: Called with each epoch's ``EpochLog``; returning False stops the training.
        on_progress: Called with the stage's name, the steps done and the steps in all.
        on_line: Called with a line of text for the device, the clips, and each epoch, as for ``train``.

    Returns:
        The same report as ``train``.

    Raises:
        ConfigError: A key shapes the network, or model is not a trained model.
        BundleError: The model is damaged.
        DatasetError: The clips are not usable.
        TrainingError: Training failed.
        StorageError: The output exists, or cannot be written.
    """
    from cliplab.models.single_file import require_places

    require_places(output, force)
    if (model is None) == (base_model is None):
        raise ConfigError(
            f"one model is required to start from, got {model} and the base model {base_model}. Give only one"
        )
    model = base_model if model is None else model
    assert model is not None
    if is_weights_file(model):
        from adapters.models import config_of_weights

        own = config_of_weights(Path(model))
        adapter = open_model(own, overrides, trust_adapters)
        return _train(adapter, data, output, devices, on_epoch_end, on_progress, on_line)
    if not is_stored(model):
        raise ConfigError(
            f"{model}: is not a trained model to start from. Give a bundle directory, or use cliplab train"
        )
    adapter = open_model(model, trust_adapters=trust_adapters)
    given = with_own_names(overrides or {}, adapter.config["adapter"])
    for key in given:
        if key in adapter.config and key not in FINETUNE_KEYS and key_effect(type(adapter), key) != "runtime":
            raise ConfigError(
                f'{model}: "{key}" shapes the network, and fine-tuning keeps it: it is {adapter.config[key]!r}, got '
                f"{given[key]!r}. Remove it, or train a new model with it"
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
    """Train, and report each epoch to on_progress as a stage and to on_line as a line."""
    from adapters.training import GPU_ADVICE, describe_devices, describe_processor
    from cliplab.models.single_file import bundle_path, is_single_file, write_single_file

    adapter.require_weights()  # before TensorFlow is imported for its devices, which takes many seconds
    solved = adapter.solves_head(devices)
    if on_line is not None:
        found = describe_processor() if solved else describe_devices(devices)
        on_line(f"device: {found}")
        if devices == "all" and "GPU" not in found:
            on_line(f"warning: --devices all (--multi-gpu) found no GPU, so training uses the processor. {GPU_ADVICE}")
    most = {"head": adapter.config["num_epochs"], "fine_tune": adapter.config["fine_tune_epochs"]}

    def epoch_done(log: EpochLog) -> object:
        is_iteration = solved and log.phase == "head"
        many = is_iteration or most[log.phase] > EPOCHS_WITH_LINES
        if on_line is not None and not (many and log.epoch and (log.epoch + 1) % EPOCHS_PER_LINE):
            on_line(iteration_line(log) if is_iteration else epoch_line(log, most[log.phase]))
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
    """One epoch as a line of text: losses and accuracies in train and validation, and whether it is the best so far.

    Args:
        log: The epoch.
        epochs: How many epochs its phase has at most.
    """
    name = "fine-tuning epoch" if log.phase == "fine_tune" else "epoch"
    return f"{name} {log.epoch + 1}/{epochs}: {_losses(log)}" + (" (best)" if log.best else "")


def iteration_line(log: EpochLog) -> str:
    """One iteration of a head's solver as a line of text, which ends where the loss no longer falls."""
    return f"iteration {log.epoch + 1}: {_losses(log)}"


def _losses(log: EpochLog) -> str:
    line = f"train loss {log.loss:.4f}, accuracy {log.accuracy:.2%}"
    if log.val_loss is None or log.val_accuracy is None:
        return line
    return f"{line}; validation loss {log.val_loss:.4f}, accuracy {log.val_accuracy:.2%}"
