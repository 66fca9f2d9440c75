"""How a MoViNet is computed: 2D operations on frames stacked along the batch axis.

Frames of all clips stand in one tensor [T * B, H, W, C], time outermost, so that a shift in time is a shift along the
first axis whatever the batch, and every 1x1x1 or (1, k, k) operation is a plain 2D one. A depthwise 3D convolution is
the sum over its temporal taps of 2D depthwise convolutions of shifted frames; a temporal one is a 2D convolution over
[1, T, B * H * W, C]. Every shape but the batch is static. See docs/movinet_lowering.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.native_log import import_tensorflow
from movinet_adapter.architecture import Architecture, Layer
from movinet_adapter.folding import Folded
from movinet_adapter.stream_states import StreamStates

Tensor = Any
Observe = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Lowered:
    """A network ready to compute. weights: what ``fold`` gave. position_scales: the layers' positional encoding
    factors by layer name, empty where there is none."""

    of: Architecture
    weights: Mapping[str, Folded]
    position_scales: Mapping[str, Any]


def clip_outputs(
    net: Lowered, frames: Tensor, *, running: bool = False, observe: Observe | None = None
) -> dict[str, Tensor]:
    """A whole clip, from nothing before it.

    frames: float32 [B, T, H, W, 3] RGB in 0..1; T, H and W static. Returns {"logits": [B, C], "features": [B, D]};
    with ``running``, in stream mode, also {"frame_logits": [B, T, C], "frame_features": [B, T, D]}: what the clip would
    have given had it ended at each frame. ``observe`` is called with each layer's name and output [T * B, H, W, C].
    """
    return _outputs(net, frames, StreamStates.none(), running, observe)


def step_outputs(
    net: Lowered, frames: Tensor, states: Mapping[str, Tensor], *, running: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The next frames of one stream: float32 [1, n, H, W, 3] and the states, to outputs and the new states."""
    stream = StreamStates.of(states)
    return _outputs(net, frames, stream, running, None), stream.after


def _outputs(
    net: Lowered, frames: Tensor, states: StreamStates, running: bool, observe: Observe | None
) -> dict[str, Tensor]:
    tf = import_tensorflow()
    _, times, height, width, channels = frames.shape
    stacked = frames if frames.shape[0] == 1 else tf.transpose(frames, [1, 0, 2, 3, 4])
    x = tf.reshape(stacked, [-1, height, width, channels])
    stem = net.weights["stem"]
    x = _activate(net.of.activation, tf.nn.conv2d(x, stem.kernel, 2, "SAME") + stem.bias)
    for layer in net.of.layers:
        if observe:
            observe("stem" if layer is net.of.layers[0] else _before(net.of, layer), x)
        x = _bottleneck(net, layer, x, times, states)
    if observe:
        observe(net.of.layers[-1].name, x)
    x = _activate(net.of.activation, _pointwise(x, net.weights["head"]))
    if net.of.mode == "base":
        features = _clip_mean(x, times)
        return {"logits": _classify(net, features), "features": features}
    return _stream_head(net, x, times, states, running)


def _before(of: Architecture, layer: Layer) -> str:
    return of.layers[of.layers.index(layer) - 1].name


def _stream_head(net: Lowered, x: Tensor, times: int, states: StreamStates, running: bool) -> dict[str, Tensor]:
    tf = import_tensorflow()
    frame_means = tf.reshape(tf.reduce_mean(x, [1, 2]), [times, -1, net.of.head])
    means = states.running_mean("state_head", frame_means)
    features = means[-1]
    outputs = {"logits": _classify(net, features), "features": features}
    if running:
        by_clip = tf.transpose(means, [1, 0, 2])
        outputs["frame_features"] = by_clip
        logits = _classify(net, tf.reshape(by_clip, [-1, net.of.head]))
        outputs["frame_logits"] = tf.reshape(logits, [-1, times, logits.shape[-1]])
    return outputs


def _bottleneck(net: Lowered, layer: Layer, x: Tensor, times: int, states: StreamStates) -> Tensor:
    """Expand, convolve over space and time, gate, project, and add the shortcut."""
    tf = import_tensorflow()
    of, name = net.of, layer.name
    y = _activate(of.activation, _pointwise(x, net.weights[f"{name}/expansion"]))
    y = _activate(of.activation, _depthwise(y, net.weights[f"{name}/feature"], layer, times))
    if f"{name}/feature/temporal" in net.weights:
        full = states.with_buffer(f"state_{name}", y, times, layer.kernel_time - 1)
        y = _activate(of.activation, _temporal(full, net.weights[f"{name}/feature/temporal"], y.shape))
    if of.squeeze_excite == "time":
        y = _times_gate(y, _gate(net, layer, _clip_mean(y, times)), times)
    elif of.squeeze_excite == "time_and_frame":
        y = y * tf.reshape(_stream_gate(net, layer, y, times, states), [-1, 1, 1, layer.expanded])
    y = _pointwise(y, net.weights[f"{name}/projection"])
    if layer.has_skip_projection:
        pooled = tf.nn.avg_pool2d(x, 3, 2, "SAME") if layer.stride > 1 else x
        x = _pointwise(pooled, net.weights[f"{name}/skip"])
    return y + x


def _depthwise(x: Tensor, weights: Folded, layer: Layer, times: int) -> Tensor:
    """The sum over temporal taps, with as many frames out as in and zeros beyond the clip's ends."""
    tf = import_tensorflow()
    strides, middle = [1, layer.stride, layer.stride, 1], len(weights.kernel) // 2
    total = tf.nn.depthwise_conv2d(x, weights.kernel[middle], strides, "SAME") + weights.bias
    batch = x.shape[0] // times if x.shape[0] is not None else tf.shape(x)[0] // times
    for tap, kernel in enumerate(weights.kernel):
        shift = tap - middle  # this tap sees the frame that many later than the one it gives to
        if shift == 0 or abs(shift) >= times:
            continue
        seen = x[shift * batch :] if shift > 0 else x[: shift * batch]
        part = tf.nn.depthwise_conv2d(seen, kernel, strides, "SAME")
        missing = abs(shift) * batch
        ends = [[0, missing] if shift > 0 else [missing, 0], [0, 0], [0, 0], [0, 0]]
        total = total + tf.pad(part, ends)
    return total


def _temporal(full: Tensor, weights: Folded, shape: Any) -> Tensor:
    """Frames [kernel_time - 1 + T, ...] as [1, time, pixels, C] to the T frames that have all their past."""
    tf = import_tensorflow()
    y = tf.nn.depthwise_conv2d(full, weights.kernel, [1, 1, 1, 1], "VALID") + weights.bias
    return tf.reshape(y, [-1, *shape[1:]])


def _clip_mean(x: Tensor, times: int) -> Tensor:
    """[T * B, H, W, C] to the mean over each clip's time and space [B, C]."""
    tf = import_tensorflow()
    _, height, width, channels = x.shape
    if x.shape[0] == times:  # one clip
        return tf.reshape(tf.reduce_mean(x, [0, 1, 2]), [1, channels])
    return tf.reduce_mean(tf.reshape(x, [times, -1, height * width, channels]), [0, 2])


def _times_gate(x: Tensor, gate: Tensor, times: int) -> Tensor:
    """x [T * B, H, W, C] times gate [B, C]."""
    tf = import_tensorflow()
    _, height, width, channels = x.shape
    if x.shape[0] == times:
        return x * tf.reshape(gate, [1, 1, 1, channels])
    by_clip = tf.reshape(x, [times, -1, height * width, channels]) * tf.reshape(gate, [1, -1, 1, channels])
    return tf.reshape(by_clip, [-1, height, width, channels])


def _stream_gate(net: Lowered, layer: Layer, y: Tensor, times: int, states: StreamStates) -> Tensor:
    """The gate [T * B, C] from the running mean and each frame's own."""
    tf = import_tensorflow()
    prefix = f"state_{layer.name}"
    frame_means = tf.reshape(tf.reduce_mean(y, [1, 2]), [times, -1, layer.expanded])
    seen = tf.concat([states.running_mean(prefix, frame_means), frame_means], -1)
    if net.of.positions:
        positions = states.positions(prefix, times)
        seen = seen + net.position_scales[layer.name] * _position_encoding(positions, 2 * layer.expanded)
    return _gate(net, layer, tf.reshape(seen, [-1, 2 * layer.expanded]))


def _position_encoding(positions: Tensor, channels: int) -> Tensor:
    """Sines of the even and cosines of the odd channels' angles (Vaswani et al. 2017, arXiv:1706.03762), one after the
    other as tf-models has them: positions float32 [T] to [T, 1, channels]."""
    tf = import_tensorflow()
    even = 2 * (np.arange(channels) // 2)
    rates = (1 / np.power(10_000.0, even / channels)).astype(np.float32)
    radians = tf.reshape(positions, [-1, 1]) * rates[None, :]
    return tf.concat([tf.sin(radians[:, 0::2]), tf.cos(radians[:, 1::2])], -1)[:, None, :]


def _gate(net: Lowered, layer: Layer, means: Tensor) -> Tensor:
    hidden = _activate(net.of.activation, _dense(means, net.weights[f"{layer.name}/se/reduce"]))
    return _activate(net.of.gating, _dense(hidden, net.weights[f"{layer.name}/se/expand"]))


def _classify(net: Lowered, features: Tensor) -> Tensor:
    hidden = _activate(net.of.activation, _dense(features, net.weights["classifier/hidden"]))
    return _dense(hidden, net.weights["classifier/output"])


def _pointwise(x: Tensor, weights: Folded) -> Tensor:
    tf = import_tensorflow()
    return tf.nn.conv2d(x, weights.kernel[None, None], 1, "SAME") + weights.bias


def _dense(x: Tensor, weights: Folded) -> Tensor:
    return import_tensorflow().matmul(x, weights.kernel) + weights.bias


def _activate(name: str, x: Tensor) -> Tensor:
    """swish and hard_swish: Howard et al. 2019, arXiv:1905.02244. tf-models' hard_sigmoid multiplies by 0.16667."""
    tf = import_tensorflow()
    if name == "swish":
        return tf.nn.silu(x)
    if name == "hard_swish":
        return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
    if name == "hard_sigmoid":
        return tf.nn.relu6(x + 3.0) * 0.16667
    return {"sigmoid": tf.sigmoid, "relu6": tf.nn.relu6}[name](x)
