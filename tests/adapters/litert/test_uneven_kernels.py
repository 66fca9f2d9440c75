"""Kernels in 8 bits: which are too uneven for one scale, and the scale of each channel."""

import numpy as np
import pytest

from adapters.litert.dynamic_weights import UNEVEN, is_uneven, quantized_kernel


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("times", "uneven"), [(UNEVEN * 0.99, False), (UNEVEN * 1.01, True), (1.0, False)])
def test_one_large_weight_among_equal_ones(unit: float, times: float, uneven: bool) -> None:
    kernel = np.full((3, 5), unit, np.float32)
    kernel[1, 2] = -times * unit  # its size counts
    assert is_uneven(kernel) is uneven


def test_kernels_of_zeros() -> None:
    kernel = np.zeros((3, 5), np.float32)
    assert not is_uneven(kernel)
    kernel[0, 0] = 1e-6
    assert is_uneven(kernel)
    values, scales = quantized_kernel(np.zeros((2, 3), np.float32), 0)
    assert scales.tolist() == [1.0, 1.0]
    assert not values.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_channel_has_the_scale_of_its_largest_weight(axis: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    values, scales = quantized_kernel(kernel, axis)
    others = tuple(place for place in range(3) if place != axis)
    np.testing.assert_allclose(scales, np.abs(kernel).max(axis=others) / 127, rtol=1e-6)
    assert np.abs(values.astype(int)).max(axis=others).tolist() == [127] * kernel.shape[axis]
    shape = [-1 if place == axis else 1 for place in range(3)]
    assert np.abs(values * scales.reshape(shape) - kernel).max() <= scales.max() / 2 + 1e-7
    assert (quantized_kernel(kernel, axis, least=0.5)[1] == 0.5).all()
