"""The picture as it is meant to be seen: interlaced, cropped, with unknown side data, of the right track."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.filter import Graph
from media_patterns import numbered_frame, write_video

from adapters.errors import MediaError
from adapters.media import open_video, probe
from adapters.media.side_data import display_matrix
from adapters.records import InputSpec

# Interlaced -----------------------------------------------------------------------------------------------------------


def comb(picture: np.ndarray) -> float:
    """How much each line differs from the mean of its neighbours."""
    gray = picture.astype(float).mean(-1)
    return float(np.abs(gray[1:-1] - (gray[:-2] + gray[2:]) / 2).mean())


def moving(moment: int, height: int = 96, width: int = 128) -> np.ndarray:
    x = np.arange(width)
    return np.repeat(np.where((x + 5 * moment) % 32 < 16, 40, 210).astype(np.uint8)[None, :, None], height, 0).repeat(
        3, 2
    )


def write_interlaced(path: Path, codec: str, top_first: bool, count: int = 25, gop: int | None = None) -> Path:
    """A pattern that moves sideways in each field."""
    frames = []
    for number in range(count):
        woven = moving(2 * number).copy()
        woven[int(top_first) :: 2] = moving(2 * number + 1)[int(top_first) :: 2]
        frames.append(with_field_order(woven, "tff" if top_first else "bff"))
    options = {"flags": "+ildct+ilme", "crf": "10"} if codec == "libx264" else {"flags": "+ildct+ilme", "qscale": "2"}
    return write_video(path, frames, codec, "yuv420p", options=options, gop=gop)


def with_field_order(picture: np.ndarray, order: str) -> av.VideoFrame:
    frame, graph = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p"), Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    mark, sink = graph.add("setfield", mode=order), graph.add("buffersink")
    source.link_to(mark)
    mark.link_to(sink)
    graph.configure()
    graph.push(frame)
    marked = graph.pull()
    assert isinstance(marked, av.VideoFrame)
    return marked


def case(shared: Path, name: str) -> Path:
    return shared / "cases" / "media" / name


@pytest.fixture(params=["libx264 top", "libx264 bottom", "mpeg2video top"])
def interlaced(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    codec, first = request.param.split()
    path = write_interlaced(tmp_path / "interlaced.mkv", codec, first == "top")
    with av.open(path) as container:
        assert next(container.decode(video=0)).interlaced_frame
    return path


def check_whole(path: Path, size: tuple[int, int]) -> None:
    with open_video(path) as video:
        full = [picture for _, picture in video.frames()]
        small = [picture for _, picture in video.frames(height=size[0], width=size[1], aspect="stretch")]
        sparse = [picture for _, picture in video.frames(height=size[0], width=size[1], aspect="stretch", fps=5.0)]
        spec = InputSpec(*size, 3, aspect="stretch")
        [key, *_] = [clip.frames[0] for clip in video.key_frames(spec)]
    assert len(full) == len(small) == 25
    for big, one in zip(full[1:], small[1:], strict=True):
        scaled = cv2.resize(big, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(scaled - one).mean() < 0.5
    assert all(np.array_equal(one, small[5 * number]) for number, one in enumerate(sparse))
    np.testing.assert_array_equal(key, small[0])


@pytest.mark.parametrize("size", [(96, 128), (48, 64), (56, 56)])
def test_interlaced_frames_are_whole(interlaced: Path, size: tuple[int, int]) -> None:
    check_whole(interlaced, size)
    with open_video(interlaced) as video:
        pictures = [picture for _, picture in video.frames(height=size[0], width=size[1], aspect="stretch")]
    wanted = [cv2.resize(moving(2 * number), size[::-1], interpolation=cv2.INTER_AREA) for number in range(25)]
    for number in (1, 9, 17):
        assert comb(pictures[number]) < 1
        assert np.abs(pictures[number].astype(int) - wanted[number]).mean() < 6


@pytest.mark.parametrize("size", [(288, 352), (172, 172), (112, 112)])
def test_the_interlaced_case(shared: Path, size: tuple[int, int]) -> None:
    path = case(shared, "interlaced.mkv")
    check_whole(path, size)
    with open_video(path) as video:
        for _, picture in video.frames(height=size[0], width=size[1], aspect="stretch"):
            assert comb(picture) < 2.5  # as of the frames before they were interlaced


def test_jumps_change_no_interlaced_frame(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "long.mp4", "libx264", True, count=200, gop=10)
    with open_video(path) as video:
        every = [picture for _, picture in video.frames(height=48, width=64, aspect="stretch")]
        some = [picture for _, picture in video.frames(height=48, width=64, aspect="stretch", fps=0.5)]
    assert len(some) == 4
    for number, picture in enumerate(some):
        np.testing.assert_array_equal(picture, every[50 * number])


def test_a_reel_is_not_combed_either(interlaced: Path) -> None:
    with open_video(interlaced) as video:
        for _, picture in video.frames(height=96, width=128, aspect="stretch", layout="yuv420p"):
            assert comb(picture[:96, :, None]) < 2.5  # of the first frame; of others less than 0.1


# Cropped --------------------------------------------------------------------------------------------------------------


def filtered(path: Path, source: Path, description: str) -> Path:
    """A copy of a video through one of FFmpeg's bitstream filters."""
    with av.open(source) as old, av.open(path, "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        bitstream = BitStreamFilterContext(description, stream, copy)
        packets: list[Any] = [packet for packet in old.demux(stream) if packet.dts is not None]
        for packet in [*packets, None]:
            for changed in bitstream.filter(packet):
                changed.stream = copy
                new.mux(changed)
    return path


@pytest.mark.parametrize(("codec", "name"), [("libx264", "h264"), ("libx265", "hevc")])
@pytest.mark.parametrize("crop", [(6, 2, 4, 2), (2, 0, 0, 0), (14, 10, 34, 6)], ids=str)
def test_cropping_is_exact(codec: str, name: str, crop: tuple[int, int, int, int], tmp_path: Path) -> None:
    y, x = np.mgrid[:96, :128]
    pictures = [np.stack([2 * x % 256, 2 * y % 256, (x + y + 9 * i) % 256], -1).astype(np.uint8) for i in range(4)]
    options = {"crf": "4"} if codec == "libx264" else {"x265-params": "lossless=1:log-level=none"}
    whole = write_video(tmp_path / "whole.mp4", pictures, codec, "yuv420p", options=options)
    left, top, right, bottom = crop
    sides = f"crop_left={left}:crop_top={top}:crop_right={right}:crop_bottom={bottom}"
    cropped = filtered(tmp_path / "cropped.mp4", whole, f"{name}_metadata={sides}")
    with open_video(whole) as one, open_video(cropped) as other:
        assert (other.info.width, other.info.height) == (128 - left - right, 96 - top - bottom)
        for (_, full), (_, part) in zip(one.frames(), other.frames(), strict=True):
            expected = full[top : 96 - bottom, left : 128 - right].astype(int)
            # Chroma at the edges is interpolated with what lies outside.
            assert np.abs(expected - part)[2:-2, 2:-2].max() <= 2


# Side data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exif_timelapse.mov", "exif_timelapse.mkv", "exif_timelapse.avi"])
def test_unknown_side_data_are_passed_over(shared: Path, name: str) -> None:
    with open_video(case(shared, name)) as video:
        assert len(list(video.frames())) == 4
        assert video.info.duration_seconds == pytest.approx(2)
        assert video.warnings == ()


def with_exif(jpeg: bytes) -> bytes:
    """A JPEG with an Exif segment (big endian, one entry: a description)."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0e\0\x02\0\0\0\x04abc\0\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + jpeg[2:]


@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_a_turned_video_with_unknown_side_data_is_upright(tmp_path: Path, rotation: int) -> None:
    path = tmp_path / "turned.mov"
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=2)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 32, "yuvj420p", Fraction(1, 2)
        stream.set_display_rotation(rotation)
        for number in range(4):
            _, jpeg = cv2.imencode(".jpg", numbered_frame(number, 60, 32)[:, :64])
            packet = av.Packet(with_exif(jpeg.tobytes()))
            packet.pts = packet.dts = number
            packet.stream, packet.time_base = stream, Fraction(1, 2)
            container.mux(packet)
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        with pytest.raises(ValueError, match="Type"):
            _ = frame.side_data
        assert (display_matrix(frame) is None) == (rotation == 0)
    info = probe(path)
    assert info.rotation_degrees in {0: (0,), 180: (180,), 90: (90, 270)}[rotation]


# The main track -------------------------------------------------------------------------------------------------------


def test_a_thumbnail_track_is_not_the_video(shared: Path) -> None:
    with open_video(case(shared, "thumbnail_track_first.mp4")) as video:
        assert len(list(video.frames(height=32, width=32))) == 150
        assert video.info.video_stream == 1
        assert any("stream 1" in warning for warning in video.warnings)
    with open_video(case(shared, "thumbnail_track_first.mp4"), video_stream=0) as video:
        assert len(list(video.frames(height=32, width=32))) == 1


def write_tracks(path: Path, *tracks: tuple[str, str, int, int]) -> Path:
    """Tracks by codec, pixel format, frames and width."""
    with av.open(path, "w") as container:
        streams = []
        for codec, pixel_format, _, width in tracks:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 48, pixel_format
            streams.append(stream)
        for stream, (_, _, count, width) in zip(streams, tracks, strict=True):
            for number in range(count):
                picture = np.full((48, width, 3), 20 * number % 256, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return path


FOOTAGE = ("libx264", "yuv420p", 120, 64)
COVERS: dict[str, tuple[str, str, int, int]] = {
    "mjpeg.mp4": ("mjpeg", "yuvj420p", 1, 320),
    "h264.mov": ("libx264", "yuv420p", 1, 320),
    "png.mov": ("png", "rgb24", 1, 320),
    "h264.mkv": ("libx264", "yuv420p", 1, 320),
    "two.mov": ("libx264", "yuv420p", 2, 320),
    "mjpeg.mkv": ("mjpeg", "yuvj420p", 1, 320),
}


@pytest.mark.parametrize("name", COVERS)
@pytest.mark.parametrize("cover_first", [True, False])
def test_the_track_with_footage_is_read(tmp_path: Path, name: str, cover_first: bool) -> None:
    cover = COVERS[name]
    path = write_tracks(tmp_path / name, *((cover, FOOTAGE) if cover_first else (FOOTAGE, cover)))
    with open_video(path) as video:
        assert video.info.video_stream == int(cover_first)
        assert len(list(video.frames(height=32, width=32))) == 120
        assert bool(video.warnings) == cover_first


def test_one_picture_alone_is_still_a_video(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "one.mp4", ("libx264", "yuv420p", 1, 64))
    with open_video(path) as video:
        assert len(list(video.frames())) == 1
        assert video.warnings == ()


# What cannot be scaled ------------------------------------------------------------------------------------------------


def gif(width: int, height: int) -> bytes:
    """A GIF89a of one colour, of the code for it and of as many clear codes as there are pixels would need."""
    screen = b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\x80\0\0\0\0\0\xff\xff\xff"
    image = b"," + bytes(4) + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\0\x02\x02\x4c\x01\0"
    return screen + image + b";"


@pytest.mark.parametrize("size", [(65535, 1), (1, 65535), (40000, 8)], ids=str)
def test_a_shape_that_no_model_takes_is_named(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "strip.gif"
    path.write_bytes(gif(*size))
    with open_video(path) as video, pytest.raises(MediaError, match=f"{size[0]}x{size[1]}, a shape"):
        video.clip(InputSpec(172, 172, 2))
