"""A transport stream that goes on in another programme, as where a recorder changed the channel."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapters.media import copy_parts, open_video
from adapters.media.sound_peaks import sound_peaks

RATE = 48_000


def write_programme(path: Path, seconds: int, tone: float, **options: str) -> bytes:
    """Noise and a tone, 25 frames per second."""
    rng = np.random.default_rng(int(tone))
    with av.open(str(path), "w", options=options) as container:
        picture: Any = container.add_stream("mpeg2video", rate=25)
        picture.width, picture.height, picture.pix_fmt = 160, 96, "yuv420p"
        sound: Any = container.add_stream("mp2", rate=RATE, layout="mono")
        for number in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (96, 160, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        wave = (8000 * np.sin(2 * np.pi * tone * np.arange(RATE * seconds) / RATE)).astype(np.int16)
        for at in range(0, len(wave) - 1151, 1152):
            part = av.AudioFrame.from_ndarray(wave[None, at : at + 1152], "s16", "mono")
            part.sample_rate, part.pts, part.time_base = RATE, at, Fraction(1, RATE)
            container.mux(sound.encode(part))
        for stream in (picture, sound):
            container.mux(stream.encode(None))
    return path.read_bytes()


def write_still(path: Path, seconds: int, **options: str) -> bytes:
    """Gray that brightens, 25 frames per second: a few kilobytes."""
    with av.open(str(path), "w", options=options) as container:
        picture: Any = container.add_stream("mpeg2video", rate=25)
        picture.width, picture.height, picture.pix_fmt = 160, 96, "yuv420p"
        for number in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), number % 200, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s of one programme, then 3 s of another one with streams of its own."""
    folder = tmp_path_factory.mktemp("programmes")
    other = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4352", "mpegts_service_id": "7"}
    first = write_programme(folder / "first.ts", 3, 440.0)
    second = write_programme(folder / "second.ts", 3, 880.0, **other)
    (folder / "joined.ts").write_bytes(first + second)
    return folder / "joined.ts"


def test_what_is_not_read_is_said(joined: Path) -> None:
    with open_video(joined) as video:
        assert len(list(video.frames(height=24, width=40))) == 75
        (warning,) = [each for each in video.warnings if "another programme" in each]
    assert "50%" in warning or "49%" in warning or "48%" in warning
    with open_video(joined.with_name("first.ts")) as video:
        assert len(list(video.frames(height=24, width=40))) == 75
        assert not any("another programme" in each for each in video.warnings)


@pytest.mark.parametrize("seconds", [1, 2, 8])
def test_a_short_rest_of_another_programme_is_said_too(tmp_path: Path, seconds: int) -> None:
    other = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4352", "mpegts_service_id": "7"}
    first, second = write_still(tmp_path / "first.ts", seconds), write_still(tmp_path / "second.ts", 1, **other)
    assert len(second) < 65_536
    (tmp_path / "joined.ts").write_bytes(first + second)
    with open_video(tmp_path / "joined.ts") as video:
        assert len(list(video.frames())) >= 25 * seconds - 1
        assert [each for each in video.warnings if "another programme" in each]


def test_streams_that_were_there_from_the_beginning_are_no_other_programme(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "two.ts"), "w") as container:
        streams: list[Any] = [container.add_stream("mpeg2video", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number, stream in enumerate(streams):
            for at in range(25 + 10 * number):  # the second one goes on after the first
                frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 3 * at, np.uint8), "rgb24")
                frame.pts, frame.time_base = at, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with open_video(tmp_path / "two.ts") as video:
        assert len(list(video.frames())) == 25
        assert not any("another programme" in each for each in video.warnings)


def test_the_first_programme_has_its_sound(joined: Path, tmp_path: Path) -> None:
    peaks = sound_peaks(joined, 0.0, 3.0, 10.0, lambda: None)
    assert peaks is not None
    copy_parts(joined, [(0.5, 2.0)], tmp_path / "part.mkv")
    with av.open(str(tmp_path / "part.mkv")) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0))
    assert heard / RATE == pytest.approx(1.5, abs=0.1)
