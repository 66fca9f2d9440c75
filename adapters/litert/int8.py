"""8-bit computing where it costs little: chosen pointwise convolutions of a float32 LiteRT program, and no others.

The converter's own 8-bit quantisation rounds every activation. What a layer adds to its shortcut, a mean over time, a
pooled feature lose most by that, and operators which XNNPACK has in float32 alone cut the program into pieces. Here a
chosen convolution reads and writes int8, between a QUANTIZE and a DEQUANTIZE, and everything else computes as before
with kernels stored in 8 bits (``adapters.litert.dynamic_weights``). XNNPACK takes all of it, in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from adapters.errors import ConversionError
from adapters.litert.dynamic_weights import quantized_kernel, with_8_bit_weights
from adapters.litert.edit import Editor, Graph
from adapters.litert.interpreter import open_interpreter
from adapters.litert.trial import trust_program

Ranges = dict[int, tuple[float, float]]
In8Bits = Callable[[str], bool]

STEP = "serving_default"
LARGEST_BIAS = 2.0**30  # of int32, with room for what is added to it
# CONV_2D of int8 with a scale a channel, DEQUANTIZE and QUANTIZE of int8 (tflite/tools/versioning/op_version.cc).
CONV_VERSION, DEQUANTIZE_VERSION, QUANTIZE_VERSION = 3, 2, 1


class Observer:
    """Runs a program's first signature and records the range of what the chosen convolutions read and write.

    Attributes:
        ranges: Minimum and maximum so far, by tensor index; 0 always lies between them.
    """

    def __init__(self, model: bytes, in_8_bits: In8Bits) -> None:
        """Open the program with outputs for the ranges.

        Args:
            model: The bytes of a float32 .tflite.
            in_8_bits: Whether a pointwise convolution computes in 8 bits, from the name of its output tensor.

        Raises:
            BundleError: The bytes are not a LiteRT program.
        """
        editor = Editor(model)
        graph = editor.graphs()[0]
        tensors = sorted({tensor for operator in _chosen(graph, in_8_bits) for tensor in _data_of(operator)})
        self._ends = {tensor: (_reduced(graph, "MIN", tensor), _reduced(graph, "MAX", tensor)) for tensor in tensors}
        self._interpreter = open_interpreter(trust_program(editor.packed()), "the program to calibrate")
        runner = self._interpreter.get_signature_runner(STEP)
        self._inputs = {name: int(item["index"]) for name, item in runner.get_input_details().items()}
        self._outputs = {name: int(item["index"]) for name, item in runner.get_output_details().items()}
        self.ranges: Ranges = {}

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program once and widen ``ranges``.

        Args:
            inputs: Arrays by the signature's input names.

        Returns:
            The outputs by name.

        Raises:
            ConversionError: The network computes values that are not finite.
        """
        for name, value in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], value)
        self._interpreter.invoke()
        for tensor, (lowest, highest) in self._ends.items():
            low, high = (float(self._interpreter.get_tensor(end).ravel()[0]) for end in (lowest, highest))
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ConversionError(
                    "calibration: the network gives values that are not finite numbers, so no 8-bit range can "
                    "be determined. Check its weights, and that calibration clips are preprocessed as for prediction."
                )
            before = self.ranges.get(tensor, (0.0, 0.0))
            self.ranges[tensor] = (min(low, before[0]), max(high, before[1]))
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


def with_8_bit_layers(model: bytes, in_8_bits: In8Bits, ranges: Ranges) -> bytes:
    """A float32 program whose chosen pointwise convolutions compute in 8 bits; all other kernels are stored in 8 bits.

    Args:
        model: The bytes of a float32 .tflite, the same that the ranges were observed on.
        in_8_bits: Whether a pointwise convolution computes in 8 bits, from the name of its output tensor.
        ranges: What an ``Observer`` with the same ``in_8_bits`` recorded.

    Returns:
        The bytes of the .tflite.

    Raises:
        ConversionError: No convolution is chosen.
    """
    editor = Editor(model)
    graph = editor.graphs()[0]
    chosen = {id(operator) for operator in _chosen(graph, in_8_bits)}
    if not chosen:
        raise ConversionError(
            "no convolution can compute in 8 bits with acceptable error, so the program would not be int8. Convert "
            "with "
            '"dynamic", whose kernels are 8-bit.'
        )
    quantizer = _Quantizer(graph, _by_layer([op for op in graph.operators() if id(op) in chosen], ranges))
    graph.graph.operators = [
        placed
        for operator in graph.operators()
        for placed in (quantizer.place(operator) if id(operator) in chosen else [operator])
    ]
    return with_8_bit_weights(editor.packed())


class _Quantizer:
    """Turns convolutions over to int8, with constants and quantised inputs that they share."""

    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self.graph, self.ranges = graph, ranges
        self.kernels: dict[tuple[int, int, float], tuple[int, int]] = {}
        self.quantized: dict[int, int] = {}

    def place(self, operator: Any) -> list[Any]:
        """The operators that stand for a float32 convolution: QUANTIZE where nobody has yet, itself, DEQUANTIZE."""
        graph, (source, target) = self.graph, _data_of(operator)
        placed = []
        scale, zero = scale_and_zero(*self.ranges[source])
        if source not in self.quantized:
            self.quantized[source] = self._int8(source, scale, zero)
            placed.append(graph.operator("QUANTIZE", [source], [self.quantized[source]], QUANTIZE_VERSION))
        kernel, bias = self._constants(int(operator.inputs[1]), int(operator.inputs[2]), scale)
        output = self._int8(target, *scale_and_zero(*self.ranges[target]))
        operator.inputs, operator.outputs = [self.quantized[source], kernel, bias], [output]
        graph.needs(operator, CONV_VERSION)
        return [*placed, operator, graph.operator("DEQUANTIZE", [output], [target], DEQUANTIZE_VERSION)]

    def _int8(self, tensor: int, scale: float, zero: int) -> int:
        return self.graph.add_tensor(f"{self.graph.name(tensor)}_int8", "int8", self.graph.shape(tensor), scale, zero)

    def _constants(self, kernel: int, bias: int, input_scale: float) -> tuple[int, int]:
        """int8 kernel and int32 bias, which counts in units of input scale times kernel scale."""
        key = (kernel, bias, input_scale)
        if key not in self.kernels:
            graph, offsets = self.graph, self.graph.constant(bias).astype(np.float64)
            values, scales = quantized_kernel(graph.constant(kernel), 0, np.abs(offsets) / (input_scale * LARGEST_BIAS))
            units = input_scale * scales.astype(np.float64)
            counts = np.rint(offsets / units).astype(np.int32)
            name = graph.name(kernel)
            self.kernels[key] = (
                graph.add_constant(f"{name}_int8", values, scales),
                graph.add_constant(f"{name}_bias_int32", counts, units),
            )
        return self.kernels[key]


def _by_layer(operators: Sequence[Any], ranges: Ranges) -> Ranges:
    """The ranges with those joined that the uses of one kernel, frame after frame, read, and those that they write.

    So they share their constants, and each frame profits from what the others showed.
    """
    joined = dict(ranges)
    for place in (0, 1):
        layers: dict[int, list[int]] = {}
        for operator in operators:
            layers.setdefault(int(operator.inputs[1]), []).append(_data_of(operator)[place])
        for tensors in layers.values():
            lows, highs = zip(*(ranges[tensor] for tensor in tensors), strict=True)
            joined.update((tensor, (min(lows), max(highs))) for tensor in tensors)
    return joined


def _chosen(graph: Graph, in_8_bits: In8Bits) -> list[Any]:
    """1x1 convolutions of more than one pixel, a gate's being dense layers of no weight, with the names asked for."""
    return [
        operator
        for operator in graph.operators()
        if graph.kind(operator) == "CONV_2D"
        and graph.shape(int(operator.inputs[1]))[1:3] == (1, 1)
        and graph.shape(int(operator.inputs[0]))[1:3] != (1, 1)
        and all(graph.is_float_constant(int(index)) for index in operator.inputs[1:])
        and in_8_bits(graph.name(int(operator.outputs[0])))
    ]


def _data_of(operator: Any) -> tuple[int, int]:
    return int(operator.inputs[0]), int(operator.outputs[0])


def _reduced(graph: Graph, end: str, tensor: int) -> int:
    """A new output of the graph: the least or largest value of a tensor."""
    rank = len(graph.shape(tensor))
    axes = graph.add_constant(f"{graph.name(tensor)}_axes", np.arange(rank, dtype=np.int32))
    output = graph.add_tensor(f"{graph.name(tensor)}_{end}", "float32", [1] * rank)
    schema = graph.editor.schema
    operator = graph.operator(f"REDUCE_{end}", [tensor, axes], [output])
    options = schema.ReducerOptionsT()
    options.keepDims = True
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReducerOptions, options
    graph.graph.operators = [*graph.graph.operators, operator]
    graph.graph.outputs = [*graph.graph.outputs, output]
    return output


def scale_and_zero(low: float, high: float) -> tuple[float, int]:
    """The scale and zero point of int8 -128..127 for a range that holds 0, as LiteRT's quantisation specification asks.

    Args:
        low: Minimum value, at most 0.
        high: The largest value, at least 0.
    """
    scale = float(np.float32(max(high - low, 1e-8) / 255))
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))
