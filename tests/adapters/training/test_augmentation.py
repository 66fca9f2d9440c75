"""Augmentation: seeded, alike over a clip's frames, and only what is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.augmentation import augment, time_shift_seconds

NONE = {"flip": False, "rotation_degrees": 0.0, "crop": 1.0, "color_jitter": 0.0, "temporal_jitter": 0.0}
ALL = {"flip": True, "rotation_degrees": 20.0, "crop": 0.6, "color_jitter": 0.4, "temporal_jitter": 0.5}


def picture(seed: int = 0, size: tuple[int, int] = (24, 36)) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    return np.kron(coarse, np.ones((size[0] // 6, size[1] // 9, 1), np.uint8))


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_same_seed_same_frames_and_all_frames_alike(seed: int) -> None:
    frames = np.stack([picture()] * 3)
    one, two = augment(frames, ALL, rng(seed)), augment(frames, ALL, rng(seed))
    np.testing.assert_array_equal(one, two)
    assert one.shape == frames.shape
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one[0], one[2])


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_nothing_asked_nothing_done(seed: int) -> None:
    frames = picture()[None]
    np.testing.assert_array_equal(augment(frames, NONE, rng(seed)), frames)


def test_flip_mirrors_half_of_the_views() -> None:
    frames = picture()[None]
    views = [augment(frames, {**NONE, "flip": True}, rng(seed)) for seed in range(40)]
    mirrored = sum(np.array_equal(view, frames[:, :, ::-1]) for view in views)
    plain = sum(np.array_equal(view, frames) for view in views)
    assert mirrored + plain == 40
    assert 10 <= mirrored <= 30


@pytest.mark.parametrize("key", ["rotation_degrees", "crop", "color_jitter"])
def test_each_setting_does_something(key: str) -> None:
    frames = picture()[None]
    assert any(not np.array_equal(augment(frames, {**NONE, key: ALL[key]}, rng(seed)), frames) for seed in range(3))


@given(st.integers(0, 1000), st.floats(0.01, 10))
def test_time_shift_is_bounded(seed: int, spacing: float) -> None:
    assert abs(time_shift_seconds(ALL, spacing, rng(seed))) <= 0.5 * spacing
    assert time_shift_seconds(NONE, spacing, rng(seed)) == 0
