"""Only what is looked at is decoded: frames and times are those of decoding everything, or within the tolerance."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_files import overwrite, packets_of
from media_patterns import number_of, numbered_frame, write_numbered, write_video

from adapters.errors import MediaError
from adapters.media import open_video
from adapters.media.decode import Decoder
from adapters.records import Clip, InputSpec

COUNT = 150
X264 = {"preset": "medium"}
H265 = "log-level=none:bframes=4:b-adapt=0:keyint={}:min-keyint={}:open-gop={}"
VIDEOS: dict[str, dict[str, Any]] = {
    "pyramid.mp4": {"options": X264, "gop": 250},
    "short_groups.mkv": {"options": X264, "gop": 12},
    "open_groups.ts": {"options": {**X264, "x264-params": "open-gop=1:keyint=20:bframes=3:b-adapt=0"}},
    "all_intra.mp4": {"options": {**X264, "g": "1"}},
    "motion_jpeg.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": H265.format(40, 40, 0)}},
    "open_hevc.ts": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": H265.format(25, 25, 1)}},
    "layers.mp4": {
        "codec": "libx265",
        "options": {"preset": "ultrafast", "x265-params": H265.format(60, 60, 0) + ":temporal-layers=3"},
    },
    "mpeg2.mpg": {"codec": "mpeg2video", "gop": 15, "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4", "gop": 30, "b_frames": 2},
    "vp9.webm": {"codec": "libvpx-vp9", "gop": 40, "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8.webm": {"codec": "libvpx", "gop": 40, "options": {"deadline": "realtime", "cpu-used": "8"}},
    "no_b_frames.mp4": {"options": {**X264, "bf": "0"}, "gop": 60},
    "raw.h264": {"options": X264, "gop": 30},
    "interlaced.mp4": {"options": {**X264, "x264-params": "tff=1:bframes=3"}},
}
# Of the packets of a pass at one frame per second. Raw streams have no times, interlaced frames need their neighbours.
MOST_DECODED = {"raw.h264": 1.0, "interlaced.mp4": 1.0, "all_intra.mp4": 0.1, "mpeg2.mpg": 0.2, "short_groups.mkv": 0.2}
TICKS = np.cumsum(np.random.default_rng(5).choice([1, 2, 3, 9], COUNT, p=[0.5, 0.3, 0.15, 0.05])).tolist()
VIDEOS["variable.mkv"] = {"options": X264, "gop": 50, "ticks": TICKS, "time_base": Fraction(1, 50)}

Frames = list[tuple[float, str]]


def pictures() -> Iterator[np.ndarray]:
    """Frames whose texture moves, so that encoders refer to others and a wrong reference shows."""
    noise = np.random.default_rng(3).integers(0, 120, (64, 96 + 2 * COUNT, 3), np.uint8)
    for number in range(COUNT):
        yield np.maximum(numbered_frame(number), noise[:, 2 * number : 2 * number + 96])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sparse")


def written(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.exists() else write_video(path, pictures(), **VIDEOS[name])


def digest(picture: np.ndarray) -> str:
    return hashlib.md5(picture.tobytes()).hexdigest()


def all_frames(path: Path) -> Frames:
    with open_video(path) as video:
        return [(seconds, digest(picture)) for seconds, picture in video.frames()]


def spec(fps: float, tolerance: float, **changes: Any) -> InputSpec:
    given = {"n_frames": 1, "sampling": "rate", "fps": fps, "stride_seconds": 1 / fps, **changes}
    return InputSpec(64, 96, sampling_tolerance_seconds=tolerance, aspect="stretch", **given)


def check_clip(clip: Clip, moments: list[float], frames: Frames, tolerance: float) -> int:
    """Each frame is one of the video's, with its time, and the one shown or near. How many are not those shown."""
    times, moved = [seconds for seconds, _ in frames], 0
    for seconds, picture, moment in zip(clip.times, clip.frames, moments, strict=True):
        assert (seconds, digest(picture)) in frames
        shown = times[max(bisect_right(times, moment + 1e-3) - 1, 0)]
        if abs(shown - seconds) > 1e-9:
            assert abs(seconds - moment) <= tolerance + 1e-6
            moved += 1
    return moved


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Decoder]:
    """The decoders of passes that were planned, which count their packets."""
    decoded: list[Decoder] = []
    planned = Decoder.plan_for

    def plan_for(self: Decoder, *given: Any) -> None:
        planned(self, *given)
        decoded.append(self)

    monkeypatch.setattr(Decoder, "plan_for", plan_for)
    return decoded


def test_far_moments_cost_little_where_no_jump_is_possible(tmp_path: Path, decoded: list[Decoder]) -> None:
    path = write_numbered(tmp_path / "a.ts", 500, gop=25, b_frames=2)
    with open_video(path) as video:
        clips = list(video.clips(spec(0.05, 0.0), 0.04))
    assert [number_of(clip.frames[0]) for clip in clips] == [1]
    with open_video(path) as video:
        clips = list(video.clips(spec(0.1, 0.0)))
    assert [number_of(clip.frames[0]) for clip in clips] == [0, 250]
    assert decoded[1].packet_count <= 50


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_are_those_of_decoding_everything(folder: Path, name: str, decoded: list[Decoder]) -> None:
    path = written(folder, name)
    frames = all_frames(path)
    for fps, tolerance, start, threads in ((1, 0.1, None, 1), (1, 0.0, None, None), (3, 0.1, 1.5, 1), (0.7, 0.6, 1, 2)):
        with open_video(path, threads=threads) as video:
            clips = list(video.clips(spec(fps, tolerance), start))
            moved = sum(check_clip(clip, [clip.start], frames, tolerance if fps <= 2 else 0.0) for clip in clips)
            assert len(clips) == pytest.approx((video.info.duration_seconds - (start or 0)) * fps, abs=1)
        assert not moved or tolerance
    assert decoded[0].packet_count <= MOST_DECODED.get(name, 0.75) * COUNT


def test_all_frames_of_overlapping_windows(folder: Path) -> None:
    path = written(folder, "pyramid.mp4")
    frames = all_frames(path)
    with open_video(path) as video:
        clips = list(video.clips(spec(0.0 + 1, 0.1, n_frames=3, stride_seconds=0.7)))
        assert len(clips) > 3
        assert sum(check_clip(clip, [clip.start + i for i in range(3)], frames, 0.1) for clip in clips)


def test_dense_sampling_is_exact(folder: Path) -> None:
    """Also of a range: what was trained on is a clip of a longer video."""
    path = written(folder, "pyramid.mp4")
    frames = all_frames(path)
    for n_frames, tolerance in ((8, 0.5), (5, 0.0)):
        with open_video(path) as video:
            clip = video.clip(spec(1, tolerance, sampling="spread", n_frames=n_frames), 1.2, 4.7)
        moments = [1.2 + (i + 0.5) * 3.5 / n_frames for i in range(n_frames)]
        assert not check_clip(clip, moments, frames, 0.0)


def test_no_frame_from_outside_of_a_clip(folder: Path) -> None:
    path = written(folder, "pyramid.mp4")
    for start in np.arange(0.5, 2, 0.04):
        with open_video(path) as video:
            clip = video.clip(spec(1, 0.4, n_frames=2), start, start + 2)
            exact = video.clip(spec(1, 0.0, n_frames=2), start, start + 2)
        assert clip.times[0] == exact.times[0] or start - 0.01 <= clip.times[0] < start + 2


@pytest.mark.parametrize("name", ["pyramid.mp4", "open_groups.ts", "mpeg2.mpg", "hevc.mp4"])
@pytest.mark.parametrize("threads", [1, 4])
def test_damage_at_reference_frames(folder: Path, tmp_path: Path, name: str, threads: int) -> None:
    """From the damage on everything is decoded, as it is where nothing is left out."""
    whole = written(folder, name).read_bytes()
    frames: Frames
    for place in (40, 77):
        path = tmp_path / f"{place}{name}"
        path.write_bytes(whole)
        if packets := packets_of(path)[place : place + 4]:  # none of a program stream has a position
            position, size, _ = max(packets, key=lambda packet: packet[1])
        else:
            position, size = len(whole) * place // COUNT, 0
        overwrite(path, position + size // 3, bytes(range(1, 60)))
        with open_video(path, threads=threads) as video:
            frames = [(seconds, digest(picture)) for seconds, picture in video.frames()]
        with open_video(path, threads=threads) as video:
            for clip in video.clips(spec(1, 0.1)):
                check_clip(clip, [clip.start], frames, 0.1)


def test_frames_that_are_lost(folder: Path, tmp_path: Path) -> None:
    """A frame that does not decode is not replaced by one outside of the tolerance that happens to be decoded."""
    path = tmp_path / "lost.mp4"
    path.write_bytes(written(folder, "no_b_frames.mp4").read_bytes())
    for place in (49, 50, 51):
        position, size, _ = packets_of(path)[place]
        overwrite(path, position, b"\x7f\xff\xff\xff" + bytes(size - 4))
    frames = all_frames(path)
    with open_video(path) as video:
        for clip in video.clips(spec(1, 0.0)):
            assert not check_clip(clip, [clip.start], frames, 0.0)
        assert "did not decode" in video.warnings[0]


def test_a_tolerance_must_be_seconds() -> None:
    with pytest.raises(ValueError, match="sampling_tolerance_seconds"):
        spec(1, -0.1)
    with pytest.raises(ValueError, match="sampling_tolerance_seconds"):
        spec(1, float("nan"))


def test_a_file_that_cannot_be_opened_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(written(folder, "pyramid.mp4").read_bytes())
    with open_video(path, threads=1) as video:
        clips = video.clips(spec(1, 0.1))
        next(clips)
        decoder = video._passes[0]
        assert decoder.plan is not None
        decoder.plan.failed = True
        path.unlink()
        with pytest.raises(MediaError, match="no such file"):
            list(clips)
