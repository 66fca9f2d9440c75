"""What the layers of base and stream mode share, as operators, with the formulas of ``lowering.operations``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from adapters.litert import GraphWriter
from adapters.records import Float32Array
from movinet_adapter.architecture import Architecture, Layer
from movinet_adapter.lowering.folding import FoldedConv, fold_backbone

# tf-models multiplies by this in hard_sigmoid, and not by 1/6; see ``lowering.operations.activate``.
_SIXTH = 0.16667


@dataclass(frozen=True)
class NetworkWriter:
    """A backbone and the program that it is written to.

    Attributes:
        writer: The program.
        of: The architecture.
        weights: The result of ``fold_backbone``, numpy arrays.
        position_scales: Factors of the positional encoding by layer; empty if there is none.
    """

    writer: GraphWriter
    of: Architecture
    weights: Mapping[str, FoldedConv]
    position_scales: Mapping[str, Float32Array]

    @classmethod
    def begin(cls, writer: GraphWriter, of: Architecture, values: Mapping[str, Float32Array]) -> NetworkWriter:
        """Fold the variables of a backbone for a program.

        Args:
            writer: The program.
            of: The architecture.
            values: The backbone's variables by name, float32.
        """
        scales = {layer.name: values[f"{layer.name}/se/position_scale"] for layer in of.layers if of.positions}
        return cls(writer, of, fold_backbone(of, values), scales)

    def stem(self, frames: int) -> int:
        """The first convolution, which halves the size: [N, H, W, 3] to [N, H / 2, W / 2, C]."""
        return self.convolved(frames, "stem", self.of.activation, stride=2)

    def convolved(
        self, x: int, conv: str, activation: str = "linear", *, stride: int = 1, factor: float = 1.0, where: str = ""
    ) -> int:
        """A dense convolution and its activation.

        Args:
            x: float32 [N, H, W, C].
            conv: Its name among the weights.
            activation: What follows.
            stride: In both directions.
            factor: What x is multiplied by first, which the kernel takes over.
            where: What the names of operators begin with, where a layer computes several frames by themselves.
        """
        weights, name = self.weights[conv], f"{where}{conv}"
        kernel = np.asarray(weights.kernel * np.float32(factor), np.float32)
        bias = np.asarray(weights.bias, np.float32)
        if activation == "hard_sigmoid":  # relu6(x + 3) / 6, Howard et al. 2019, arXiv:1905.02244
            y = self.writer.conv(x, kernel, bias + np.float32(3), stride=stride, activation="RELU6", name=name)
            sixth = self.writer.constant("sixth", np.array(_SIXTH, np.float32))
            return self.writer.mul(y, sixth, name=f"{name}/hard_sigmoid")
        fused: Literal["NONE", "RELU6"] = "RELU6" if activation == "relu6" else "NONE"
        y = self.writer.conv(x, kernel, bias, stride=stride, activation=fused, name=name)
        return self.activated(y, activation, name)

    def depthwise(self, x: int, kernel: Float32Array, bias: Float32Array | None, stride: int, name: str) -> int:
        """One temporal tap: a [k, k, C, 1] kernel over each frame; without a bias where it is None."""
        offset = np.zeros(kernel.shape[2], np.float32) if bias is None else np.asarray(bias, np.float32)
        return self.writer.depthwise(x, np.asarray(kernel, np.float32), offset, stride=stride, name=name)

    def activated(self, x: int, activation: str, name: str) -> int:
        """An activation that no operator before it has taken over."""
        if activation == "swish":
            return self.writer.swish(x, name=f"{name}/swish")
        if activation == "hard_swish":
            return self.writer.unary("HARD_SWISH", x, f"{name}/hard_swish")
        return self.writer.unary("LOGISTIC", x, f"{name}/sigmoid") if activation == "sigmoid" else x

    def gate(self, layer: Layer, means: int, factor: float = 1.0) -> int:
        """Squeeze-excitation: what each channel is multiplied by, in 0..1.

        Args:
            layer: The layer.
            means: float32 [N, 1, 1, seen].
            factor: What the means are multiplied by first.

        Returns:
            float32 [N, 1, 1, C].
        """
        hidden = self.convolved(means, f"{layer.name}/se/reduce", self.of.activation, factor=factor)
        return self.convolved(hidden, f"{layer.name}/se/expand", self.of.gating)

    def shortcut(self, layer: Layer, x: int, where: str = "") -> int:
        """What goes around a layer, pooled and projected where its shape changes."""
        if not layer.has_skip_projection:
            return x
        if layer.stride > 1:
            x = self.writer.average_pool(x, 3, layer.stride, name=f"{where}{layer.name}/pool")
        return self.convolved(x, f"{layer.name}/skip", where=where)

    def projected(self, layer: Layer, y: int, gate: int | None, around: int, where: str = "") -> int:
        """The end of a layer: gate, project, and add what goes around it."""
        name = f"{where}{layer.name}"
        if gate is not None:
            y = self.writer.mul(y, gate, name=f"{name}/gated")
        return self.writer.add(self.convolved(y, f"{layer.name}/projection", where=where), around, name=f"{name}/sum")
