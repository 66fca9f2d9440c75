"""Kernels of a LiteRT program as 8-bit constants that are widened to float32 when the program is opened.

The converter's own dynamic-range quantisation leaves it to each operator to compute with 8-bit kernels and float
activations. XNNPACK has no such depthwise convolution: each one falls to a slower kernel and cuts the program in two.
Here kernels go through a DEQUANTIZE instead, as float16 ones do. XNNPACK widens constants once, and then computes as it
does for float32: in one piece, at that speed, with no rounding but that of the kernels themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.litert.edit import Array, Editor, Graph
from adapters.records import Float32Array

# Where the output channels of a kernel stand (LiteRT's 8-bit quantisation specification).
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
MIN_ELEMENTS = 1024  # TensorFlow's own limit: under it a kernel's scales and operator weigh as much as it saves
# A dense layer reads its kernel once for each row: of a stream, a float32 megabyte and more a frame, which takes longer
# than the multiplications. LiteRT and XNNPACK multiply an 8-bit kernel with a row that they round to 8 bits themselves.
DENSE_ELEMENTS = 1 << 18
HYBRID_VERSION = 9  # of FULLY_CONNECTED, with a scale a channel (tflite/tools/versioning/op_version.cc)
LARGEST_FLOAT16 = 65504.0
UNEVEN = 64  # the largest weight as a multiple of the median; of a normal distribution it is about 7
FLOAT16_VERSION = 3  # of DEQUANTIZE (tflite/tools/versioning/op_version.cc)
LIMIT = 127  # symmetric, as the specification has it for weights


def with_8_bit_weights(model: bytes) -> bytes:
    """A float32 program with the kernels of convolutions and dense layers stored as int8, one scale per output channel.

    Kernels under 1024 values, biases and everything else stay float32, and so do inputs, outputs and the computation.
    The one exception are large dense layers after another dense layer, such as a classifier's last: see
    ``DENSE_ELEMENTS``. The first one's input, pooled features, has few large values among many small ones, and would
    lose more.

    Args:
        model: The bytes of a float32 .tflite.

    Returns:
        The bytes of the .tflite with 8-bit kernels.

    Raises:
        BundleError: The bytes are not a LiteRT program.
    """
    editor = Editor(model)
    for graph in editor.graphs():
        widened, dense = [], 0
        for operator in graph.operators():
            axis = CHANNEL_AXIS.get(kind := graph.kind(operator))
            if axis is None or len(operator.inputs) < 2 or not _is_heavy(graph, index := int(operator.inputs[1]), axis):
                continue
            if kind == "FULLY_CONNECTED" and is_uneven(graph.constant(index)):
                widened.append(widened_from_16_bits(graph, index))
                dense += 1
                continue
            values, scales = quantized_kernel(graph.constant(index), axis)
            stored = graph.add_constant(f"{graph.name(index)}_int8", values, scales, axis)
            if kind == "FULLY_CONNECTED" and dense and graph.size(index) >= DENSE_ELEMENTS:
                graph.takes_constant(operator, 1, stored, HYBRID_VERSION)
            else:
                widened.append(graph.dequantized(stored, index))
            dense += kind == "FULLY_CONNECTED"
        graph.put_first(widened)
    return editor.packed()


def with_16_bit_weights(model: bytes) -> bytes:
    """A float32 program with its constants stored as float16, which are widened when the program is opened.

    Args:
        model: The bytes of a float32 .tflite.

    Returns:
        The bytes of the .tflite, which computes in float32.

    Raises:
        BundleError: The bytes are not a LiteRT program.
    """
    editor = Editor(model)
    for graph in editor.graphs():
        read = [int(index) for operator in graph.operators() for index in operator.inputs if index >= 0]
        widened = []
        for index in dict.fromkeys(index for index in read if graph.is_float_constant(index)):
            widened.append(widened_from_16_bits(graph, index))
        graph.put_first(widened)
    return editor.packed()


def widened_from_16_bits(graph: Graph, index: int) -> Any:
    """Store a float32 constant as float16.

    Args:
        graph: The graph.
        index: The constant.

    Returns:
        The operator that widens it, not placed yet.
    """
    values = np.clip(graph.constant(index), -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)
    stored = graph.add_constant(f"{graph.name(index)}_float16", values)
    return graph.dequantized(stored, index, FLOAT16_VERSION)


def is_uneven(kernel: Array) -> bool:
    """Whether a dense kernel has inputs of weights so unlike that one 8-bit scale for an output loses the small ones.

    A head that was solved on standardised features has large weights for features that hardly vary.

    Args:
        kernel: float32 [out, in].
    """
    sizes = np.abs(kernel)
    return bool(sizes.max() > UNEVEN * max(float(np.median(sizes)), 1e-12))


def quantized_kernel(kernel: Array, axis: int, least: Array | float = 0.0) -> tuple[Array, Float32Array]:
    """Quantise a kernel symmetrically, one scale per output channel.

    Args:
        kernel: float32 of any shape.
        axis: The axis of the output channels.
        least: The smallest allowed scale, one number or one per channel.

    Returns:
        The kernel as int8 of the same shape in -127..127, and the scales as float32 [channels].
    """
    by_channel = np.moveaxis(kernel, axis, -1)
    largest = np.abs(by_channel).max(axis=tuple(range(kernel.ndim - 1)))
    scales = np.maximum(np.where(largest > 0, largest / LIMIT, 1.0), least).astype(np.float32)
    values = np.clip(np.rint(by_channel / scales), -LIMIT, LIMIT).astype(np.int8)
    return np.ascontiguousarray(np.moveaxis(values, -1, axis)), scales


def _is_heavy(graph: Graph, index: int, axis: int) -> bool:
    """Whether a tensor is a float32 constant of some size; one that was replaced already is none any more."""
    has_axis = index >= 0 and len(graph.shape(index)) > axis
    return has_axis and graph.is_float_constant(index) and graph.size(index) >= MIN_ELEMENTS
