"""The same frames and warnings on every machine, whatever its number of cores, also where a file is damaged."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_files import overwrite, packets_of
from media_patterns import number_of, write_numbered

from adapters.media import open_video

COUNT = 80
THREADS = (2, 8, 16)
H264 = {"preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0:keyint=250:ref=3"}
VIDEOS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": H264},
    "short_groups.mov": {"gop": 10, "b_frames": 2, "options": {"preset": "ultrafast"}},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}},
    "mpeg4.mp4": {"codec": "mpeg4", "gop": 250, "b_frames": 2},
}

Found = tuple[list[tuple[float, str]], tuple[str, ...]]


def all_of(path: Path, threads: int) -> Found:
    with open_video(path, threads=threads) as video:
        frames = [(seconds, hashlib.md5(picture.tobytes()).hexdigest()) for seconds, picture in video.frames()]
        return frames, video.warnings


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("back", range(1, 11))
def test_a_frame_that_cannot_be_decoded_near_the_end(tmp_path: Path, name: str, back: int) -> None:
    path = write_numbered(tmp_path / name, COUNT, **VIDEOS[name])
    position, size, _ = packets_of(path)[-back]
    overwrite(path, position, b"\x7f\xff\xff\xff" if "mpeg4" not in name else bytes(size))
    expected = all_of(path, 1)
    assert len(expected[0]) == COUNT or expected[1]
    assert len(expected[0]) >= COUNT - 1 or name != "h264.mp4", "others pass over what leans on it"
    for threads in THREADS:
        assert all_of(path, threads) == expected


@pytest.mark.parametrize("name", ["h264.mp4", "short_groups.mov", "mpeg4.mp4"])
@pytest.mark.parametrize("place", [12, 35, 36, 37, COUNT - 6, COUNT - 2])
def test_a_frame_that_is_damaged_in_part(tmp_path: Path, name: str, place: int) -> None:
    """Those that lean on it show how it was repaired."""
    random = np.random.default_rng(1)
    path = write_numbered(tmp_path / name, COUNT, **VIDEOS[name])
    position, size, _ = packets_of(path)[place]
    overwrite(path, position + size // 2, random.bytes(min(8, size // 2)))
    expected = all_of(path, 1)
    for threads in THREADS:
        assert all_of(path, threads) == expected


def test_damage_in_many_places(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 300, gop=20, b_frames=2, options={"preset": "ultrafast"})
    packets = packets_of(path)
    for place in (15, 16, 90, 140, 141, 142, 200, 288, 297, 299):
        overwrite(path, packets[place][0], b"\x7f\xff\xff\xff")
    expected = all_of(path, 1)
    assert f"{300 - len(expected[0])} of 300 frames did not decode" in expected[1][0]
    for threads in THREADS:
        assert all_of(path, threads) == expected


def test_the_whole_of_a_sound_file_is_decoded_by_all_threads(tmp_path: Path) -> None:
    from adapters.media.single_thread import RecentPackets

    path = write_numbered(tmp_path / "v.mp4", 100, gop=20, b_frames=2, options={"preset": "ultrafast"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecentPackets, "begin", lambda self: pytest.fail("decoded again"))
        assert len(all_of(path, 8)[0]) == 100


@pytest.mark.parametrize("threads", [1, 2, 8, 16])
def test_damaged_near_the_end(shared: Path, threads: int) -> None:
    path = shared / "cases" / "media" / "damaged_near_the_end.mp4"
    if not path.is_file():
        pytest.skip(f"no {path}")
    frames, (warning,) = all_of(path, threads)
    assert len(frames) == 149
    assert "1 of 150 frames did not decode" in warning


@pytest.mark.parametrize("threads", [1, 8])
def test_another_track_that_lies_past_the_cut(shared: Path, threads: int) -> None:
    path = shared / "cases" / "media" / "other_track_beyond_cut.mp4"
    if not path.is_file():
        pytest.skip(f"no {path}")
    frames, warnings = all_of(path, threads)
    assert len(frames) == 91
    assert any("partly damaged" in text for text in warnings), "the file ends within the last one"


@pytest.mark.parametrize("part", [0.4, 0.7, 0.9])
def test_other_tracks_are_not_read(tmp_path: Path, part: float) -> None:
    """The samples of a sound track are all beyond the cut by the table: every frame before the cut is found."""
    from fractions import Fraction

    import av

    path = tmp_path / "v.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        sound: Any = container.add_stream("aac", rate=44100)
        from media_patterns import numbered_frame

        for number in range(100):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100 * 4), np.float32), "fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    packets = packets_of(path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"stco")
    for entry in range(struct.unpack_from(">I", data, at + 8)[0]):
        struct.pack_into(">I", data, at + 12 + 4 * entry, len(data) - 8)
    cut = int(len(data) * part)
    path.write_bytes(data[:cut])
    whole = sum(position + size <= cut for position, size, _ in packets)
    with open_video(path) as video:
        numbers = [number_of(picture) for _, picture in video.frames()]
    assert numbers[:whole] == list(range(whole))
    assert 0 < whole <= len(numbers) <= whole + 1
