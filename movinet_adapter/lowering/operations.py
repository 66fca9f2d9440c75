"""The 2D operations that a MoViNet is made of here, on stacked frames [N, H, W, C]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.system import import_tensorflow
from movinet_adapter.lowering.folding import FoldedConv

Tensor = Any


def activate(name: str, x: Tensor) -> Tensor:
    """Compute an activation.

    swish: Ramachandran et al. 2017, arXiv:1710.05941. hard_swish and hard_sigmoid: Howard et al. 2019,
    arXiv:1905.02244; tf-models multiplies the latter by 0.16667 and not by 1/6.

    Args:
        name: swish, hard_swish, hard_sigmoid, sigmoid or relu6.
        x: A float32 tensor of any shape.
    """
    tf = import_tensorflow()
    if name == "swish":
        return tf.nn.silu(x)
    if name == "hard_swish":
        return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
    if name == "hard_sigmoid":
        return tf.nn.relu6(x + 3.0) * 0.16667
    return {"sigmoid": tf.sigmoid, "relu6": tf.nn.relu6}[name](x)


def stem(x: Tensor, weights: FoldedConv) -> Tensor:
    """The first convolution, which halves the size: [N, H, W, 3] to [N, H / 2, W / 2, C]."""
    return import_tensorflow().nn.conv2d(x, weights.kernel, 2, "SAME") + weights.bias


def pointwise(x: Tensor, weights: FoldedConv) -> Tensor:
    """A 1x1 convolution."""
    return import_tensorflow().nn.conv2d(x, weights.kernel, 1, "SAME") + weights.bias


def dense(x: Tensor, weights: FoldedConv) -> Tensor:
    """[N, in] to [N, out]."""
    return import_tensorflow().matmul(x, weights.kernel) + weights.bias


def depthwise(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """One temporal tap: [k, k, C, 1] over each frame, without its bias."""
    return import_tensorflow().nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")


def depthwise_in_time(x: Tensor, weights: FoldedConv, stride: int, times: int) -> Tensor:
    """A depthwise 3D convolution of [T * B, H, W, C] as the sum over its taps, zeros beyond the clip's ends."""
    tf = import_tensorflow()
    middle = len(weights.kernel) // 2
    total = depthwise(x, weights.kernel[middle], stride) + weights.bias
    batch = (tf.shape(x)[0] if x.shape[0] is None else x.shape[0]) // times
    for tap, kernel in enumerate(weights.kernel):
        shift = tap - middle  # this tap sees the frame that many later than the one it adds to
        if shift == 0 or abs(shift) >= times:
            continue
        missing = abs(shift) * batch
        seen = _without(x, missing, first=shift > 0)
        total = total + tf.pad(depthwise(seen, kernel, stride), _ends(missing, first=shift < 0))
    return total


def _without(x: Tensor, count: Any, *, first: bool) -> Tensor:
    """x [N, H, W, C] without its first or its last ``count`` entries, with zeros in their place as its gradient.

    TensorFlow's own gradient of x[a:b] gives the same and took 40% of a training step on a CPU (StridedSliceGrad);
    tf.slice has a fast one, but of it the converter makes a longer program.
    """
    tf = import_tensorflow()

    def cut(x: Tensor) -> Any:
        return x[count:] if first else x[:-count], lambda upstream: tf.pad(upstream, _ends(count, first=first))

    return tf.custom_gradient(cut)(x)


def _ends(count: Any, *, first: bool) -> list[list[Any]]:
    """Paddings for tf.pad: ``count`` entries before the first or after the last."""
    return [[count, 0] if first else [0, count], [0, 0], [0, 0], [0, 0]]


def depthwise_by_frame(frames: Sequence[Tensor], weights: FoldedConv, stride: int) -> list[Tensor]:
    """The same for frames that are tensors of their own [1, H, W, C], one an entry."""
    middle = len(weights.kernel) // 2
    found = []
    for index, frame in enumerate(frames):
        total = depthwise(frame, weights.kernel[middle], stride) + weights.bias
        for tap, kernel in enumerate(weights.kernel):
            other = index + tap - middle
            if tap != middle and 0 <= other < len(frames):
                total = total + depthwise(frames[other], kernel, stride)
        found.append(total)
    return found


def temporal(full: Tensor, weights: FoldedConv, height: int, width: int) -> Tensor:
    """Frames with their past as [1, kernel_time - 1 + T, B * H * W, C] to [T * B, H, W, C]."""
    tf = import_tensorflow()
    y = tf.nn.depthwise_conv2d(full, weights.kernel, [1, 1, 1, 1], "VALID") + weights.bias
    return tf.reshape(y, [-1, height, width, y.shape[-1]])


def clip_mean(x: Tensor, times: int) -> Tensor:
    """[T * B, H, W, C] to the mean over each clip's time and space [B, 1, 1, C]."""
    tf = import_tensorflow()
    _, height, width, channels = x.shape
    if x.shape[0] == times:  # one clip
        return tf.reduce_mean(x, [0, 1, 2], keepdims=True)
    means = tf.reduce_mean(tf.reshape(x, [times, -1, height * width, channels]), [0, 2])
    return tf.reshape(means, [-1, 1, 1, channels])


def times_clip_gate(x: Tensor, gate: Tensor, times: int) -> Tensor:
    """x [T * B, H, W, C] times gate [B, 1, 1, C]."""
    tf = import_tensorflow()
    _, height, width, channels = x.shape
    if x.shape[0] == times:
        return x * gate
    by_clip = tf.reshape(x, [times, -1, height * width, channels]) * tf.reshape(gate, [1, -1, 1, channels])
    return tf.reshape(by_clip, [-1, height, width, channels])


def mean_of_frames(frames: Sequence[Tensor]) -> Tensor:
    """The mean over time and space of frames [1, H, W, C], to [1, 1, 1, C].

    Rows first: XNNPACK shares the rows of a frame among its threads, and has one thread for the mean of a whole frame.
    """
    tf = import_tensorflow()
    rows = tree_sum([tf.reduce_mean(frame, [2], keepdims=True) for frame in frames])
    return tf.reduce_mean(rows, [1], keepdims=True) * (1.0 / len(frames))


def split_frames(x: Tensor) -> list[Tensor]:
    """x [T, H, W, C] to its frames [1, H, W, C].

    XNNPACK copies a slice with one thread, and a split, of four parts at most, with all: 16 frames are split twice.
    """
    tf, times = import_tensorflow(), x.shape[0]
    parts = next((parts for parts in (4, 3, 2) if times % parts == 0 and 2 <= times // parts <= 4), None)
    if parts is None:
        return [x[time : time + 1] for time in range(times)]
    return [frame for group in tf.split(x, parts) for frame in tf.split(group, times // parts)]


def concat_frames(frames: Sequence[Tensor]) -> Tensor:
    """Concatenate along the first axis, four at a time: XNNPACK takes no more in one operator."""
    tf, parts = import_tensorflow(), list(frames)
    while len(parts) > 1:
        groups = [parts[start : start + 4] for start in range(0, len(parts), 4)]
        parts = [tf.concat(group, 0) if len(group) > 1 else group[0] for group in groups]
    return parts[0]


def tree_sum(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape, two at a time, as a tree."""
    left = list(parts)
    while len(left) > 1:
        pairs = [left[start : start + 2] for start in range(0, len(left), 2)]
        left = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
    return left[0]
