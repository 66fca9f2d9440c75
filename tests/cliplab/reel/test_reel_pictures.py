"""Pictures of a reel one by one: which moment of a source each shows, how crossfades weigh, where bars are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_patterns import number_of, write_numbered, write_video

from cliplab.reel.pictures import SourceFailed, reel_pictures
from cliplab.reel.plan import PlacedClip, ReelFormat
from cliplab.reel.sources import PerceptualHash, SourceClip

LOOK = PerceptualHash(np.zeros((3, 64), bool), np.zeros((3, 8, 8, 3), np.float32))
WIDE = ReelFormat(96, 64, Fraction(25))
FAST = {"preset": "ultrafast", "qp": "0"}


def place_of(path: Path, frames: int, start: float = 0.0, fps: float = 25.0, **more: int) -> PlacedClip:
    size = more.pop("width", 96), more.pop("height", 64)
    cut = SourceClip(str(path), start, start + frames / 25, 0.9, *size, fps, False, 9.0, 0.0, 0.0, LOOK)
    return PlacedClip(cut, more.get("first", 0), frames, more.get("overlap", 0))


def plain(path: Path, level: int, count: int = 30, size: tuple[int, int] = (96, 64)) -> Path:
    return write_video(path, [np.full((size[1], size[0], 3), level, np.uint8)] * count, options=FAST)


@pytest.mark.parametrize("start", [0.0, 0.5, 0.509])
@pytest.mark.parametrize("fps", [60, 50, 30, 25, 10])
def test_each_interval_shows_what_the_source_shows_in_its_middle(tmp_path: Path, fps: int, start: float) -> None:
    path = write_numbered(tmp_path / "a.mp4", 2 * fps, fps=fps, options=FAST)
    shown = [number_of(picture[:64]) for picture in reel_pictures([place_of(path, 20, start, fps)], WIDE)]
    assert shown == [int((start + (number + 0.5) / 25) * fps + 1e-6) for number in range(20)]


def test_a_crossfade_goes_in_equal_steps_from_one_clip_to_the_other(tmp_path: Path) -> None:
    dark, light = plain(tmp_path / "dark.mp4", 30), plain(tmp_path / "light.mp4", 230)
    timeline = [place_of(dark, 10), place_of(light, 12, first=6, overlap=4), place_of(dark, 8, first=15, overlap=3)]
    pictures = list(reel_pictures(timeline, WIDE))
    assert len(pictures) == 23
    luma = np.array([picture[:64].mean() for picture in pictures])
    low, high = luma[0], luma[12]
    assert (low, high) == pytest.approx((16 + 30 * 219 / 255, 16 + 230 * 219 / 255), abs=1.5)
    share = (luma - low) / (high - low)
    up, down = np.arange(1, 5) / 5, 1 - np.arange(1, 4) / 4
    np.testing.assert_allclose(share, [*[0] * 6, *up, *[1] * 5, *down, *[0] * 5], atol=0.01)
    for picture in pictures:
        np.testing.assert_allclose(picture[64:], 128, atol=1)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((96, 64), (0, 0, 96, 64)),
        ((192, 128), (0, 0, 96, 64)),
        ((32, 64), (32, 0, 32, 64)),
        ((64, 128), (32, 0, 32, 64)),
        ((96, 32), (0, 16, 96, 32)),
        ((48, 8), (0, 24, 96, 16)),
        ((60, 64), (18, 0, 60, 64)),
    ],
)
def test_a_clip_of_another_shape_is_in_the_middle_of_black(
    tmp_path: Path, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, [np.full((size[1], size[0], 3), (200, 30, 30), np.uint8)] * 5, options=FAST)
    (picture,) = reel_pictures([place_of(path, 1, width=size[0], height=size[1])], WIDE)
    assert picture.shape == (96, 96)
    left, top, width, height = box
    luma, chroma = picture[:64], picture[64:].reshape(2, 32, 48)
    inside = np.zeros((64, 96), bool)
    inside[top : top + height, left : left + width] = True
    assert (luma[~inside] == 16).all()
    assert (luma[inside] > 40).all()
    half = inside[::2, ::2]
    assert (chroma[:, ~half] == 128).all()
    assert (chroma[0][half] < 120).all(), "Cb of red is low"
    assert (chroma[1][half] > 150).all(), "Cr of red is high"


@pytest.mark.parametrize(("frames", "whole"), [(30, True), (36, True), (38, False), (45, False)])
def test_the_last_picture_stands_in_for_a_quarter_second(tmp_path: Path, frames: int, whole: bool) -> None:
    path = write_numbered(tmp_path / "a.mp4", 30, options=FAST)
    if not whole:
        with pytest.raises(SourceFailed, match="ends"):
            list(reel_pictures([place_of(path, frames)], WIDE))
        return
    shown = [number_of(picture[:64]) for picture in reel_pictures([place_of(path, frames)], WIDE)]
    assert shown == [min(number, 29) for number in range(frames)]


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a video")
    good = plain(tmp_path / "good.mp4", 100)
    for name in ("text.mp4", "absent.mp4"):
        with pytest.raises(SourceFailed) as caught:
            list(reel_pictures([place_of(good, 3), place_of(tmp_path / name, 3, first=3)], WIDE))
        assert caught.value.clip.path == str(tmp_path / name)
        assert name in caught.value.reason
