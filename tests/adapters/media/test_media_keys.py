"""Key frames alone: the right pictures at the right times, whatever the container, and nothing else decoded."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media_patterns import number_of, write_numbered
from test_media_seek import COUNT, FPS, VIDEOS

from adapters.media import open_video
from adapters.media.decode import Decoder
from adapters.records import Clip, InputSpec

SPEC = InputSpec(64, 96, 1, aspect="stretch")


def keys_of(path: Path, every_seconds: float = 0.0) -> list[Clip]:
    with open_video(path) as video:
        found = list(video.key_frames(SPEC, every_seconds))
        assert video.warnings == ()
    return found


def expected_keys(path: Path) -> list[float]:
    """Times of the frames that the decoder calls key frames when it decodes all."""
    decoder = Decoder(path)
    found = []
    while (decoded := decoder.read()) is not None:
        if decoded.frame.key_frame:
            found.append(decoded.seconds)
    decoder.close()
    return [seconds - found[0] for seconds in found]


@pytest.mark.parametrize("name", VIDEOS)
def test_every_key_frame_is_the_picture_of_its_time(name: str, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / name, COUNT, fps=FPS, **VIDEOS[name])
    clips = keys_of(path)
    assert [clip.start for clip in clips] == pytest.approx(expected_keys(path), abs=1e-3)
    assert len(clips) >= 2 or name.startswith(("long", "intra"))
    for clip, following in zip(clips, [*clips[1:], None], strict=True):
        assert clip.times.tolist() == [clip.start]
        assert number_of(clip.frames[0]) == round(clip.start * FPS)
        assert clip.end == pytest.approx(COUNT / FPS if following is None else following.start, abs=0.05)


@pytest.mark.parametrize(("every", "count"), [(0.0, 100), (0.5, 9), (1.0, 4), (2.4, 2), (100.0, 1)])
@pytest.mark.parametrize("name", ["v.avi", "v.mov"])
def test_key_frames_may_be_a_time_apart(tmp_path: Path, every: float, count: int, name: str) -> None:
    """Each frame of this one is a key frame, as those of a camera that writes MJPEG are."""
    path = write_numbered(tmp_path / name, 100, fps=25, codec="mjpeg", pixel_format="yuvj420p")
    starts = [clip.start for clip in keys_of(path, every)]
    assert len(starts) == count
    assert not len(starts) > 1 or np.diff(starts).min() >= every - 0.021


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
@pytest.mark.parametrize("b_frames", [0, 2, 4])
def test_a_key_frame_each_second_is_every_key_frame(tmp_path: Path, name: str, b_frames: int) -> None:
    """Though by their decoding times some are closer to the one before."""
    options = {"preset": "ultrafast", "x265-params": f"keyint=25:min-keyint=25:bframes={b_frames}:log-level=none"}
    path = write_numbered(tmp_path / name, 130, fps=25, codec="libx265", options=options)
    assert [clip.start for clip in keys_of(path, 1.0)] == pytest.approx([0, 1, 2, 3, 4, 5], abs=1e-3)


def test_a_second_pass_gives_the_same(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 100, gop=20, b_frames=2)
    with open_video(path, threads=1) as video:
        first, other = ([c.start for c in video.key_frames(SPEC)] for _ in range(2))
        assert first == other
        assert first == pytest.approx(expected_keys(path), abs=1e-3)
        assert len(next(video.clips(InputSpec(64, 96, 4))).frames) == 4


def test_an_mp4_is_read_at_its_key_frames_alone(tmp_path: Path) -> None:
    """So that a scan of large files reads a part of their bytes. Noise makes the frames large."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 256, 256, 3), np.uint8)
    from media_patterns import write_video

    path = write_video(tmp_path / "v.mp4", noise, gop=30, options={"qp": "10", "preset": "ultrafast"})

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

    if not Path("/proc/self/io").exists():
        pytest.skip("needs /proc/self/io, which Linux has")
    before = bytes_read()
    assert len(keys_of(path)) == 2
    assert bytes_read() - before < path.stat().st_size / 4


@pytest.mark.parametrize("every", [-1.0, float("nan"), float("inf")])
def test_a_time_apart_that_is_none(tmp_path: Path, every: float) -> None:
    path = write_numbered(tmp_path / "v.mp4", 10)
    with open_video(path) as video, pytest.raises(ValueError, match="every_seconds"):
        next(video.key_frames(SPEC, every))


def damaged(path: Path, number: int) -> Path:
    """The file with nothing but ones in its key frame of that number."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        keys = [(p.pos, p.size) for p in container.demux(video=0) if p.is_keyframe and p.size]
    position, size = keys[number]
    assert position is not None
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def test_a_key_frame_that_the_index_tells_and_the_file_does_not_hold(tmp_path: Path) -> None:
    """The others are given all the same, each once."""
    options = {"preset": "ultrafast"}
    path = damaged(write_numbered(tmp_path / "v.mp4", 100, gop=20, b_frames=0, options=options), 2)
    with open_video(path) as video:
        clips = list(video.key_frames(SPEC, 0.0))
    assert [number_of(clip.frames[0]) for clip in clips] == [0, 20, 60, 80]
    assert [(clip.start, clip.end) for clip in clips] == [(0, 0.8), (0.8, 2.4), (2.4, 3.2), (3.2, 4)]


def test_a_key_frame_that_does_not_decode_is_said(tmp_path: Path) -> None:
    path = damaged(write_numbered(tmp_path / "v.mov", 20, codec="mjpeg", pixel_format="yuvj420p"), 7)
    with open_video(path) as video:
        numbers = [number_of(clip.frames[0]) for clip in video.key_frames(SPEC, 0.0)]
        assert numbers == [number for number in range(20) if number != 7]
        (warning,) = video.warnings
    assert warning.startswith("1 of 20 frames did not decode")
    assert "0.28 s" in warning


def test_key_frames_of_joined_recordings_are_those_of_each(tmp_path: Path) -> None:
    """The clock starts anew in the middle: that is no earlier key frame."""
    options = {"gop": 20, "b_frames": 0, "options": {"preset": "ultrafast"}}
    parts = [write_numbered(tmp_path / f"{part}.ts", 60, **options).read_bytes() for part in range(3)]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    assert [number_of(clip.frames[0]) for clip in keys_of(tmp_path / "joined.ts")] == [0, 20, 40] * 3


# Of gradual refresh the container calls frames key frames that need others.
@pytest.mark.parametrize("name", [name for name in VIDEOS if not name.startswith("intra")])
def test_times_of_key_frames_are_told_without_looking_at_them(name: str, tmp_path: Path) -> None:
    """Each one that is told is right; none is left out unless only its decoding time is known."""
    path = write_numbered(tmp_path / name, COUNT, fps=FPS, **VIDEOS[name])
    told = list[float]()
    with open_video(path) as video:
        looked = [clip.start for clip in video.key_frames(SPEC, 2.0, told.append)]
    wanted = expected_keys(path)
    assert all(min(abs(seconds - each) for each in wanted) < 0.01 for seconds in told)
    if not name.endswith(".mp4"):
        assert len(set(np.round(told, 2))) == len(wanted) >= len(looked)


def test_times_of_key_frames_come_from_the_index_of_an_mp4(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 250, fps=25, gop=10, options={"preset": "ultrafast"}, b_frames=2)
    told = list[float]()
    with open_video(path) as video:
        looked = [clip.start for clip in video.key_frames(SPEC, 2.0, told.append)]
    assert len(looked) == 5
    assert sorted(set(np.round(told, 2))) == pytest.approx(np.arange(25) * 0.4)
