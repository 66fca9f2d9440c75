"""Whole networks in files of Keras (.h5, .keras): converted to a self-describing .tflite that predicts here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import BaseModelAdapter
from adapters.config import read_label_file
from adapters.errors import ConfigError, ConversionError
from adapters.inference import open_model
from adapters.records import Clip, Float32Array, RequestedPrecision, as_precision
from adapters.reports import ConversionReport
from adapters.system import atomic_path

if TYPE_CHECKING:
    from adapters.models.keras_model import KerasNetwork
    from adapters.models.tflite_classifier import TfliteClassifierAdapter

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
OnProgress = Callable[[str, int, int], object]
OnNote = Callable[[str], object]


def is_keras_file(model: object) -> bool:
    """Whether a model is named as Keras names its files."""
    return isinstance(model, (str, Path)) and Path(model).suffix.lower() in KERAS_SUFFIXES


def convert_keras(
    path: Path,
    output: Path,
    quantize: RequestedPrecision,
    data: str | Path | None,
    overrides: Mapping[str, Any],
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> ConversionReport:
    """Convert a whole Keras network, and measure the file against its float32 program.

    Args:
        path: The .h5 or .keras file.
        output: The .tflite to write.
        quantize: The precision.
        data: Labelled clips: train calibrates int8, the other splits are compared on. None: rendered clips.
        overrides: ``labels``, a list or a label file, is required; and keys of a classifier from elsewhere, such as
            ``mean``, ``scale`` and ``positive_label``.
        on_progress: Called with the stage's name, the clips done and the clips in all.
        on_note: Receives a sentence about each thing that the file does not say and that was assumed.

    Raises:
        ConfigError: There are no labels, or they do not fit the outputs.
        WeightsError: The file is damaged, or has layers that are unknown here.
        ConversionError: int8 has no clips, or too few labels agree.
        MissingExtraError: TensorFlow is not installed.
    """
    from adapters.models.keras_model import read_keras_model

    keys = dict(overrides)
    size, precision = keys.get("imgz"), as_precision(quantize)
    network = read_keras_model(path, size if isinstance(size, int) else None)
    names = _labels(keys.pop("labels", None), network, path, on_note)
    if precision == "int8" and data is None:
        raise ConversionError(
            "int8 needs calibration clips like those that the model will see, but none were given. "
            "Give some (cliplab convert --data DATASET), or use float16 or dynamic, which need none"
        )
    with tempfile.TemporaryDirectory(prefix="cliplab_") as folder, atomic_path(output, suffix=".tflite") as unproven:
        plain = Path(folder) / "float32.tflite"
        model = _adopted(network.program(), names, keys, plain, path, on_note)
        if precision == "float32":
            unproven.write_bytes(plain.read_bytes())
        else:
            samples = _samples(model, data, on_progress) if precision == "int8" and data is not None else None
            _adopted(network.program(precision, samples), names, keys, unproven, path)
        return _measure(model, unproven, output, data, on_progress)


def _labels(given: Any, network: KerasNetwork, path: Path, on_note: OnNote | None) -> Sequence[str]:
    if given is None:
        raise ConfigError(
            f"{path}: does not say what its {network.outputs} outputs mean. List the "
            'classes in their order, two for one output: --set labels=labels.txt, or --set \'labels=["content", '
            '"ad"]\' and, for one output, --set positive_label=ad'
        )
    if isinstance(given, (str, Path)):
        return read_label_file(given, on_note)
    return list(given)


def _adopted(
    program: bytes, labels: Sequence[str], keys: dict[str, Any], target: Path, path: Path, on_note: OnNote | None = None
) -> TfliteClassifierAdapter:
    """Write a program as a self-describing .tflite, and open it."""
    from adapters.models.tflite_classifier import TfliteClassifierAdapter, adopt_tflite

    with tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
        plain = Path(folder) / f"{path.stem}.tflite"
        plain.write_bytes(program)
        found = adopt_tflite(plain, labels, target, keys)
    if on_note is not None:
        for text in found.assumed:
            on_note(f"{path}: {text}")
    model = TfliteClassifierAdapter({**found.config, "num_threads": 1})
    model.load(target)
    return model


def _samples(
    model: TfliteClassifierAdapter, data: str | Path, on_progress: OnProgress | None
) -> Iterator[Float32Array]:
    from cliplab.models.measure import read_clips

    clips: list[Clip] = read_clips(model, data, ("train",), model.config["calibration_clips"], on_progress)
    return (item[None] for clip in clips for item in model.program_inputs(clip))


def _measure(
    model: BaseModelAdapter, converted: Path, output: Path, data: str | Path | None, on_progress: OnProgress | None
) -> ConversionReport:
    from cliplab.models.held_out import held_out_windows
    from cliplab.models.measure import compare_models, rendered_clips

    clips: Sequence[Clip]
    if data is None:
        clips, origin = rendered_clips(model), "rendered clips"
    else:
        clips, origin = held_out_windows(model, data, on_progress)
    other = open_model(converted, {"num_threads": 1})
    least = model.config["min_agreement"]
    return compare_models(model, other, clips, clip_origin=origin, output_path=str(output), min_agreement=least)
