"""Pictures of items: exact frames of videos by timestamp, frame times, thumbnails, sound and shot changes.

The frame at a moment is the one that is shown then: the last whose timestamp is at or before it, to the microsecond.
Before the first frame it is the first, after the end the last. Moments are seconds since the first frame, by the
stream's own timestamps; a frame rate is never assumed.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.errors import MediaError
from adapters.media import EPSILON_SECONDS, ChildVideo, DecoderPool, MediaLimits
from adapters.records import Float64Array, Int8Array, UInt8Array
from cliplab.studio.cuts import BLOCK_SECONDS, GRID, cuts_of
from cliplab.studio.frame_cursors import FrameCursors
from cliplab.studio.frame_lists import FrameLists, KeyedLocks
from cliplab.studio.media_files import FileGoneError, MediaFile, find_file
from cliplab.studio.picture_cache import DEFAULT_CACHE_BYTES, PictureCache
from cliplab.studio.still_pictures import is_picture, jpeg_of, jpeg_to_send, read_picture, scaled

if TYPE_CHECKING:
    from cliplab.studio.store import LabelStore

# Pictures are made in these heights only, so that windows of many sizes share the cache.
HEIGHTS = (64, 128, 240, 360, 480, 720, 1080, 1440, 2160)
_FRAME_PIXELS = 16384 * 8192
_SLOW_SECONDS = 1800.0  # for what reads a whole video: its sound, or the times of a stream without an index
# How far the next cut is looked for in one answer, so that none takes long.
CUT_SEARCH_BLOCKS = 3
DEFAULT_PEAKS_PER_SECOND, MOST_PEAKS_PER_SECOND = 20.0, 200.0


class FrameService:
    """Decodes for the pages of the studio. May be used by many threads.

    Files are decoded in processes of their own, with limits of memory and time.

    Args:
        store: Where the items are.
        cache_folder: Where decoded pictures are kept.
        cache_bytes: Maximum size in bytes.
        processes: How many videos may be open at a time; None: by the processors of this machine.
    """

    def __init__(
        self,
        store: LabelStore,
        cache_folder: Path,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        processes: int | None = None,
    ) -> None:
        self.store, self.cache = store, PictureCache(cache_folder, cache_bytes)
        count = max(3, min(8, (os.cpu_count() or 1) + 1)) if processes is None else max(2, processes)
        self._limits = MediaLimits(_FRAME_PIXELS)
        self._pool = DecoderPool(count)
        self._slow_pool = DecoderPool(2, seconds=_SLOW_SECONDS)
        self._cursors = FrameCursors(self._pool, count - 1, self._limits)
        self._lists, self._making = FrameLists(self._open, self.cache), KeyedLocks()

    def close(self) -> None:
        """End all decoding and its processes."""
        self._pool.close()
        self._slow_pool.close()
        self._cursors.close()

    def file(self, item_id: int) -> MediaFile:
        """The file of an item, as it is now.

        Args:
            item_id: The item.

        Raises:
            DatasetError: There is no such item.
            FileGoneError: Its file is missing.
            FileReplacedError: Its file has other content than when it was added.
        """
        item = self.store.item(item_id)
        return find_file(item, self.store.media_path(item))

    def start_seconds(self, item_id: int) -> float:
        """Where an item begins in its file, in seconds: 0 but for clips.

        Args:
            item_id: The item.

        Raises:
            DatasetError: There is no such item.
        """
        item = self.store.item(item_id)
        return (item.start_seconds or 0.0) if item.kind == "clip" else 0.0

    # -- pictures ----------------------------------------------------------------------------------------------------

    def frame_jpeg(self, item_id: int, time_seconds: float, height: int) -> tuple[bytes, float]:
        """The frame of an item that is shown at a moment.

        Args:
            item_id: The item.
            time_seconds: Seconds since the first frame; of a picture it makes no difference.
            height: In pixels; the next larger one of ``HEIGHTS`` is made, and none is larger than the video's own.

        Returns:
            A JPEG, and the exact time of the frame in seconds.

        Raises:
            MediaError: The file is gone, was replaced, or cannot be decoded there.
            ValueError: The moment is not a finite number.
        """
        if not math.isfinite(time_seconds):
            raise ValueError(f"t must be a finite number of seconds, got {time_seconds!r}")
        file = self.file(item_id)
        if is_picture(file):
            return self._picture_jpeg(file, height), 0.0
        exact = self._lists.exact_time(file, time_seconds)
        info = self._lists.info_of(file)
        width, height = scaled(info.width, info.height, _step_of(height))
        data = self.cache.get(_key(file, height, exact))
        return (self._decode(file, exact, (width, height)), exact) if data is None else (data, exact)

    def frame_tag(self, item_id: int, exact_seconds: float, height: int) -> str:
        """What names one frame of one content at one size, for an ETag.

        Args:
            item_id: The item.
            exact_seconds: The exact time of the frame.
            height: As it was asked for.
        """
        return f"{self.file(item_id).identity}-{_step_of(height)}-{round(exact_seconds * 1e6)}"

    def thumbnail(self, item_id: int, height: int) -> bytes:
        """A JPEG of an item for lists: of a video a frame soon after its start.

        Args:
            item_id: The item.
            height: As for ``frame_jpeg``.

        Raises:
            MediaError: As ``frame_jpeg``.
        """
        item = self.store.item(item_id)
        file = find_file(item, self.store.media_path(item))
        if is_picture(file):
            return self._picture_jpeg(file, height)
        info = self._lists.info_of(file)
        start = item.start_seconds or 0.0
        end = info.duration_seconds or 0.0 if item.end_seconds is None else item.end_seconds
        moment = start + min(1.0, max(0.0, end - start) / 10)
        size = scaled(info.width, info.height, _step_of(height))
        key = f"{file.identity}|thumbnail|{size[1]}|{moment:.3f}"
        data = self.cache.get(key)
        if data is None:
            with self._open(file) as video:
                frames = video.frames(width=size[0], height=size[1], aspect="stretch", start_seconds=moment)
                picture = next((picture for _, picture in frames), None)
            if picture is None:
                raise MediaError(f"{file.path}: no frame can be decoded at {moment:.3f} s.")
            data = jpeg_of(picture)
            self.cache.put(key, data)
        return data

    def _picture_jpeg(self, file: MediaFile, height: int) -> bytes:
        height = _step_of(height)
        key = f"{file.identity}|picture|{height}"
        data = self.cache.get(key)
        if data is None:
            content = read_picture(file)
            data = jpeg_to_send(content, height)
            if data is not None:  # as good as a cached one
                return data
            picture = self._pool.decode_picture(content, self._limits)
            if picture is None:
                raise MediaError(f"{file.path}: the picture is damaged and cannot be decoded. Copy it again.")
            data = jpeg_of(picture, scaled(picture.shape[1], picture.shape[0], height))
            self.cache.put(key, data)
        return data

    def _decode(self, file: MediaFile, exact: float, size: tuple[int, int]) -> bytes:
        made: dict[str, bytes] = {}
        wanted = _key(file, size[1], exact)

        def cached() -> bool:
            data = self.cache.get(wanted)
            if data is not None:
                made[wanted] = data
            return data is not None

        def keep(seconds: float, picture: UInt8Array) -> None:
            if exact - seconds < 1.0:  # farther ones on the way are not likely to be asked for
                made["last"] = jpeg_of(picture)
                self.cache.put(_key(file, size[1], seconds), made["last"])

        self._cursors.read(file, *size, exact, cached, keep)
        found = made.get(wanted, made.get("last"))
        if found is None:  # the frames before it for more than a second are damaged as well
            raise MediaError(f"{file.path}: the video is damaged around {exact:.2f} s. Choose another position.")
        return found

    # -- times -------------------------------------------------------------------------------------------------------

    def info(self, item_id: int) -> dict[str, Any]:
        """The properties of an item's video for a page: size, length, rate, sound and the offset of players.

        Args:
            item_id: The item.

        Raises:
            MediaError: The file is gone, was replaced, or is not a video.
        """
        item = self.store.item(item_id)
        file = find_file(item, self.store.media_path(item))
        info = self._lists.info_of(file)
        return {**vars(info), "start_seconds": item.start_seconds or 0.0, "end_seconds": item.end_seconds}

    def times(self, item_id: int, start: float, end: float) -> Float64Array:
        """Exact times of the frames of a stretch: the frame that is shown at its start, and those up to its end.

        Args:
            item_id: The item.
            start: In seconds since the first frame.
            end: In the same seconds; at most ``LONGEST_STRETCH_SECONDS`` after the start.

        Returns:
            float64 [N], growing; N is at least 1.

        Raises:
            MediaError: As ``frame_jpeg``.
            ValueError: The stretch is empty, too long, or not finite.
        """
        return self._lists.times(self.file(item_id), start, end)

    # -- sound and cuts ----------------------------------------------------------------------------------------------

    def peaks(self, item_id: int, per_second: float = DEFAULT_PEAKS_PER_SECOND) -> Int8Array | None:
        """The outline of a video's sound from its first frame to its end.

        Args:
            item_id: The item.
            per_second: Stretches per second, up to ``MOST_PEAKS_PER_SECOND``.

        Returns:
            int8 [stretches, 2], the lowest and highest sample of each in -127..127; None where there is no sound.

        Raises:
            MediaError: As ``frame_jpeg``, or the sound is damaged.
            ValueError: ``per_second`` is not allowed.
        """
        if not 0 < per_second <= MOST_PEAKS_PER_SECOND:
            raise ValueError(f"per_second must be above 0 and at most {MOST_PEAKS_PER_SECOND:g}, got {per_second!r}")
        file = self.file(item_id)
        key = f"{file.identity}|peaks|{per_second:g}"
        with self._making.of(key):
            stored = self.cache.get(key)
            if stored is None:
                with self._open(file, slow=True) as video:
                    found = video.sound_peaks(per_second)
                stored = b"-" if found is None else b"+" + found.tobytes()
                self.cache.put(key, stored)
        return None if stored == b"-" else np.frombuffer(stored[1:], np.int8).reshape(-1, 2)

    def next_cut(self, item_id: int, after: float) -> tuple[float | None, float]:
        """The first frame of the next shot, looked for in the next minute or a little more.

        Args:
            item_id: The item.
            after: Seconds since the first frame.

        Returns:
            When it is shown, in seconds since the first frame, or None; and up to when cuts were looked for, which is
            at least the video's length where there is none.

        Raises:
            MediaError: As ``frame_jpeg``.
            ValueError: ``after`` is not a finite number.
        """
        if not math.isfinite(after):
            raise ValueError(f"after must be a finite number of seconds, got {after!r}")
        file = self.file(item_id)
        length = self._lists.info_of(file).duration_seconds
        first = int(max(after, 0.0) // BLOCK_SECONDS)
        for number in range(first, first + CUT_SEARCH_BLOCKS):
            end = (number + 1) * BLOCK_SECONDS
            found = None if length is not None and number * BLOCK_SECONDS >= length else self._cuts_block(file, number)
            if found is None:
                return None, end if length is None else max(end, length)
            later = [moment for moment in found if moment > after + EPSILON_SECONDS]
            if later:
                return later[0], end
        return None, end

    def _cuts_block(self, file: MediaFile, number: int) -> list[float] | None:
        """The cuts of one block; None after the end of a video of unknown length."""
        key = f"{file.identity}|cuts|{number}"
        with self._making.of(key):
            stored = self.cache.get(key)
            if stored is None:
                with self._open(file, slow=True) as video:
                    found = cuts_of(video, number, GRID)
                if found is None:
                    return None
                stored = b"+" + np.array(found, np.float64).tobytes()
                self.cache.put(key, stored)
        return [float(moment) for moment in np.frombuffer(stored[1:], np.float64)]

    # -- parts -------------------------------------------------------------------------------------------------------

    def _open(self, file: MediaFile, slow: bool = False) -> ChildVideo:
        try:
            return (self._slow_pool if slow else self._pool).open_video(file.path, self._limits)
        except MediaError:
            if not file.path.is_file():
                raise FileGoneError(
                    f"{file.path}: was removed. Its labels are kept: restore the file, then reload."
                ) from None
            raise


def _step_of(height: int) -> int:
    return next((step for step in HEIGHTS if step >= height), HEIGHTS[-1])


def _key(file: MediaFile, height: int, exact: float) -> str:
    return f"{file.identity}|{height}|{round(exact * 1e6)}"
