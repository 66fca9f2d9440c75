"""Kernels stored in 8 bits, chosen convolutions that compute in 8 bits, and counting put first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from adapters.errors import BundleError, ConversionError
from adapters.litert import Program, counts_first, to_litert, with_8_bit_weights, xnnpack_partitions
from adapters.litert.dynamic_weights import quantized_kernel
from adapters.litert.graph import operators, precision

tf = pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")

SHAPE, WIDE = (1, 6, 5, 8), 160
FINITE = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=50, deadline=None)
@given(kernel=arrays.arrays(np.float32, (3, 2, 1, 4), elements=FINITE), axis=st.sampled_from([0, 3]))
def test_a_kernel_is_within_half_a_step_of_its_channel(kernel: np.ndarray, axis: int) -> None:
    values, scales = quantized_kernel(kernel, axis)
    assert (values.dtype, values.shape, scales.shape) == (np.int8, kernel.shape, (kernel.shape[axis],))
    assert np.abs(values.astype(int)).max() <= 127
    steps = scales.reshape([-1 if index == axis else 1 for index in range(4)])
    assert np.all(np.abs(values * steps - kernel) <= steps * 0.501)
    assert np.all(quantized_kernel(kernel, axis, least=3.0)[1] >= 3.0)


class Layers:
    """Two pointwise convolutions of one kernel, a depthwise one, and two dense layers, the last large."""

    variables = ()

    def __init__(self, bias: float = 0.5) -> None:
        random = np.random.default_rng(3)
        self.kernel = random.normal(0, 0.2, (1, 1, 8, WIDE)).astype(np.float32)
        self.back = random.normal(0, 0.1, (1, 1, WIDE, 8)).astype(np.float32)
        self.spatial = random.normal(0, 0.3, (3, 3, WIDE, 1)).astype(np.float32)
        self.hidden = random.normal(0, 0.3, (8, 512)).astype(np.float32)
        self.last = random.normal(0, 0.05, (512, 600)).astype(np.float32)
        self.bias = np.full(WIDE, bias, np.float32)

    def __call__(self, x: Any) -> Any:
        kernel = tf.constant(self.kernel)
        with tf.name_scope("first"):
            y = tf.nn.relu6(tf.nn.conv2d(x, kernel, 1, "SAME") + self.bias)
        y = tf.nn.depthwise_conv2d(y, self.spatial, [1, 1, 1, 1], "SAME")
        x = x + tf.nn.conv2d(y, self.back, 1, "SAME") + 0.1
        with tf.name_scope("second"):
            y = tf.nn.relu6(tf.nn.conv2d(x, kernel, 1, "SAME") + self.bias)
        features = tf.reduce_mean(tf.nn.conv2d(y, self.back, 1, "SAME") + 0.1, [1, 2])
        scores = tf.matmul(tf.nn.relu(tf.matmul(features, self.hidden) + 0.1), self.last) + 0.1
        return {"features": features, "scores": scores}


def batches(count: int = 8) -> list[np.ndarray]:
    return [np.random.default_rng(seed).normal(0, 1, SHAPE).astype(np.float32) for seed in range(count)]


def in_8_bits(name: str) -> bool:
    return "first/" in name or "second/" in name


def error(model: bytes, layers: Layers, output: str) -> float:
    items = np.concatenate(batches())
    expected = np.asarray(layers(items)[output])
    return float(np.abs(Program(model, 1).run(items)[output] - expected).max() / np.abs(expected).max())


def test_kernels_stored_in_8_bits_leave_one_piece_of_float_arithmetic() -> None:
    layers = Layers()
    whole = to_litert(layers, SHAPE)
    model = to_litert(layers, SHAPE, "dynamic")
    assert model == with_8_bit_weights(whole)
    assert precision(model) == "dynamic"
    assert len(model) < len(whole) * 0.35
    assert xnnpack_partitions(model) in (1, None)
    # Two pointwise kernels, though one is used twice, the depthwise one, and the first dense one; not the last.
    assert operators(model)["DEQUANTIZE"] == 4
    assert error(model, layers, "features") < 0.02
    assert error(model, layers, "scores") < 0.03


def test_chosen_convolutions_alone_compute_in_8_bits() -> None:
    layers = Layers()
    model = to_litert(layers, SHAPE, "int8", batches(), in_8_bits=in_8_bits)
    assert precision(model) == "int8"
    assert xnnpack_partitions(model) in (1, None)
    found = operators(model)
    # Both uses read 8 bits; their kernel is no more among those that are widened.
    assert (found["QUANTIZE"], found["DEQUANTIZE"], found["CONV_2D"]) == (2, 2 + 3, 4)
    assert 0 < error(model, layers, "features") < 0.05
    assert len(model) < len(to_litert(layers, SHAPE, "dynamic")) * 1.1


def test_a_bias_that_dwarfs_its_kernel_survives() -> None:
    """Counted in units of input scale times kernel scale it would not fit in 32 bits."""
    layers = Layers(bias=5.0)
    layers.kernel[..., 0] *= 1e-9
    layers.kernel[..., 1] = 0
    model = to_litert(layers, SHAPE, "int8", batches(), in_8_bits=in_8_bits)
    assert error(model, layers, "features") < 0.05


class Twice:
    """One pointwise convolution of the upper and of the lower half of a picture."""

    variables = ()

    def __init__(self) -> None:
        self.kernel = np.random.default_rng(5).normal(0, 0.3, (1, 1, 8, WIDE)).astype(np.float32)

    def __call__(self, x: Any) -> Any:
        kernel, halves = tf.constant(self.kernel), {}
        for name, half in (("first", x[:, :3]), ("second", x[:, 3:])):
            with tf.name_scope(name):
                halves[name] = tf.nn.relu(tf.nn.conv2d(half, kernel, 1, "SAME") + 0.5)
        return {name: tf.reduce_mean(half, [1, 2]) for name, half in halves.items()}


@pytest.mark.parametrize("bright", ["first", "second"])
def test_uses_of_one_kernel_share_the_ranges_that_any_of_them_showed(bright: str) -> None:
    """Calibrated on pictures with one bright half, each half may be the bright one later."""
    rng, layers = np.random.default_rng(1), Twice()
    levels = np.array([8, 8, 8, 0.5, 0.5, 0.5], np.float32).reshape(1, 6, 1, 1)
    levels = levels if bright == "first" else levels[:, ::-1]
    pictures = [rng.normal(0, 1, SHAPE).astype(np.float32) * levels for _ in range(8)]
    model = Program(to_litert(layers, SHAPE, "int8", pictures, in_8_bits=in_8_bits), 1)
    for items in (pictures[0], np.ascontiguousarray(pictures[0][:, ::-1])):
        found, expected = model.run(items), layers(items)
        for name in ("first", "second"):
            assert np.abs(found[name] - expected[name]).max() < 0.02 * np.abs(layers(pictures[0])[bright]).max()


def test_what_cannot_be_calibrated_is_said() -> None:
    layers = Layers()
    with pytest.raises(ConversionError, match="no convolution can compute in 8 bits"):
        to_litert(layers, SHAPE, "int8", batches(1), in_8_bits=lambda name: False)
    with pytest.raises(ConversionError, match="calibration holds no batches"):
        to_litert(layers, SHAPE, "int8", [], in_8_bits=in_8_bits)
    layers.back[:] = np.inf
    with pytest.raises(ConversionError, match="the network gives values that are not finite"):
        to_litert(layers, SHAPE, "int8", batches(1), in_8_bits=in_8_bits)
    for change in (with_8_bit_weights, counts_first):
        with pytest.raises(BundleError, match="is not a LiteRT program"):
            change(b"nothing")
        with pytest.raises(BundleError, match="is damaged"):
            change(to_litert(Layers(), SHAPE)[:2000])
