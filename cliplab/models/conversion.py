"""`cliplab convert` and `cliplab verify`: one self-describing .tflite, compared with the model that it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, ConversionError
from adapters.inference import open_model
from adapters.models.conversion import DEFAULT_AGREEMENT
from adapters.records import RequestedPrecision, as_precision, take_evenly
from adapters.reports import ConversionReport
from adapters.system import atomic_path
from cliplab.models.keras_files import convert_keras, is_keras_file
from cliplab.models.source import ModelSource, name_list
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from cliplab.models.held_out import HeldOut

STATE_DICT_SUFFIXES = (".pth", ".pt")
FIRST_LOOK_CLIPS = 8  # on which a program that is not calibrated runs before it is measured


def convert(
    model: ModelSource,
    output: str | Path,
    *,
    quantize: RequestedPrecision = "float32",
    data: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    keep_in_bundle: bool = False,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: Callable[[str, int, int], object] | None = None,
    on_note: Callable[[str], object] | None = None,
) -> ConversionReport | StateDictReport:
    """Write a model as one self-describing .tflite and compare it with the model's own program.

    Args:
        model: A bundle directory, a .tflite, a config file, a ready config's name, or the config itself. Or a whole
            network of Keras (.h5, .keras), converted as ``adopt`` takes a .tflite: ``overrides`` name its ``labels``.
        output: The file to write; its name ends in .tflite. A name that ends in .pth or .pt asks for the weights alone,
            as a PyTorch state dict in float32.
        quantize: "float32", "float16", "dynamic" or "int8".
        data: Labelled clips. int8 is calibrated on the train split (at most ``calibration_clips``), and the report
            compares on windows of the other splits (``held_out_windows``). None compares on rendered clips.
        overrides: Config keys to change.
        keep_in_bundle: Also write the program, with what was measured, into the bundle that it was made of, where
            ``scan`` with precision "auto" or its own finds it. The bundle's own program stays; its digest changes.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with the stage's name, the clips done and the clips in all.
        on_note: Receives a sentence about each thing that a Keras file does not say and that was assumed.

    Returns:
        Sizes, speeds, score differences and the share of windows whose top label is the same. For a state dict, its
        tensors and the order of the labels.

    Raises:
        ConfigError: A key is wrong, output has another ending, or keep_in_bundle is asked for what is not a bundle.
        WeightsError: A state dict is asked for, and the model came without weights.
        ConversionError: The accuracy on labelled windows drops by more than ``max_accuracy_drop`` and by more than
            chance, or fewer than ``min_agreement`` of the windows keep their label where the config asks for that.
        DatasetError: The clips are not usable.
        StorageError: The output exists, or cannot be written.
    """
    suffix = Path(output).suffix.lower()
    if suffix not in (".tflite", *STATE_DICT_SUFFIXES):
        raise ConfigError(
            "output must be a file whose name ends in .tflite, or in .pth or .pt for a PyTorch state dict, got "
            f"{str(output)!r}"
        )
    require_new(output, force)
    if keep_in_bundle:
        return _convert_and_keep(model, output, quantize, data, overrides, trust_adapters, on_progress)
    if not isinstance(model, Mapping) and is_keras_file(model):
        if suffix != ".tflite":
            raise ConfigError(
                f"{model}: is a Keras network, which can only be converted to X.tflite, got {str(output)!r}"
            )
        return convert_keras(Path(model), Path(output), quantize, data, overrides or {}, on_progress, on_note)
    adapter = open_model(model, overrides, trust_adapters)
    if suffix != ".tflite":
        return _write_torch(adapter, Path(output), quantize)
    if data is None:
        return adapter.convert(output, quantize)
    return convert_measured(
        model, output, quantize, data, overrides=overrides, trust_adapters=trust_adapters, on_progress=on_progress
    )


def _convert_and_keep(
    model: ModelSource,
    output: str | Path,
    quantize: RequestedPrecision,
    data: str | Path | None,
    overrides: Mapping[str, Any] | None,
    trust_adapters: Sequence[str],
    on_progress: Callable[[str, int, int], object] | None,
) -> ConversionReport:
    from cliplab.models.kept_programs import keep_program, require_bundle

    bundle = require_bundle(model)
    if Path(output).suffix.lower() != ".tflite":
        raise ConfigError(f"keep_in_bundle is only for a program, X.tflite, got {str(output)!r}")
    changed = sorted(set(overrides or {}) - {"max_accuracy_drop", "min_agreement", "calibration_clips", "num_threads"})
    if changed:
        raise ConfigError(
            f"keep_in_bundle: the program must use the bundle's own config, but {changed[0]!r} changes it"
        )
    adapter = open_model(bundle, overrides, trust_adapters)
    if as_precision(quantize) == as_precision(adapter.config["quantize"]):
        raise ConfigError(f"keep_in_bundle: {quantize} is already the precision of the bundle's own program")
    if data is None:
        report = adapter.convert(output, quantize)
    else:
        report = convert_measured(
            model, output, quantize, data, overrides=overrides, trust_adapters=trust_adapters, on_progress=on_progress
        )
    keep_program(bundle, Path(output), report)
    return report


def convert_measured(
    model: ModelSource,
    output: str | Path,
    quantize: RequestedPrecision,
    data: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    trust_adapters: Sequence[str] = (),
    on_progress: Callable[[str, int, int], object] | None = None,
) -> ConversionReport:
    """Write a model as one self-describing .tflite, measured on labelled clips that it was not trained on.

    Args:
        model: As for ``convert``, without networks of Keras.
        output: The .tflite to write; what is there is replaced.
        quantize: As for ``convert``.
        data: As for ``convert``.
        overrides: As for ``convert``; ``min_agreement`` is a gate only where it is among them.
        trust_adapters: As for ``convert``.
        on_progress: As for ``convert``.

    Raises:
        ConversionError: As ``convert``.
        DatasetError: There are no clips of validation or test, or none of training for int8.
    """
    from cliplab.models.held_out import labelled_windows
    from cliplab.models.measure import read_clips

    adapter = open_model(model, overrides, trust_adapters)
    held = labelled_windows(adapter, data, on_progress)
    if quantize == "int8":
        calibration = read_clips(adapter, data, ("train",), adapter.config["calibration_clips"], on_progress)
    else:
        calibration = take_evenly(held.clips, min(FIRST_LOOK_CLIPS, len(held.clips)))  # nothing is calibrated
    with atomic_path(output, suffix=".tflite") as unproven:
        try:
            adapter.convert(unproven, quantize, calibration)
        except ConversionError as error:  # it knows the temporary file alone
            raise ConversionError(str(error).replace(str(unproven), str(output))) from error
        return _compare(
            open_model(model, {**(overrides or {}), "num_threads": 1}, trust_adapters),
            open_model(unproven, {"num_threads": 1}, trust_adapters),
            held,
            output,
            adapter.config["min_agreement"] if "min_agreement" in (overrides or {}) else None,
        )


@dataclass(frozen=True)
class StateDictReport:
    """Weights that were written as a PyTorch state dict.

    Attributes:
        output_path: The file.
        tensors: How many tensors it has.
        parameters: How many numbers they hold.
        head: The last tensors, those of the head, with their shapes.
        labels: The classes in the order of the head's outputs.
        positive_label: The class whose logit is the one output; None where each class has its own.
        size_bytes: The size of the file.
    """

    output_path: str
    tensors: int
    parameters: int
    head: dict[str, tuple[int, ...]]
    labels: tuple[str, ...]
    positive_label: str | None
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        head = {name: list(shape) for name, shape in self.head.items()}
        return {**vars(self), "head": head, "labels": list(self.labels)}


def _write_torch(adapter: BaseModelAdapter, output: Path, quantize: RequestedPrecision) -> StateDictReport:
    """Write the weights, and read them back."""
    from adapters.models.weights import read_state_dict, write_state_dict

    if as_precision(quantize) != "float32":
        raise ConfigError(f'{output}: a state dict holds float32 weights, got "quantize" {quantize!r}. Leave it out')
    state = adapter.torch_state()
    with atomic_path(output, suffix=output.suffix) as unproven:
        write_state_dict(unproven, state)
        found = read_state_dict(unproven.read_bytes(), str(output))
        if list(found) != list(state) or any(found[name].tobytes() != value.tobytes() for name, value in state.items()):
            raise ConversionError(f"{output}: the values read back differ from those written. Write it again")
    last = list(state)[-2:]
    hidden = [name for name in state if name.partition(".")[0] == last[-1].partition(".")[0]]
    return StateDictReport(
        output_path=str(output),
        tensors=len(state),
        parameters=sum(int(value.size) for value in state.values()),
        head={name: state[name].shape for name in (hidden if "." in last[-1] else last)},
        labels=adapter.labels,
        positive_label=adapter.config["positive_label"],
        size_bytes=output.stat().st_size,
    )


def verify(
    source: ModelSource,
    converted: ModelSource,
    *,
    data: str | Path | None = None,
    min_agreement: float | None = None,
    trust_adapters: Sequence[str] = (),
    on_progress: Callable[[str, int, int], object] | None = None,
) -> ConversionReport:
    """Compare any two models of the same labels: score differences, agreement, size and speed.

    Args:
        source: The reference: a bundle directory or a .tflite.
        converted: The model to compare with it.
        data: Labelled clips, of which the windows of the validation and test splits are compared; None compares on
            rendered clips.
        min_agreement: Minimum share, 0..1, of windows whose top label must be the same; None is what the source's
            config asks for: with labelled clips a drop in accuracy of at most ``max_accuracy_drop``.
        trust_adapters: Adapters of other packages that the models may name, "module:Class" each; their code is run.
        on_progress: Called with the stage's name, the clips done and the clips in all.

    Returns:
        Sizes, speeds, score differences and agreement.

    Raises:
        ConfigError: The labels differ.
        ConversionError: The agreement is lower than min_agreement, or the accuracy drops too far.
        DatasetError: The clips are not usable.
    """
    from cliplab.models.held_out import HeldOut, labelled_windows
    from cliplab.models.measure import rendered_clips

    one = open_model(source, {"num_threads": 1}, trust_adapters)
    other = open_model(converted, {"num_threads": 1}, trust_adapters)
    if one.labels != other.labels:
        raise ConfigError(
            f"the labels differ: {name_list(one.labels)} against {name_list(other.labels)}. Compare models with the "
            "same labels"
        )
    if data is None:
        held = HeldOut(rendered_clips(one), [], "rendered clips")
    else:
        held = labelled_windows(one, data, on_progress)
    return _compare(one, other, held, converted, min_agreement)


def _compare(
    source: BaseModelAdapter,
    converted: BaseModelAdapter,
    held: HeldOut,
    path: ModelSource,
    min_agreement: float | None,
) -> ConversionReport:
    """min_agreement: what the caller asks for; None for what the config asks for, which by default is accuracy."""
    from cliplab.models.accuracy_drop import drop_measure
    from cliplab.models.measure import compare_models

    labelled = bool(held.examples)
    least, asked = source.config["min_agreement"], min_agreement
    if asked is None and least != DEFAULT_AGREEMENT:
        asked = least
    report = compare_models(
        source,
        converted,
        held.clips,
        clip_origin=held.origin,
        output_path=str(path),
        min_agreement=asked if asked is not None else 0.0 if labelled else least,
        allow_near_ties=asked is None,
        accuracy=drop_measure(source, held.examples) if labelled else None,
        max_accuracy_drop=source.config["max_accuracy_drop"],
    )
    return replace(report, source_clips=len({example.key() for example in held.examples})) if labelled else report
