"""Containers of cameras and editors: their frames, times and rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_patterns import number_of, numbered_frame, write_video

from adapters.media import open_video


@pytest.mark.parametrize("b_frames", [0, 2, 3])
def test_an_mxf_that_stores_times_of_decoding_alone(tmp_path: Path, b_frames: int) -> None:
    """As FFmpeg writes H.264: packets have no times of presentation, and the first frame is no longer than others."""
    pictures = [numbered_frame(number) for number in range(40)]
    path = write_video(tmp_path / "v.mxf", pictures, b_frames=b_frames, gop=12)
    with open_video(path) as video:
        frames = [(seconds, number_of(picture)) for seconds, picture in video.frames()]
        assert [number for _, number in frames] == list(range(40))
        assert np.allclose([seconds for seconds, _ in frames], np.arange(40) / 25, atol=1e-6)
        assert video.info.duration_seconds == pytest.approx(1.6, abs=0.05)
        assert not video.warnings


def test_the_rate_of_raw_dv_is_that_of_its_frames(tmp_path: Path) -> None:
    pictures = [numbered_frame(number, 720, 576) for number in range(5)]
    path = write_video(tmp_path / "v.dv", pictures, codec="dvvideo")
    with open_video(path) as video:
        assert video.info.fps == 25
        assert len(list(video.frames())) == 5


def joined(folder: Path, *codecs: tuple[str, int], packet_bytes: int = 188) -> Path:
    """Transport streams of a second each, one behind the other."""
    data = b""
    for number, (codec, start) in enumerate(codecs):
        pictures = [numbered_frame(start + place) for place in range(25)]
        part = write_video(folder / f"{number}.ts", pictures, codec=codec, b_frames=0, gop=10)
        data += part.read_bytes()
    packets = (data[at : at + 188] for at in range(0, len(data), 188))
    before, behind = {188: (b"", b""), 192: (bytes(4), b""), 204: (b"", bytes(16))}[packet_bytes]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(before + packet + behind for packet in packets))
    return path


@pytest.mark.parametrize("packet_bytes", [188, 192, 204])
@pytest.mark.parametrize(
    ("codecs", "words"),
    [(("libx264", "mpeg2video"), "H.264 to MPEG-2"), (("mpeg2video", "libx264"), "MPEG-2 to H.264")],
)
def test_a_codec_that_changes_within_a_stream_is_said_and_not_called_damage(
    tmp_path: Path, codecs: tuple[str, str], words: str, packet_bytes: int
) -> None:
    path = joined(tmp_path, (codecs[0], 0), (codecs[1], 25), packet_bytes=packet_bytes)
    with open_video(path) as video:
        numbers = [number_of(picture) for _, picture in video.frames()]
        text = " ".join(video.warnings)
    assert numbers[:20] == list(range(20))
    assert f"the codec changes from {words}" in text
    assert "damaged" not in text
    assert "did not decode" not in text


@pytest.mark.parametrize("seconds", [0.2, 0.4, 1.0])
@pytest.mark.parametrize(("name", "codec"), [("v.ts", "libx264"), ("v.ts", "mpeg2video"), ("v.mpg", "mpeg2video")])
def test_short_recordings_that_were_joined_are_all_read(tmp_path: Path, name: str, codec: str, seconds: float) -> None:
    count = int(seconds * 25)
    data = b""
    for part in range(3):
        pictures = [numbered_frame(part * count + place) for place in range(count)]
        data += write_video(tmp_path / f"{part}{name}", pictures, codec=codec, b_frames=2, gop=5).read_bytes()
    path = tmp_path / name
    path.write_bytes(data)
    with open_video(path) as video:
        frames = list(video.frames())
        assert [number_of(picture) for _, picture in frames] == list(range(3 * count))
        assert video.info.duration_seconds == pytest.approx(3 * seconds, abs=0.21)


def test_damage_in_a_stream_of_one_codec_is_damage(tmp_path: Path) -> None:
    path = joined(tmp_path, ("libx264", 0), ("libx264", 25))
    data = bytearray(path.read_bytes())
    start = len(data) // 188 // 3 * 188
    for place in range(start, len(data) - 188, 188):
        data[place + 150 : place + 180] = b"\xa5" * 30
    path.write_bytes(data)
    with open_video(path) as video:
        list(video.frames())
        assert video.warnings
        assert not any("codec changes" in text for text in video.warnings)


def test_programs_of_several_codecs_side_by_side_are_no_change(tmp_path: Path) -> None:
    from adapters.media.transport_codecs import codec_change

    one, other = (
        write_video(tmp_path / f"{codec}.ts", [numbered_frame(place) for place in range(10)], codec=codec)
        for codec in ("libx264", "mpeg2video")
    )
    first, second = one.read_bytes(), bytearray(other.read_bytes())
    for at in range(0, len(second), 188):  # the second program's tables at another number
        if (second[at + 1] & 0x1F) << 8 | second[at + 2] == 0x1000:
            second[at + 1 : at + 3] = bytes((second[at + 1] & 0xE0 | 0x11, 0))
        elif not (second[at + 1] & 0x1F) << 8 | second[at + 2]:
            place = second.index(b"\xf0\x00", at)
            second[place : place + 2] = b"\xf1\x00"
    both = tmp_path / "both.ts"
    both.write_bytes(first + second + first)
    assert codec_change(both) is None
    both.write_bytes(first + other.read_bytes())
    assert codec_change(both) == "H.264 to MPEG-2"
