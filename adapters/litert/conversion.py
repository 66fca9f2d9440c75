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
from adapters.litert.interpreter import xnnpack_partitions
from adapters.litert.trial import trust_program
from adapters.records import Precision, as_precision
from adapters.reports import AccuracyDrop, ConversionReport
from adapters.system import CapturedLog, captured_stderr, import_tensorflow, warnings_only

__all__ = ["compare", "operators", "to_litert", "xnnpack_partitions"]

Float32Array = npt.NDArray[np.float32]
Batch = TypeVar("Batch")

INPUT_NAME = "images"
NEAR_TIE = 0.1  # between two scores of a clip: which one is larger says little


def to_litert(
    model: Any,
    batch_shape: Sequence[int],
    quantize: Precision = "float32",
    calibration: Iterable[Float32Array] | None = None,
    output_name: str = "scores",
    in_8_bits: In8Bits | None = None,
) -> bytes:
    """Convert a tf_keras model to a LiteRT program of one fixed input shape, with built-in operators only.

    The program has one signature, "serving_default", whose input is "images".

    Args:
        model: A tf_keras.Model, or any callable that maps one float32 tensor of batch_shape to a tensor or a dict of
            tensors and has its variables in ``.variables``. Dropout and batch normalisation run in inference mode.
        batch_shape: The whole input shape, such as (1, 224, 224, 3).
        quantize: ``float32``; ``float16`` for weights stored as float16 and computed as float32; ``dynamic`` for
            weights stored as int8 and computed as float32; ``int8`` for int8 weights and activations. Inputs and
            outputs are float32 in every case.
        calibration: For int8, float32 batches of batch_shape that look like real input; about a hundred are enough.
        output_name: The output's name if the model returns one tensor; a dict keeps its keys.
        in_8_bits: For int8, whether a 1x1 convolution computes in 8 bits, from the name of its output, which begins
            with TensorFlow's name scope. None: every operator that can.

    Returns:
        The bytes of the .tflite.

    Raises:
        ConversionError: int8 without calibration, a batch of another shape, or an operator that is not built in.
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
        return trust_program(with_8_bit_weights(_convert(model, shape, "float32", batches, output_name)))
    if precision == "int8" and in_8_bits is not None:
        program = _convert(model, shape, "float32", batches, output_name)
        observer = Observer(program, in_8_bits)
        for batch in batches:
            observer.run({INPUT_NAME: batch})
        return trust_program(with_8_bit_layers(program, in_8_bits, observer.ranges))
    return trust_program(_convert(model, shape, precision, batches, output_name))


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
            "Only operators built into LiteRT are allowed; replace the layer that is named, or convert without "
            "quantisation to see whether that is the cause."
        ) from error


def converter_reason(error: Exception, log: CapturedLog | None) -> str:
    """Why TensorFlow's converter failed, in one line: its exception's first line and the last line that it printed.

    Args:
        error: What the converter raised.
        log: What it printed to stderr; None if nothing was captured.
    """
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
    allow_near_ties: bool = False,
    accuracy: Callable[[Float32Array, Float32Array], AccuracyDrop] | None = None,
    max_accuracy_drop: float = 1.0,
) -> ConversionReport:
    """Measure a converted program against its source on the same clips.

    Args:
        source: Maps a batch of clips, of any type, to class scores float32 [N, C] in 0..1: one row per clip and every
            class (a sigmoid expanded to both of its classes). The report's times are those of this function, so use a
            program of one thread and clips that are decoded already.
        converted: The same for the converted program.
        batches: The clips.
        clip_origin: Which clips they are, for the report.
        output_path: The converted file's path, for the report and messages.
        quantize: The precision of the converted program.
        source_size_bytes: The size of the source program.
        model: The bytes of the converted .tflite.
        min_agreement: The smallest share of clips, 0..1, whose top label must be the same.
        allow_near_ties: Whether a label counts as the same if it changed between two scores of the source that are
            less than NEAR_TIE apart.
        accuracy: Measures the drop from the scores of all clips, of the source and of the converted program.
        max_accuracy_drop: The largest drop; one whose interval holds 0 passes all the same.

    Returns:
        Agreement, largest score difference, sizes, times in ms per clip, and operators.

    Raises:
        ConversionError: There are no clips, scores are not finite or differ in shape, or too few labels agree.
    """
    measured = _measure(source, converted, batches, str(output_path))
    if not measured.same:
        raise ConversionError(f"{output_path}: there are no clips to compare on ({clip_origin}). Give at least one.")
    kept, clips, difference = sum(measured.same), len(measured.same), max(measured.differences)
    found = accuracy(np.concatenate(measured.expected), np.concatenate(measured.received)) if accuracy else None
    if found is not None and found.drop > max_accuracy_drop and found.interval[0] > 0:
        raise ConversionError(
            f"{output_path}: the {quantize!r} program is right on {found.converted:.1%} of {clips} clips "
            f"({clip_origin}) and its source on {found.source:.1%}: a drop of {found.drop:.3f}, 95% interval "
            f"{found.interval[0]:.3f} to {found.interval[1]:.3f}; at most {max_accuracy_drop:g} is allowed. "
            f'{_other_ways(quantize)}, or raise "max_accuracy_drop".'
        )
    if (kept + (measured.near_ties if allow_near_ties else 0)) / clips < min_agreement:
        raise ConversionError(
            f"{output_path}: the {quantize!r} program gives the same top label as its source on {kept} of {clips} "
            f"clips ({clip_origin}), {kept / clips:.3f}; at least {min_agreement:g} is required; the largest "
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
        near_ties=measured.near_ties,
        accuracy=found,
    )


@dataclass
class _Measured:
    differences: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    source_ms: list[float] = field(default_factory=list)
    converted_ms: list[float] = field(default_factory=list)
    expected: list[Float32Array] = field(default_factory=list)
    received: list[Float32Array] = field(default_factory=list)
    near_ties: int = 0


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
        same = _top(expected) == _top(received)
        found.same += same.tolist()
        found.near_ties += int((~same & (_lead(expected, received) < NEAR_TIE)).sum())
        found.expected.append(expected)
        found.received.append(received)
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


def _lead(expected: Float32Array, received: Float32Array) -> Float32Array:
    """By how much the source's top score is above its score of the label that the converted program puts first."""
    if expected.shape[1] == 1:
        return np.asarray(2 * np.abs(expected[:, 0] - 0.5), np.float32)
    rows = np.arange(len(expected))
    return np.asarray(expected.max(axis=1) - expected[rows, _top(received)], np.float32)


def _check_scores(expected: Float32Array, received: Float32Array, where: str) -> None:
    if expected.ndim != 2 or expected.shape != received.shape or expected.size == 0:
        raise ConversionError(
            f"{where}: the source gives scores {list(expected.shape)} and the program {list(received.shape)}; "
            "both must be [clips, classes]. Compare programs with the same labels."
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


def _check(batch_shape: Sequence[int], quantize: Precision) -> Precision:
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
                f"calibration batch {count} holds values that are not finite numbers, so no 8-bit range can be "
                "determined. Leave that clip out, and check its file."
            )
        count += 1
        yield batch
    if count == 0 and calibration is not None:
        raise ConversionError("calibration holds no batches and int8 needs at least one. Give batches of real input.")
