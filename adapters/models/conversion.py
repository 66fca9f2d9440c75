"""Converting a model: one self-describing .tflite, measured against the program that it stands in for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.bundle import VARIANTS, golden_to_bytes, render_clip
from adapters.config import first_weights
from adapters.errors import ConversionError, WeightsError
from adapters.evaluation import GATES
from adapters.litert import with_description
from adapters.models.programs import get_program_at, make_program_bytes
from adapters.records import Clip, Float32Array, Precision, RequestedPrecision, as_precision
from adapters.reports import ConversionReport
from adapters.system import write_bytes_atomic

DEFAULT_AGREEMENT, UNBROKEN_AGREEMENT = 0.98, 0.8

if TYPE_CHECKING:
    from adapters.models.protocols import Convertible
    from adapters.models.state import AnyProgram
    from adapters.protocols import LiteRTProgram


def convert_model(
    adapter: Convertible,
    output_path: Path,
    quantize: RequestedPrecision,
    calibration: Sequence[Clip] | None,
    clips: Sequence[Clip] | None,
) -> ConversionReport:
    """Write a model as one file of a precision; see ``BaseModelAdapter.convert``.

    It is measured before anything is written: on clips, otherwise on the calibration clips, otherwise on rendered ones.
    The reference is the model's own program, or the float32 program if its own is of that precision already.

    Args:
        adapter: The model.
        output_path: The .tflite to write.
        quantize: The precision.
        calibration: Clips for int8.
        clips: Clips to measure on.

    Raises:
        ConversionError: The precision or file name is not allowed, int8 has no clips, an operator cannot be converted,
            or too few top labels agree.
        StorageError: The file cannot be written.
    """
    from adapters.litert import compare

    try:
        precision = as_precision(quantize)
    except ValueError as error:
        raise ConversionError(f'"quantize": {error}') from None
    if output_path.suffix.lower() != ".tflite":
        raise ConversionError(f'{output_path}: the converted file\'s name must end in ".tflite"')
    same = precision == adapter.config["quantize"]
    if precision == "int8" and not calibration and not same:
        raise ConversionError(
            "int8 needs calibration clips like those that the model will see, but none were given. "
            "Give some (cliplab convert --data DATASET), or use float16 or dynamic, which need none"
        )
    own = adapter.made_program()
    program = own.model_bytes if same else _program_bytes(adapter, precision, calibration or ())
    source = _float_program(adapter) or own if same and precision != "float32" else own
    chosen, origin = _clips_to_measure(adapter, calibration, clips)
    report = compare(
        _scores(adapter, adapter.open_program(source.model_bytes, 1)),
        _scores(adapter, adapter.open_program(program, 1, str(output_path))),
        [[clip] for clip in chosen],
        clip_origin=origin,
        output_path=output_path,
        quantize=precision,
        source_size_bytes=source.size_bytes,
        model=program,
        **_least_agreement(adapter, precision, clips),
    )
    write_bytes_atomic(output_path, with_description(program, describe_model(adapter, precision)))
    return report


def _least_agreement(adapter: Convertible, precision: Precision, clips: Sequence[Clip] | None) -> dict[str, Any]:
    """What is asked of labels on clips whose own labels are not known here."""
    least = adapter.config["min_agreement"]
    if least != DEFAULT_AGREEMENT:
        return {"min_agreement": least}
    # On calibration clips int8 must only not be broken: what it costs is measured on labelled clips (cliplab convert).
    return {
        "min_agreement": UNBROKEN_AGREEMENT if precision == "int8" and not clips else least,
        "allow_near_ties": True,
    }


def describe_model(adapter: Convertible, quantize: Precision) -> dict[str, object]:
    """The description that a .tflite carries: config, labels, the program's name, validation figures, golden digest.

    Args:
        adapter: The model.
        quantize: The precision of the file.

    Returns:
        JSON values.
    """
    config = {
        **adapter.config,
        "labels": list(adapter.labels),
        "head": adapter.network_config["head"],
        "quantize": quantize,
    }
    began = first_weights(config) or adapter.metrics.get("first_weights")
    return {
        **({} if began is None else {"first_weights": began}),
        "config": config,
        "labels": list(adapter.labels),
        "program": adapter.program_name(quantize),
        "metrics": validation_figures(adapter.metrics),
        "golden_sha256": hashlib.sha256(golden_to_bytes(adapter.golden())).hexdigest(),
    }


def validation_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures that training measured on its validation clips; empty without any.

    They are those of the float32 network; the conversion's report says how far a program of less precision differs.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Figures by the measures' names in GATES.
    """
    found = metrics.get("validation") or {}
    return {name: found[name] for name, _ in GATES.values() if isinstance(found.get(name), (int, float))}


def _program_bytes(adapter: Convertible, quantize: Precision, calibration: Sequence[Clip]) -> bytes:
    if quantize == "int8":
        return make_program_bytes(adapter, quantize, calibration)
    source = get_program_at(adapter, quantize)
    return source if isinstance(source, bytes) else source.read_bytes()


def _float_program(adapter: Convertible) -> LiteRTProgram | None:
    """The float32 program; None for a model that came without weights to make it from."""
    try:
        return adapter.open_program(get_program_at(adapter, "float32"), 1)
    except WeightsError:
        return None


def _clips_to_measure(
    adapter: Convertible, calibration: Sequence[Clip] | None, clips: Sequence[Clip] | None
) -> tuple[Sequence[Clip], str]:
    if clips:
        return clips, "given clips"
    if calibration:
        return calibration, "calibration clips"
    return [render_clip(adapter.input_spec, variant) for variant in range(VARIANTS)], "rendered clips"


def _scores(adapter: Convertible, program: AnyProgram) -> Callable[[Sequence[Clip]], Float32Array]:
    return lambda batch: np.stack([prediction.scores for prediction in adapter.predict_with(program, batch)])
