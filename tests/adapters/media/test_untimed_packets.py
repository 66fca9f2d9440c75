"""Matroska whose frames share blocks, or begin before 0, so that only some have a time of their own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from media_patterns import number_of, numbered_frame

from adapters.media import open_video
from adapters.records import InputSpec

SIZE = 96 * 64
NO_LACING, XIPH, FIXED, EBML = 0x00, 0x02, 0x04, 0x06


def element(name: str, *content: bytes) -> bytes:
    data = b"".join(content)
    return bytes.fromhex(name) + (1 << 56 | len(data)).to_bytes(8, "big") + data


def number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def jpeg(value: int, size: int = 0) -> bytes:
    return bytes(cv2.imencode(".jpg", numbered_frame(value))[1]).ljust(size, b"\0")


def block(frames: list[bytes], lacing: int, milliseconds: int) -> bytes:
    """A SimpleBlock of several frames (RFC 9559, 10.3)."""
    sizes = b""
    if lacing == XIPH:
        sizes = b"".join(b"\xff" * (len(one) // 255) + bytes([len(one) % 255]) for one in frames[:-1])
    elif lacing == EBML:
        steps = np.diff([len(one) for one in frames[:-1]])
        sizes = (0x4000 | len(frames[0])).to_bytes(2, "big")
        sizes += b"".join((0x4000 | int(step) + 8191).to_bytes(2, "big") for step in steps)
    count = bytes([len(frames) - 1]) if lacing else b""
    head = b"\x81" + milliseconds.to_bytes(2, "big", signed=True) + bytes([0x80 | lacing])
    return element("a3", head, count, sizes, *frames)


def matroska(*blocks: bytes) -> bytes:
    head = element("1a45dfa3", element("4282", b"matroska"), element("4287", number(4)), element("4285", number(2)))
    picture = element("e0", element("b0", number(96)), element("ba", number(64)))
    names = element("d7", number(1)) + element("73c5", number(1)) + element("83", number(1))
    track = element("1654ae6b", element("ae", names, element("86", b"V_MJPEG"), picture))
    info = element("1549a966", element("2ad7b1", number(1_000_000)))
    cluster = element("1f43b675", element("e7", number(0)), *blocks)
    return head + element("18538067", info, track, cluster)


@pytest.mark.parametrize(("lacing", "count"), [(XIPH, 3), (EBML, 4), (FIXED, 2), (FIXED, 6), (NO_LACING, 1)])
def test_frames_that_share_a_block_are_spread_over_its_time(tmp_path: Path, lacing: int, count: int) -> None:
    size = SIZE if lacing == FIXED else 0
    starts = range(0, 24, count)
    path = tmp_path / "a.mkv"
    path.write_bytes(
        matroska(*(block([jpeg(one, size) for one in range(at, at + count)], lacing, 40 * at) for at in starts))
    )
    with open_video(path) as video:
        frames = list(video.frames())
        keys = [clip.start for clip in video.key_frames(InputSpec(height=32, width=32, n_frames=1))]
        assert [number_of(picture) for _, picture in frames] == list(range(24))
        assert [seconds for seconds, _ in frames] == pytest.approx([0.04 * one for one in range(24)], abs=0.002)
        assert keys == [seconds for seconds, _ in frames]
        assert video.info.duration_seconds == pytest.approx(0.96, abs=0.002)


def test_frames_before_the_beginning_of_time(tmp_path: Path) -> None:
    """Of a negative time FFmpeg says that it is unknown."""
    path = tmp_path / "a.mkv"
    path.write_bytes(matroska(*(block([jpeg(one)], NO_LACING, 40 * one - 200) for one in range(24))))
    with open_video(path) as video:
        frames = list(video.frames())
        assert [number_of(picture) for _, picture in frames] == list(range(24))
        assert [seconds for seconds, _ in frames] == pytest.approx([0.04 * one for one in range(24)], abs=0.002)
        assert video.info.duration_seconds == pytest.approx(0.96, abs=0.002)


def test_a_picture_that_begins_long_after_the_sound_has_no_rate_of_the_clock(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("mp2", rate=48_000, layout="mono")
        for at in range(0, 48_000 * 16, 1152):
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            part.sample_rate, part.pts = 48_000, at
            container.mux(sound.encode(part))
            one = at // 1920 - 300  # from 12 s on
            if 0 <= one < 50 and at // 1920 != (at - 1152) // 1920:
                frame = av.VideoFrame.from_ndarray(numbered_frame(one), "rgb24")
                frame.pts = 300 + one
                container.mux(picture.encode(frame))
        for stream in (picture, sound):
            container.mux(stream.encode(None))
    with open_video(path) as video:
        assert len(list(video.frames())) == 50
        assert video.info.fps is None or video.info.fps == pytest.approx(25)
        assert video.info.duration_seconds == pytest.approx(2.0, abs=0.05)
