"""tf_keras to LiteRT, quantised or not, and a measured comparison of a program with its source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from adapters.errors import ConversionError
from adapters.litert.dynamic_weights import with_8_bit_weights
from adapters.litert.graph import operators
from adapters.litert.int8 import In8Bits, Observer, with_8_bit_layers
from adapters.litert.runtime import xnnpack_partitions
from adapters.records import Precision, RequestedPrecision, as_precision
from adapters.reports import ConversionReport
from adapters.system import CapturedLog, captured_stderr, import_tensorflow, warnings_only

__all__ = ["compare", "operators", "to_litert", "xnnpack_partitions"]

Float32Array = npt.NDArray[np.float32]
Batch = TypeVar("Batch")

INPUT_NAME = "images"


def to_litert(
    model: Any,
    batch_shape: Sequence[int],
    quantize: RequestedPrecision = "float32",
    calibration: Iterable[Float32Array] | None = None,
    output_name: str = "scores",
    in_8_bits: In8Bits | None = None,
) -> bytes:
    """Convert a tf_keras model to a LiteRT program of one fixed input shape, built-in operators only.

    model: a tf_keras.Model, or any callable that maps one float32 tensor of batch_shape to a tensor or a dict of
        tensors and has its variables in ``.variables``. Dropout and batch normalisation run in inference mode.
    batch_shape: the whole input shape, such as (1, 224, 224, 3).
    quantize: ``float32``, or ``none`` for the same; ``float16`` weights stored as float16 and computed as float32;
        ``dynamic`` weights stored as int8 and computed as float32; ``int8`` weights and activations int8. Inputs and
        outputs are float32 in every case.
    calibration: for int8, float32 batches of batch_shape that look like real input; a hundred or so are enough.
    output_name: what the output is called where the model has one output without a name; a dict keeps its keys.
    in_8_bits: for int8, which 1x1 convolutions alone compute in 8 bits, from the name of what they give, which begins
        with TensorFlow's name scope. None: every operator that can.

    Returns the .tflite's bytes, with one signature, "serving_default", whose input is "images". Raises ConversionError
    where int8 has no calibration, a batch is misshapen, or an operator is not built in.
    """
    precision = _check(batch_shape, quantize)
    if precision == "int8" and calibration is None:
        raise ConversionError(
            'quantize "int8" was asked for without calibration data. Give float32 batches of real input as '
            'calibration, or use "dynamic" or "float16", which need none.'
        )
    shape = tuple(batch_shape)
    batches = _batches(calibration, shape)
    if precision == "dynamic":
        return with_8_bit_weights(_convert(model, shape, "float32", batches, output_name))
    if precision == "int8" and in_8_bits is not None:
        program = _convert(model, shape, "float32", batches, output_name)
        observer = Observer(program, in_8_bits)
        for batch in batches:
            observer.run({INPUT_NAME: batch})
        return with_8_bit_layers(program, in_8_bits, observer.ranges)
    return _convert(model, shape, precision, batches, output_name)


def _convert(
    model: Any, shape: tuple[int, ...], quantize: Precision, batches: Iterator[Float32Array], output_name: str
) -> bytes:
    tensorflow = import_tensorflow()

    def serve(images: Any) -> dict[str, Any]:
        outputs = model(images, training=False) if hasattr(model, "layers") else model(images)
        return dict(outputs) if isinstance(outputs, dict) else {output_name: outputs}

    signature = [tensorflow.TensorSpec(shape, tensorflow.float32, name=INPUT_NAME)]
    function = tensorflow.function(serve, input_signature=signature, autograph=False)
    module = tensorflow.Module()
    # The variables and not the model: saving a Keras model traces every layer again, which takes ten times as long.
    module.kept = list(model.variables)
    log = None
    try:
        with captured_stderr() as log, warnings_only("tensorflow"):
            # The converter writes a SavedModel itself; it reads one that it is given once more.
            converter = tensorflow.lite.TFLiteConverter.from_concrete_functions(
                [function.get_concrete_function()], module
            )
            _set_precision(tensorflow, converter, quantize, batches)
            return bytes(converter.convert())
    except ConversionError:
        raise
    except Exception as error:  # the converter raises many types, and its reasons are in their text
        raise ConversionError(
            f"the model could not be converted to LiteRT {list(shape)} {quantize!r}: {converter_reason(error, log)}. "
            "Allowed are operators that LiteRT has built in; replace the layer that is named, or convert without "
            "quantisation to see whether that is the cause."
        ) from error


def converter_reason(error: Exception, log: CapturedLog | None) -> str:
    """Why TensorFlow's converter failed, in one line: its exception's first line and the last one that it printed."""
    reason = str(error).strip().splitlines() or [type(error).__name__]
    detail = log.text.strip().splitlines()[-1:] if log else []
    return f"{reason[0]:.300}{f' ({detail[0]:.300})' if detail else ''}"


def compare(
    source: Callable[[Batch], Float32Array],
    converted: Callable[[Batch], Float32Array],
    batches: Iterable[Batch],
    *,
    clip_origin: str,
    output_path: Path | str,
    quantize: Precision,
    source_size_bytes: int,
    model: bytes,
    min_agreement: float,
) -> ConversionReport:
    """Measure a converted program against its source on the same clips.

    source, converted: from one batch of clips, of any type, to class scores float32 [N, C] in 0..1, one row a clip and
        every class (a sigmoid expanded to both of its classes). The report's times are those of these functions, so
        give them programs of one thread, and clips that are decoded already.
    clip_origin: which clips they are, for the report. model: the converted .tflite's bytes.
    min_agreement: the least share of clips, 0..1, whose top label must be the same.

    Raises ConversionError where there are no clips, scores are not finite or differ in shape, or too few labels agree.
    """
    measured = _measure(source, converted, batches, str(output_path))
    if not measured.same:
        raise ConversionError(f"{output_path}: there were no clips to compare on ({clip_origin}). Give at least one.")
    kept, clips, difference = sum(measured.same), len(measured.same), max(measured.differences)
    if kept / clips < min_agreement:
        raise ConversionError(
            f"{output_path}: the {quantize!r} program gives the same top label as its source on {kept} of {clips} "
            f"clips ({clip_origin}), {kept / clips:.3f}, and at least {min_agreement:g} is asked for; the largest "
            f'score difference is {difference:.4f}. {_other_ways(quantize)}, or lower "min_agreement".'
        )
    return ConversionReport(
        output_path=str(output_path),
        quantize=quantize,
        clips=clips,
        clip_origin=clip_origin,
        max_score_difference=difference,
        agreement=kept / clips,
        source_size_bytes=source_size_bytes,
        size_bytes=len(model),
        source_ms=float(np.median(measured.source_ms)),
        converted_ms=float(np.median(measured.converted_ms)),
        operators=operators(model, str(output_path)),
        partitions=xnnpack_partitions(model, str(output_path)),
    )


@dataclass
class _Measured:
    differences: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    source_ms: list[float] = field(default_factory=list)
    converted_ms: list[float] = field(default_factory=list)


def _measure(
    source: Callable[[Batch], Float32Array],
    converted: Callable[[Batch], Float32Array],
    batches: Iterable[Batch],
    where: str,
) -> _Measured:
    found = _Measured()
    for index, batch in enumerate(batches):
        if index == 0:  # the first run packs weights and fills caches
            source(batch), converted(batch)
        expected, source_ms = _timed(source, batch)
        received, converted_ms = _timed(converted, batch)
        _check_scores(expected, received, where)
        found.differences.append(float(np.abs(expected - received).max()))
        found.same += (_top(expected) == _top(received)).tolist()
        found.source_ms.append(source_ms)
        found.converted_ms.append(converted_ms)
    return found


def _timed(scores: Callable[[Batch], Float32Array], batch: Batch) -> tuple[Float32Array, float]:
    """A batch's scores, and the milliseconds that each of its clips took."""
    start = time.perf_counter()
    found = scores(batch)
    return found, (time.perf_counter() - start) * 1e3 / max(1, len(found))


def _top(scores: Float32Array) -> npt.NDArray[np.intp]:
    """The top class of each row; of a single sigmoid, whether it says yes."""
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] >= 0.5).astype(np.intp)


def _check_scores(expected: Float32Array, received: Float32Array, where: str) -> None:
    if expected.ndim != 2 or expected.shape != received.shape or expected.size == 0:
        raise ConversionError(
            f"{where}: the source gives scores {list(expected.shape)} and the program {list(received.shape)}; "
            "both must be [clips, classes]. Compare programs of the same labels."
        )
    for whose, scores in (("source", expected), ("converted program", received)):
        if not np.isfinite(scores).all():
            raise ConversionError(
                f"{where}: the {whose} gives scores that are not finite numbers. Check the weights for NaN "
                'and the input for values outside the range of the preprocessing, or convert with quantize "float32".'
            )


def _other_ways(quantize: Precision) -> str:
    if quantize == "int8":
        return 'Calibrate on more clips that look like those to predict on, convert with "dynamic" or "float16"'
    return 'Convert with "float32"' if quantize != "float32" else "Check that both have the same weights"


def _check(batch_shape: Sequence[int], quantize: RequestedPrecision) -> Precision:
    try:
        precision = as_precision(quantize)
    except ValueError as error:
        raise ConversionError(f"quantize: {error}") from None
    if not batch_shape or not all(isinstance(size, int) and size >= 1 for size in batch_shape):
        raise ConversionError(
            f"batch_shape is {batch_shape!r} and must be whole numbers of at least 1, such as (1, 224, 224, 3): "
            "a LiteRT program has one fixed shape."
        )
    return precision


def _set_precision(tensorflow: Any, converter: Any, quantize: Precision, batches: Iterator[Float32Array]) -> None:
    if quantize != "float32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
    if quantize == "int8":
        converter.representative_dataset = lambda: ([batch] for batch in batches)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tensorflow.float32
        converter.inference_output_type = tensorflow.float32


def _batches(calibration: Iterable[Float32Array] | None, shape: tuple[int, ...]) -> Iterator[Float32Array]:
    count = 0
    for batch in calibration if calibration is not None else ():
        if not isinstance(batch, np.ndarray) or batch.dtype != np.float32 or batch.shape != shape:
            received = f"{batch.dtype} {list(batch.shape)}" if isinstance(batch, np.ndarray) else type(batch).__name__
            raise ConversionError(
                f"calibration batch {count} is {received} and must be float32 {list(shape)}. "
                "Give batches of the program's own input shape, preprocessed as for prediction."
            )
        if not np.isfinite(batch).all():
            raise ConversionError(
                f"calibration batch {count} holds values that are not finite numbers, from which no 8-bit range can be "
                "told. Leave that clip out, and check its file."
            )
        count += 1
        yield batch
    if count == 0 and calibration is not None:
        raise ConversionError("calibration holds no batches and int8 needs at least one. Give batches of real input.")
