"""Parts of a video joined in a new file: the right frames at the right times, mostly copied, with sound in step."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_patterns import number_of, numbered_frame, write_numbered

from adapters.errors import MediaError
from adapters.media import copy_parts, open_video

PARTS = [(0.0, 3.0), (4.2, 6.6), (8.0, 99.0)]
KEPT = [*range(75), *range(105, 165), *range(200, 250)]


def numbers(path: Path) -> list[tuple[float, int]]:
    with open_video(path) as video:
        found = [(seconds, number_of(picture)) for seconds, picture in video.frames()]
        assert video.warnings == ()
    return found


def coded(path: Path) -> list[bytes]:
    """The coded pictures of a file, without what says how they are packed."""
    with av.open(str(path)) as container:
        return [bytes(packet)[-200:] for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    "name, codec, b_frames, suffix",
    [
        ("a.mp4", "libx264", 0, ".mp4"),
        ("a.mkv", "libx264", 2, ".mp4"),
        ("a.ts", "libx264", 2, ".mkv"),
        ("a.ts", "mpeg2video", 2, ".ts"),
    ],
)
def test_the_frames_of_parts_at_their_times(tmp_path, name, codec, b_frames, suffix):
    options = {"crf": "10"} if codec == "libx264" else {"qmin": "1"}
    source = write_numbered(tmp_path / name, 250, codec=codec, gop=50, b_frames=b_frames, options=options)
    before = source.read_bytes()
    output = tmp_path / f"cut{suffix}"
    assert copy_parts(source, PARTS, output) == []
    found = numbers(output)
    assert [number for _, number in found] == KEPT
    np.testing.assert_allclose([seconds for seconds, _ in found], np.arange(len(KEPT)) / 25, atol=2e-3)
    assert source.read_bytes() == before


def test_what_begins_and_ends_at_key_frames_is_copied(tmp_path):
    source = write_numbered(tmp_path / "a.mkv", 250, gop=50, b_frames=2, options={"sc_threshold": "0"})
    copy_parts(source, [(2.0, 4.0), (6.0, 99.0)], tmp_path / "b.mkv")
    pictures = coded(source)
    assert coded(tmp_path / "b.mkv") == pictures[50:100] + pictures[150:]


@pytest.mark.parametrize("name, codec", [("a.webm", "libvpx"), ("a.avi", "mpeg4")])
def test_another_codec_is_encoded_again_and_said(tmp_path, name, codec):
    options = {"crf": "4", "b": "2M"} if codec == "libvpx" else {"qmin": "1"}
    source = write_numbered(tmp_path / name, 60, codec=codec, gop=20, options=options)
    notes = copy_parts(source, [(0.4, 1.2), (2.0, 9.0)], tmp_path / "b.mp4")
    assert [number for _, number in numbers(tmp_path / "b.mp4")] == [*range(10, 30), *range(50, 60)]
    assert any("re-encoded" in note for note in notes)


def test_sound_stays_in_step(tmp_path):
    source = _flashes(tmp_path / "a.mkv")
    copy_parts(source, [(0.0, 2.2), (3.1, 5.7), (6.3, 9.0), (10.4, 14.0)], tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        bright = [frame.time for frame in container.decode(video=0) if frame.to_ndarray(format="gray").mean() > 128]
    with av.open(str(tmp_path / "b.mp4")) as container:
        heard = [
            (frame.time + place / frame.sample_rate)
            for frame in container.decode(audio=0)
            for place in np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.3)[:1]
        ]
    assert len(bright) >= 8
    for moment in bright:
        assert min(abs(moment - sound) for sound in heard) < 0.06


def test_nothing_left_and_a_full_place(tmp_path):
    source = write_numbered(tmp_path / "a.mp4", 30)
    with pytest.raises(MediaError, match="nothing would remain"):
        copy_parts(source, [], tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


def _flashes(path: Path) -> Path:
    """14 s in which a white frame and a beep come together at each second, and 0.3 s after every third."""
    moments = sorted([*range(1, 14), *(second + 0.3 for second in range(3, 14, 3))])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 40
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(14 * 25):
            lit = any(abs(number / 25 - moment) < 0.02 for moment in moments)
            picture = np.full((64, 96, 3), 255 if lit else 10, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
            time = np.arange(number * 1920, (number + 1) * 1920) / 48_000
            wave = np.sin(2 * np.pi * 1000 * time) * lit
            piece = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, number * 1920, Fraction(1, 48_000)
            container.mux(sound.encode(piece))
        for one in (stream, sound):
            container.mux(one.encode())
    return path


def test_the_frames_are_numbered() -> None:
    assert number_of(numbered_frame(133)) == 133
