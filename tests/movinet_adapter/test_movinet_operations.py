"""The depthwise convolution over space and time that training computes, and its gradients, against the plain sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movinet_adapter.lowering.folding import Folded
from movinet_adapter.lowering.operations import cut, depthwise_in_time, mean_of_frames, stack

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
            weights = Folded(tuple(tf.unstack(kernel[..., None])), bias)
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
    weights = Folded(tuple(tf.unstack(tf.ones([5, 3, 3, 2, 1]))), tf.zeros(2))

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
    frames = cut(tf.constant(x))
    np.testing.assert_array_equal(frames, x[:, None])
    np.testing.assert_array_equal(stack(frames), x)
    np.testing.assert_allclose(mean_of_frames(frames), x.mean((0, 1, 2), keepdims=True), rtol=1e-12, atol=1e-15)
