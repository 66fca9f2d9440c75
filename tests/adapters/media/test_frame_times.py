"""When frames are shown, listed without decoding: the same times as decoding gives; and the outline of the sound."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_patterns import numbered_frame, write_numbered, write_sound, write_video

from adapters.errors import MediaError
from adapters.media import DecoderPool, MediaLimits, open_video

LIMITS = MediaLimits(2_000_000)
NTSC = Fraction(30000, 1001)
VARIABLE = [0, 1, 4, 5, 9, 20, 21, 22, 40, 41, 43, 60, 61, 62, 64, 90, 91, 92, 93, 120]


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with_one = DecoderPool(1, memory_mb=300)
    yield with_one
    with_one.close()


def video_of(path: Path, kind: str) -> Path:
    if kind == "variable":
        pictures = [numbered_frame(number) for number in range(len(VARIABLE))]
        return write_video(path, pictures, ticks=VARIABLE, time_base=Fraction(1, 30), gop=6, b_frames=2)
    return write_numbered(path, 70, fps=NTSC if kind == "ntsc" else 25, gop=12, b_frames=2 if kind != "plain" else 0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp4", "ntsc"), ("a.mkv", "ntsc"), ("a.mp4", "variable"), ("a.mkv", "variable"), ("a.ts", "ntsc"),
        ("a.avi", "plain"), ("a.mov", "plain"),
    ],
)  # fmt: skip
def test_listed_times_are_those_of_decoding(tmp_path: Path, name: str, kind: str) -> None:
    path = video_of(tmp_path / name, kind)
    with open_video(path) as video:
        decoded = [seconds for seconds, _ in video.frames(height=8, width=8)]
        assert np.allclose(video.frame_times(), decoded, rtol=0, atol=1e-9)
        rng = np.random.default_rng(0)
        for start in [0.0, *decoded[::7], *rng.uniform(0, decoded[-1], 6)]:
            end = min(start + 0.4, decoded[-1] + 0.01)
            shown = max(time for time in decoded if time <= start + 1e-6)
            wanted = [time for time in decoded if shown <= time <= end + 1e-6]
            assert np.allclose(video.frame_times(start, end), wanted, rtol=0, atol=1e-9), start


def test_frames_and_times_from_a_moment_on_in_a_process(tmp_path: Path, pool: DecoderPool) -> None:
    path = video_of(tmp_path / "a.mp4", "ntsc")
    with pool.open_video(path, LIMITS) as video:
        times = video.frame_times(1.0, 1.5)
    assert times[0] <= 1.0 < times[1]
    with pool.open_video(path, LIMITS) as video:
        assert (video.info.width, video.info.height, video.info.has_audio) == (96, 64, False)
        found = [seconds for seconds, _ in video.frames(height=8, width=12, start_seconds=1.0, end_seconds=1.5)]
    assert np.allclose(found, times[: len(found)])
    assert len(found) == len(times)
    with pool.open_video(path, LIMITS) as video, pytest.raises(MediaError, match="range"):
        video.frame_times(100.0, 101.0)


def test_peaks_of_sound_lie_where_it_is_heard(tmp_path: Path, pool: DecoderPool) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("aac", rate=8000, layout="mono")
        for _ in range(30):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        container.mux(pictures.encode())
        for number in range(24):
            loud = 8 <= number < 16  # from second 1 to 2
            tone = np.sin(np.arange(1000) / 4) * (20000 if loud else 0)
            frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
            frame.sample_rate, frame.pts = 8000, number * 1000
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with pool.open_video(path, LIMITS) as video:
        peaks = video.sound_peaks(10)
    assert peaks is not None
    assert peaks.shape == (30, 2)
    assert peaks[11:19, 1].min() > 60
    assert peaks[11:19, 0].max() < -60
    assert abs(peaks[[*range(8), *range(22, 30)]]).max() < 8


def test_a_video_without_sound_says_so(tmp_path: Path, pool: DecoderPool) -> None:
    path = video_of(tmp_path / "a.mp4", "plain")
    with pool.open_video(path, LIMITS) as video:
        assert video.sound_peaks(10) is None
    with pool.open_video(path, LIMITS) as video, pytest.raises(MediaError, match="fewer per second"):
        video.sound_peaks(1e9)
    with pytest.raises(MediaError):
        pool.open_video(write_sound(tmp_path / "only.wav"), LIMITS)
