"""Cues on a grid of 0.1 s. Only the last minutes are kept, so that memory does not grow with a stream."""

from __future__ import annotations

import numpy as np

from adapters.records import Float32Array

CELL_SECONDS = 0.1
# What is measured in each cell. NaN: unknown, as where a source has no sound.
AUDIO = ("level", "onset", "flux", "crowd", "speech")
VIDEO = ("motion", "effort", "cut", "flash", "novelty")
ROWS = (*AUDIO, *VIDEO, "chat")
KEPT_SECONDS = 900.0


class Cells:
    """The measures of the last minutes. A cell is written by the loudest or largest value that falls into it.

    Attributes:
        first: The number of the earliest cell that is kept.
        end: The number after the last cell.
    """

    def __init__(self, kept_seconds: float = KEPT_SECONDS) -> None:
        """Begin without cells.

        Args:
            kept_seconds: How much is kept.
        """
        self._kept = round(kept_seconds / CELL_SECONDS)
        self._values = np.full((2 * self._kept, len(ROWS)), np.nan, np.float32)
        self.first = self.end = 0

    def put(self, row: str, start: int, values: Float32Array) -> None:
        """Enter measures of consecutive cells; the larger of two counts.

        Args:
            row: One of ``ROWS``.
            start: The number of the first cell.
            values: float32 [N].
        """
        skipped = max(self.first - start, 0)
        values, start = values[skipped:], start + skipped
        if not len(values):
            return
        self._reach(start + len(values))
        # A leap ahead may have moved the window past what is entered.
        skipped = max(self.first - start, 0)
        place = start + skipped - self.first
        column = self._values[place : place + len(values) - skipped, ROWS.index(row)]
        np.fmax(column, values[skipped:], out=column)

    def rows(self, start: int, end: int) -> Float32Array:
        """The measures of consecutive cells; NaN for those that are not kept.

        Args:
            start: The number of the first cell.
            end: The number after the last one.

        Returns:
            float32 [end - start, len(ROWS)].
        """
        found = np.full((max(end - start, 0), len(ROWS)), np.nan, np.float32)
        begin, stop = max(start, self.first), min(end, self.end)
        if begin < stop:
            found[begin - start : stop - start] = self._values[begin - self.first : stop - self.first]
        return found

    def _reach(self, end: int) -> None:
        if end <= self.end:
            return
        if end - self.first > len(self._values):
            first = max(end - self._kept, self.end - self._kept, self.first)
            kept = self._values[first - self.first : self.end - self.first].copy() if first < self.end else None
            self._values[:] = np.nan
            if kept is not None:
                self._values[: len(kept)] = kept
            self.first = first
        self.end = end
