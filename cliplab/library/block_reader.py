"""A file object over blocks of a file elsewhere: a jump reads little, and reading on reads more at a time."""

from __future__ import annotations

import errno
import io
import os
from typing import Any, Protocol

from cliplab.library.storage_cache import BLOCK_BYTES

# Read at once after a jump, and at most where reading goes on from there.
_FIRST_BLOCKS, _MOST_BLOCKS = 2, 16
_BUFFER_BYTES = 128 * 1024


class BlockSource(Protocol):
    """A file that is read in blocks of ``BLOCK_BYTES``.

    Attributes:
        size_bytes: Its size.
    """

    size_bytes: int

    def fetch(self, first: int, count: int) -> list[bytes]:
        """Read blocks.

        Args:
            first: The number of the first one, from 0.
            count: How many are wanted.

        Returns:
            At least one of them, in order; the last block of the file may be short.

        Raises:
            OSError: They cannot be read.
        """


def open_blocks(source: BlockSource) -> io.BufferedReader:
    """A file to read and seek, of its own position.

    Args:
        source: Where its blocks come from.
    """
    return io.BufferedReader(_BlockReader(source), _BUFFER_BYTES)


class _BlockReader(io.RawIOBase):
    """A file's bytes. Reading on from where the last read ended asks for more at a time."""

    def __init__(self, video: BlockSource) -> None:
        self._video, self._at = video, 0
        self._held: dict[int, bytes] = {}  # the blocks of the last fetch
        self._next, self._run = -1, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._video.size_bytes}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "a position before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        number, inside = divmod(self._at, BLOCK_BYTES)
        if self._at >= self._video.size_bytes or not len(buffer):
            return 0
        if number not in self._held:
            self._run = self._run + 1 if number == self._next else 0
            # A key frame is often read in two, and what comes after it not at all: more only from the third on.
            blocks = self._video.fetch(number, min(_FIRST_BLOCKS << max(self._run - 1, 0), _MOST_BLOCKS))
            self._held = dict(enumerate(blocks, number))
            self._next = number + len(blocks)
        part = self._held[number][inside : inside + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
