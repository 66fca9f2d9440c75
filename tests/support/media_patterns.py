"""Test videos rendered on the spot: numbered frames, exact colour patches, any container, tag and timestamp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT, BITS = 96, 64, 10


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 [H, W, 3] gray: the number in bars of ten bits above, a block that moves below."""
    picture = np.zeros((height, width, 3), np.uint8)
    step = width // BITS
    for bit in range(BITS):
        picture[: height // 2, bit * step : (bit + 1) * step] = 255 * (number >> bit & 1)
    left = number * 3 % (width - 16)
    picture[height // 2 :, left : left + 16] = 160
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that :func:`numbered_frame` drew, from a picture of any size."""
    height, width = picture.shape[:2]
    step = (width * (WIDTH // BITS) / WIDTH) if width != WIDTH else WIDTH // BITS
    return sum(int(picture[height // 4, int((bit + 0.5) * step)].mean() > 128) << bit for bit in range(BITS))


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray | av.VideoFrame],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    fps: int | Fraction = 25,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    gop: int | None = None,
    b_frames: int | None = None,
    container_options: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> Path:
    """Encode RGB arrays or ready frames. ticks: timestamps in units of time_base (default 1 / fps)."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = None
        for number, picture in enumerate(pictures):
            is_frame = isinstance(picture, av.VideoFrame)
            frame: Any = picture if is_frame else av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options=options or {})
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixel_format
                stream.codec_context.time_base = time_base or Fraction(1) / fps
                if gop is not None:
                    stream.codec_context.gop_size = gop
                if b_frames is not None:
                    stream.codec_context.max_b_frames = b_frames
                prepare(stream)
            frame.pts = number if ticks is None else ticks[number]
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_numbered(path: Path, count: int, **options: Any) -> Path:
    """A video of ``count`` numbered frames."""
    return write_video(path, (numbered_frame(number) for number in range(count)), **options)


def write_sound(path: Path, seconds: float = 0.3) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100)
        silence = np.zeros((1, int(44100 * seconds)), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, "fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# The luma weights of ITU-R BT.601-7 (2.5.1), BT.709-6 (3.2) and BT.2020-2 (table 4).
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def yuv_patches(seed: int, width: int = 192, height: int = 128, patch: int = 32, bits: int = 8) -> np.ndarray:
    """uint16 [3, H, W]: Y, Cb, Cr in flat patches, within limited range and mostly within the RGB gamut."""
    random = np.random.default_rng(seed)
    low, high = np.array([[40, 215], [80, 176], [80, 176]]).T
    grid = random.integers(low[:, None, None], high[:, None, None] + 1, (3, height // patch, width // patch))
    planes = grid.repeat(patch, 1).repeat(patch, 2) << (bits - 8)
    return planes.astype(np.uint16)


def yuv_to_rgb(planes: np.ndarray, matrix: str, full: bool, bits: int = 8) -> np.ndarray:
    """float64 [H, W, 3] in 0..1, non-linear RGB: the equations of BT.601, BT.709 and BT.2020 for digital signals."""
    kr, kb = WEIGHTS[matrix]
    y, cb, cr = planes.astype(np.float64)
    unit, half = 1 << (bits - 8), 1 << (bits - 1)
    peak = (1 << bits) - 1
    luma = y / peak if full else (y - 16 * unit) / (219 * unit)
    blue = (cb - half) / (peak if full else 224 * unit)
    red = (cr - half) / (peak if full else 224 * unit)
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    return np.clip(np.stack([r, (luma - kr * r - kb * b) / (1 - kr - kb), b], -1), 0, 1)


def yuv_frame(planes: np.ndarray, pixel_format: str) -> av.VideoFrame:
    """A frame of these planes at full resolution; chroma is subsampled as the format asks, by picking."""
    frame = av.VideoFrame(planes.shape[2], planes.shape[1], pixel_format)
    kind = np.uint16 if "10" in pixel_format else np.uint8
    for plane, values in zip(frame.planes, planes, strict=False):
        rows = values[:: values.shape[0] // plane.height, :: values.shape[1] // plane.width].astype(kind)
        buffer = np.frombuffer(plane, kind).reshape(plane.height, -1)
        buffer[:, : plane.width] = rows
    return frame


def patch_centres(picture: np.ndarray, patch: int = 32) -> np.ndarray:
    """[N, 3] values at the centres of the patches, where no neighbour reaches."""
    return picture[patch // 2 :: patch, patch // 2 :: patch].reshape(-1, 3)
