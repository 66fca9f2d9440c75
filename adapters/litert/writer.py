"""LiteRT programs written layer by layer, without TensorFlow: the float32 graphs of frame networks and their heads.

What is written is what TensorFlow's converter makes of the same layers, operator by operator and option by option, so
that a program does not depend on which of the two made it. ``tests/support/program_formats.json`` holds both to it.
Operators and options: tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from adapters.litert.edit import Array, Editor
from adapters.litert.graph import ABSENT, schema
from adapters.records import Float32Array

Padding = Literal["SAME", "VALID"]
Fused = Literal["NONE", "RELU", "RELU6"]

INPUT, SIGNATURE = "images", "serving_default"
_VERSION = 3  # of the schema, as the converter writes it


class GraphWriter:
    """Writes one graph with one input. A tensor is known by its index, which each method returns.

    Attributes:
        images: The input's index.
    """

    def __init__(self, input_shape: Sequence[int]) -> None:
        """Begin a program.

        Args:
            input_shape: The shape of the float32 input, batch first.
        """
        self._editor = Editor(_empty_program())
        self._graph = self._editor.graphs()[0]
        self._schema = self._editor.schema
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self.images = self._graph.add_tensor(INPUT, "float32", input_shape)
        self._graph.graph.inputs = [self.images]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._graph.shape(tensor)

    def conv(
        self,
        source: int,
        kernel: Float32Array,
        bias: Float32Array,
        *,
        stride: int = 1,
        padding: Padding = "SAME",
        activation: Fused = "NONE",
        name: str,
    ) -> int:
        """A convolution.

        Args:
            source: float32 [B, H, W, in].
            kernel: float32 [h, w, in, out].
            bias: float32 [out].
            stride: In both directions.
            padding: SAME pads with zeros to ceil(size / stride); VALID does not pad.
            activation: What follows it in the same operator.
            name: The name of the output.
        """
        options = self._conv_options("Conv2DOptions", stride, padding, activation)
        constants = [self._constant(f"{name}/kernel", kernel.transpose(3, 0, 1, 2)), self._constant(f"{name}/b", bias)]
        shape = (*self._strided(source, kernel, stride, padding), kernel.shape[3])
        return self._operator("CONV_2D", [source, *constants], shape, name, ("Conv2DOptions", options))

    def depthwise(
        self, source: int, kernel: Float32Array, bias: Float32Array, *, stride: int = 1, activation: Fused, name: str
    ) -> int:
        """A convolution of each channel by itself, with SAME padding.

        Args:
            source: float32 [B, H, W, channels].
            kernel: float32 [h, w, channels, 1].
            bias: float32 [channels].
            stride: In both directions.
            activation: What follows it in the same operator.
            name: The name of the output.
        """
        options = self._conv_options("DepthwiseConv2DOptions", stride, "SAME", activation)
        options.depthMultiplier = 1
        constants = [self._constant(f"{name}/kernel", kernel.transpose(3, 0, 1, 2)), self._constant(f"{name}/b", bias)]
        shape = (*self._strided(source, kernel, stride, "SAME"), kernel.shape[2])
        of = ("DepthwiseConv2DOptions", options)
        return self._operator("DEPTHWISE_CONV_2D", [source, *constants], shape, name, of)

    def add(self, one: int, other: int, *, activation: Fused = "NONE", name: str) -> int:
        """The sum of two tensors of one shape."""
        options = self._schema.AddOptionsT()
        options.fusedActivationFunction = self._fused(activation)
        return self._operator("ADD", [one, other], self.shape(one), name, ("AddOptions", options))

    def pad(self, source: int, pixels: int, *, name: str) -> int:
        """float32 [B, H, W, C] with zeros around each picture."""
        batch, height, width, channels = self.shape(source)
        sizes = np.array([[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]], np.int32)
        shape = (batch, height + 2 * pixels, width + 2 * pixels, channels)
        options = ("PadOptions", self._schema.PadOptionsT())
        return self._operator("PAD", [source, self._constant(f"{name}/sizes", sizes)], shape, name, options)

    def max_pool(self, source: int, size: int, stride: int, *, name: str) -> int:
        """The largest value under each position of a window, without padding."""
        options = self._schema.Pool2DOptionsT()
        options.padding = self._schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.filterHeight = options.filterWidth = size
        batch, height, width, channels = self.shape(source)
        shape = (batch, (height - size) // stride + 1, (width - size) // stride + 1, channels)
        return self._operator("MAX_POOL_2D", [source], shape, name, ("Pool2DOptions", options))

    def mean(self, source: int, *, name: str) -> int:
        """float32 [B, H, W, C] to the means over positions, [B, C]."""
        batch, _, _, channels = self.shape(source)
        axes = self._constant(f"{name}/axes", np.array([1, 2], np.int32))
        options = ("ReducerOptions", self._schema.ReducerOptionsT())
        return self._operator("MEAN", [source, axes], (batch, channels), name, options)

    def dense(
        self, source: int, kernel: Float32Array, bias: Float32Array, *, activation: Fused = "NONE", name: str
    ) -> int:
        """A dense layer.

        Args:
            source: float32 [B, in].
            kernel: float32 [in, out].
            bias: float32 [out]; one of zeros is left out, as the converter does.
            activation: What follows it in the same operator.
            name: The name of the output.
        """
        options = self._schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = self._fused(activation)
        offset = self._constant(f"{name}/b", bias) if bias.any() else ABSENT
        inputs = [source, self._constant(f"{name}/kernel", kernel.T), offset]
        shape = (self.shape(source)[0], kernel.shape[1])
        return self._operator("FULLY_CONNECTED", inputs, shape, name, ("FullyConnectedOptions", options))

    def unary(self, kind: Literal["GELU", "TANH", "HARD_SWISH", "LOGISTIC", "SOFTMAX"], source: int, name: str) -> int:
        """An activation as an operator of its own; GELU is the exact one, SOFTMAX of beta 1."""
        options = None
        if kind == "SOFTMAX":
            options = ("SoftmaxOptions", self._schema.SoftmaxOptionsT())
            options[1].beta = 1.0
        elif kind == "GELU":
            options = ("GeluOptions", self._schema.GeluOptionsT())
        return self._operator(kind, [source], self.shape(source), name, options)

    def packed(self, outputs: Mapping[str, int]) -> bytes:
        """End the program.

        Args:
            outputs: Tensors by the names that the signature gives them.

        Returns:
            The bytes of the .tflite.
        """
        graph, model = self._graph.graph, self._editor.model
        graph.outputs = list(outputs.values())
        signature = self._schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self._entry(INPUT, self.images)]
        signature.outputs = [self._entry(name, tensor) for name, tensor in sorted(outputs.items())]
        model.signatureDefs = [signature]
        self._editor.size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
        return self._editor.packed()

    def _entry(self, name: str, tensor: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry

    def _strided(self, source: int, kernel: Float32Array, stride: int, padding: Padding) -> tuple[int, int, int]:
        batch, height, width, _ = self.shape(source)
        taken = (1, 1) if padding == "SAME" else kernel.shape[:2]
        return (batch, *(-(-(size - part + 1) // stride) for size, part in zip((height, width), taken, strict=True)))

    def _constant(self, name: str, values: Array) -> int:
        """A constant; one that is there already is used again, as the converter does."""
        values = np.ascontiguousarray(values)
        key = (values.dtype.name, values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self._graph.add_constant(name, values)
        return self._constants[key]

    def _conv_options(self, kind: str, stride: int, padding: Padding, activation: Fused) -> Any:
        options = {
            "Conv2DOptions": self._schema.Conv2DOptionsT,
            "DepthwiseConv2DOptions": self._schema.DepthwiseConv2DOptionsT,
        }[kind]()
        options.padding = {"SAME": self._schema.Padding.SAME, "VALID": self._schema.Padding.VALID}[padding]
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = self._fused(activation)
        return options

    def _fused(self, activation: Fused) -> int:
        kinds = self._schema.ActivationFunctionType
        return int({"NONE": kinds.NONE, "RELU": kinds.RELU, "RELU6": kinds.RELU6}[activation])

    def _operator(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], name: str, options: tuple[str, Any] | None
    ) -> int:
        output = self._graph.add_tensor(name, "float32", shape)
        operator = self._graph.operator(kind, inputs, [output])
        if options is not None:
            operator.builtinOptionsType = vars(self._schema.BuiltinOptions)[options[0]]
            operator.builtinOptions = options[1]
        self._graph.graph.operators = [*self._graph.graph.operators, operator]
        return output


def folded(
    kernel: Float32Array, norm: Mapping[str, Float32Array], epsilon: float, axis: int = -1
) -> tuple[Float32Array, Float32Array]:
    """A convolution's kernel and bias with the batch normalisation after it folded in.

    Args:
        kernel: float32, any layout.
        norm: ``gamma``, ``beta``, ``moving_mean`` and ``moving_variance``, float32 [out].
        epsilon: What is added to the variance.
        axis: The kernel's axis of output channels.

    Returns:
        The kernel, of the same shape, and the bias float32 [out].
    """
    factor = norm["gamma"].astype(np.float64) / np.sqrt(norm["moving_variance"].astype(np.float64) + epsilon)
    along = [1] * kernel.ndim
    along[axis] = -1
    bias = norm["beta"] - norm["moving_mean"] * factor
    return kernel * factor.astype(np.float32).reshape(along), bias.astype(np.float32)


def _empty_program() -> bytes:
    parts = schema()
    model, graph = parts.ModelT(), parts.SubGraphT()
    model.version, model.operatorCodes = _VERSION, []
    graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = "main", [], [], [], []
    model.subgraphs, model.buffers = [graph], [parts.BufferT()]
    builder = parts.flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
