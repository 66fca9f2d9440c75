"""The end of a video is that of its packets: whatever a header says, at any rate, in any container."""

from __future__ import annotations

import math
import struct
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_files import boxes, later_fragments, with_avi_field, with_box_field
from media_patterns import number_of, write_numbered

from adapters.media import open_video
from adapters.records import InputSpec

FAST = {"preset": "ultrafast"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
MJPEG = {"codec": "mjpeg", "pixel_format": "yuvj420p"}
WEEK_FRAMES = 7 * 24 * 3600 * 25


def check(path: Path, seconds: float, frames: int, fps: float = 25, first: int = 0) -> tuple[str, ...]:
    """The duration, all frames, and windows inside it; returns the warnings."""
    with open_video(path) as video:
        found = list(video.frames())
        assert video.info.duration_seconds == pytest.approx(seconds, abs=1e-3)
        assert [number_of(picture) for _, picture in found] == list(range(first, first + frames))
        np.testing.assert_allclose([t for t, _ in found], np.arange(frames) / fps, atol=2e-3)
        spec = InputSpec(32, 32, 4, window_seconds=seconds / 4, stride_seconds=seconds / 4)
        clips = list(video.clips(spec))
        assert len(clips) == 4
        assert clips[-1].end == pytest.approx(seconds, abs=1e-3)
        sampled = [t for t, _ in video.frames(fps=1)]
        assert len(sampled) == max(1, math.ceil(seconds - 1e-3))
        return video.warnings


@pytest.mark.parametrize("frames", [0, 1, 50, 2**31 - 1, 2**32 - 1, WEEK_FRAMES])
@pytest.mark.parametrize(("codec", "b_frames"), [("mjpeg", None), ("libx264", 2)])
def test_an_avi_of_any_declared_length(tmp_path: Path, frames: int, codec: str, b_frames: int | None) -> None:
    options = MJPEG if codec == "mjpeg" else {"codec": codec, "gop": 25, "b_frames": b_frames, "options": FAST}
    path = write_numbered(tmp_path / "v.avi", 150, **options)
    path.write_bytes(with_avi_field(path.read_bytes(), 32, frames))
    began = time.process_time()
    warnings = check(path, 6.0, 150)
    assert time.process_time() - began < 20
    assert all("cut short" in text for text in warnings), "which only a header that is too long may give"
    assert not warnings or frames > 150


@pytest.mark.parametrize("seconds", [61, 3600, 7 * 86_400])
def test_an_avi_of_frames_that_each_last_for_hours(tmp_path: Path, seconds: int) -> None:
    path = write_numbered(tmp_path / "v.avi", 50, **MJPEG)
    path.write_bytes(with_avi_field(with_avi_field(path.read_bytes(), 20, seconds), 24, 1))
    (warning,) = check(path, 2.0, 50)
    assert "25 frames per second" in warning


@pytest.mark.parametrize("name", ["v.flv", "v.mkv", "v.mp4"])
@pytest.mark.parametrize("place", [30, 59])
def test_a_leap_of_a_day_decides_nothing(tmp_path: Path, name: str, place: int) -> None:
    """In the middle everything after it has leapt; at the end one frame has."""
    leap = 86_500 * 25
    ticks = [number + leap * (number >= place) for number in range(60)]
    path = write_numbered(tmp_path / name, 60, gop=10, b_frames=0, ticks=ticks, options=FAST)
    began = time.process_time()
    with open_video(path) as video:
        assert video.info.duration_seconds == pytest.approx(60 / 25, abs=0.1)
        assert len(list(video.frames(height=32, width=32))) == 60
        assert len(list(video.clips(InputSpec(32, 32, 4, window_seconds=0.5)))) == 5
    assert time.process_time() - began < 20


@pytest.mark.parametrize("at_end", [True, False])
def test_an_avi_of_empty_chunks_costs_no_more_than_its_bytes(tmp_path: Path, at_end: bool) -> None:
    """Each claims that a frame is shown once more."""
    path = write_numbered(tmp_path / "v.avi", 50, **MJPEG)
    data = path.read_bytes()
    index, movi = data.rindex(b"idx1"), data.index(b"movi")
    place = index if at_end else movi + 4
    path.write_bytes(data[:place] + struct.pack("<4sI", b"00dc", 0) * 20_000 + data[place:index])
    began = time.process_time()
    with open_video(path) as video:
        frames = [number_of(picture) for _, picture in video.frames()]
        assert video.info.duration_seconds is not None
        assert video.info.duration_seconds <= 20_050 / 25
    assert frames == list(range(50))
    assert time.process_time() - began < 20


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("name", ["v.avi", "v.mkv"])
def test_a_file_that_is_cut_ends_where_it_is_cut_and_says_so(tmp_path: Path, part: float, name: str) -> None:
    path = write_numbered(tmp_path / name, 150, **MJPEG)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with open_video(path) as video:
        times = [seconds for seconds, _ in video.frames()]
        assert video.info.duration_seconds == pytest.approx(times[-1] + 1 / 25, abs=0.05)
        assert any("cut short" in text for text in video.warnings)
    assert len(times) == pytest.approx(150 * part, abs=8)


@pytest.mark.parametrize("numbers", [range(8), range(3, 4), range(5, 8), range(2, 7)])
@pytest.mark.parametrize("field", [None, (b"mvhd", 16), (b"mdhd", 16)])
@pytest.mark.parametrize("claimed", [1, 10_000_000])
def test_fragments_that_begin_late(
    tmp_path: Path, numbers: range, field: tuple[bytes, int] | None, claimed: int
) -> None:
    """Each lasts a second; the header may claim any length."""
    if field is None and claimed > 1:
        return
    path = write_numbered(tmp_path / "v.mp4", 200, gop=25, b_frames=2, options=FAST, container_options=FRAGMENTS)
    data = later_fragments(path.read_bytes(), numbers)
    path.write_bytes(data if field is None else with_box_field(data, *field, claimed))
    assert check(path, len(numbers), 25 * len(numbers), first=25 * numbers.start) == ()


@pytest.mark.parametrize("claimed", [100, 10_000_000])
def test_fragments_of_which_another_box_claims_the_length(tmp_path: Path, claimed: int) -> None:
    path = write_numbered(tmp_path / "v.mp4", 100, gop=25, b_frames=2, options=FAST, container_options=FRAGMENTS)
    box = struct.pack(">I4sII", 16, b"mehd", 0, claimed)
    changed = b""
    for name, part in boxes(path.read_bytes()):
        if name == "moov":
            at = part.index(b"mvex")
            inner = struct.pack(">I", struct.unpack(">I", part[at - 4 : at])[0] + len(box)) + b"mvex" + box
            part = struct.pack(">I", len(part) + len(box)) + part[4 : at - 4] + inner + part[at + 4 :]
        changed += part
    path.write_bytes(changed)
    assert check(path, 4.0, 100) == ()


@pytest.mark.parametrize("name", ["v.mp4", "v.mov"])
@pytest.mark.parametrize("claimed", [12_800, 12_800 * 60])
def test_the_table_of_an_mp4_says_more_than_its_header(tmp_path: Path, name: str, claimed: int) -> None:
    path = write_numbered(tmp_path / name, 150, gop=25, b_frames=2, options=FAST)
    path.write_bytes(with_box_field(path.read_bytes(), b"mdhd", 16, claimed))
    assert check(path, 6.0, 150) == ()


@pytest.mark.parametrize("rate", [Fraction(1), Fraction(1, 2), Fraction(1, 10)])
@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.ts", "v.flv", "v.avi"])
def test_slow_frames_last_as_long_as_they_are_shown(tmp_path: Path, rate: Fraction, b_frames: int, name: str) -> None:
    path = write_numbered(tmp_path / name, 30, fps=rate, gop=8, b_frames=b_frames, options=FAST)
    assert check(path, float(30 / rate), 30, fps=float(rate)) == ()


def test_frames_without_a_duration_last_as_long_as_they_usually_do(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.wmv", 12, fps=Fraction(1, 10), codec="wmv2")
    assert check(path, 120.0, 12, fps=0.1) == ()


RAW: dict[str, dict[str, Any]] = {
    "v.h264": {"options": FAST},
    "v.hevc": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "log-level=none"}},
    "v.m4v": {"codec": "mpeg4", "gop": 12, "b_frames": 2},
    "v.m2v": {"codec": "mpeg2video", "gop": 12, "b_frames": 2},
}


@pytest.mark.parametrize("rate", [24, 25, 30, 60])
@pytest.mark.parametrize("name", RAW)
def test_raw_streams_are_timed_by_the_rate_that_they_declare(tmp_path: Path, name: str, rate: int) -> None:
    path = write_numbered(tmp_path / name, 60, fps=rate, **RAW[name])
    assert check(path, 60 / rate, 60, fps=rate) == ()
    with open_video(path) as video:
        assert video.info.fps == rate


def test_a_raw_stream_that_declares_no_rate_is_said(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x265-params": "log-level=none:vui-timing-info=0"}
    path = write_numbered(tmp_path / "v.hevc", 60, fps=30, codec="libx265", options=options)
    (warning,) = check(path, 60 / 25, 60)
    assert "25 frames per second" in warning


def test_a_large_mp4_with_a_sound_header_is_not_read_for_its_duration(tmp_path: Path) -> None:
    if not Path("/proc/self/io").exists():
        pytest.skip("needs /proc/self/io, which Linux has")
    noise = np.random.default_rng(0).integers(0, 256, (60, 256, 256, 3), np.uint8)
    from media_patterns import write_video

    path = write_video(tmp_path / "v.mp4", noise, gop=60, options={"qp": "10", "preset": "ultrafast"})

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

    before = bytes_read()
    with open_video(path, threads=1) as video:
        assert video.info.duration_seconds == pytest.approx(2.4)
    assert bytes_read() - before < path.stat().st_size / 2


CASES = {
    "one_damaged_dts.ts": (10.0, 250),
    "hls_segments_from_32s.mp4": (8.0, 200),
    "elementary.h264": (6.0, 150),
    "one_fps.mkv": (30.0, 30),
    "frame_each_10s.mkv": (60.0, 6),
    "avi_header_says_2s.avi": (6.0, 150),
    "joined_clocks.ts": (30.0, 750),
}


@pytest.mark.parametrize("name", CASES)
def test_cases_from_the_field(shared: Path, name: str) -> None:
    path = shared / "cases" / "media" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    seconds, count = CASES[name]
    with open_video(path) as video:
        assert video.info.duration_seconds == pytest.approx(seconds, abs=1e-6)
        assert sum(1 for _ in video.frames(height=32, width=32)) == count
        assert sum(1 for _ in video.frames(fps=1, height=32, width=32)) == math.ceil(seconds)
        clip = video.clip(InputSpec(32, 32, 8))
        assert len({picture.tobytes() for picture in clip.frames}) >= min(8, count) - 1
        assert video.warnings == ()
