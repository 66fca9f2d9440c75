"""What a frame looks like in a few numbers: brightness, flatness, black bars, difference to the one before."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from adapters.records import Float32Array, Float64Array, UInt8Array

# Frames are measured at this size; edges of a station logo need about as much.
WIDTH, HEIGHT = 256, 144
_THUMB = (32, 18)
_BLACK_LUMA, _BLACK_BRIGHT = 26.0, 60.0  # mean and 98% of black, 0..255; limited range black of noise is near 20
_BAR_MEAN, _BAR_MOST = 22.0, 60.0  # of a row or column of a black bar
_UNIFORM_SPREAD = 6.0  # standard deviation of a picture of one colour
_HISTOGRAM_BINS = 6


@dataclass(eq=False)
class Looks:
    """The measures of frames in the order of time. Lists grow by one with each frame.

    Attributes:
        seconds: When each frame is shown, in seconds since the first one.
        black: 1 where a frame is black, 0 where it is not.
        uniform: 1 where a frame has one colour, black included.
        aspect: Width over height of what is inside of black bars; NaN of a black frame.
        moved: Mean absolute difference to the frame before in 0..1, of pictures of 32x18; 0 for the first.
        recolored: Difference of the colour histograms to the frame before in 0..1; 0 for the first.
    """

    seconds: list[float] = field(default_factory=list)
    black: list[float] = field(default_factory=list)
    uniform: list[float] = field(default_factory=list)
    aspect: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    recolored: list[float] = field(default_factory=list)
    _thumb: Float32Array | None = None
    _histogram: Float32Array | None = None

    def add(self, seconds: float, picture: UInt8Array) -> UInt8Array:
        """Measure a frame.

        Args:
            seconds: When it is shown.
            picture: uint8 [H, W, 3] RGB, the whole frame.

        Returns:
            Its brightness, uint8 [HEIGHT, WIDTH].
        """
        small = np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
        gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        mean, deviation = cv2.meanStdDev(gray)
        black = float(mean[0, 0]) < _BLACK_LUMA and _brightest(gray) < _BLACK_BRIGHT
        thumb = cv2.resize(small, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
        histogram = _histogram(small)
        self.seconds.append(seconds)
        self.black.append(float(black))
        self.uniform.append(float(black or float(deviation[0, 0]) < _UNIFORM_SPREAD))
        self.aspect.append(float("nan") if black else _aspect(gray, picture.shape[1] / picture.shape[0]))
        self.moved.append(0.0 if self._thumb is None else float(np.abs(thumb - self._thumb).mean()) / 255)
        old = self._histogram
        self.recolored.append(0.0 if old is None else float(np.abs(histogram - old).sum()) / 2)
        self._thumb, self._histogram = thumb, histogram
        return gray

    def restart(self) -> None:
        """Forget the frame before: the next one is not its neighbour."""
        self._thumb = self._histogram = None

    def continue_after(self, other: Looks) -> None:
        """Take the last frame of other measures as the one before the next.

        Args:
            other: The measures, whose last frame it is.
        """
        self._thumb, self._histogram = other._thumb, other._histogram

    def array(self, name: str) -> Float64Array:
        """One of the measures as float64 [N].

        Args:
            name: Of the attribute.
        """
        values: list[float] = getattr(self, name)
        return np.array(values, np.float64)


def _brightest(gray: UInt8Array) -> int:
    """The brightness that 98% of the pixels do not exceed."""
    counts = cv2.calcHist([gray], [0], None, [256], [0, 256])
    return int(np.searchsorted(np.cumsum(counts), 0.98 * gray.size))


def _histogram(picture: UInt8Array) -> Float32Array:
    counts = cv2.calcHist([picture], [0, 1, 2], None, [_HISTOGRAM_BINS] * 3, [0, 256] * 3)
    return np.asarray(counts.reshape(-1) / (picture.size // 3), np.float32)


def _aspect(gray: UInt8Array, shown: float) -> float:
    """Width over height of a picture without its black bars. shown: of the picture with them."""
    rows, columns = _inside(gray, 1), _inside(gray, 0)
    return float(shown * (columns / gray.shape[1]) / (rows / gray.shape[0]))


def _inside(gray: UInt8Array, axis: int) -> int:
    """How many rows (axis 1) or columns (axis 0) are left without those of black bars at both ends."""
    mean = cv2.reduce(gray, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(-1)
    most = cv2.reduce(gray, axis, cv2.REDUCE_MAX).reshape(-1)
    found = np.flatnonzero((mean >= _BAR_MEAN) | (most >= _BAR_MOST))
    return int(found[-1] - found[0] + 1) if len(found) else len(mean)


def shot_cuts(looks: Looks) -> tuple[Float64Array, Float32Array]:
    """Where a shot ends, among frames that follow each other directly.

    A cut is a frame that differs from the one before much more than its neighbours do; a fast pan is not.

    Args:
        looks: Of every frame of a stretch.

    Returns:
        float64 [K], when the first frame of each new shot is shown, and float32 [K], how sure it is in 0..1.
    """
    moved, recolored, seconds = looks.array("moved"), looks.array("recolored"), looks.array("seconds")
    count = len(moved)
    usual = np.zeros(count)
    for place in range(count):
        near = np.r_[moved[max(place - 4, 0) : place], moved[place + 1 : place + 5]]
        usual[place] = np.median(near) if len(near) else 0.0
    # A hard cut of unlike pictures moves 0.1 to 0.4 and recolours 0.3 to 1.
    strength = np.clip((moved - 2.5 * usual - 0.015) / 0.10, 0, 1) * 0.6 + np.clip((recolored - 0.08) / 0.4, 0, 1) * 0.4
    is_cut = (moved > 3.0 * usual + 0.02) & (strength > 0.15)
    return seconds[is_cut], strength[is_cut].astype(np.float32)


def black_stretches(looks: Looks, interval: float) -> list[tuple[float, float]]:
    """Where the frames are black or of one colour.

    Args:
        looks: Of every frame of a stretch.
        interval: Seconds that the last frame is shown.

    Returns:
        (start, end) in seconds; the end is when the next picture is shown.
    """
    dark = np.concatenate([[0.0], looks.array("uniform"), [0.0]])
    seconds = np.append(looks.array("seconds"), looks.seconds[-1] + interval if looks.seconds else 0.0)
    starts, ends = np.flatnonzero(np.diff(dark) > 0), np.flatnonzero(np.diff(dark) < 0)
    return [(float(seconds[start]), float(seconds[end])) for start, end in zip(starts, ends, strict=True)]
