"""A causal network and its head as one LiteRT program that steps along a stream, a frame at a time, with named states.

Signature "serving_default": ``image`` float32 [1, 1, H, W, 3] and every state in; ``scores`` [1, units], ``features``
[1, D] and every new state out. Signature "init": nothing in, every state of a new stream out. States are float32 and
int32 at the interface whatever the precision. See ``adapters.litert.stream_program`` for how it is run.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from adapters.errors import ConversionError
from adapters.litert import (
    IMAGE,
    Observer,
    converter_reason,
    counts_first,
    trust_program,
    with_8_bit_layers,
    with_8_bit_weights,
)
from adapters.records import Float32Array, Precision, as_precision
from adapters.system import captured_stderr, import_tensorflow, warnings_only
from movinet_adapter.architecture import StateSpec, initial_states
from movinet_adapter.lowering.quantization import computes_in_8_bits
from movinet_adapter.network import MoViNetNetwork, freeze
from movinet_adapter.weights.init_signature import add_init

CALIBRATION_FRAMES = 1200  # beyond these, ranges hardly move


def stream_program_bytes(
    backbone: MoViNetNetwork,
    head: Any | None,
    quantize: Precision = "float32",
    calibration: Iterable[Float32Array] | None = None,
) -> bytes:
    """Convert a stream network to a .tflite, with built-in operators only.

    Args:
        backbone: A network in stream mode.
        head: A tf_keras model, features float32 [B, D] to scores [B, units]; None for the network's own classifier with
            a softmax.
        quantize: ``float32``; ``float16`` for weights stored as float16; ``dynamic`` for weights stored as int8;
            ``int8`` also computes in 8 bits what costs little accuracy, see ``quantization``.
        calibration: For int8, clips float32 [T, H, W, 3], preprocessed, each seen from a stream's start.

    Returns:
        The bytes of the .tflite.

    Raises:
        ConversionError: int8 has no calibration, a clip has another shape, or an operator cannot be converted.
        ConfigError: The network is in base mode.
    """
    specs = backbone.states
    try:
        precision = as_precision(quantize)
    except ValueError as error:
        raise ConversionError(f"quantize: {error}") from None
    if precision == "int8" and calibration is None:
        raise ConversionError(
            'quantize "int8" was asked for without calibration data. Give clips of real input as calibration, or use '
            '"dynamic" or "float16", which need none.'
        )
    function = _step_function(freeze(backbone), head, specs)
    program = _convert(function, head, precision, backbone.name)
    if precision == "dynamic":
        program = with_8_bit_weights(program)
    if precision == "int8":
        in_8_bits = partial(computes_in_8_bits, backbone.architecture)
        observer = Observer(program, in_8_bits)
        _observe_clips(observer, backbone, calibration or ())
        program = with_8_bit_layers(program, in_8_bits, observer.ranges)
    return trust_program(add_init(counts_first(program), specs))


def _step_function(network: MoViNetNetwork, head: Any | None, specs: dict[str, StateSpec]) -> Any:
    """The step as a concrete function of named tensors to a dict."""
    tf = import_tensorflow()

    def step(**named: Any) -> dict[str, Any]:
        outputs, states = network.step(named.pop(IMAGE), named)
        features = outputs["features"]
        scores = tf.nn.softmax(outputs["logits"]) if head is None else head(features, training=False)
        return {"scores": scores, "features": features, **states}

    signature = {IMAGE: tf.TensorSpec([1, 1, network.height, network.width, 3], tf.float32, name=IMAGE)}
    signature |= {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()}
    return tf.function(step, autograph=False).get_concrete_function(**signature)


def _convert(function: Any, head: Any | None, quantize: Precision, name: str) -> bytes:
    tf = import_tensorflow()
    module = tf.Module()
    module.kept = list(head.variables) if head is not None else []
    log = None
    try:
        with captured_stderr() as log, warnings_only("tensorflow"):
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
            if quantize == "float16":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.target_spec.supported_types = [tf.float16]
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            return bytes(converter.convert())
    except ConversionError:
        raise
    except Exception as error:  # the converter raises many types, and its reasons are in their text
        raise ConversionError(
            f"the stream step of {name} could not be converted to LiteRT {quantize!r}: {converter_reason(error, log)}. "
            "Convert without quantisation to see whether that is the cause."
        ) from error


def _observe_clips(observer: Observer, network: MoViNetNetwork, clips: Iterable[Float32Array]) -> None:
    """Step along each clip from a stream's start, so that ranges are those of states which have seen something."""
    shape, left = (network.height, network.width, 3), CALIBRATION_FRAMES
    for number, clip in enumerate(clips):
        _check_clip(clip, number, shape)
        states: dict[str, Any] = dict(initial_states(network.states))
        for frame in clip[:left]:
            found = observer.run({IMAGE: frame[None, None], **states})
            states = {name: found[name] for name in states}
        left -= len(clip[:left])
        if not left:
            return
    if left == CALIBRATION_FRAMES:
        raise ConversionError("calibration holds no clips and int8 needs at least one. Give clips of real input.")


def _check_clip(clip: Any, number: int, shape: tuple[int, ...]) -> None:
    if not isinstance(clip, np.ndarray) or clip.dtype != np.float32 or clip.shape[1:] != shape or not len(clip):
        received = f"{clip.dtype} {list(clip.shape)}" if isinstance(clip, np.ndarray) else type(clip).__name__
        raise ConversionError(
            f"calibration clip {number} is {received} and must be float32 [T, {', '.join(map(str, shape))}], T at "
            "least 1. Give clips preprocessed as for prediction."
        )
    if not np.isfinite(clip).all():
        raise ConversionError(
            f"calibration clip {number} holds values that are not finite numbers, so no 8-bit range can be "
            "determined. Leave it out, and check its file."
        )
