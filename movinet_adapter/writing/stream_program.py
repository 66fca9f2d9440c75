"""The causal backbone as operators: of whole clips, whose features heads are trained on, and of a stream's next frame.

The same as ``lowering.clip_outputs`` and ``lowering.step_outputs``, frozen and converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np

from adapters.config import Config
from adapters.litert import IMAGE, GraphWriter, counts_first, with_8_bit_weights, with_16_bit_weights
from adapters.models import write_head
from adapters.records import Float32Array, Precision
from movinet_adapter.architecture import Architecture, Layer, StateSpec, state_specs
from movinet_adapter.weights.init_signature import add_init
from movinet_adapter.writing.layers import NetworkWriter


def write_causal(writer: GraphWriter, of: Architecture, values: Mapping[str, Float32Array]) -> int:
    """Write the backbone for whole clips, each from a stream's start.

    Args:
        writer: A program whose input is one clip, float32 [1, T, H, W, 3] in 0..1.
        of: An architecture of stream mode.
        values: The backbone's variables by name.

    Returns:
        The features after the last frame, float32 [1, D].
    """
    net = NetworkWriter.begin(writer, of, values)
    _, times, height, width, channels = writer.shape(writer.images)
    means = _causal_layers(
        net, writer.reshape(writer.images, (times, height, width, channels), name="frames"), _Clip(net)
    )
    return means if times == 1 else writer.part(means, 0, times - 1, times, name="features")


def step_program(
    of: Architecture, size: int, config: Config, values: Mapping[str, Float32Array], quantize: Precision
) -> bytes:
    """Write the program that steps along a stream; ``streaming.conversion`` says what goes in and out.

    Args:
        of: An architecture of stream mode.
        size: The height and width of frames in pixels.
        config: A complete config, whose head the program ends in.
        values: The variables of backbone and head by name.
        quantize: "float32", "float16" or "dynamic".

    Returns:
        The bytes of the .tflite.
    """
    specs = state_specs(of, size, size)
    writer = GraphWriter((1, 1, size, size, 3), IMAGE)
    states = {name: writer.add_input(name, spec.dtype, spec.shape) for name, spec in specs.items()}
    net = NetworkWriter.begin(writer, of, values)
    memory = _Stream(net, states)
    features = _causal_layers(net, writer.reshape(writer.images, (1, size, size, 3), name="frame"), memory)
    scores = write_head(writer, config, features, dict(values))
    program = writer.packed({"scores": scores, "features": features, **memory.after})
    return _finished(program, specs, quantize)


def _finished(program: bytes, specs: Mapping[str, StateSpec], quantize: Precision) -> bytes:
    """A float32 step as a stream program of a precision: counting first, and the signature of a new stream's states."""
    if quantize == "dynamic":
        program = with_8_bit_weights(program)
    if quantize == "float16":
        program = with_16_bit_weights(program)
    return add_init(counts_first(program), specs)


class _Memory(Protocol):
    """What was before the frames that are computed."""

    def with_past(self, layer: Layer, x: int) -> int:
        """Frames [T, H, W, C] behind those before them, as [1, kernel_time - 1 + T, H * W, C]."""

    def running_mean(self, prefix: str, means: int) -> int:
        """Rows [T, C], one per frame, to the mean of all rows so far."""

    def encoding(self, layer: Layer, channels: int) -> int:
        """The scaled positional encoding of the frames, [T, channels]."""


def _causal_layers(net: NetworkWriter, frames: int, memory: _Memory) -> int:
    """Frames [T, H, W, 3] to the running means of the features, [T, D]."""
    x = net.stem(frames)
    for layer in net.of.layers:
        x = _layer(net, layer, x, memory)
    x = net.convolved(x, "head", net.of.activation)
    return memory.running_mean("state_head", net.writer.mean(x, name="means"))


def _layer(net: NetworkWriter, layer: Layer, x: int, memory: _Memory) -> int:
    """The same as in base mode, with the convolution split into space and then time, which sees the past only."""
    writer, name, activation = net.writer, layer.name, net.of.activation
    around = net.shortcut(layer, x)
    y = net.convolved(x, f"{name}/expansion", activation)
    fused: Literal["NONE", "RELU6"] = "RELU6" if activation == "relu6" else "NONE"
    feature = net.weights[f"{name}/feature"]
    y = writer.depthwise(
        y, feature.kernel[0], feature.bias, stride=layer.stride, activation=fused, name=f"{name}/feature"
    )
    y = net.activated(y, activation, f"{name}/feature")
    if layer.kernel_time > 1:
        shape, temporal = writer.shape(y), net.weights[f"{name}/feature/temporal"]
        full = memory.with_past(layer, y)
        y = writer.depthwise(
            full, temporal.kernel, temporal.bias, padding="VALID", activation=fused, name=f"{name}/temporal"
        )
        y = net.activated(writer.reshape(y, shape, name=f"{name}/temporal/frames"), activation, f"{name}/temporal")
    gate = None if net.of.squeeze_excite == "none" else _gate(net, layer, y, memory)
    return net.projected(layer, y, gate, around)


def _gate(net: NetworkWriter, layer: Layer, y: int, memory: _Memory) -> int:
    """The gate [T, 1, 1, C] from the running mean and each frame's own."""
    writer, name = net.writer, layer.name
    means = writer.mean(y, name=f"{name}/means")
    seen = writer.concat([memory.running_mean(f"state_{name}", means), means], 1, name=f"{name}/seen")
    times, channels = writer.shape(seen)
    if net.of.positions:
        seen = writer.add(seen, memory.encoding(layer, channels), name=f"{name}/placed")
    return net.gate(layer, writer.reshape(seen, (times, 1, 1, channels), name=f"{name}/squeezed"))


def _rates(channels: int) -> Float32Array:
    """Angles by position of each channel (Vaswani et al. 2017, arXiv:1706.03762), the even channels' first."""
    even = 2 * (np.arange(channels) // 2)
    rates = (1 / np.power(10_000.0, even / channels)).astype(np.float32)
    return np.concatenate([rates[0::2], rates[1::2]])


class _Clip:
    """Nothing was before: a clip from its start."""

    def __init__(self, net: NetworkWriter) -> None:
        self.net = net

    def with_past(self, layer: Layer, x: int) -> int:
        writer, name = self.net.writer, f"{layer.name}/temporal"
        times, height, width, channels = writer.shape(x)
        flat = writer.reshape(x, (1, times, height * width, channels), name=f"{name}/flat")
        return writer.padded(flat, [(0, 0), (layer.kernel_time - 1, 0), (0, 0), (0, 0)], name=f"{name}/past")

    def running_mean(self, prefix: str, means: int) -> int:
        writer, times = self.net.writer, self.net.writer.shape(means)[0]
        if times == 1:
            return means
        order = np.arange(1, times + 1, dtype=np.float32)
        weights = (np.tri(times, dtype=np.float32) / order[:, None]).astype(np.float32)
        columns = writer.transpose(means, name=f"{prefix}/columns")
        nothing = np.zeros(times, np.float32)
        found = writer.dense(columns, np.ascontiguousarray(weights.T), nothing, name=f"{prefix}/running")
        return writer.transpose(found, name=f"{prefix}/rows")

    def encoding(self, layer: Layer, channels: int) -> int:
        times = self.net.writer.shape(self.net.writer.images)[1]
        radians = np.arange(times, dtype=np.float32)[:, None] * _rates(channels)
        half = channels // 2
        found = np.concatenate([np.sin(radians[:, :half]), np.cos(radians[:, half:])], 1)
        scaled = np.asarray(found * self.net.position_scales[layer.name], np.float32)
        return self.net.writer.constant(f"{layer.name}/encoding", scaled)


class _Stream:
    """The states of a stream whose next frame is computed. after: the new states by name."""

    def __init__(self, net: NetworkWriter, before: Mapping[str, int]) -> None:
        self.net, self.before, self.after = net, before, dict[str, int]()

    def with_past(self, layer: Layer, x: int) -> int:
        writer, name = self.net.writer, f"state_{layer.name}_stream_buffer"
        _, height, width, channels = writer.shape(x)
        size = layer.kernel_time - 1
        new = writer.reshape(x, (1, 1, height, width, channels), name=f"{name}/frame")
        full = writer.concat([self.before[name], new], 1, name=f"{name}/full")
        self.after[name] = writer.part(full, 1, 1, size + 1, name=f"{name}/after")
        return writer.reshape(full, (1, size + 1, height * width, channels), name=f"{name}/flat")

    def running_mean(self, prefix: str, means: int) -> int:
        writer, total, channels = self.net.writer, f"{prefix}_pool_buffer", self.net.writer.shape(means)[1]
        before = writer.reshape(self.before[total], (1, channels), name=f"{total}/flat")
        sums = writer.add(means, before, name=f"{total}/sums")
        self.after[total] = writer.reshape(sums, (1, 1, 1, 1, channels), name=f"{total}/after")
        count = self._counted(f"{prefix}_pool_frame_count")
        one = writer.constant("one", np.ones(1, np.float32))
        frames = writer.reshape(writer.add(count, one, name=f"{total}/count"), (1, 1), name=f"{total}/frames")
        return writer.div(sums, frames, name=f"{prefix}/running")

    def encoding(self, layer: Layer, channels: int) -> int:
        writer, prefix = self.net.writer, f"state_{layer.name}_pos_enc"
        position = writer.reshape(self._counted(f"{prefix}_frame_count"), (1, 1), name=f"{prefix}/position")
        half, rates, parts = channels // 2, _rates(channels), []
        waves: tuple[tuple[Literal["SIN", "COS"], Float32Array], ...] = (("SIN", rates[:half]), ("COS", rates[half:]))
        for kind, own in waves:
            factors = writer.constant(f"{prefix}/rates", own[None])
            angles = writer.mul(position, factors, name=f"{prefix}/angles")
            parts.append(writer.unary(kind, angles, f"{prefix}/{kind}"))
        scale = writer.constant(f"{prefix}/scale", np.asarray(self.net.position_scales[layer.name], np.float32))
        return writer.mul(writer.concat(parts, 1, name=f"{prefix}/both"), scale, name=prefix)

    def _counted(self, name: str) -> int:
        """Frames before this one, float32 [1]; the new state counts this one too."""
        writer, count = self.net.writer, self.before[name]
        self.after[name] = writer.next_count(count, name=f"{name}/after")
        return writer.as_float(count, name=f"{name}/float")
