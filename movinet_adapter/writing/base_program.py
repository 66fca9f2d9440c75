"""The backbone of base mode as operators: the same as ``lowering.clip_outputs`` of one clip, frozen and converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.litert import GraphWriter
from adapters.records import Float32Array
from movinet_adapter.architecture import Architecture, Layer
from movinet_adapter.lowering.budget import layers_by_frame
from movinet_adapter.writing.layers import NetworkWriter


def write_base(writer: GraphWriter, of: Architecture, values: Mapping[str, Float32Array]) -> int:
    """Write the backbone.

    Args:
        writer: A program whose input is one clip, float32 [1, T, H, W, 3] in 0..1.
        of: An architecture of base mode.
        values: The backbone's variables by name.

    Returns:
        The features, float32 [1, D].
    """
    writer.in_order_of_need = True
    net = NetworkWriter.begin(writer, of, values)
    _, times, height, width, channels = writer.shape(writer.images)
    x = net.stem(writer.reshape(writer.images, (times, height, width, channels), name="frames"))
    by_frame = layers_by_frame(of, times)
    if by_frame:
        frames = _frames(writer, x)
        for layer in of.layers[:by_frame]:
            frames = _layer_by_frame(net, layer, frames)
        x = _stacked(writer, frames)
    for layer in of.layers[by_frame:]:
        x = _layer(net, layer, x)
    means = writer.mean(net.convolved(x, "head", of.activation), (0, 1, 2), keep=True, name="means")
    return writer.reshape(means, (1, of.head), name="features")


def _layer(net: NetworkWriter, layer: Layer, x: int) -> int:
    """Expand, convolve over space and time, gate, project, and add the shortcut."""
    name = layer.name
    around = net.shortcut(layer, x)
    y = net.convolved(x, f"{name}/expansion", net.of.activation)
    y = net.activated(_depthwise_in_time(net, layer, y), net.of.activation, f"{name}/feature")
    gate = net.gate(layer, net.writer.mean(y, (0, 1, 2), keep=True, name=f"{name}/means"))
    return net.projected(layer, y, gate, around)


def _depthwise_in_time(net: NetworkWriter, layer: Layer, x: int) -> int:
    """A depthwise 3D convolution of [T, H, W, C] as the sum over its taps, zeros beyond the clip's ends."""
    writer, weights, name = net.writer, net.weights[f"{layer.name}/feature"], f"{layer.name}/feature"
    times, middle = writer.shape(x)[0], len(weights.kernel) // 2
    total = net.depthwise(x, weights.kernel[middle], weights.bias, layer.stride, name)
    for tap, kernel in enumerate(weights.kernel):
        shift = tap - middle  # this tap sees the frame that many later than the one it adds to
        if shift == 0 or abs(shift) >= times:
            continue
        begin, end = (shift, times) if shift > 0 else (0, times + shift)
        seen = net.depthwise(
            writer.part(x, 0, begin, end, name=f"{name}/seen{tap}"), kernel, None, layer.stride, f"{name}/tap{tap}"
        )
        missing = (0, shift) if shift > 0 else (-shift, 0)
        shifted = writer.padded(seen, [missing, (0, 0), (0, 0), (0, 0)], name=f"{name}/shifted{tap}")
        total = writer.add(total, shifted, name=f"{name}/sum{tap}")
    return total


# By frame -----------------------------------------------------------------------------------------------------------


def _layer_by_frame(net: NetworkWriter, layer: Layer, frames: Sequence[int]) -> list[int]:
    """The same for frames that are tensors of their own [1, H, W, C]."""
    name, places = layer.name, [f"frame{number}/" for number in range(len(frames))]
    around = [net.shortcut(layer, frame, where) for frame, where in zip(frames, places, strict=True)]
    y = [
        net.convolved(frame, f"{name}/expansion", net.of.activation, where=where)
        for frame, where in zip(frames, places, strict=True)
    ]
    found = _depthwise_by_frame(net, layer, y)
    y = [net.activated(z, net.of.activation, f"{where}{name}/feature") for z, where in zip(found, places, strict=True)]
    gate = net.gate(layer, _mean_of_rows(net.writer, y, name), 1.0 / len(y))
    return [net.projected(layer, z, gate, beside, where) for z, beside, where in zip(y, around, places, strict=True)]


def _depthwise_by_frame(net: NetworkWriter, layer: Layer, frames: Sequence[int]) -> list[int]:
    weights, found = net.weights[f"{layer.name}/feature"], []
    middle = len(weights.kernel) // 2
    for index, frame in enumerate(frames):
        name = f"frame{index}/{layer.name}/feature"
        total = net.depthwise(frame, weights.kernel[middle], weights.bias, layer.stride, name)
        for tap, kernel in enumerate(weights.kernel):
            other = index + tap - middle
            if tap != middle and 0 <= other < len(frames):
                seen = net.depthwise(frames[other], kernel, None, layer.stride, f"{name}/tap{tap}")
                total = net.writer.add(total, seen, name=f"{name}/sum{tap}")
        found.append(total)
    return found


def _mean_of_rows(writer: GraphWriter, frames: Sequence[int], name: str) -> int:
    """The sum over frames [1, H, W, C] of their means over space, [1, 1, 1, C].

    Rows first: XNNPACK shares the rows of a frame among its threads, and has one thread for the mean of a whole frame.
    """
    left = [writer.mean(frame, (2,), keep=True, name=f"frame{n}/{name}/rows") for n, frame in enumerate(frames)]
    while len(left) > 1:
        pairs = [left[start : start + 2] for start in range(0, len(left), 2)]
        left = [writer.add(*pair, name=f"{name}/rows") if len(pair) == 2 else pair[0] for pair in pairs]
    return writer.mean(left[0], (1,), keep=True, name=f"{name}/means")


def _frames(writer: GraphWriter, x: int) -> list[int]:
    """x [T, H, W, C] as its frames [1, H, W, C].

    XNNPACK copies a slice with one thread, and a split, of four parts at most, with all: 16 frames are split twice.
    """
    times = writer.shape(x)[0]
    parts = next((parts for parts in (4, 3, 2) if times % parts == 0 and 2 <= times // parts <= 4), None)
    if parts is None:
        return [writer.part(x, 0, time, time + 1, name=f"frame{time}") for time in range(times)]
    groups = writer.split(x, parts, name="frames")
    return [frame for group in groups for frame in writer.split(group, times // parts, name="frame")]


def _stacked(writer: GraphWriter, frames: Sequence[int]) -> int:
    """Concatenate along the first axis, four at a time: XNNPACK takes no more in one operator."""
    parts = list(frames)
    while len(parts) > 1:
        groups = [parts[start : start + 4] for start in range(0, len(parts), 4)]
        parts = [writer.concat(group, 0, name="stacked") if len(group) > 1 else group[0] for group in groups]
    return parts[0]
