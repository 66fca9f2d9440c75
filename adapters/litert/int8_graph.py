"""A float32 program whose convolutions compute in 8 bits, made from what its tensors hold on calibration items.

Convolutions read and write int8. What adds up - shortcuts, means, pooled features - stays float32, so that rounding
does not grow from layer to layer, and so do scores. XNNPACK takes all of it, in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from adapters.litert.dynamic_weights import CHANNEL_AXIS, is_uneven, quantized_kernel, widened_from_16_bits
from adapters.litert.edit import Array, Editor, Graph
from adapters.litert.int8 import CONV_VERSION, DEQUANTIZE_VERSION, LARGEST_BIAS, QUANTIZE_VERSION, scale_and_zero
from adapters.litert.observed import Observed

Ranges = dict[int, tuple[float, float]]

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
LARGE_DENSE = 1 << 16  # values of a dense kernel from which on it is stored in 8 or 16 bits
LARGE_GATE = 1 << 11  # the same of a convolution of one pixel, as in a gate


def convolutions(graph: Graph) -> Iterator[tuple[int, Any]]:
    """The convolutions that can compute in 8 bits: place among the operators, and operator."""
    for place, operator in enumerate(graph.operators()):
        inputs = [int(index) for index in operator.inputs]
        constants = len(inputs) == 3 and all(index >= 0 and graph.is_float_constant(index) for index in inputs[1:])
        # A gate's convolutions of one pixel are dense layers of little weight.
        if graph.kind(operator) in CONVOLUTIONS and constants and graph.shape(inputs[0])[1:3] != (1, 1):
            yield place, operator


def with_8_bit_convolutions(
    model: bytes, observed: dict[int, Observed], ranges: Ranges, in_8_bits: Callable[[int], bool]
) -> bytes:
    """The program with some convolutions in 8 bits.

    Args:
        model: The bytes of a float32 .tflite.
        observed: What its tensors hold.
        ranges: The 8-bit ranges of the tensors that convolutions read and write.
        in_8_bits: Whether a convolution computes in 8 bits, from its place among the operators.

    Returns:
        The bytes of the .tflite. Large dense kernels are stored in 8 bits; other kernels stay as they are.
    """
    editor = Editor(model)
    graph = editor.graphs()[0]
    chosen = {place for place, _ in convolutions(graph) if in_8_bits(place)}
    maker = _Maker(graph, observed, ranges)
    for place, operator in enumerate(graph.operators()):
        maker.put(operator, place in chosen)
    for output in map(int, graph.graph.outputs):
        maker.as_float(output)
    graph.graph.operators = maker.placed
    return editor.packed()


class _Maker:
    """Places operators one after another; a tensor may be there as float32, as int8, or both."""

    def __init__(self, graph: Graph, observed: dict[int, Observed], ranges: Ranges) -> None:
        self.graph, self.observed, self.ranges = graph, observed, ranges
        self.placed: list[Any] = []
        self.int8: dict[int, int] = {}  # float32 tensor -> its int8 one
        self.only_int8: set[int] = set()

    def put(self, operator: Any, in_8_bits: bool) -> None:
        if in_8_bits:
            self._convolution(operator)
            return
        for index in map(int, operator.inputs):
            self.as_float(index)
        if len(operator.inputs) > 1 and self._is_large_dense(operator):
            self._dense(operator)
        self.placed.append(operator)

    def as_float(self, tensor: int) -> None:
        if tensor in self.only_int8:
            source = self.int8[tensor]
            self.placed.append(self.graph.operator("DEQUANTIZE", [source], [tensor], DEQUANTIZE_VERSION))
            self.only_int8.discard(tensor)

    def _as_int8(self, tensor: int) -> int:
        if tensor not in self.int8:
            self.int8[tensor] = self._add(tensor)
            self.placed.append(self.graph.operator("QUANTIZE", [tensor], [self.int8[tensor]], QUANTIZE_VERSION))
        return self.int8[tensor]

    def _add(self, tensor: int) -> int:
        graph, (scale, zero) = self.graph, scale_and_zero(*self.ranges[tensor])
        return graph.add_tensor(f"{graph.name(tensor)}_int8", "int8", graph.shape(tensor), scale, zero)

    def _convolution(self, operator: Any) -> None:
        graph = self.graph
        source, kernel, bias = (int(index) for index in operator.inputs)
        axis, output = CHANNEL_AXIS[graph.kind(operator)], int(operator.outputs[0])
        step = scale_and_zero(*self.ranges[source])[0]
        offsets = graph.constant(bias).astype(np.float64)
        values, scales = quantized_kernel(graph.constant(kernel), axis, np.abs(offsets) / (step * LARGEST_BIAS))
        offsets -= self._error_of(graph.constant(kernel), values, scales, axis, source)
        units = step * scales.astype(np.float64)
        counts = np.clip(np.rint(offsets / units), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        constants = [
            graph.add_constant(f"{graph.name(kernel)}_int8", values, scales, axis),
            graph.add_constant(f"{graph.name(bias)}_int32", counts, units),
        ]
        operator.inputs = [self._as_int8(source), *constants]
        self.int8[output] = self._add(output)
        operator.outputs = [self.int8[output]]
        self.only_int8.add(output)
        graph.needs(operator, CONV_VERSION)
        self.placed.append(operator)

    def _error_of(self, kernel: Array, values: Array, scales: Array, axis: int, source: int) -> Array:
        """What the rounding of a kernel adds to the mean of each output channel (Nagel et al. 2019, section 4.2)."""
        along = [-1 if index == axis else 1 for index in range(kernel.ndim)]
        error = (values * scales.reshape(along) - kernel).astype(np.float64)
        mean = self.observed[source].mean.astype(np.float64)
        if kernel.ndim == 2:
            return np.asarray(error @ mean)
        if axis == 0:
            return np.asarray(error.sum(axis=(1, 2)) @ mean)
        return np.asarray(error.sum(axis=(0, 1, 2)) * np.repeat(mean, len(scales) // len(mean)))

    def _is_large_dense(self, operator: Any) -> bool:
        """Whether it is a dense layer, or a convolution of one pixel, whose kernel is worth storing in less."""
        graph, (source, kernel) = self.graph, (int(index) for index in operator.inputs[:2])
        if kernel < 0 or not graph.is_float_constant(kernel) or source not in self.observed:
            return False
        if graph.kind(operator) == "CONV_2D":
            one_pixel = graph.shape(source)[1:3] == graph.shape(kernel)[1:3] == (1, 1)
            return one_pixel and graph.size(kernel) >= LARGE_GATE
        of_rows = graph.kind(operator) == "FULLY_CONNECTED" and len(graph.shape(kernel)) == 2
        return of_rows and graph.size(kernel) >= LARGE_DENSE

    def _dense(self, operator: Any) -> None:
        """Store a large kernel in 8 bits, or 16 where 8 do not do; it is widened when the program is opened."""
        graph = self.graph
        source, kernel = int(operator.inputs[0]), int(operator.inputs[1])
        bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
        weights = graph.constant(kernel)
        if is_uneven(weights):
            self.placed.append(widened_from_16_bits(graph, kernel))
            return
        values, scales = quantized_kernel(weights, 0)
        offsets = graph.constant(bias).astype(np.float64) if bias >= 0 else np.zeros(len(scales))
        offsets = offsets - self._error_of(weights, values, scales, 0, source)
        widened = graph.add_tensor(f"{graph.name(kernel)}_widened", "float32", weights.shape)
        stored = graph.add_constant(f"{graph.name(kernel)}_int8", values, scales, 0)
        self.placed.append(graph.operator("DEQUANTIZE", [stored], [widened], version=5))  # 5: scales by channel
        name = f"{graph.name(kernel)}_bias"
        operator.inputs = [source, widened, graph.add_constant(name, offsets.astype(np.float32))]
