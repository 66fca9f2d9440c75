"""Videos that are stepped through: one decoder each, which goes on where it is instead of seeking for each frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from adapters.errors import AdapterError, MediaError
from adapters.media import EPSILON_SECONDS, ChildVideo, DecoderPool, MediaLimits
from adapters.records import UInt8Array
from cliplab.studio.media_files import MediaFile

# The decoder goes on to a frame that is at most this far ahead; farther ahead it seeks.
_AHEAD_SECONDS = 2.0
# A step back begins so much earlier, and the frames on the way are kept for the next steps back.
_BACK_SECONDS = 0.5
_NEAR_SECONDS = 3.0

Keep = Callable[[float, UInt8Array], None]


class _Cursor:
    """A decoder in the middle of a video; used by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.used = 0
        self.video: ChildVideo | None = None
        self.frames: Iterator[tuple[float, UInt8Array]] = iter(())
        self.place: float | None = None  # time of the frame that was read last
        self.held: tuple[float, UInt8Array] | None = None

    def close(self) -> None:
        video, self.video, self.frames, self.place, self.held = self.video, None, iter(()), None, None
        if video is not None:
            with suppress(AdapterError):
                video.close()


class FrameCursors:
    """Decoders that wait where they are, for the videos that were used last.

    Args:
        pool: Processes that decode.
        most: How many videos are kept open; fewer than the pool has processes, so that others are left.
        limits: Of each video.
    """

    def __init__(self, pool: DecoderPool, most: int, limits: MediaLimits) -> None:
        self._pool, self._most, self._limits = pool, most, limits
        self._changed = threading.Condition()
        self._cursors: dict[tuple[str, int, int], _Cursor] = {}
        self._clock = 0
        self._closed = False

    def read(
        self, file: MediaFile, width: int, height: int, seconds: float, cached: Callable[[], bool], keep: Keep
    ) -> None:
        """Decode the frame that is shown at a moment, and hand it and near ones before it to ``keep``.

        Args:
            file: The video.
            width: Of the pictures.
            height: Of the pictures.
            seconds: Exact time of the frame, in seconds since the first frame.
            cached: Whether another thread has kept this frame meanwhile.
            keep: Receives time and picture, uint8 [height, width, 3] RGB; the wanted one last.

        Raises:
            MediaError: The video cannot be decoded there.
            StorageError: No process can be started.
        """
        with self._cursor((f"{file.path}\n{file.identity}", width, height)) as cursor:
            if cached():
                return
            try:
                used = cursor.video is not None
                try:
                    self._go(cursor, file, (width, height), seconds, keep)
                except MediaError:
                    if not used:
                        raise
                    # Its process ended, or its time was over, which counts from when the video was opened.
                    cursor.close()
                    self._go(cursor, file, (width, height), seconds, keep)
            except BaseException:
                cursor.close()
                raise

    def close(self) -> None:
        """Close all videos."""
        with self._changed:
            self._closed = True
            cursors, self._cursors = list(self._cursors.values()), {}
        for cursor in cursors:
            with cursor.lock:
                cursor.close()

    def _go(self, cursor: _Cursor, file: MediaFile, size: tuple[int, int], seconds: float, keep: Keep) -> None:
        place = cursor.place
        if cursor.video is None or place is None or not place < seconds <= place + _AHEAD_SECONDS:
            back = place is not None and 0 <= place - seconds < _NEAR_SECONDS
            self._open(cursor, file, size, max(seconds - _BACK_SECONDS, 0.0) if back else seconds)
        last = cursor.held if cursor.held is not None and cursor.held[0] <= seconds + EPSILON_SECONDS else None
        cursor.held = None
        for found in cursor.frames:
            cursor.place = found[0]
            if found[0] > seconds + EPSILON_SECONDS:  # the wanted one is damaged: the one before is shown on
                cursor.held = found
                break
            if last is not None:
                keep(*last)
            last = found
            if found[0] >= seconds - EPSILON_SECONDS:
                break
        last = last or cursor.held
        if last is None:
            raise MediaError(f"{file.path}: no frame can be decoded at {seconds:.3f} s.")
        keep(*last)

    def _open(self, cursor: _Cursor, file: MediaFile, size: tuple[int, int], start: float) -> None:
        cursor.close()
        cursor.video = self._pool.open_video(file.path, self._limits)
        length = cursor.video.info.duration_seconds
        if length is not None:  # a moment at or after the end is that of the last frame
            start = min(start, max(0.0, length - EPSILON_SECONDS))
        cursor.frames = cursor.video.frames(width=size[0], height=size[1], aspect="stretch", start_seconds=start)

    @contextmanager
    def _cursor(self, key: tuple[str, int, int]) -> Iterator[_Cursor]:
        """The cursor of a video, used by this thread alone; the one that was used longest ago makes room for it."""
        leaving: _Cursor | None = None
        with self._changed:
            while (cursor := self._cursors.get(key)) is None:
                if self._closed:
                    raise MediaError("the studio is shutting down.")
                if len(self._cursors) < self._most:
                    cursor = self._cursors.setdefault(key, _Cursor())
                    break
                idle = [(other.used, name) for name, other in self._cursors.items() if not other.users]
                if idle:
                    leaving = self._cursors.pop(min(idle)[1])
                else:
                    self._changed.wait(0.1)
            self._clock += 1
            cursor.used, cursor.users = self._clock, cursor.users + 1
        try:
            if leaving is not None:
                leaving.close()
            with cursor.lock:
                yield cursor
        finally:
            with self._changed:
                cursor.users -= 1
                self._changed.notify_all()
