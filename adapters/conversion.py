"""tf_keras to LiteRT, quantised or not, and a measured comparison of a program with its source."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import ConversionError
from adapters.native_log import captured_stderr, import_tensorflow
from adapters.records import QUANTIZE, Quantize

Float32Array = npt.NDArray[np.float32]

SIGNATURE = "serving_default"
INPUT_NAME = "images"


def to_litert(
    model: Any,
    batch_shape: Sequence[int],
    quantize: Quantize = "none",
    calibration: Iterable[Float32Array] | None = None,
    output_name: str = "scores",
) -> bytes:
    """Convert a tf_keras model to a LiteRT program of one fixed input shape, built-in operators only.

    model: a tf_keras.Model, or any callable that maps one float32 tensor of batch_shape to a tensor or a dict of
        tensors and has its variables in ``.variables``. Dropout and batch normalisation run in inference mode.
    batch_shape: the whole input shape, such as (1, 224, 224, 3).
    quantize: ``none`` float32; ``float16`` weights stored as float16 and computed as float32; ``dynamic`` weights int8,
        activations float32; ``int8`` weights and activations int8. Inputs and outputs are float32 in every case.
    calibration: for int8, float32 batches of batch_shape that look like real input; a hundred or so are enough.
    output_name: what the output is called where the model has one output without a name; a dict keeps its keys.

    Returns the .tflite's bytes, with one signature, "serving_default", whose input is "images". Raises ConversionError
    where int8 has no calibration, a batch is misshapen, or an operator is not built in.
    """
    _check(batch_shape, quantize)
    if quantize == "int8" and calibration is None:
        raise ConversionError(
            'quantize "int8" was asked for without calibration data. Give float32 batches of real input as '
            'calibration, or use "dynamic" or "float16", which need none.'
        )
    tensorflow = import_tensorflow()
    shape = tuple(batch_shape)

    def serve(images: Any) -> dict[str, Any]:
        outputs = model(images, training=False) if hasattr(model, "layers") else model(images)
        return dict(outputs) if isinstance(outputs, dict) else {output_name: outputs}

    signature = [tensorflow.TensorSpec(shape, tensorflow.float32, name=INPUT_NAME)]
    function = tensorflow.function(serve, input_signature=signature, autograph=False)
    module = tensorflow.Module()
    # The variables and not the model: saving a Keras model traces every layer again, which takes ten times as long.
    module.kept = list(model.variables)
    module.serve = function
    log = None
    try:
        with tempfile.TemporaryDirectory(prefix="cliplab-") as folder, captured_stderr() as log:
            tensorflow.saved_model.save(module, folder, signatures={SIGNATURE: function.get_concrete_function()})
            converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
            _set_precision(tensorflow, converter, quantize, _batches(calibration, shape))
            return bytes(converter.convert())
    except ConversionError:
        raise
    except Exception as error:  # the converter raises many types, and its reasons are in their text
        reason = str(error).strip().splitlines() or [type(error).__name__]
        detail = log.text.strip().splitlines()[-1:] if log else []
        raise ConversionError(
            f"the model could not be converted to LiteRT {list(shape)} {quantize!r}: {reason[0]:.300}"
            f"{' (' + detail[0][:300] + ')' if detail else ''}. Allowed are operators that LiteRT has built in; "
            "replace the layer that is named, or convert without quantisation to see whether that is the cause."
        ) from error


def _check(batch_shape: Sequence[int], quantize: Quantize) -> None:
    if quantize not in QUANTIZE:
        raise ConversionError(f"quantize is {quantize!r} and must be one of: {', '.join(QUANTIZE)}.")
    if not batch_shape or not all(isinstance(size, int) and size >= 1 for size in batch_shape):
        raise ConversionError(
            f"batch_shape is {batch_shape!r} and must be whole numbers of at least 1, such as (1, 224, 224, 3): "
            "a LiteRT program has one fixed shape."
        )


def _set_precision(tensorflow: Any, converter: Any, quantize: Quantize, batches: Iterator[Float32Array]) -> None:
    if quantize != "none":
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
        count += 1
        yield batch
    if count == 0 and calibration is not None:
        raise ConversionError("calibration holds no batches and int8 needs at least one. Give batches of real input.")
