"""Clips to numbers of frames, for formats that count frames."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from adapters.data.examples import Example
from adapters.data.frame_times import FrameTimes
from adapters.errors import DatasetError, MediaError


@dataclass
class FrameRanges:
    """The frames of clips, by a rate, or by the times of the frames of each video.

    Attributes:
        frame_rate: Frames per second of all videos; None: of each its own.
    """

    frame_rate: float | None = None
    _times: FrameTimes = field(default_factory=FrameTimes)

    def of(self, item: Example) -> tuple[int, int]:
        """The frames of a clip, from 0 and without the last, at least one.

        Args:
            item: A clip, or a whole video.

        Raises:
            DatasetError: The rate, or the end of the video, is not known.
        """
        try:
            first = self._times.number(item.start_seconds or 0.0, item.path, self.frame_rate)
            end = item.end_seconds if item.end_seconds is not None else _length(item)
            return first, max(self._times.number(end, item.path, self.frame_rate), first + 1)
        except MediaError as error:
            raise DatasetError(
                f"{error}. This format counts frames, so the frame rate is required: give it "
                "(--frame-rate), or the video."
            ) from None


def _length(item: Example) -> float:
    from adapters.media import probe

    found = probe(item.path).duration_seconds if os.path.isfile(item.path) else None
    if found is None:
        raise DatasetError(f"{item.path}: a clip lasts to the end of this video, whose length is unknown. Set its end")
    return found
