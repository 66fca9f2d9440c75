"""Files as phones, browsers and cameras write them: read as they are shown there, or called by what they are."""

from __future__ import annotations

import io
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media_patterns import numbered_frame, write_video

from adapters.errors import MediaError
from adapters.media import open_video


def jpeg(number: int) -> bytes:
    return bytes(cv2.imencode(".jpg", numbered_frame(number))[1])


def test_a_raw_stream_of_two_pictures_is_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "camera.mjpeg"
    for count in (2, 3):
        path.write_bytes(b"".join(jpeg(number) for number in range(count)))
        with open_video(path) as video:
            assert [seconds for seconds, _ in video.frames()] == pytest.approx([number / 25 for number in range(count)])
    path.write_bytes(jpeg(0))
    with pytest.raises(MediaError, match=r"a picture \(JPEG\)"):
        open_video(path)


@pytest.mark.parametrize("between", [b"", b"MotionPhoto_Data", bytes(64)])
def test_a_motion_photo_is_called_one(tmp_path: Path, between: bytes) -> None:
    video = write_video(tmp_path / "part.mp4", (numbered_frame(number) for number in range(3)))
    path = tmp_path / "motion.jpg"
    path.write_bytes(jpeg(0) + between + video.read_bytes())
    with pytest.raises(MediaError, match=r"a motion photo, a picture \(JPEG\) with a short video behind it"):
        open_video(path)
    path.write_bytes(jpeg(0) + between + b"a comment on ftyp")
    with pytest.raises(MediaError, match=r"a picture \(JPEG\), not a video"):
        open_video(path)


@pytest.mark.parametrize(("delay", "shown"), [(0, 0.1), (2, 0.02), (5, 0.05), (10, 0.1)])
def test_delays_of_a_gif_as_browsers_show_them(tmp_path: Path, delay: int, shown: float) -> None:
    path = write_video(
        tmp_path / "a.gif", (numbered_frame(number) for number in range(4)), codec="gif", pixel_format="rgb8", fps=10
    )
    data = bytearray(path.read_bytes())
    at = data.find(b"\x21\xf9\x04")
    while at >= 0:
        data[at + 4 : at + 6] = delay.to_bytes(2, "little")
        at = data.find(b"\x21\xf9\x04", at + 8)
    path.write_bytes(data)
    with open_video(path) as video:
        assert [seconds for seconds, _ in video.frames()] == pytest.approx([shown * number for number in range(4)])
        assert video.info.duration_seconds == pytest.approx(4 * shown)


def transparent_webm(alpha: int | None) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p" if alpha is None else "yuva420p"
        for number in range(3):
            frame = av.VideoFrame(64, 48, stream.pix_fmt)
            for place, level in enumerate((81, 90, 240, alpha or 0)[: len(frame.planes)]):  # red
                plane = frame.planes[place]
                plane.update(bytes([level]) * plane.buffer_size)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def test_transparency_that_is_not_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    for alpha, is_said in ((0, True), (None, False)):
        path.write_bytes(transparent_webm(alpha))
        with open_video(path) as video:
            (_, picture), *_ = video.frames()
            assert np.abs(picture[20, 20].astype(int) - [255, 0, 0]).max() < 12  # as FFmpeg shows it
            assert any("transparency is not read" in note for note in video.warnings) == is_said
