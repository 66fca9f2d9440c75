"""Limits on sources from someone unknown: frame sizes by the header, shapes, and a stop while it is read."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from flat_videos import flat_video
from media_patterns import write_numbered
from tiny_videos import render_video

from adapters.errors import MediaError
from adapters.media import MediaLimits, open_video
from adapters.media.decode import Decoder
from adapters.media.packets import TimedPacket
from adapters.records import InputSpec

LIMITS = MediaLimits(frame_pixels=1_000_000)
SPEC = InputSpec(32, 32, 4)


@pytest.mark.parametrize("name", ["large.mp4", "large.mkv", "large.avi", "large.ts"])
def test_a_frame_over_the_limit_is_refused_by_its_size(tmp_path: Path, name: str) -> None:
    path = flat_video(tmp_path / name, 2048, 1024)
    with pytest.raises(MediaError, match=r"2048x1024, 2\.1 million pixels; at most 1\.0 million"):
        open_video(path, limits=LIMITS)
    with open_video(path) as video:
        assert video.info.width == 2048


def test_a_header_that_claims_what_memory_hardly_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gif"
    with av.open(path, "w") as container:
        stream = container.add_stream("gif", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb8"
        for level in (0, 90):
            picture = np.full((64, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    data[6:10] = struct.pack("<HH", 16000, 15000)  # the logical screen
    path.write_bytes(data)
    with pytest.raises(MediaError, match="none can be decoded"):
        open_video(path, limits=LIMITS)


def test_a_frame_that_grows_on_the_way_is_not_decoded(tmp_path: Path) -> None:
    """An MPEG transport stream may change its picture size at any frame."""
    small, large = flat_video(tmp_path / "a.ts", 64, 64, 12), flat_video(tmp_path / "b.ts", 2048, 1024, 12)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    with open_video(joined) as video:
        assert sum(1 for _ in video.frames(height=32, width=32)) == 24
    with open_video(joined, limits=LIMITS) as video:
        assert 8 <= sum(1 for _ in video.frames(height=32, width=32)) <= 12
        assert "did not decode" in " ".join(video.warnings)


def test_a_shape_that_scaling_would_blow_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="4096x16, an aspect ratio above 20:1"):
        open_video(flat_video(tmp_path / "line.mp4", 4096, 16), limits=LIMITS)


def test_pixels_that_are_wide_count_as_shown(tmp_path: Path) -> None:
    path = flat_video(tmp_path / "wide.mp4", 64, 64, options={"x264-params": "sar=40/1"})
    with pytest.raises(MediaError, match="2560x64"):
        open_video(path, limits=LIMITS)


def test_a_stop_ends_the_reading_with_its_reason(tmp_path: Path) -> None:
    path, asked = render_video(tmp_path / "clip.mp4", "warm", 0, seconds=4), []

    def stop() -> str | None:
        asked.append(1)
        return "took longer than 5 s" if len(asked) > 10 else None

    with (
        open_video(path, limits=MediaLimits(10_000, stop)) as video,
        pytest.raises(MediaError, match=r"clip\.mp4: took longer than 5 s"),
    ):
        list(video.clips(SPEC))
    assert len(asked) == 11


def test_lack_of_memory_while_decoding_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Packet:
        """A packet whose frames no memory holds."""

        def __init__(self, packet: Any) -> None:
            self._packet = packet

        def __getattr__(self, name: str) -> Any:
            return getattr(self._packet, name)

        def decode(self) -> Any:
            raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    decode = Decoder._decode

    def starved(self: Decoder, timed: TimedPacket) -> None:
        decode(self, replace(timed, packet=Packet(timed.packet)) if self.packet_count == 5 else timed)

    path = write_numbered(tmp_path / "a.mp4", 30)
    monkeypatch.setattr(Decoder, "_decode", starved)
    with open_video(path) as video, pytest.raises(MediaError, match=r"a\.mp4: needs more memory"):
        list(video.frames())


def test_within_the_limits_nothing_changes(tmp_path: Path) -> None:
    path = render_video(tmp_path / "clip.mp4", "cold", 1)
    with open_video(path) as free, open_video(path, limits=LIMITS) as limited:
        assert np.array_equal(free.clip(SPEC).frames, limited.clip(SPEC).frames)


@pytest.mark.parametrize("width, height", [(48, 48), (130, 66), (66, 1290), (1290, 66), (1000, 250)])
def test_a_frame_of_just_the_limit_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    """FFmpeg counts its width rounded up to 64: 4000x2500 would be over 10 million pixels."""
    path = flat_video(tmp_path / "just.mp4", width, height)
    with open_video(path, limits=MediaLimits(width * height)) as video:
        assert len(video.clip(SPEC).frames) == 4
        assert not video.warnings
    with pytest.raises(MediaError, match=f"{width}x{height}"):
        open_video(path, limits=MediaLimits(width * height - 1))
