"""Frames to pictures: which way up, how large, in which order of planes, to the pixel."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from adapters.media.color import ColorInfo
from adapters.media.scaling import (
    Orientation,
    Scaler,
    display_size,
    is_gray,
    is_rgb,
    orientation_of,
    sample_aspect_ratio,
)

RGB = ColorInfo("rgb", "full", "sdr", "bt709")
YUV = ColorInfo("bt709", "limited", "sdr", "bt709")
TURNED = Orientation(transpose=True, flip_x=True)


def matrix_frame(a: int, b: int, c: int, d: int) -> Any:
    values = np.array([a, b, 0, c, d, 0, 0, 0, 1], "<i4") * np.array([65536] * 8 + [1 << 30]).astype("<i4")
    return SimpleNamespace(side_data={"DISPLAYMATRIX": values.tobytes()})


@pytest.mark.parametrize(
    ("matrix", "orientation", "degrees", "mirrored"),
    [
        ((1, 0, 0, 1), Orientation(), 0, False),
        ((0, 1, -1, 0), Orientation(True, True, False), 90, False),
        ((-1, 0, 0, -1), Orientation(False, True, True), 180, False),
        ((0, -1, 1, 0), Orientation(True, False, True), 270, False),
        ((-1, 0, 0, 1), Orientation(False, True, False), 0, True),
        ((1, 0, 0, -1), Orientation(False, False, True), 180, True),
    ],
)
def test_the_matrix_of_a_file_is_a_turn(
    matrix: tuple[int, int, int, int], orientation: Orientation, degrees: int, mirrored: bool
) -> None:
    found = orientation_of(matrix_frame(*matrix))
    assert found == orientation
    assert (found.rotation_degrees, found.mirrored) == (degrees, mirrored)
    # The nearest one, of a turn that is ten degrees off.
    a, b, c, d = matrix
    assert (
        orientation_of(matrix_frame(98 * a + 17 * b, 98 * b + 17 * a, 98 * c + 17 * d, 98 * d + 17 * c)) == orientation
    )
    assert orientation_of(SimpleNamespace(side_data={})) == Orientation()  # type: ignore[arg-type]


def test_a_picture_is_turned_clockwise() -> None:
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    shown = {
        TURNED: [[4, 1], [5, 2], [6, 3]],
        Orientation(True, False, True): [[3, 6], [2, 5], [1, 4]],
        Orientation(False, True, True): [[6, 5, 4], [3, 2, 1]],
        Orientation(False, True, False): [[3, 2, 1], [6, 5, 4]],
        Orientation(True, False, False): [[1, 4], [2, 5], [3, 6]],
    }
    for orientation, expected in shown.items():
        turned = orientation.apply(stored)
        assert turned.tolist() == expected
        assert turned.flags["C_CONTIGUOUS"]


def test_the_size_that_is_shown() -> None:
    frame: Any = SimpleNamespace(width=720, height=576)
    assert display_size(frame, None, Orientation()) == (720, 576)
    assert display_size(frame, Fraction(64, 45), Orientation()) == (1024, 576)
    assert display_size(frame, Fraction(2, 3), TURNED) == (576, 480)
    assert display_size(frame, Fraction(1, 10_000), Orientation()) == (1, 576)


def test_the_shape_of_a_pixel_is_the_streams_or_else_the_codecs() -> None:
    def stream(own: Any, codec: Any) -> Any:
        return SimpleNamespace(sample_aspect_ratio=own, codec_context=SimpleNamespace(sample_aspect_ratio=codec))

    assert sample_aspect_ratio(stream(Fraction(4, 3), Fraction(2))) == Fraction(4, 3)
    assert sample_aspect_ratio(stream(None, Fraction(2))) == Fraction(2)
    assert sample_aspect_ratio(stream(Fraction(0), None)) is None


def tiles(height: int = 32, width: int = 48) -> np.ndarray:
    """Flat tiles of 16 pixels, each of its own colour."""
    grid = np.random.default_rng(6).integers(40, 216, (height // 16, width // 16, 3))
    return grid.repeat(16, 0).repeat(16, 1).astype(np.uint8)


def test_rgb_comes_through_and_is_scaled_by_area() -> None:
    picture = tiles()
    frame = av.VideoFrame.from_ndarray(picture, "rgb24")
    np.testing.assert_array_equal(Scaler(48, 32, RGB, Orientation())(frame), picture)
    np.testing.assert_array_equal(Scaler(3, 2, RGB, Orientation())(frame), picture[8::16, 8::16])
    np.testing.assert_array_equal(Scaler(32, 48, RGB, TURNED)(frame), TURNED.apply(picture))
    larger = Scaler(96, 64, RGB, Orientation())(frame)
    assert larger.shape == (64, 96, 3)
    np.testing.assert_allclose(larger[16::32, 16::32], picture[8::16, 8::16], atol=2)
    np.testing.assert_array_equal(Scaler(2, 3, RGB, TURNED)(frame), TURNED.apply(picture[8::16, 8::16]))


@pytest.mark.parametrize("orientation", [Orientation(), TURNED, Orientation(False, True, True)])
def test_planes_for_an_encoder_are_turned_each(orientation: Orientation) -> None:
    frame = av.VideoFrame(48, 32, "yuv420p")
    random, planes = np.random.default_rng(8), []
    for plane in frame.planes:
        values = random.integers(20, 230, (plane.height, plane.width)).astype(np.uint8)
        np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = values
        planes.append(values)
    size = (32, 48) if orientation.transpose else (48, 32)
    got = Scaler(*size, YUV, orientation, "yuv420p")(frame)
    assert (got.shape, got.dtype) == ((size[1] * 3 // 2, size[0]), np.uint8)
    turned = [orientation.apply(plane) for plane in planes]
    np.testing.assert_array_equal(got[: size[1]], turned[0])
    chroma = got[size[1] :].reshape(2, size[1] // 2, size[0] // 2)
    np.testing.assert_array_equal(chroma[0], turned[1])
    np.testing.assert_array_equal(chroma[1], turned[2])


@pytest.mark.parametrize("size", [(31, 32), (32, 31)])
def test_planes_for_an_encoder_are_of_even_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even"):
        Scaler(*size, YUV, Orientation(), "yuv420p")
    Scaler(*size, YUV, Orientation())


def test_gray_of_limited_range_is_stretched_and_of_full_range_is_not() -> None:
    values = np.array([[0, 16, 17, 126, 235, 255]], np.uint8).repeat(4, 0)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), "gray")
    full = Scaler(6, 4, ColorInfo("gray", "full", "sdr", "bt709"), Orientation())(frame)
    assert full[0, :, 0].tolist() == [0, 16, 17, 126, 235, 255]
    limited = Scaler(6, 4, ColorInfo("gray", "limited", "sdr", "bt709"), Orientation())(frame)
    assert limited[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]


@pytest.mark.parametrize(
    ("layout", "rgb", "gray"),
    [("rgb24", True, False), ("pal8", True, False), ("gbrp", True, False), ("gray", False, True),
     ("ya8", False, True), ("gray10le", False, True), ("yuv420p", False, False), ("yuva420p", False, False)],
)  # fmt: skip
def test_what_a_pixel_format_stores(layout: str, rgb: bool, gray: bool) -> None:
    frame = av.VideoFrame(16, 16, layout)
    assert (is_rgb(frame), is_gray(frame)) == (rgb, gray)


def test_transparent_pixels_are_laid_over_black_before_scaling() -> None:
    rgba = np.full((8, 8, 4), (200, 100, 50, 255), np.uint8)
    rgba[:, 4:] = (255, 255, 255, 0)  # white that is not seen
    rgba[:, :2, 3] = 50
    frame = av.VideoFrame.from_ndarray(rgba, "rgba")
    got = Scaler(4, 4, RGB, Orientation())(frame)
    assert got[0].tolist() == [[39, 20, 10], [200, 100, 50], [0, 0, 0], [0, 0, 0]]
    opaque = av.VideoFrame.from_ndarray(np.full((8, 8, 4), (9, 8, 7, 255), np.uint8), "rgba")
    assert (Scaler(4, 4, RGB, Orientation())(opaque) == (9, 8, 7)).all()
