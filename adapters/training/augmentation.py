"""Seeded changes to the frames of a training clip; every frame of a clip changes alike."""

from __future__ import annotations

import cv2
import numpy as np

from adapters.config import Config
from adapters.records import UInt8Array

# ITU-R BT.601 luma weights: what saturation is measured against.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def time_shift_seconds(settings: Config, spacing_seconds: float, rng: np.random.Generator) -> float:
    """A random shift of the sampling times.

    Args:
        settings: The config's ``augmentation``; ``temporal_jitter`` is the largest shift as a share of the spacing.
        spacing_seconds: The time between two frames.
        rng: Where the random number is drawn.

    Returns:
        Seconds, either way.
    """
    limit: float = settings["temporal_jitter"]
    return float(rng.uniform(-limit, limit)) * spacing_seconds


def augment(frames: UInt8Array, settings: Config, rng: np.random.Generator) -> UInt8Array:
    """Change the frames of a clip at random, all alike.

    One affine map does the crop, turn and flip, so that pixels are interpolated once; then brightness, contrast and
    saturation. Every random number is drawn whatever the settings, so that one setting does not change the others.

    Args:
        frames: uint8 [T, H, W, 3] RGB.
        settings: The config's ``augmentation``.
        rng: Where the random numbers are drawn.

    Returns:
        A changed copy, uint8 [T, H, W, 3] RGB.
    """
    _, height, width, _ = frames.shape
    draws = rng.uniform(-1, 1, size=8)
    kept = 1 - (1 - settings["crop"]) * (draws[0] + 1) / 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), settings["rotation_degrees"] * draws[1], 1 / kept)
    matrix[:, 2] += np.array([draws[2] * width, draws[3] * height]) * (1 / kept - 1) / 2
    if settings["flip"] and draws[4] > 0:
        matrix[0] = -matrix[0]
        matrix[0, 2] += width - 1
    warped = np.empty_like(frames)
    for frame, target in zip(frames, warped, strict=True):
        target[:] = cv2.warpAffine(
            frame, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
    return _jitter_color(warped, settings["color_jitter"] * draws[5:8])


def _jitter_color(frames: UInt8Array, changes: np.ndarray[tuple[int], np.dtype[np.float64]]) -> UInt8Array:
    brightness, contrast, saturation = (1 + changes).astype(np.float32)
    value = frames.astype(np.float32) * brightness
    mean = value.mean()
    value = (value - mean) * contrast + mean
    gray = (value @ LUMA)[..., None]
    value = gray + (value - gray) * saturation
    return np.asarray(np.clip(value + 0.5, 0, 255), np.uint8)
