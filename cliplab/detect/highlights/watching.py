"""Cues of pictures: motion, shot cuts, flashes, what looks new, and the bytes that a codec spent on what changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from adapters.records import Float32Array, UInt8Array
from cliplab.detect.highlights.cells import CELL_SECONDS, Cells

_WIDTH, _HEIGHT = 64, 36
_BINS = 32  # of 8 levels of brightness
_CUT_MOVED, _CUT_RECOLORED = 0.08, 0.25  # of a cut: mean difference of brightness, share of the histogram that moved
_FLASH_RISE = 0.12  # of the mean brightness, from one picture to the next and back within the time below
_FLASH_SECONDS = 0.7
_NEAR_SECONDS = 1.0  # pictures further apart say nothing of motion
# What looks new: the brightness of a picture is unlike that of all the minutes before but the last seconds.
_LOOK_SECONDS = 0.5  # from one picture that is compared and remembered to the next
_REMEMBERED_SECONDS, _JUST_NOW_SECONDS = 300.0, 8.0
_LEAST_REMEMBERED_SECONDS = 20.0
_DRIFT = 0.12  # Hellinger distance that changing light makes; inserted scenes had 0.2 to 0.6, a usual picture 0.05
_USUAL_SECONDS = 0.08  # between two reference frames; a difference over another time is scaled to it
# Formats whose first plane is the brightness in 8 bits; it is read as it lies in memory.
_BRIGHTNESS_FIRST = {
    *(f"yuv{full}{layout}p" for full in ("", "j") for layout in ("420", "422", "440", "444", "411")),
    *("nv12", "nv21", "gray", "yuv410p"),
}


class Watching:
    """Turns pictures into cells, in the order of time."""

    def __init__(self, cells: Cells, on_cut: Callable[[float], object]) -> None:
        """Begin before the first picture.

        Args:
            cells: Receives the cues.
            on_cut: Called with the moment of each cut, in seconds.
        """
        self._cells, self._on_cut = cells, on_cut
        self._before: tuple[float, Float32Array, Float32Array, float] | None = None
        self._risen: tuple[float, float, float] | None = None  # (seconds, brightness before, bright share) of a flash
        self._usual_moved = 0.02
        self._looks = np.zeros((round(_REMEMBERED_SECONDS / _LOOK_SECONDS), _BINS), np.float32)
        self._looked = np.full(len(self._looks), -np.inf)  # when each was seen
        self._look = 0  # how many were remembered

    def restart(self) -> None:
        """Forget the picture before: the next one is of another stream."""
        self._before = self._risen = None

    def add(self, seconds: float, picture: UInt8Array) -> None:
        """Look at a picture.

        Args:
            seconds: When it is shown, since the source's first frame.
            picture: uint8 [36, 64], its brightness.
        """
        thumb = picture.astype(np.float32) / np.float32(255)
        counts = np.bincount(picture.reshape(-1) >> 3, minlength=_BINS).astype(np.float32) / np.float32(picture.size)
        mean = float(thumb.mean())
        self._put_novelty(seconds, counts)
        before, self._before = self._before, (seconds, thumb, counts, mean)
        if before is None or seconds <= before[0]:
            return
        gap = seconds - before[0]
        moved = float(np.abs(thumb - before[1]).mean())
        recolored = float(np.abs(counts - before[2]).sum()) / 2
        cut = moved > max(_CUT_MOVED, 4 * self._usual_moved) and recolored > _CUT_RECOLORED
        flash = self._flash(seconds, before[3], mean)
        if cut and not flash:
            self._on_cut(seconds)
        self._put("cut", seconds, float(cut and not flash))
        self._put("flash", seconds, flash)
        if gap <= _NEAR_SECONDS and not cut:
            # A difference grows with about the square root of the time between.
            motion = moved * float(np.sqrt(_USUAL_SECONDS / max(gap, _USUAL_SECONDS / 4)))
            self._usual_moved += 0.05 * (motion - self._usual_moved)
            self._put("motion", seconds, float(np.log1p(200 * motion)))

    def add_bytes(self, seconds: float, size: int) -> None:
        """Count a packet that is not a key frame.

        Args:
            seconds: When it is shown.
            size: Its bytes.
        """
        self._put("effort", seconds, float(np.log1p(size)))

    def _put_novelty(self, seconds: float, counts: Float32Array) -> None:
        """Compare a picture with those of the minutes before, and remember it."""
        last = self._looked[(self._look - 1) % len(self._looked)]
        if seconds < last + _LOOK_SECONDS:
            return
        look = np.sqrt(counts)
        known = (self._looked <= seconds - _JUST_NOW_SECONDS) & (self._looked >= seconds - _REMEMBERED_SECONDS)
        if known.sum() * _LOOK_SECONDS >= _LEAST_REMEMBERED_SECONDS:
            # The Hellinger distance to the picture that is most alike.
            alike = float((self._looks[known] @ look).max())
            distance = float(np.sqrt(max(1.0 - alike, 0.0)))
            self._put("novelty", seconds, max(distance - _DRIFT, 0.0))
        place = self._look % len(self._looks)
        self._looks[place], self._looked[place] = look, seconds
        self._look += 1

    def _flash(self, seconds: float, before: float, mean: float) -> float:
        """How strong a flash is that ends with this picture, 0..1; 0 where none does."""
        if mean - before > _FLASH_RISE:
            self._risen = (seconds, before, mean)
            return 0.0
        if self._risen is None:
            return 0.0
        since, dark, bright = self._risen
        if seconds - since > _FLASH_SECONDS:
            self._risen = None
        elif mean < dark + 0.4 * (bright - dark):
            self._risen = None
            return min((bright - dark) / 0.4, 1.0)
        return 0.0

    def _put(self, row: str, seconds: float, value: float) -> None:
        if seconds >= 0:
            self._cells.put(row, int(seconds / CELL_SECONDS), np.array([value], np.float32))


def brightness(frame: Any) -> UInt8Array:
    """The brightness of a decoded frame, small: uint8 [36, 64].

    Args:
        frame: Of PyAV.
    """
    if frame.format.name not in _BRIGHTNESS_FIRST:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * plane.height].reshape(plane.height, plane.line_size)
    small = cv2.resize(rows[:, : frame.width], (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
