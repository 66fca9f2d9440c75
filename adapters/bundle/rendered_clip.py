"""A moving test picture for the golden clip, rendered with integers, so that it is the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adapters.records import Clip, Float64Array, InputSpec, UInt8Array
from adapters.system import whole_number

Int64Array = npt.NDArray[np.int64]

# Stored with every golden clip. A change to any pixel needs a new number, and the old rendering kept beside it.
RENDERER = 1
VARIANTS = 8
_NOMINAL_FPS = 10.0


def render_clip(spec: InputSpec, variant: int = 0) -> Clip:
    """Render a moving test picture, with integers only: the same bytes on every machine.

    Each channel has a wave of another direction, length and speed over a fine checkerboard; a square of a plain colour
    accelerates along its way, and the picture brightens, so that no two channels and no two directions of time look
    alike. The range 16..231 leaves room to shift the mean without clipping. The formula is in docs/bundle.md.

    Args:
        spec: Its height, width and n_frames, and the frame rate in ``fps`` (10 if None).
        variant: 0..7, changes waves and colours.

    Returns:
        A clip with frames uint8 [n_frames, height, width, 3] RGB in 16..231.

    Raises:
        ValueError: The variant is out of range.
    """
    if not 0 <= variant < VARIANTS:
        raise ValueError(f"variant must be 0..{VARIANTS - 1}, got {variant}")
    frames = np.empty((spec.n_frames, spec.height, spec.width, 3), dtype=np.uint8)
    y = (np.arange(spec.height, dtype=np.int64) * 256 // spec.height)[:, None]
    x = (np.arange(spec.width, dtype=np.int64) * 256 // spec.width)[None, :]
    for index in range(spec.n_frames):
        frames[index] = _render_frame(x, y, index * 256 // spec.n_frames, variant)
    fps = spec.fps or _NOMINAL_FPS
    end = spec.n_frames / fps
    return Clip(frames, even_times(spec.n_frames, end), f"golden clip {RENDERER}.{variant}", 0.0, end)


def rendered_variant(clip: Clip) -> int | None:
    """Which rendering a clip is; None for any other clip, also one that was changed.

    Args:
        clip: The clip.
    """
    prefix, _, number = clip.source.rpartition(".")
    if prefix != f"golden clip {RENDERER}" or (variant := whole_number(number)) is None or variant >= VARIANTS:
        return None
    n_frames, height, width, _ = clip.frames.shape
    rendered = render_clip(InputSpec(height=height, width=width, n_frames=n_frames), variant)
    same_times = clip.start == 0 and np.array_equal(clip.times, even_times(n_frames, clip.end))
    return variant if same_times and np.array_equal(rendered.frames, clip.frames) else None


def even_times(n_frames: int, end: float) -> Float64Array:
    """Evenly spaced times from 0; the last is one frame before the end.

    Args:
        n_frames: How many.
        end: The clip's end in seconds.

    Returns:
        float64 [n_frames], seconds.
    """
    return np.arange(n_frames, dtype=np.float64) * (end / n_frames)


def _triangle(value: Int64Array) -> Int64Array:
    """A wave of period 512 that rises from 0 to 255 and falls back: int64 in, int64 0..255 out."""
    return np.minimum(255, np.abs(value % 512 - 256)).astype(np.int64, copy=False)


def _render_frame(x: Int64Array, y: Int64Array, time: int, variant: int) -> UInt8Array:
    """x int64 [1, W], y int64 [H, 1] and time in 0..255 -> uint8 [H, W, 3]."""
    waves = (
        (2 + variant) * x + variant * y + 3 * time,
        (3 * variant + 1) * y - 2 * time + 96 * variant,
        (1 + variant % 3) * (x + 2 * y) - 5 * time + 64 * variant,
    )
    checks = ((x // 8 + y // 8) & 1) * (8 + 4 * (variant % 4))
    left, top = 24 + time * time // 512, 32 + 16 * (variant % 5) + time // 4
    square = (x >= left) & (x < left + 72) & (y >= top) & (y < top + 72)
    frame = np.empty((y.shape[0], x.shape[1], 3), dtype=np.uint8)
    for channel, wave in enumerate(waves):
        level = _triangle(wave) // (1 + (channel + variant) % 3) + checks
        level = np.where(square, (37 * variant + 230 - 90 * channel) % 256, level)
        bright = level * (128 + time // 2) // 256
        frame[..., channel] = 16 + np.minimum(bright, 255) * 215 // 255
    return frame
