"""Frames and sound into an MP4 file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from .drawing import HEIGHT, WIDTH, Canvas

FPS = 15
SAMPLE_RATE = 32000


def finish(image: Canvas) -> Canvas:
    """A canvas to a finished frame, uint8 [180, 320, 3] RGB."""
    return np.asarray(cv2.resize(image, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA), np.uint8)


def write(path: Path, frames: Iterable[Canvas], crf: int, sound: npt.NDArray[np.float32] | None = None) -> None:
    """Write finished frames at FPS as H.264, with mono sound float32 [samples] in -1..1 at SAMPLE_RATE as AAC.

    The encoder works on one thread; even so, x264 may spend a few bytes otherwise from run to run on the same frames.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH // 2, HEIGHT // 2, "yuv420p"
        stream.codec_context.thread_count = 1
        x264 = "sync-lookahead=0:lookahead-threads=1"
        stream.options = {"crf": str(crf), "preset": "slow", "g": str(3 * FPS), "x264-params": x264}
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if sound is not None else None
        if audio is not None:
            audio.bit_rate = 48000
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if audio is None or sound is None:
            return
        for start in range(0, len(sound), 1024):
            part = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
