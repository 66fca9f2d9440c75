"""Augmentation: seeded, alike over a clip's frames, and only what is asked for."""

from __future__ import annotations

from typing import Any

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


# What exactly is done -------------------------------------------------------------------------------------------------


class Draws:
    """A generator whose numbers are given, in units of the range that is asked for: -1..1 or 0..1."""

    def __init__(self, *values: float) -> None:
        self.values = np.array([*values, *[0.0] * (8 - len(values))])

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        found = (low + high) / 2 + (high - low) / 2 * self.values
        return found[0] if size is None else found[:size]


SMOOTH = np.random.default_rng(4).integers(60, 180, (1, 24, 36, 3), dtype=np.uint8)


def changed(settings: dict[str, Any], *draws: float, frames: Any = SMOOTH) -> Any:
    return augment(frames, {**NONE, **settings}, Draws(*draws)).astype(int)  # type: ignore[arg-type]


def test_brightness_contrast_and_saturation_are_changed_one_after_the_other() -> None:
    """The mean is kept by contrast, the BT.601 luma by saturation."""
    original = SMOOTH.astype(np.float64)
    np.testing.assert_allclose(changed({"color_jitter": 0.2}, 0, 0, 0, 0, 0, 1), original * 1.2, atol=0.51)
    mean = original.mean()
    np.testing.assert_allclose(
        changed({"color_jitter": 0.4}, 0, 0, 0, 0, 0, 0, -1), mean + (original - mean) * 0.6, atol=0.51
    )
    luma = (original @ [0.299, 0.587, 0.114])[..., None]
    np.testing.assert_allclose(
        changed({"color_jitter": 0.5}, 0, 0, 0, 0, 0, 0, 0, -1), luma + (original - luma) / 2, atol=0.51
    )
    bright = changed({"color_jitter": 1.0}, 0, 0, 0, 0, 0, 1)
    assert bright.max() == 255
    assert (bright == np.clip(original * 2, 0, 255)).all()


def test_a_crop_keeps_at_least_its_share_and_stays_inside_the_frame() -> None:
    """A frame of ramps tells by its levels which part of it is seen."""
    y, x = np.mgrid[:60, :80]
    ramps = np.stack([x * 3, y * 4, np.full_like(x, 90)], axis=-1).astype(np.uint8)[None]
    for zoom, across, down in ((1, 0, 0), (1, 1, 1), (1, -1, 1), (0, -1, 0), (0, 0.5, -1)):
        share = 1 - (1 - 0.5) * (zoom + 1) / 2
        found = changed({"crop": 0.5}, zoom, 0, across, down, frames=ramps)[0]
        left, right = found[30, 2, 0] / 3, found[30, -3, 0] / 3
        top, bottom = found[2, 40, 1] / 4, found[-3, 40, 1] / 4
        assert (right - left) / 75 == pytest.approx(share, abs=0.03)
        assert (bottom - top) / 55 == pytest.approx(share, abs=0.03)
        # Moved by as much as there is to cut, either way.
        assert (left + right) / 2 == pytest.approx(39.5 - across * (1 - share) * 40, abs=1.2)
        assert (top + bottom) / 2 == pytest.approx(29.5 - down * (1 - share) * 30, abs=1.2)


def test_a_turn_is_about_the_middle_by_at_most_its_degrees() -> None:
    frame = np.zeros((1, 61, 61, 3), np.uint8)
    frame[0, 28:33, 48:53] = 255  # to the right of the middle

    def angle(*draws: float) -> float:
        rows, columns = np.nonzero(changed({"rotation_degrees": 30}, *draws, frames=frame)[0, :, :, 0] > 100)
        return float(np.degrees(np.arctan2(30 - rows.mean(), columns.mean() - 30)))

    assert angle(0, 1) == pytest.approx(30, abs=2)
    assert angle(0, -0.5) == pytest.approx(-15, abs=2)
    assert angle(1, 0, 1, 1) == pytest.approx(0, abs=2)


def test_what_a_turn_uncovers_mirrors_the_frame() -> None:
    found = changed({"rotation_degrees": 45}, 0, 1, frames=np.full((1, 20, 30, 3), 200, np.uint8))
    assert (found == 200).all()


def test_a_flip_follows_its_own_number_alone() -> None:
    np.testing.assert_array_equal(changed({"flip": True}, 0, 0, 1, 1, 0.5), SMOOTH[:, :, ::-1])
    np.testing.assert_array_equal(changed({"flip": True}, 0, 0, 1, 1, -0.5), SMOOTH)


@pytest.mark.parametrize("draw, expected", [(1, 0.1), (-1, -0.1), (0.5, 0.05)])
def test_moments_are_shifted_either_way_by_a_share_of_their_spacing(draw: float, expected: float) -> None:
    found = time_shift_seconds({**NONE, "temporal_jitter": 0.25}, 0.4, Draws(draw))  # type: ignore[arg-type]
    assert found == pytest.approx(expected)
