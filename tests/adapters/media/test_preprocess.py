"""Frames to model input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media import decode_picture, decode_size, resize, to_model_input
from adapters.media.preprocess import fit_frames
from adapters.records import Aspect, Clip, InputSpec

sides = st.integers(1, 4000)
targets = st.integers(1, 400)
ASPECTS = ("crop", "pad", "stretch")


def frames_of(height: int, width: int, count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@given(sides, sides, targets, targets, st.sampled_from(ASPECTS))
def test_decode_size_covers_fits_or_equals(
    width: int, height: int, to_width: int, to_height: int, aspect: Aspect
) -> None:
    got_width, got_height = decode_size(InputSpec(to_height, to_width, 1, aspect=aspect), width, height)
    across, down = got_width - to_width, got_height - to_height
    if aspect == "crop":
        assert min(across, down) == 0
    elif aspect == "pad":
        assert max(across, down) == 0
        assert min(got_width, got_height) >= 1
    else:
        assert (across, down) == (0, 0)
    if aspect != "stretch" and min(got_width, got_height) > 1:
        # The shape is kept to within one pixel of rounding.
        error = abs(got_width * height - got_height * width) / max(width, height)
        assert error <= 1 + max(got_width / width, got_height / height)


@given(sides, sides, targets, targets, st.sampled_from(ASPECTS))
def test_what_media_delivers_is_not_resized_again(
    width: int, height: int, to_width: int, to_height: int, aspect: Aspect
) -> None:
    spec = InputSpec(to_height, to_width, 1, aspect=aspect)
    once = decode_size(spec, width, height)
    assert decode_size(spec, *once) == once


def test_crop_takes_the_centre_and_scales_values() -> None:
    frames = frames_of(20, 30)
    got = to_model_input(frames, InputSpec(20, 20, 2), 127.0, 128.0)
    assert got.dtype == np.float32
    assert got.shape == (2, 20, 20, 3)
    np.testing.assert_allclose(got, (frames[:, :, 5:25].astype(np.float64) - 127) / 128, atol=1e-6)


def test_pad_puts_black_beside_it_before_mean_and_scale() -> None:
    frames = frames_of(10, 20)
    got = to_model_input(frames, InputSpec(20, 20, 2, aspect="pad"), [10, 20, 30], [1, 2, 4])
    np.testing.assert_allclose(got[:, 5:15], (frames.astype(np.float64) - [10, 20, 30]) / [1, 2, 4], atol=1e-6)
    for bar in (got[:, :5], got[:, 15:]):
        np.testing.assert_allclose(bar, np.broadcast_to([-10, -10, -7.5], bar.shape))


def test_stretch_resizes_each_side_on_its_own_by_area() -> None:
    frames = frames_of(40, 60)
    got = to_model_input(frames, InputSpec(10, 30, 2, aspect="stretch"), 0.0, 1.0)
    np.testing.assert_array_equal(got[1], cv2.resize(frames[1], (30, 10), interpolation=cv2.INTER_AREA))


def test_a_clip_is_taken_like_its_frames_and_defaults_give_0_to_1() -> None:
    frames = frames_of(8, 8)
    clip = Clip(frames, np.array([0.0, 0.1]), "v", 0.0, 0.2)
    spec = InputSpec(8, 8, 2)
    np.testing.assert_array_equal(to_model_input(clip, spec), to_model_input(frames, spec))
    np.testing.assert_allclose(to_model_input(frames, spec), frames / 255.0, atol=1e-7)


@given(height=st.integers(1, 60), width=st.integers(1, 60), aspect=st.sampled_from(ASPECTS))
def test_any_frames_come_out_at_the_spec_size(height: int, width: int, aspect: Aspect) -> None:
    got = to_model_input(frames_of(height, width, 1), InputSpec(17, 23, 1, aspect=aspect), 0.0, 255.0)
    assert got.shape == (1, 17, 23, 3)
    assert 0 <= got.min() <= got.max() <= 1


def test_wrong_arrays_and_numbers_are_refused() -> None:
    spec = InputSpec(8, 8, 1)
    with pytest.raises(ValueError, match=r"uint8 \[T, H, W, 3\] RGB, got float32"):
        to_model_input(frames_of(8, 8).astype(np.float32), spec)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8"):
        to_model_input(frames_of(8, 8)[0], spec)
    with pytest.raises(ValueError, match="scale must not be 0"):
        to_model_input(frames_of(8, 8), spec, 0, [1, 0, 1])
    with pytest.raises(ValueError, match="mean must be one finite number or three"):
        to_model_input(frames_of(8, 8), spec, [1, 2], 1)


# Exactly ------------------------------------------------------------------------------------------------------------


def ramps(height: int, width: int) -> np.ndarray:
    """A frame whose levels tell where they are: rows in red, columns in green."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.zeros_like(x)], axis=-1).astype(np.uint8)[None]


@pytest.mark.parametrize(
    "spec, video, expected",
    [
        (InputSpec(224, 224, 1, crop_fraction=0.875), (256, 256), (256, 256)),
        (InputSpec(224, 224, 1, crop_fraction=0.875), (640, 480), (341, 256)),
        (InputSpec(224, 224, 1, crop_fraction=0.9), (480, 640), (248, 331)),  # 248.9 is 248, as torchvision has it
        (InputSpec(100, 200, 1, crop_fraction=0.5), (400, 400), (400, 400)),
        (InputSpec(100, 200, 1), (400, 400), (200, 200)),
        (InputSpec(100, 200, 1, aspect="pad"), (400, 400), (100, 100)),
        (InputSpec(100, 200, 1, aspect="pad", crop_fraction=0.5), (400, 400), (100, 100)),
        (InputSpec(100, 200, 1, aspect="stretch", crop_fraction=0.5), (400, 300), (200, 100)),
        (InputSpec(10, 10, 1, aspect="pad"), (4000, 3), (10, 1)),
    ],
)
def test_the_size_to_decode_at(spec: InputSpec, video: tuple[int, int], expected: tuple[int, int]) -> None:
    assert decode_size(spec, *video) == expected


@pytest.mark.parametrize(
    "fraction, height, width, top, left",
    [
        (1.0, 8, 13, 0, 2),  # the odd pixel is left out at the right
        (1.0, 13, 8, 2, 0),
        (0.8, 10, 13, 1, 2),  # round(2.5) is 2, as in torchvision
        (0.8, 10, 11, 1, 2),  # round(1.5) is 2
        (0.8, 13, 10, 2, 1),
    ],
)
def test_which_pixels_a_crop_keeps(fraction: float, height: int, width: int, top: int, left: int) -> None:
    found = fit_frames(ramps(height, width), InputSpec(8, 8, 1, crop_fraction=fraction))
    np.testing.assert_array_equal(found, ramps(height, width)[:, top : top + 8, left : left + 8])


def test_an_odd_pixel_of_padding_is_below_and_to_the_right() -> None:
    frames = np.full((1, 5, 8, 3), 9, np.uint8)
    found = fit_frames(frames, InputSpec(8, 8, 1, aspect="pad"))
    assert found[0, :, 0, 0].tolist() == [0, 9, 9, 9, 9, 9, 0, 0]
    found = fit_frames(frames.transpose(0, 2, 1, 3).copy(), InputSpec(8, 8, 1, aspect="pad"))
    assert found[0, 0, :, 0].tolist() == [0, 9, 9, 9, 9, 9, 0, 0]


def test_enlarging_is_cubic_and_the_same_size_is_the_same_frames() -> None:
    frames = frames_of(6, 8)
    expected = np.stack([cv2.resize(frame, (20, 15), interpolation=cv2.INTER_CUBIC) for frame in frames])
    np.testing.assert_array_equal(resize(frames, 20, 15), expected)
    assert resize(frames, 8, 6) is frames
    found = resize(frames, 12, 4)  # as many pixels
    np.testing.assert_array_equal(found[1], cv2.resize(frames[1], (12, 4), interpolation=cv2.INTER_AREA))


def test_a_picture_is_rgb_whatever_its_file_has() -> None:
    color = np.zeros((4, 6, 3), np.uint8)
    color[:] = (10, 100, 200)
    with_alpha, gray = np.dstack([color[..., ::-1], np.full((4, 6), 7, np.uint8)]), color[..., 1]
    for stored, expected in ((color[..., ::-1], color), (with_alpha, color), (gray, np.full_like(color, 100))):
        found = decode_picture(cv2.imencode(".png", stored)[1].tobytes())
        np.testing.assert_array_equal(found, expected)
    for data in (b"", b"no picture"):
        assert decode_picture(data) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, [1, 2], [[1, 2, 3]]])
def test_means_and_scales_that_are_none(bad: object) -> None:
    spec = InputSpec(8, 8, 1)
    with pytest.raises(ValueError, match="mean must be"):
        to_model_input(frames_of(8, 8), spec, bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale must be"):
        to_model_input(frames_of(8, 8), spec, 0, bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8"):
        to_model_input(frames_of(8, 8)[:0], spec)
