"""The operations of a MoViNet against their plain definitions, gradients of the depthwise convolution among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movinet_adapter.lowering.folding import FoldedConv
from movinet_adapter.lowering.operations import (
    activate,
    clip_mean,
    concat_frames,
    dense,
    depthwise_by_frame,
    depthwise_in_time,
    mean_of_frames,
    pointwise,
    split_frames,
    stem,
    temporal,
    times_clip_gate,
    tree_sum,
)

tf = pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")


def plain(x: Any, kernel: Any, bias: Any, stride: int) -> Any:
    """x [T, B, H, W, C], kernel [kt, k, k, C]: each output as the sum over all that its kernel sees, zeros beyond."""
    taps, size = kernel.shape[:2]
    times, _, height, width, _ = x.shape

    def ends(length: int) -> list[int]:  # as TensorFlow's "SAME" has them
        missing = max((-(-length // stride) - 1) * stride + size - length, 0)
        return [missing // 2, missing - missing // 2]

    padded = tf.pad(x, [[taps // 2, taps // 2], [0, 0], ends(height), ends(width), [0, 0]])
    rows, columns = (stride * (-(-length // stride) - 1) + 1 for length in (height, width))
    return bias + sum(
        kernel[t, i, j] * padded[t : t + times, :, i : i + rows : stride, j : j + columns : stride]
        for t in range(taps)
        for i in range(size)
        for j in range(size)
    )


@settings(max_examples=12, deadline=None)
@given(
    taps=st.sampled_from([1, 3, 5]),
    size=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
    times=st.integers(1, 5),
    batch=st.integers(1, 3),
    known_batch=st.booleans(),
)
def test_gradients_are_those_of_the_plain_sum(
    taps: int, size: int, stride: int, times: int, batch: int, known_batch: bool
) -> None:
    rng = np.random.default_rng([taps, size, stride, times, batch])
    shape = (times, batch, 7, 6, 2)
    x, kernel = rng.normal(size=shape), rng.normal(size=(taps, size, size, 2))
    bias, upstream = rng.normal(size=2), rng.normal(size=(times, batch, -(-7 // stride), -(-6 // stride), 2))
    frames = tf.TensorSpec([times * batch if known_batch else None, 7, 6, 2], tf.float64)

    @tf.function(input_signature=[frames, tf.TensorSpec(kernel.shape, tf.float64), tf.TensorSpec([2], tf.float64)])
    def ours(x: Any, kernel: Any, bias: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel, bias])
            weights = FoldedConv(tuple(tf.unstack(kernel[..., None])), bias)
            y = depthwise_in_time(x, weights, stride, times)
        return y, *tape.gradient(y, [x, kernel, bias], upstream.reshape(-1, *upstream.shape[2:]))

    wanted = [tf.constant(value) for value in (x, kernel, bias)]
    with tf.GradientTape() as tape:
        tape.watch(wanted)
        y = plain(*wanted, stride)
    expected = [y, *tape.gradient(y, wanted, upstream)]
    for found, right in zip(ours(x.reshape(-1, 7, 6, 2), kernel, bias), expected, strict=True):
        np.testing.assert_allclose(found, np.reshape(right, found.shape), rtol=1e-9, atol=1e-9)


def test_no_slow_gradient_of_a_slice_is_left_in_a_step_of_training() -> None:
    """TensorFlow's gradient of x[a:b] takes tens of milliseconds a tap on a processor: see ``operations._without``."""
    weights = FoldedConv(tuple(tf.unstack(tf.ones([5, 3, 3, 2, 1]))), tf.zeros(2))

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 2])])
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = depthwise_in_time(x, weights, 1, 6)
        return tape.gradient(y, x)

    kinds = {operation.type for operation in step.get_concrete_function().graph.get_operations()}
    assert "DepthwiseConv2dNativeBackpropInput" in kinds
    assert "StridedSliceGrad" not in kinds


@pytest.mark.parametrize("times", [*range(2, 18), 50])
def test_frames_that_are_cut_keep_their_order_and_have_the_mean_of_all(times: int) -> None:
    x = np.random.default_rng(times).normal(size=(times, 3, 5, 2))
    frames = split_frames(tf.constant(x))
    np.testing.assert_array_equal(frames, x[:, None])
    np.testing.assert_array_equal(concat_frames(frames), x)
    np.testing.assert_allclose(mean_of_frames(frames), x.mean((0, 1, 2), keepdims=True), rtol=1e-12, atol=1e-15)


def clamped(x: float) -> float:
    return min(max(x + 3, 0), 6)


ACTIVATIONS = {
    "swish": lambda x: x / (1 + math.exp(-x)),
    "hard_swish": lambda x: x * clamped(x) / 6,
    "hard_sigmoid": lambda x: clamped(x) * 0.16667,  # the constant of the published models, which is not 1/6
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "relu6": lambda x: min(max(x, 0), 6),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_each_activation_is_the_published_function(name: str) -> None:
    points = np.array([-50, -4, -3, -1.25, -0.5, 0, 0.5, 1, 2.5, 3, 4, 6, 7.5, 60])
    expected = [ACTIVATIONS[name](x) for x in points.tolist()]
    np.testing.assert_allclose(activate(name, tf.constant(points)), expected, rtol=1e-9, atol=1e-15)


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def test_products_of_channels() -> None:
    x, kernel, bias = normal(2, 3, 4, 5), normal(1, 1, 5, 6), normal(6)
    np.testing.assert_allclose(pointwise(x, FoldedConv(kernel, bias)), x @ kernel[0, 0] + bias, rtol=1e-9)
    np.testing.assert_allclose(dense(x[:, 0, 0], FoldedConv(kernel[0, 0], bias)), x[:, 0, 0] @ kernel[0, 0] + bias)


@pytest.mark.parametrize("height, width", [(7, 6), (8, 8), (5, 5)])
def test_the_stem_halves_the_size(height: int, width: int) -> None:
    x, kernel, bias = normal(2, height, width, 3), normal(3, 3, 3, 4), normal(4)
    found = stem(x, FoldedConv(kernel, bias))
    assert found.shape == (2, -(-height // 2), -(-width // 2), 4)
    # Each input channel by itself is a depthwise convolution of one tap.
    expected = sum(
        plain(tf.constant(x[:, None, ..., [c, c, c, c]]), kernel[None, :, :, c], np.zeros(4), 2)[:, 0] for c in range(3)
    )
    np.testing.assert_allclose(found, expected + bias, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_frame_by_frame_gives_what_the_clip_gives(taps: int, times: int, stride: int) -> None:
    x, bias = normal(times, 6, 5, 2), normal(2)
    weights = FoldedConv(tuple(normal(taps, 3, 3, 2, 1, seed=1)), bias)
    found = depthwise_by_frame([tf.constant(frame[None]) for frame in x], weights, stride)
    assert len(found) == times
    np.testing.assert_allclose(
        tf.concat(found, 0), depthwise_in_time(tf.constant(x), weights, stride, times), rtol=1e-9
    )


def test_a_temporal_convolution_sees_the_past_alone() -> None:
    """[1, kernel_time - 1 + T, B * H * W, C], the oldest frame first."""
    full, kernel, bias = normal(1, 2 + 4, 2 * 3, 5), normal(3, 1, 5, 1), normal(5)
    found = temporal(full, FoldedConv(kernel, bias), 2, 3)
    assert found.shape == (4, 2, 3, 5)
    for time in range(4):
        expected = sum(full[0, time + tap] * kernel[tap, 0, :, 0] for tap in range(3)) + bias
        np.testing.assert_allclose(np.reshape(found[time], (6, 5)), expected, rtol=1e-9)


@pytest.mark.parametrize("times, batch", [(3, 1), (3, 2), (1, 4), (1, 1)])
def test_means_and_gates_of_clips(times: int, batch: int) -> None:
    """Frames of a batch of clips stand frame by frame: [T * B, H, W, C]."""
    clips = normal(times, batch, 2, 3, 4)
    x = tf.constant(clips.reshape(times * batch, 2, 3, 4))
    means = clip_mean(x, times)
    assert means.shape == (batch, 1, 1, 4)
    np.testing.assert_allclose(np.reshape(means, (batch, 4)), clips.mean((0, 2, 3)), rtol=1e-9)
    gate = normal(batch, 1, 1, 4, seed=3)
    gated = times_clip_gate(x, tf.constant(gate), times)
    np.testing.assert_allclose(np.reshape(gated, clips.shape), clips * gate, rtol=1e-9)


@pytest.mark.parametrize("count", range(1, 10))
def test_a_total_is_of_all(count: int) -> None:
    parts = normal(count, 2)
    np.testing.assert_allclose(tree_sum([tf.constant(part) for part in parts]), parts.sum(axis=0), rtol=1e-9)
