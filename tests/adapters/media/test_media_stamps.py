"""One clock for packets and frames: damaged timestamps, clocks that begin again, joined recordings, late starts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_files import MPEG_WRAP, flip_stamp, overwrite, packets_of, picture_headers
from media_patterns import number_of, write_numbered
from places import ROOT
from test_media_end import FRAGMENTS, MJPEG, RAW
from test_media_seek import VIDEOS

from adapters.media import open_video
from adapters.media.clock import PacketClock
from adapters.records import InputSpec

FAST = {"preset": "ultrafast"}
SPEC = InputSpec(32, 32, 1, aspect="stretch")
LEAPS = {"hours": 1 << 32 | 1 << 30, "minutes": 1 << 23, "seconds": 1 << 19}


def check_keys(path: Path) -> list[float]:
    """Key frames are a subset of all frames, with the same times and pictures, within the duration."""
    with open_video(path) as video:
        frames = {
            round(seconds, 6): picture for seconds, picture in video.frames(height=32, width=32, aspect="stretch")
        }
        duration = video.info.duration_seconds
    with open_video(path) as video:
        clips = list(video.key_frames(SPEC))
    for clip in clips:
        assert round(clip.start, 6) in frames
        np.testing.assert_array_equal(clip.frames[0], frames[round(clip.start, 6)])
        assert duration is not None
        assert clip.end <= duration + 1e-6
    return [clip.start for clip in clips]


def check_frames(path: Path, count: int, fps: float = 25) -> tuple[str, ...]:
    with open_video(path) as video:
        found = list(video.frames())
        assert [number_of(picture) for _, picture in found] == list(range(count))
        np.testing.assert_allclose([seconds for seconds, _ in found], np.arange(count) / fps, atol=0.0251)
        assert video.info.duration_seconds == pytest.approx(count / fps, abs=0.0251)
        return video.warnings


@pytest.mark.parametrize("decoding", [False, True])
@pytest.mark.parametrize("leap", LEAPS)
@pytest.mark.parametrize("place", [0, 1, 2, 49, 50, 51, 120, 121, 122, 123, -3, -2, -1])
def test_one_damaged_timestamp_decides_nothing(tmp_path: Path, place: int, leap: str, decoding: bool) -> None:
    path = write_numbered(tmp_path / "v.ts", 200, gop=50, b_frames=2, options=FAST)
    data = bytearray(path.read_bytes())
    flip_stamp(data, list(picture_headers(data))[place], LEAPS[leap], decoding)
    path.write_bytes(data)
    assert check_frames(path, 200) == ()
    assert len(check_keys(path)) == 4


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_few_damaged_timestamps_decide_nothing(tmp_path: Path, seed: int, codec: str) -> None:
    draw = random.Random(seed)
    options = FAST if codec == "libx264" else {}
    path = write_numbered(tmp_path / "v.ts", 200, codec=codec, gop=25, b_frames=2, options=options)
    data = bytearray(path.read_bytes())
    headers = list(picture_headers(data))
    for _ in range(4):
        flip_stamp(data, draw.choice(headers), 1 << draw.randrange(18, 33), draw.random() < 0.5)
    path.write_bytes(data)
    check_frames(path, 200)
    check_keys(path)


@pytest.mark.parametrize("before", [2, 4, 50, 70])
def test_the_clock_of_a_transport_stream_begins_again(tmp_path: Path, before: int) -> None:
    """After 33 bits of it, 26.5 hours."""
    first = MPEG_WRAP // 3600 - before * 25
    path = write_numbered(
        tmp_path / "v.ts", 2000, gop=100, b_frames=2, options=FAST, ticks=[first + n for n in range(2000)]
    )
    with open_video(path) as video:
        times = [seconds for seconds, _ in video.frames(height=32, width=32)]
        assert video.info.duration_seconds == pytest.approx(80.0, abs=0.001)
    np.testing.assert_allclose(times, np.arange(2000) / 25, atol=1e-3)
    assert check_keys(path) == pytest.approx([4.0 * n for n in range(20)], abs=1e-3)


@pytest.mark.parametrize("starts", [[0, 25_000, 0], [90_000, 0], [0, 0, 0], [1000, 500, 2_000_000]])
@pytest.mark.parametrize(("name", "codec"), [("v.ts", "libx264"), ("v.mpg", "mpeg2video")])
def test_key_frames_of_joined_recordings(tmp_path: Path, starts: list[int], name: str, codec: str) -> None:
    data = b""
    for start in starts:
        options = {"options": FAST} if codec == "libx264" else {}
        ticks = [start + number for number in range(150)]
        part = write_numbered(tmp_path / f"part_{name}", 150, codec=codec, gop=50, b_frames=2, ticks=ticks, **options)
        data += part.read_bytes()
    (tmp_path / name).write_bytes(data)
    keys = check_keys(tmp_path / name)
    wanted = [6.0 * part + 2.0 * key for part in range(len(starts)) for key in range(3)]
    assert [key for key in wanted if not np.isclose(keys, key, atol=0.1).any()] == []


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.mpg", "v.flv", "v.webm"])
def test_a_late_start(tmp_path: Path, name: str) -> None:
    codec = {"v.mpg": "mpeg2video", "v.webm": "libvpx-vp9"}.get(name, "libx264")
    options = {"options": FAST} if codec == "libx264" else {}
    ticks = [7_500 + number for number in range(100)]
    path = write_numbered(tmp_path / name, 100, codec=codec, gop=25, ticks=ticks, **options)
    assert check_frames(path, 100) == ()
    assert len(check_keys(path)) >= 3


MORE: dict[str, dict[str, Any]] = {
    "b_frames.avi": {"gop": 25, "b_frames": 2, "options": FAST},
    "open_gop.avi": {"options": {"preset": "ultrafast", "x264-params": "open-gop=1:keyint=25:bframes=3:scenecut=0"}},
    "mpeg4.avi": {"codec": "mpeg4", "gop": 20, "b_frames": 2},
    "v.flv": {"gop": 25, "b_frames": 2, "options": FAST},
    "v.wmv": {"codec": "wmv2", "gop": 12},
    "v.mxf": {"codec": "mpeg2video", "gop": 12, "b_frames": 2},
    "late.mp4": {"gop": 25, "b_frames": 2, "options": FAST, "container_options": FRAGMENTS},
    "intra.avi": MJPEG,
    **RAW,
    **VIDEOS,
}


@pytest.mark.parametrize("name", MORE)
def test_key_frames_are_some_of_all_frames(tmp_path: Path, name: str) -> None:
    path = write_numbered(tmp_path / name, 130, **MORE[name])
    assert check_keys(path)[0] == 0


def files_at_hand() -> Iterator[Path]:
    import os

    shared = Path(os.environ.get("CLIPLAB_SHARED", ROOT.parent / "shared"))
    for folder in ("media/odd", "media/clips", "media/footage", "cases/media"):
        for path in sorted((shared / folder).glob("*.*")):
            if path.suffix not in (".py", ".tsv", ".webp", ".mjpeg") and not path.name.startswith("exif"):
                yield path


@pytest.mark.parametrize("path", list(files_at_hand()) or [None], ids=lambda path: path.name if path else "no media")
def test_key_frames_of_the_files_at_hand_are_some_of_all_frames(path: Path | None) -> None:
    if path is None:
        pytest.skip("no media: set CLIPLAB_SHARED to the folder that holds them")
    assert check_keys(path)[0] == 0


def test_key_frames_of_the_joined_case(shared: Path) -> None:
    path = shared / "cases" / "media" / "joined_clocks.ts"
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert check_keys(path) == pytest.approx([0, 5, 10, 11, 15, 17, 18, 20, 25], abs=1e-3)


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.avi"])
@pytest.mark.parametrize("threads", [1, 8])
def test_a_damaged_key_frame_is_said(tmp_path: Path, name: str, threads: int) -> None:
    path = write_numbered(tmp_path / name, 100, gop=25, b_frames=2, options=FAST)
    position, size, _ = [packet for packet in packets_of(path) if packet[2]][2]
    header = 4 if name == "v.mkv" else 0
    overwrite(path, position + header, b"\xff" * (size - header))
    with open_video(path, threads=threads) as video:
        numbers = [number_of(clip.frames[0]) for clip in video.key_frames(InputSpec(64, 96, 1, aspect="stretch"))]
        assert numbers == [0, 25, 75]
        (warning,) = video.warnings
    assert "did not decode" in warning
    assert "2.00 s" in warning


# -- the clock of packets ----------------------------------------------------------------------------------------------


def times(clock: PacketClock, *stamps: float, keys: tuple[int, ...] = (0,)) -> list[float | None]:
    def following(n: int) -> tuple[float, ...]:
        return stamps[n + 1 : n + 9]

    return [clock.advance(stamp, n in keys, partial(following, n)) for n, stamp in enumerate(stamps)]


@pytest.mark.parametrize("joined", [False, True])
def test_packets_in_the_order_of_decoding_keep_their_times(joined: bool) -> None:
    for interval in (0.04, 1.0, 10.0):
        stamps = [interval * n for n in (0, 4, 2, 1, 3, 8, 6, 5, 7)]
        assert times(PacketClock(interval, joined), *stamps) == stamps


@pytest.mark.parametrize("place", range(10))
@pytest.mark.parametrize("leap", [-5000.0, -50.0, 50.0, 9_000.0])
def test_a_stamp_that_leaps_alone_is_unknown(place: int, leap: float) -> None:
    stamps = [100 + 0.04 * n for n in range(10)]
    damaged = [*stamps]
    damaged[place] += leap
    found = times(PacketClock(0.04, True), *damaged)
    assert [found[n] for n in range(10) if n != place] == pytest.approx([stamps[n] for n in range(10) if n != place])
    assert found[place] is None or found[place] == pytest.approx(stamps[place])


def test_packets_that_leap_together_are_another_clock() -> None:
    stamps = [float(start + n) for start in (1, 1000, 0) for n in range(8)]
    assert times(PacketClock(1.0, True), *stamps, keys=(0, 8, 16)) == list(range(1, 25))
    assert times(PacketClock(0.5, False), 1.0, 1.5, 3000.0, 3000.5, 3001.0) == [1.0, 1.5, 3000.0, 3000.5, 3001.0]


@pytest.mark.parametrize("pause", [2.0, 30.0, 7200.0])
@pytest.mark.parametrize("frames_before", range(1, 4))
def test_frames_before_a_long_still_that_are_decoded_after_its_end_keep_their_times(
    pause: float, frames_before: int
) -> None:
    """A screen recorder writes nothing while the picture is still; B-frames around it are decoded out of order."""
    shown = [0.04 * n for n in range(20)] + [0.76 + pause + 0.04 * n for n in range(1, 20)]
    place = 20 - frames_before  # the frame after the pause is decoded before the last ones ahead of it
    stamps = [*shown[:place], shown[20], *shown[place:20], *shown[21:]]
    for interval in (0.04, 0.5):  # as it is, and as the average rate with the pause in it says
        assert times(PacketClock(interval, False), *stamps) == pytest.approx(stamps)


def test_stamps_of_33_bits_begin_again() -> None:
    wrap = float(Fraction(MPEG_WRAP, 90_000))
    stamps = [(wrap - 0.2 + 0.04 * n) % wrap for n in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)]
    found = times(PacketClock(0.04, True), *stamps)
    assert found == pytest.approx([wrap - 0.2 + 0.04 * n for n in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)])
