"""A station's logo, found without knowing it: edges in the corners that stay where they are over minutes.

The edges of each frame are kept as bits in a temporary file, so that memory does not grow with the recording. After
the last frame the pixels that are edges most of the time are the logo, and each frame is compared with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import cv2
import numpy as np

from adapters.records import Float32Array, Float64Array, UInt8Array
from cliplab.detect.looks import HEIGHT, WIDTH

_WIDE, _HIGH = int(0.3 * WIDTH), int(0.3 * HEIGHT)  # of each corner
_CORNERS = 4
_BITS = _CORNERS * _HIGH * _WIDE
_EDGE = 40.0  # |d/dx| + |d/dy| of Sobel's 3x3 filter, of brightness 0..255, divided by 4
LEAST_SECONDS = 150.0
_BLOCK_SECONDS = 30.0
_STABLE_SHARE = 0.75  # of a block's frames with an edge at a pixel
_LEAST_BLOCKS, _LEAST_BLOCK_SHARE = 3, 0.35
_LEAST_PIXELS, _MOST_PIXELS = 14, int(0.25 * _HIGH * _WIDE)  # of a logo in a corner
_STILL_SHARE = 0.04  # of pixels in a stable block: more is a still picture, whose edges say nothing
_SEEN, _GONE = 0.65, 0.45  # share of a logo's edges with it and without it
_LEAST_SPELL_SECONDS = 12.0  # mean length of stretches with or without it: less is a background that comes and goes
_CHUNK = 512


class LogoFinder:
    """Collects frames and finds the logo after the last one. Use it in a ``with`` statement."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="cliplab-logo-")  # noqa: SIM115 - closed by __exit__
        self._seconds: list[float] = []

    def __enter__(self) -> LogoFinder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, seconds: float, gray: UInt8Array) -> None:
        """Keep the edges of a frame.

        Args:
            seconds: When it is shown.
            gray: uint8 [HEIGHT, WIDTH].
        """
        self._seconds.append(seconds)
        self._file.write(np.packbits(_edges(gray)).tobytes())

    def find(self) -> tuple[Float64Array, Float32Array] | None:
        """How much of the logo each frame shows.

        Returns:
            The time of each frame, float64 [N] in seconds, and float32 [N] in 0..1, where 1 is the whole logo; None
            where no logo is found.
        """
        seconds = np.array(self._seconds)
        if len(seconds) < 20 or seconds[-1] - seconds[0] < LEAST_SECONDS:
            return None
        masks = [mask for mask in self._masks(seconds) if mask.any()]
        found = [shown for mask in masks if (shown := self._shown(seconds, mask)) is not None]
        if not found:
            return None
        best = max(found, key=lambda shown: float(np.quantile(shown, 0.9) - np.quantile(shown, 0.1)))
        return seconds, best

    def _records(self) -> Iterator[UInt8Array]:
        size = (_BITS + 7) // 8
        self._file.seek(0)
        while data := self._file.read(size * _CHUNK):
            yield np.unpackbits(np.frombuffer(data, np.uint8).reshape(-1, size), axis=1)[:, :_BITS]

    def _masks(self, seconds: Float64Array) -> list[np.ndarray]:
        """The pixels of a logo in each corner, bool [_BITS] each."""
        # At most 600 blocks: memory is the same for a day.
        length = max(_BLOCK_SECONDS, float(seconds[-1] - seconds[0]) / 600)
        block = ((seconds - seconds[0]) / length).astype(int)
        counts = np.bincount(block)
        sums = np.zeros((len(counts), _BITS), np.uint16)
        first = 0
        for records in self._records():
            here = block[first : first + len(records)]
            begins = np.flatnonzero(np.diff(here, prepend=-1))
            sums[here[begins]] += np.add.reduceat(records, begins, axis=0, dtype=np.uint16)
            first += len(records)
        counted = counts >= 4
        if counted.sum() < _LEAST_BLOCKS:
            return []
        stable = sums[counted] >= _STABLE_SHARE * counts[counted][:, None]
        moving = stable.mean(axis=1) < _STILL_SHARE * 4
        stable = stable[moving]
        if len(stable) < _LEAST_BLOCKS:
            return []
        often = stable.sum(axis=0) >= max(_LEAST_BLOCKS, _LEAST_BLOCK_SHARE * len(stable))
        return [_corner_mask(often, corner) for corner in range(_CORNERS)]

    def _shown(self, seconds: Float64Array, mask: np.ndarray) -> Float32Array | None:
        """The share of a mask's edges in each frame; None where it comes and goes as a background does."""
        parts = [records[:, mask].mean(axis=1) for records in self._records()]
        raw = np.concatenate(parts)
        # The median of five frames: a bright background hides a logo for a moment.
        padded = np.pad(raw, 2, mode="edge")
        shown = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
        there = shown > (_SEEN + _GONE) / 2
        spells = 1 + int((there[1:] != there[:-1]).sum())
        if (seconds[-1] - seconds[0]) / spells < _LEAST_SPELL_SECONDS or not there.any():
            return None
        scaled = (shown - _GONE / 2) / (float(np.median(shown[there])) - _GONE / 2)
        return np.asarray(np.clip(scaled, 0, 1), np.float32)


def _edges(gray: UInt8Array) -> np.ndarray:
    """Whether each pixel of the four corners is an edge, bool [_BITS]."""
    rows = (slice(0, _HIGH), slice(HEIGHT - _HIGH, HEIGHT))
    columns = (slice(0, _WIDE), slice(WIDTH - _WIDE, WIDTH))
    found = []
    for row in rows:
        for column in columns:
            corner = gray[row, column]
            across = cv2.Sobel(corner, cv2.CV_16S, 1, 0)
            down = cv2.Sobel(corner, cv2.CV_16S, 0, 1)
            found.append((np.abs(across) + np.abs(down)) > 4 * _EDGE)
    return np.stack(found).reshape(-1)


def _corner_mask(often: np.ndarray, corner: int) -> np.ndarray:
    """Stable pixels of one corner without long straight lines, as those of black bars are; empty where no logo is."""
    size = _HIGH * _WIDE
    picture = often[corner * size : (corner + 1) * size].reshape(_HIGH, _WIDE).copy()
    picture[picture.mean(axis=1) > 0.6] = False
    picture[:, picture.mean(axis=0) > 0.6] = False
    whole = np.zeros(_BITS, bool)
    if _LEAST_PIXELS <= picture.sum() <= _MOST_PIXELS:
        whole[corner * size : (corner + 1) * size] = picture.reshape(-1)
    return whole
