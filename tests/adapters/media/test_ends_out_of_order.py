"""Ends of videos whose frames are stored in another order than they are shown, and of files of empty elements."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from media_patterns import number_of, numbered_frame, write_numbered, write_video

from adapters.media import open_video

MPEG = Fraction(1, 90_000)


def written(path: Path, ticks: Sequence[int], base: Fraction, options: dict[str, str] | None = None) -> Path:
    pictures = (numbered_frame(number) for number in range(len(ticks)))
    return write_video(path, pictures, ticks=ticks, time_base=base, gop=25, b_frames=2, options=options)


def seen(path: Path) -> tuple[list[int], float | None]:
    with open_video(path) as video:
        return [number_of(picture) for _, picture in video.frames()], video.info.duration_seconds


@pytest.mark.parametrize("start", [900_000, 2**33 - 180_000])
def test_a_stream_ends_a_frame_after_its_last_one(tmp_path: Path, start: int) -> None:
    """Where packets have no duration, the distance of frames is not that of those stored in order."""
    path = written(tmp_path / "a.ts", [start + 3600 * number for number in range(100)], MPEG)
    numbers, seconds = seen(path)
    assert numbers == list(range(100))
    assert seconds == pytest.approx(4.0, abs=1e-3)


def test_frames_of_a_slowing_video_are_all_there(tmp_path: Path) -> None:
    """The table of an MP4 has the times of decoding: its last one says little where frames grow further apart."""
    numbers, seconds = seen(written(tmp_path / "a.mp4", [number**2 for number in range(50)], Fraction(1, 1000)))
    assert numbers == list(range(50))
    assert seconds is not None
    assert seconds > 2.401


def test_a_raw_stream_that_begins_within_a_group_ends_with_its_frames(tmp_path: Path) -> None:
    whole = written(
        tmp_path / "whole.h264", list(range(100)), Fraction(1, 25), {"x264-params": "scenecut=0"}
    ).read_bytes()
    cut = tmp_path / "cut.h264"
    cut.write_bytes(whole[whole.find(b"\0\0\1\x67", 200) - 600 :])
    numbers, seconds = seen(cut)
    assert numbers == list(range(100 - len(numbers), 100))
    assert seconds == pytest.approx(0.04 * len(numbers), abs=0.13)


def test_empty_elements_of_matroska_cost_no_more_than_their_bytes(tmp_path: Path) -> None:
    pictures = (numbered_frame(number) for number in range(20))
    options = {"live": "1", "cluster_time_limit": "400"}
    path = write_video(tmp_path / "a.mkv", pictures, codec="mjpeg", pixel_format="yuvj420p", container_options=options)
    data = path.read_bytes()
    second = data.find(b"\x1f\x43\xb6\x75", data.find(b"\x1f\x43\xb6\x75") + 4)
    assert second > 0
    path.write_bytes(data[:second] + b"\xec\x80" * 4_000_000 + data[second:])
    began = time.process_time()
    assert seen(path)[0] == list(range(20))
    assert time.process_time() - began < 8


@pytest.mark.parametrize(
    ("suffix", "codec", "b_frames"), [("mkv", "mpeg4", 0), ("mkv", "libx264", 2), ("mp4", "mpeg4", 0)]
)
@pytest.mark.parametrize(
    "seconds",
    [[number * 20_000 for number in range(8)], [number * 4_200 for number in range(8)], [0, 1, 2, 3, 4_203, 4_204]],
    ids=["hours", "70 minutes", "once"],
)
def test_pauses_of_hours_that_the_header_confirms(
    tmp_path: Path, suffix: str, codec: str, b_frames: int, seconds: list[int]
) -> None:
    path = write_numbered(
        *(tmp_path / f"a.{suffix}", len(seconds)),
        codec=codec,
        b_frames=b_frames,
        ticks=[1000 * each for each in seconds],
        time_base=Fraction(1, 1000),
    )
    with open_video(path) as video:
        frames = list(video.frames())
        assert [moment for moment, _ in frames] == pytest.approx(seconds, abs=0.1)
        assert [number_of(picture) for _, picture in frames] == list(range(len(seconds)))
        assert video.info.duration_seconds == pytest.approx(seconds[-1], abs=2)
        assert not video.warnings


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_pauses_of_20_hours(tmp_path: Path, suffix: str) -> None:
    ticks = [72_000 * number for number in range(8)]
    path = write_numbered(tmp_path / f"a.{suffix}", 8, codec="mpeg4", ticks=ticks, time_base=Fraction(1))
    with open_video(path) as video:
        assert [seconds for seconds, _ in video.frames()] == pytest.approx(ticks, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "b_frames"), [("mkv", 0), ("mkv", 3), ("webm", 0), ("mp4", 0), ("mp4", 2), ("mov", 1)]
)
def test_a_recording_of_a_screen_that_ends_after_a_long_still(tmp_path: Path, suffix: str, b_frames: int) -> None:
    """The table of decoding times ends seconds before the last frame is shown."""
    ticks = [*(40 * number for number in range(25)), 19_960]
    codec = "libvpx" if suffix == "webm" else "libx264"
    options = {"ticks": ticks, "time_base": Fraction(1, 1000), "b_frames": b_frames, "codec": codec}
    numbers, seconds = seen(write_numbered(tmp_path / f"a.{suffix}", len(ticks), **options))
    assert numbers == list(range(26))
    assert seconds is not None
    assert seconds > 19.96
