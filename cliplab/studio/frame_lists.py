"""When the frames of videos are shown, listed block by block and kept in memory."""

from __future__ import annotations

import itertools
import math
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from adapters.media import EPSILON_SECONDS, ChildVideo
from adapters.records import Float64Array
from cliplab.studio.media_files import MediaFile
from cliplab.studio.picture_cache import PictureCache

if TYPE_CHECKING:
    from adapters.media.child_video import ChildVideoInfo

# The most frame times in one answer, and the longest stretch that is listed at a time.
MOST_TIMES, LONGEST_STRETCH_SECONDS = 50_000, 3600.0
_BLOCK_SECONDS = 20.0
_KEPT_BLOCKS, _KEPT_INFOS = 1024, 4096
_WHOLE = -1  # the number of the one block of a video that is listed as a whole
# Containers of which a stretch is listed without reading what is before it.
_INDEXED = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".3gp"}

OpenVideo = Callable[[MediaFile, bool], ChildVideo]


class FrameLists:
    """The properties and the frame times of videos. May be used by many threads.

    Args:
        open_video: Opens a file; the second argument says whether reading it may take long.
        cache: Where the times of videos that are listed as a whole are kept; None: in memory only.
    """

    def __init__(self, open_video: OpenVideo, cache: PictureCache | None = None) -> None:
        self._open, self._lock = open_video, threading.Lock()
        self._cache = cache
        self._infos: OrderedDict[str, ChildVideoInfo] = OrderedDict()
        self._blocks: OrderedDict[tuple[str, int], Float64Array] = OrderedDict()
        self._listing = KeyedLocks()

    def info_of(self, file: MediaFile) -> ChildVideoInfo:
        """The properties of a video.

        Args:
            file: The video.

        Raises:
            MediaError: It is not a video that can be decoded.
        """
        found = self._infos.get(file.identity)
        if found is None:
            with self._open(file, False) as video:
                found = video.info
            with self._lock:
                self._infos[file.identity] = found
                while len(self._infos) > _KEPT_INFOS:
                    self._infos.popitem(last=False)
        return found

    def times(self, file: MediaFile, start: float, end: float) -> Float64Array:
        """Exact times of the frames of a stretch; as ``FrameService.times``.

        Args:
            file: The video.
            start: In seconds since the first frame.
            end: In the same seconds.

        Raises:
            MediaError: It cannot be read.
            ValueError: The stretch is empty, too long, or not finite.
        """
        if not (math.isfinite(start) and math.isfinite(end) and start <= end):
            raise ValueError(f"start and end must be seconds with start <= end, got {start!r} and {end!r}")
        if end - start > LONGEST_STRETCH_SECONDS:
            raise ValueError(
                f"a range of {end - start:,.8g} s is too long: at most {LONGEST_STRETCH_SECONDS:.0f} s are listed at "
                "a time"
            )
        length = self.info_of(file).duration_seconds
        start = max(start, 0.0) if length is None else min(max(start, 0.0), length)
        end = max(start, end if length is None else min(end, length))
        found = self._stretch(file, int(start // _BLOCK_SECONDS), int(end // _BLOCK_SECONDS))
        first = max(bisect_right(found, start + EPSILON_SECONDS) - 1, 0)
        last = max(bisect_right(found, end + EPSILON_SECONDS), first + 1)
        if last - first > MOST_TIMES:
            raise ValueError(f"the range has {last - first} frames; at most {MOST_TIMES} are listed at a time")
        return found[first:last]

    def exact_time(self, file: MediaFile, moment: float) -> float:
        """The time of the frame that is shown at a moment.

        Args:
            file: The video.
            moment: In seconds since the first frame.

        Raises:
            MediaError: It cannot be read.
        """
        moment = max(moment, 0.0)
        length = self.info_of(file).duration_seconds
        if length is not None:
            moment = min(moment, length)
        number = int(moment // _BLOCK_SECONDS)
        times = self._stretch(file, number, number)
        return float(times[max(bisect_right(times, moment + EPSILON_SECONDS) - 1, 0)])

    def _stretch(self, file: MediaFile, first: int, last: int) -> Float64Array:
        """Times of the frames of some blocks, with the one that is shown at the start of the first."""
        if file.path.suffix.lower() not in _INDEXED:
            first = last = _WHOLE
        numbers = range(first, last + 1)
        found = self._known(file, numbers)
        if found is None:
            with self._listing.of(file.identity):
                found = self._known(file, numbers)  # by another thread meanwhile
                if found is None:
                    found = self._list_blocks(file, numbers)
        return np.unique(np.concatenate(found))

    def _known(self, file: MediaFile, numbers: range) -> list[Float64Array] | None:
        with self._lock:
            found = [self._blocks.get((file.identity, number)) for number in numbers]
            for number in numbers:
                if (file.identity, number) in self._blocks:
                    self._blocks.move_to_end((file.identity, number))
        known = [block for block in found if block is not None]
        return known if len(known) == len(found) else None

    def _list_blocks(self, file: MediaFile, numbers: range) -> list[Float64Array]:
        """List blocks in one go, and keep each."""
        blocks = [self._list_times(file, None)] if numbers[0] == _WHOLE else self._split(file, numbers)
        with self._lock:
            self._blocks.update({(file.identity, number): block for number, block in zip(numbers, blocks, strict=True)})
            while len(self._blocks) > max(_KEPT_BLOCKS, len(numbers)):
                self._blocks.popitem(last=False)
        return blocks

    def _split(self, file: MediaFile, numbers: range) -> list[Float64Array]:
        times = self._list_times(file, numbers)
        edges = [number * _BLOCK_SECONDS for number in (*numbers, numbers[-1] + 1)]
        # Each block begins with the frame that is shown at its start.
        places = [max(bisect_right(times, edge + EPSILON_SECONDS) - 1, 0) for edge in edges]
        return [times[begin : end + 1] for begin, end in itertools.pairwise(places)]

    def _list_times(self, file: MediaFile, numbers: range | None) -> Float64Array:
        if numbers is None:
            return self._list_whole(file)
        with self._open(file, False) as video:
            length, start = video.info.duration_seconds, numbers[0] * _BLOCK_SECONDS
            if length is not None:
                start = min(start, max(0.0, length - EPSILON_SECONDS))
            return video.frame_times(start, (numbers[-1] + 1) * _BLOCK_SECONDS)

    def _list_whole(self, file: MediaFile) -> Float64Array:
        """Times of all frames. They take minutes of a recording of hours, so that they are kept over a restart."""
        key = f"frame times 1 {file.identity}"
        stored = self._cache.get(key) if self._cache is not None else None
        if stored is not None and len(stored) % 8 == 0:
            return np.frombuffer(stored, "<f8").astype(np.float64)
        with self._open(file, True) as video:
            times = video.frame_times()
        if self._cache is not None and len(times):
            self._cache.put(key, times.astype("<f8").tobytes())
        return times


class KeyedLocks:
    """A lock for each name, so that what takes long is made once when several ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def of(self, name: str) -> threading.Lock:
        """The lock of a name.

        Args:
            name: Any text.
        """
        with self._lock:
            if len(self._locks) > _KEPT_INFOS and name not in self._locks:
                self._locks = {other: lock for other, lock in self._locks.items() if lock.locked()}
            return self._locks.setdefault(name, threading.Lock())
