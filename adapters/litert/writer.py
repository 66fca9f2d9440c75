"""LiteRT programs written layer by layer, without TensorFlow: the float32 graphs of frame networks and their heads.

What is written is what TensorFlow's converter makes of the same layers, operator by operator and option by option, so
that a program does not depend on which of the two made it. ``tests/support/program_formats.json`` holds both to it.
Operators and options: tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from adapters.litert.graph import ABSENT
from adapters.litert.graph_parts import GraphParts
from adapters.records import Float32Array

Padding = Literal["SAME", "VALID"]
Fused = Literal["NONE", "RELU", "RELU6"]
Unary = Literal["GELU", "TANH", "HARD_SWISH", "LOGISTIC", "SOFTMAX", "SIN", "COS"]


class GraphWriter(GraphParts):
    """Writes the layers of one graph. A tensor is known by its index, which each method returns."""

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
        constants = [self.constant(f"{name}/kernel", kernel.transpose(3, 0, 1, 2)), self.constant(f"{name}/b", bias)]
        shape = (*self._strided(source, kernel, stride, padding), kernel.shape[3])
        return self.operator("CONV_2D", [source, *constants], shape, name, ("Conv2DOptions", options))

    def depthwise(
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
        """A convolution of each channel by itself.

        Args:
            source: float32 [B, H, W, channels].
            kernel: float32 [h, w, channels, 1].
            bias: float32 [channels].
            stride: In both directions.
            padding: As for ``conv``.
            activation: What follows it in the same operator.
            name: The name of the output.
        """
        options = self._conv_options("DepthwiseConv2DOptions", stride, padding, activation)
        options.depthMultiplier = 1
        constants = [self.constant(f"{name}/kernel", kernel.transpose(3, 0, 1, 2)), self.constant(f"{name}/b", bias)]
        shape = (*self._strided(source, kernel, stride, padding), kernel.shape[2])
        of = ("DepthwiseConv2DOptions", options)
        return self.operator("DEPTHWISE_CONV_2D", [source, *constants], shape, name, of)

    def add(self, one: int, other: int, *, activation: Fused = "NONE", name: str) -> int:
        """The sum of two tensors, of one shape or one repeated along axes of 1."""
        options = self._schema.AddOptionsT()
        options.fusedActivationFunction = self._fused(activation)
        return self.operator("ADD", [one, other], self._joint(one, other), name, ("AddOptions", options))

    def mul(self, one: int, other: int, *, name: str) -> int:
        """The product of two tensors, of one shape or one repeated along axes of 1."""
        of = ("MulOptions", self._schema.MulOptionsT())
        return self.operator("MUL", [one, other], self._joint(one, other), name, of)

    def div(self, one: int, other: int, *, name: str) -> int:
        """The quotient of two tensors, of one shape or one repeated along axes of 1."""
        of = ("DivOptions", self._schema.DivOptionsT())
        return self.operator("DIV", [one, other], self._joint(one, other), name, of)

    def next_count(self, count: int, *, name: str) -> int:
        """A count, int32, plus 1."""
        one, of = self.constant("one_more", np.ones((), np.int32)), ("AddOptions", self._schema.AddOptionsT())
        return self.operator("ADD", [count, one], self.shape(count), name, of, dtype="int32")

    def as_float(self, count: int, *, name: str) -> int:
        """Whole numbers as float32."""
        return self.operator("CAST", [count], self.shape(count), name)

    def swish(self, source: int, *, name: str) -> int:
        """x * sigmoid(x) (Ramachandran et al. 2017, arXiv:1710.05941), as two operators."""
        return self.mul(source, self.unary("LOGISTIC", source, f"{name}/sigmoid"), name=name)

    def pad(self, source: int, pixels: int, *, name: str) -> int:
        """float32 [B, H, W, C] with zeros around each picture."""
        return self.padded(source, [(0, 0), (pixels, pixels), (pixels, pixels), (0, 0)], name=name)

    def max_pool(self, source: int, size: int, stride: int, *, name: str) -> int:
        """The largest value under each position of a window, without padding."""
        options = self._schema.Pool2DOptionsT()
        options.padding = self._schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.filterHeight = options.filterWidth = size
        batch, height, width, channels = self.shape(source)
        shape = (batch, (height - size) // stride + 1, (width - size) // stride + 1, channels)
        return self.operator("MAX_POOL_2D", [source], shape, name, ("Pool2DOptions", options))

    def average_pool(self, source: int, size: int, stride: int, *, name: str) -> int:
        """The mean of what lies under each position of a window; SAME padding, which does not count in the means."""
        options = self._schema.Pool2DOptionsT()
        options.padding = self._schema.Padding.SAME
        options.strideH = options.strideW = stride
        options.filterHeight = options.filterWidth = size
        batch, height, width, channels = self.shape(source)
        shape = (batch, -(-height // stride), -(-width // stride), channels)
        return self.operator("AVERAGE_POOL_2D", [source], shape, name, ("Pool2DOptions", options))

    def mean(self, source: int, axes: Sequence[int] = (1, 2), *, keep: bool = False, name: str) -> int:
        """The means over some axes, by default over the positions of pictures.

        Args:
            source: float32, e.g. [B, H, W, C].
            axes: Which axes.
            keep: Whether they stay, of size 1.
            name: The name of the output.
        """
        options = self._schema.ReducerOptionsT()
        options.keepDims = keep
        shape = [
            1 if place in axes else size for place, size in enumerate(self.shape(source)) if keep or place not in axes
        ]
        over = self.constant(f"{name}/axes", np.array(axes, np.int32))
        return self.operator("MEAN", [source, over], shape, name, ("ReducerOptions", options))

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
        offset = self.constant(f"{name}/b", bias) if bias.any() else ABSENT
        inputs = [source, self.constant(f"{name}/kernel", kernel.T), offset]
        shape = (self.shape(source)[0], kernel.shape[1])
        return self.operator("FULLY_CONNECTED", inputs, shape, name, ("FullyConnectedOptions", options))

    def unary(self, kind: Unary, source: int, name: str) -> int:
        """An activation as an operator of its own; GELU is the exact one, SOFTMAX of beta 1."""
        options = None
        if kind == "SOFTMAX":
            options = ("SoftmaxOptions", self._schema.SoftmaxOptionsT())
            options[1].beta = 1.0
        elif kind == "GELU":
            options = ("GeluOptions", self._schema.GeluOptionsT())
        return self.operator(kind, [source], self.shape(source), name, options)

    def _joint(self, one: int, other: int) -> tuple[int, ...]:
        return np.broadcast_shapes(self.shape(one), self.shape(other))

    def _strided(self, source: int, kernel: Float32Array, stride: int, padding: Padding) -> tuple[int, int, int]:
        batch, height, width, _ = self.shape(source)
        taken = (1, 1) if padding == "SAME" else kernel.shape[:2]
        return (batch, *(-(-(size - part + 1) // stride) for size, part in zip((height, width), taken, strict=True)))

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
