"""What is seen in a clip as numbers: motion, shots, flashes, brightness, contrast, colour and sharpness."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from adapters.media import open_video
from adapters.records import UInt8Array

Float64Array = npt.NDArray[np.float64]

_FPS = 8.0
_HEIGHT, _WIDTH = 72, 128
_MOST_FRAMES = 2400  # five minutes
# A cut changes the picture by an eighth of its range or more, and by four times what is usual in this clip.
_CUT, _CUT_TIMES = 0.125, 4.0
_FLASH = 0.12  # brightness above that of the frames a quarter of a second before and after


def picture_features(path: str | Path) -> dict[str, Any]:
    """Numbers of a clip's picture, from up to 2,400 frames at 8 per second.

    Args:
        path: The file.

    Returns:
        By name: ``motion_*``, ``brightness_*``, ``contrast_mean`` and ``saturation_mean`` in 0..1, ``most_motion_at``
        in 0..1 of the clip, ``shots`` (1 without a cut), ``cuts_per_second``, ``flashes``, ``colorfulness_mean``
        (Hasler and Suesstrunk 2003; 0 grey, about 100 very colourful), ``sharpness_mean`` (variance of the Laplacian).

    Raises:
        MediaError: The file has no picture that can be decoded.
    """
    with open_video(path, threads=1) as video:
        frames = video.frames(height=_HEIGHT, width=_WIDTH, aspect="stretch", fps=_FPS)
        return measure_pictures(picture for _, picture in islice(frames, _MOST_FRAMES))


def measure_pictures(pictures: Iterator[UInt8Array]) -> dict[str, Any]:
    """Numbers of pictures that follow each other 8 times per second; see ``picture_features``.

    Args:
        pictures: uint8 [H, W, 3] RGB, all of one size.
    """
    rows, changes = [], []
    before: Float64Array | None = None
    for picture in pictures:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        light = grey.astype(np.float64) / 255
        color = picture.astype(np.float64)
        high, low = color.max(axis=2), color.min(axis=2)
        rows.append(
            (
                light.mean(),
                light.std(),
                ((high - low) / np.maximum(high, 1.0)).mean(),
                _colorfulness(color),
                cv2.Laplacian(grey, cv2.CV_64F).var(),
            )
        )
        if before is not None:
            changes.append(float(np.abs(light - before).mean()))
        before = light
    if not rows:
        return {}
    brightness, contrast, saturation, colorfulness, sharpness = np.array(rows, np.float64).T
    return {
        **_motion_features(np.array(changes, np.float64)),
        "flashes": float(_flashes(brightness)),
        "brightness_mean": float(brightness.mean()),
        "brightness_std": float(brightness.std()),
        "contrast_mean": float(contrast.mean()),
        "saturation_mean": float(saturation.mean()),
        "colorfulness_mean": float(colorfulness.mean()),
        "sharpness_mean": float(sharpness.mean()),
    }


def _motion_features(changes: Float64Array) -> dict[str, float]:
    if not len(changes):
        return {"shots": 1.0, "cuts_per_second": 0.0}
    cuts = changes > max(_CUT, _CUT_TIMES * float(np.median(changes)))
    moving = changes[~cuts] if (~cuts).any() else changes
    within = np.where(cuts, 0.0, changes)
    return {
        "motion_mean": float(moving.mean()),
        "motion_std": float(moving.std()),
        "motion_max": float(moving.max()),
        "most_motion_at": float(np.argmax(within) / max(len(within) - 1, 1)),
        "shots": float(1 + cuts.sum()),
        "cuts_per_second": float(cuts.sum() * _FPS / len(changes)),
    }


def _flashes(brightness: Float64Array) -> int:
    """Frames that are brighter than those two before and two after."""
    if len(brightness) < 5:
        return 0
    middle = brightness[2:-2]
    return int((middle - np.maximum(brightness[:-4], brightness[4:]) > _FLASH).sum())


def _colorfulness(color: Float64Array) -> float:
    """Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003, equation 6."""
    red_green = color[..., 0] - color[..., 1]
    yellow_blue = 0.5 * (color[..., 0] + color[..., 1]) - color[..., 2]
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
