"""Numbers of frames to seconds, by the video's own rate, or by its frames' times where the rate is not constant."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from adapters.data.time_values import Frames, Moment, TimeRange, check_same
from adapters.errors import DatasetError, MediaError

# The average and the nominal rate of a video of constant rate differ by no more than rounding.
_SAME_RATE = 1e-3


@dataclass
class FrameTimes:
    """The times of the frames of each video that was asked about."""

    _videos: dict[Path, float | list[float]] = field(default_factory=dict)

    def resolve(
        self, span: TimeRange, path: Path, rate: float | None, where: str
    ) -> tuple[int | float | None, int | float | None]:
        """A range in seconds.

        The first frame of a video is number 0. The end is where the frame of that number begins, so that a range of
        frames 0 to 30 has 30 frames.

        Args:
            span: The range as the file gives it.
            path: The video.
            rate: Frames per second that the file gives; None for the video's own.
            where: The row, for messages.

        Raises:
            MediaError: The video must be opened for it, and cannot be.
            DatasetError: The video has no such frame, or the range is given twice and differs.
        """
        for one, first, other, second in span.again:
            first, second = (self._seconds(moment, path, rate, where) for moment in (first, second))
            check_same(one, first, other, second, where)
        return self._seconds(span.start, path, rate, where), self._seconds(span.end, path, rate, where)

    def number(self, seconds: float, path: Path, rate: float | None) -> int:
        """The number of the frame that begins nearest to a time; after the last one it is the number of frames.

        Args:
            seconds: The time.
            path: The video.
            rate: Frames per second; None for the video's own.

        Raises:
            MediaError: The video must be opened for it, and cannot be.
        """
        found = rate if rate is not None else self._of(path)
        if not isinstance(found, list):
            return round(seconds * found)
        if not found:
            return 0
        gap = (found[-1] - found[0]) / max(len(found) - 1, 1)
        edges = [*found, found[-1] + gap]
        place = min(bisect.bisect_left(edges, seconds), len(found))
        return place - 1 if place and seconds - edges[place - 1] < edges[place] - seconds else place

    def _seconds(self, moment: Moment, path: Path, rate: float | None, where: str) -> int | float | None:
        if not isinstance(moment, Frames):
            return moment
        found = rate if rate is not None else self._of(path)
        if not isinstance(found, list):
            return moment.number / found
        if moment.number > len(found):
            raise DatasetError(
                f"{where}: {moment.name} is {moment.number}, and {path} has {len(found)} frames. Count frames from 0."
            )
        return found[moment.number] if moment.number < len(found) else None

    def _of(self, path: Path) -> float | list[float]:
        """Frames per second, or the time of each frame in seconds."""
        if path not in self._videos:
            self._videos[path] = _read(path)
        return self._videos[path]


def _read(path: Path) -> float | list[float]:
    from adapters.media import open_container, open_video

    try:
        with open_video(path) as video:
            with open_container(path) as container:
                rate = _constant_rate(container, video.info.video_stream)
            # The times are those of decoding, which is what every later reading of the video counts in.
            return rate or [seconds for seconds, _ in video.frames(height=2, width=2)]
    except OSError as error:
        raise MediaError(f"{path}: could not be read ({error.strerror or error})") from None


def _constant_rate(container: Any, index: int) -> float | None:
    """The rate of a stream whose frames are evenly spaced; None where they are not.

    An MP4 or MOV says so in its tables. Of other files every packet's time is read, without decoding.
    """
    from adapters.media import read_packets

    stream = container.streams[index]
    average, nominal = stream.average_rate, stream.base_rate
    if not average or not nominal or abs(float(average) / float(nominal) - 1) > _SAME_RATE:
        return None
    rate = float(average)
    if "mov" not in container.format.name.split(","):
        try:
            times = sorted(float(p.pts * p.time_base) for p in read_packets(container, stream) if p.pts is not None)
        except av.FFmpegError:
            return None
        if any(abs(time - times[0] - number / rate) > 0.6 / rate for number, time in enumerate(times)):
            return None
    return rate
