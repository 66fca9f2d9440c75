"""MP4 files whose table of times says that each frame lasts 0 ticks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapters.media import copy_parts, open_video
from adapters.records import InputSpec

FRAMES, RATE = 50, 20
SPEC = InputSpec(height=48, width=64, n_frames=1, sampling="spread")


def write(path: Path, codec: str, frames: int = FRAMES) -> bytes:
    """Each frame is a little lighter than the one before."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 12
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def without_times(data: bytes) -> bytes:
    at = data.index(b"stts")
    count = int.from_bytes(data[at + 8 : at + 12])
    changed = bytearray(data)
    for place in range(at + 16, at + 16 + 8 * count, 8):
        changed[place : place + 4] = bytes(4)
    return bytes(changed)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_come_at_the_rate_that_the_length_gives(tmp_path: Path, codec: str) -> None:
    sound = tmp_path / "sound.mp4"
    (tmp_path / "zero.mp4").write_bytes(without_times(write(sound, codec)))
    with open_video(sound) as video:
        wanted = [(seconds, picture.copy()) for seconds, picture in video.frames()]
        wanted_keys = [clip.times[0] for clip in video.key_frames(SPEC, 0.0)]
    with open_video(tmp_path / "zero.mp4") as video:
        assert video.info.fps == pytest.approx(RATE, rel=0.05)
        found = list(video.frames())
        assert len(found) == FRAMES
        for (seconds, picture), (wanted_seconds, wanted_picture) in zip(found, wanted, strict=True):
            assert seconds == pytest.approx(wanted_seconds, abs=0.1)
            np.testing.assert_array_equal(picture, wanted_picture)
        keys = [clip.times[0] for clip in video.key_frames(SPEC, 0.0)]
        assert len(keys) == len(wanted_keys)
        assert {round(key, 6) for key in keys} <= {round(seconds, 6) for seconds, _ in found}
        assert list(video.frame_times(0.0, 1.0))[1] == pytest.approx(found[1][0])
        (warning,) = video.warnings
    assert "each frame lasts 0 s" in warning
    assert "its length" in warning


def test_a_rate_is_assumed_where_the_length_is_0_too(tmp_path: Path) -> None:
    data = bytearray(without_times(write(tmp_path / "sound.mp4", "mpeg4")))
    at = data.index(b"mdhd")
    data[at + 20 : at + 24] = bytes(4)
    (tmp_path / "zero.mp4").write_bytes(data)
    with open_video(tmp_path / "zero.mp4") as video:
        assert len(list(video.frames())) == FRAMES
        assert video.info.fps == 25
        assert any("25 frames per second are assumed" in warning for warning in video.warnings)


def test_a_part_is_the_same_as_of_the_sound_file(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").write_bytes(without_times(write(tmp_path / "sound.mp4", "libx264")))
    levels = []
    for name in ("sound", "zero"):
        copy_parts(tmp_path / f"{name}.mp4", [(0.6, 1.2)], tmp_path / f"{name}.mkv")
        with open_video(tmp_path / f"{name}.mkv") as video:
            levels.append([float(picture.mean()) for _, picture in video.frames()])
    assert levels[1] == pytest.approx(levels[0], abs=6)


def test_one_picture_without_a_length_needs_no_warning(tmp_path: Path) -> None:
    (tmp_path / "one.mp4").write_bytes(without_times(write(tmp_path / "sound.mp4", "mpeg4", frames=1)))
    with open_video(tmp_path / "one.mp4") as video:
        assert len(list(video.frames())) == 1
        assert not video.warnings
