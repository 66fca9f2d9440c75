"""How a MoViNet is computed: 2D operations on frames stacked along the batch axis.

Frames of all clips stand in one tensor [T * B, H, W, C], time outermost, so that a shift in time is a shift along the
first axis whatever the batch, and every 1x1x1 or (1, k, k) operation is a plain 2D one. A depthwise 3D convolution is
the sum over its temporal taps of 2D depthwise convolutions of shifted frames; a temporal one is a 2D convolution over
[1, T, B * H * W, C]. Every shape but the batch is static. See docs/movinet_lowering.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapters.system import import_tensorflow
from movinet_adapter.architecture import Architecture, Layer
from movinet_adapter.lowering import operations as ops
from movinet_adapter.lowering.folding import FoldedConv
from movinet_adapter.lowering.states import StreamStates

Tensor = Any
Outputs = dict[str, Tensor]
Observe = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class LoweredNetwork:
    """A network ready to compute.

    Attributes:
        of: The architecture.
        weights: The result of ``fold``.
        position_scales: Factors of the positional encoding by layer; empty if there is none.
        by_frame: In base mode, how many of the first layers compute one clip a frame at a time (see ``freeze``).
    """

    of: Architecture
    weights: Mapping[str, FoldedConv]
    position_scales: Mapping[str, Any]
    by_frame: int = 0

    def activate(self, x: Tensor) -> Tensor:
        """The backbone's activation."""
        return ops.activate(self.of.activation, x)


def clip_outputs(
    net: LoweredNetwork, frames: Tensor, *, running: bool = False, observe: Observe | None = None
) -> Outputs:
    """Compute whole clips, from nothing before them.

    Args:
        net: The network.
        frames: float32 [B, T, H, W, 3] RGB in 0..1; T, H and W static.
        running: In stream mode, whether to return what the clip would have yielded had it ended at each frame.
        observe: Called with "stem" and each layer's name and its output [T * B, H, W, C].

    Returns:
        {"logits": [B, C], "features": [B, D]}; with ``running`` also {"frame_logits": [B, T, C], "frame_features": [B,
        T, D]}.
    """
    tf = import_tensorflow()
    observe = observe or _ignore
    batch, times, height, width, channels = frames.shape
    stacked = frames if batch == 1 else tf.transpose(frames, [1, 0, 2, 3, 4])
    x = tf.reshape(stacked, [-1, height, width, channels])
    if net.of.mode == "stream":
        return _stream_outputs(net, x, times, StreamStates(None), running, observe)
    by_frame = net.by_frame if batch == 1 and times > 1 else 0
    net = replace(net, weights=_as_tensors(net.weights))
    x = _stem(net, x, observe)
    if by_frame:
        x = _first_layers_by_frame(net, x, by_frame, observe)
    for layer in net.of.layers[by_frame:]:
        with tf.name_scope(layer.name):
            x = _base_layer(net, layer, x, times)
        observe(layer.name, x)
    means = ops.clip_mean(net.activate(ops.pointwise(x, net.weights["head"])), times)
    features = tf.reshape(means, [-1, net.of.head])
    return {"logits": _classify(net, features), "features": features}


def step_outputs(
    net: LoweredNetwork, frames: Tensor, states: Mapping[str, Tensor], *, running: bool = False
) -> tuple[Outputs, Outputs]:
    """Compute the next frames of one stream.

    Args:
        net: The network, in stream mode.
        frames: float32 [1, n, H, W, 3] RGB in 0..1.
        states: The stream's states by name.
        running: Whether to return the outputs after each frame too.

    Returns:
        The outputs, and the new states, by name.
    """
    stream = StreamStates(states)
    x = import_tensorflow().reshape(frames, frames.shape[1:])
    return _stream_outputs(net, x, frames.shape[1], stream, running, _ignore), stream.after


def _as_tensors(weights: Mapping[str, FoldedConv]) -> dict[str, FoldedConv]:
    """Frozen weights as one constant each: numpy arrays would become another constant at every frame's use."""
    tf = import_tensorflow()
    return {
        name: FoldedConv(tf.nest.map_structure(tf.convert_to_tensor, folded.kernel), tf.convert_to_tensor(folded.bias))
        for name, folded in weights.items()
    }


def _ignore(name: str, x: Tensor) -> None:
    pass


def _stem(net: LoweredNetwork, x: Tensor, observe: Observe) -> Tensor:
    x = net.activate(ops.stem(x, net.weights["stem"]))
    observe("stem", x)
    return x


# Base mode ------------------------------------------------------------------------------------------------------------


def _base_layer(net: LoweredNetwork, layer: Layer, x: Tensor, times: int) -> Tensor:
    """Expand, convolve over space and time, gate, project, and add the shortcut."""
    name = layer.name
    y = net.activate(ops.pointwise(x, net.weights[f"{name}/expansion"]))
    y = net.activate(ops.depthwise_in_time(y, net.weights[f"{name}/feature"], layer.stride, times))
    y = ops.times_clip_gate(y, _gate(net, layer, ops.clip_mean(y, times)), times)
    return ops.pointwise(y, net.weights[f"{name}/projection"]) + _shortcut(net, layer, x)


def _first_layers_by_frame(net: LoweredNetwork, x: Tensor, count: int, observe: Observe) -> Tensor:
    """``count`` layers of one clip [T, H, W, C], a tensor a frame: what is computed then is small enough to stay in a
    core's own cache between one operator and the next, which makes up for there being many operators."""
    tf = import_tensorflow()
    frames = ops.split_frames(x)
    for layer in net.of.layers[:count]:
        with tf.name_scope(layer.name):
            frames = _base_layer_by_frame(net, layer, frames)
        observe(layer.name, ops.concat_frames(frames))
    return ops.concat_frames(frames)


def _base_layer_by_frame(net: LoweredNetwork, layer: Layer, frames: list[Tensor]) -> list[Tensor]:
    name, weights = layer.name, net.weights
    y = [net.activate(ops.pointwise(frame, weights[f"{name}/expansion"])) for frame in frames]
    y = [net.activate(frame) for frame in ops.depthwise_by_frame(y, weights[f"{name}/feature"], layer.stride)]
    gate = _gate(net, layer, ops.mean_of_frames(y))
    y = [ops.pointwise(ops.times_clip_gate(frame, gate, 1), weights[f"{name}/projection"]) for frame in y]
    return [found + _shortcut(net, layer, frame) for found, frame in zip(y, frames, strict=True)]


# Stream mode ----------------------------------------------------------------------------------------------------------


def _stream_outputs(
    net: LoweredNetwork, x: Tensor, times: int, states: StreamStates, running: bool, observe: Observe
) -> Outputs:
    tf = import_tensorflow()
    x = _stem(net, x, observe)
    for layer in net.of.layers:
        with tf.name_scope(layer.name):
            x = _stream_layer(net, layer, x, times, states)
        observe(layer.name, x)
    x = net.activate(ops.pointwise(x, net.weights["head"]))
    means = states.running_mean("state_head", tf.reshape(tf.reduce_mean(x, [1, 2]), [times, -1, net.of.head]))
    features = tf.reshape(means, [-1, net.of.head]) if times == 1 else means[-1]  # XNNPACK has no slice of this kind
    outputs = {"logits": _classify(net, features), "features": features}
    if running:
        by_clip = tf.transpose(means, [1, 0, 2])
        logits = _classify(net, tf.reshape(by_clip, [-1, net.of.head]))
        outputs["frame_features"] = by_clip
        outputs["frame_logits"] = tf.reshape(logits, [-1, times, logits.shape[-1]])
    return outputs


def _stream_layer(net: LoweredNetwork, layer: Layer, x: Tensor, times: int, states: StreamStates) -> Tensor:
    """The same as in base mode, with the convolution split into space and then time, which sees the past only."""
    name, weights = layer.name, net.weights
    y = net.activate(ops.pointwise(x, weights[f"{name}/expansion"]))
    feature = weights[f"{name}/feature"]
    y = net.activate(ops.depthwise(y, feature.kernel[0], layer.stride) + feature.bias)
    if layer.kernel_time > 1:
        full = states.with_buffer(f"state_{name}", y, times, layer.kernel_time - 1)
        y = net.activate(ops.temporal(full, weights[f"{name}/feature/temporal"], *y.shape[1:3]))
    if net.of.squeeze_excite != "none":
        y = y * _stream_gate(net, layer, y, times, states)
    return ops.pointwise(y, weights[f"{name}/projection"]) + _shortcut(net, layer, x)


def _stream_gate(net: LoweredNetwork, layer: Layer, y: Tensor, times: int, states: StreamStates) -> Tensor:
    """The gate [T * B, 1, 1, C] from the running mean and each frame's own."""
    tf = import_tensorflow()
    prefix, channels = f"state_{layer.name}", layer.expanded
    frame_means = tf.reshape(tf.reduce_mean(y, [1, 2]), [times, -1, channels])
    seen = tf.concat([states.running_mean(prefix, frame_means), frame_means], -1)
    if net.of.positions:
        positions = states.positions(prefix, times)
        seen = seen + net.position_scales[layer.name] * _position_encoding(positions, 2 * channels)
    return _gate(net, layer, tf.reshape(seen, [-1, 1, 1, 2 * channels]))


def _position_encoding(positions: Tensor, channels: int) -> Tensor:
    """Sines of the even and cosines of the odd channels' angles (Vaswani et al. 2017, arXiv:1706.03762), one after the
    other as tf-models has them: positions float32 [T] to [T, 1, channels]."""
    tf = import_tensorflow()
    even = 2 * (np.arange(channels) // 2)
    rates = (1 / np.power(10_000.0, even / channels)).astype(np.float32)
    radians = tf.reshape(positions, [-1, 1])
    return tf.concat([tf.sin(radians * rates[None, 0::2]), tf.cos(radians * rates[None, 1::2])], -1)[:, None, :]


# Both -----------------------------------------------------------------------------------------------------------------


def _gate(net: LoweredNetwork, layer: Layer, means: Tensor) -> Tensor:
    """Squeeze-excitation: what each channel is multiplied by, in 0..1, from means [N, 1, 1, seen] to [N, 1, 1, C].

    As 1x1 convolutions: before a dense layer the converter drops the batch of one, and XNNPACK then refuses it.
    """
    hidden = net.activate(ops.pointwise(means, net.weights[f"{layer.name}/se/reduce"]))
    return ops.activate(net.of.gating, ops.pointwise(hidden, net.weights[f"{layer.name}/se/expand"]))


def _shortcut(net: LoweredNetwork, layer: Layer, x: Tensor) -> Tensor:
    if not layer.has_skip_projection:
        return x
    if layer.stride > 1:
        x = import_tensorflow().nn.avg_pool2d(x, 3, layer.stride, "SAME")
    return ops.pointwise(x, net.weights[f"{layer.name}/skip"])


def _classify(net: LoweredNetwork, features: Tensor) -> Tensor:
    hidden = ops.activate(net.of.classifier_activation, ops.dense(features, net.weights["classifier/hidden"]))
    return ops.dense(hidden, net.weights["classifier/output"])
