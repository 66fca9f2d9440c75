"""The last segments of a stream as files, so that a clip can be cut that began before it was known to be one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import MediaError
from adapters.system import storage_error
from cliplab.detect.highlights.hls_playlist import Segment

KEPT_SECONDS = 1800.0


@dataclass(frozen=True)
class Kept:
    """A stored segment.

    Attributes:
        path: Its file.
        sequence: Its number.
        start: When its first picture is shown, in seconds since the stream's first.
        end: When it ends.
        header_bytes: How many bytes at its beginning are the header of fragmented MP4.
        signature: Codecs, size and rates.
    """

    path: Path
    sequence: int
    start: float
    end: float
    header_bytes: int
    signature: tuple[Any, ...]


class Recording:
    """Segments of one stream in a folder; those that are too old are removed."""

    def __init__(self, folder: Path, kept_seconds: float = KEPT_SECONDS) -> None:
        """Make the folder.

        Args:
            folder: Of the segments.
            kept_seconds: How much of the stream is kept.
        """
        self._folder, self._kept_seconds = folder, kept_seconds
        self._kept: deque[Kept] = deque()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def start(self) -> float:
        """The earliest second that is kept."""
        return self._kept[0].start if self._kept else 0.0

    @property
    def end(self) -> float:
        """The latest."""
        return self._kept[-1].end if self._kept else 0.0

    @property
    def suffix(self) -> str:
        """Of files that segments are joined to: fragmented MP4, or a transport stream."""
        return self._kept[-1].path.suffix if self._kept else ".ts"

    def store(self, number: int, segment: Segment, data: bytes) -> Path:
        """Write a segment.

        Args:
            number: How many came before it.
            segment: What the playlist says of it.
            data: Its bytes.

        Returns:
            Its file.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        path = self._folder / f"{number:08d}{'.mp4' if segment.header is not None else '.ts'}"
        write_passing(path, [data])
        return path

    def add(self, kept: Kept) -> None:
        """Enter a segment that was read, and remove those that are too old.

        Args:
            kept: The segment.
        """
        self._kept.append(kept)
        while self._kept and self._kept[0].end < kept.end - self._kept_seconds:
            self._kept.popleft().path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what is left."""
        while self._kept:
            self._kept.popleft().path.unlink(missing_ok=True)

    def join(self, start: float, end: float, peak: float, output: Path) -> tuple[float, float, float]:
        """Write the segments of a stretch as one file.

        Where the size or codec changes within the stretch, it is cut there, on the side without the peak.

        Args:
            start: In seconds since the stream's first picture.
            end: Likewise.
            peak: The moment that must be in it.
            output: The file.

        Returns:
            When the file's first picture is shown, and the start and end that it has.

        Raises:
            MediaError: Nothing of the stretch is kept.
            StorageError: The file cannot be written.
        """
        among = [one for one in self._kept if one.end > start and one.start < end]
        if not among:
            raise MediaError(
                f"the stream from {start:.1f} s to {end:.1f} s is no longer stored. Keep a longer part of the stream."
            )
        middle = min(range(len(among)), key=lambda place: abs((among[place].start + among[place].end) / 2 - peak))
        first = last = middle
        while first > 0 and among[first - 1].signature == among[middle].signature:
            first -= 1
        while last + 1 < len(among) and among[last + 1].signature == among[middle].signature:
            last += 1
        chosen = among[first : last + 1]
        contents = (one.path.read_bytes()[one.header_bytes if place else 0 :] for place, one in enumerate(chosen))
        write_passing(output, contents)
        return chosen[0].start, max(start, chosen[0].start), min(end, chosen[-1].end)


def write_passing(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that no later run needs. It is not brought to the disk: on a busy one that takes seconds.

    Args:
        path: The file.
        pieces: Its content.

    Raises:
        StorageError: The disk is full, or the folder cannot be written; nothing is left of the file.
    """
    try:
        with open(path, "wb") as file:
            file.writelines(pieces)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise storage_error(path, error) from error
