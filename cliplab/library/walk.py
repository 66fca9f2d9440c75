"""Which videos a library holds: every folder below it once, in an order that stays, and what cannot be read is told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.data import VIDEO_SUFFIXES
from adapters.system import blocks_fingerprint
from cliplab.library import storage
from cliplab.library.storage import is_remote

# A file up to three blocks is read whole, of a larger one the first, the middle and the last.


@dataclass(frozen=True)
class Found:
    """A video file. path: absolute, with bytes that are not UTF-8 as surrogates (``os.fsdecode``)."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Unreadable:
    """A folder, or a file in one, that cannot be read, and why."""

    path: str
    error: str


def walk(library: str | Path) -> Iterator[Found | Unreadable]:
    """The videos below a folder, folder by folder, names in the order of their bytes.

    Links are followed: one that leads to a place inside the library is passed over, since that place is visited by its
    own name; one that leads out is taken, each folder once, so that loops end. Hidden names (``.Trash``, ``._DJI.mp4``,
    the unfinished files of rsync) are passed over. An address (``s3://``) is walked by ``cliplab.library.storage``.
    """
    if is_remote(library):
        yield from storage.walk(str(library))
        return
    root = os.path.abspath(library)
    inside = os.path.realpath(root) + os.sep
    visited: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        below: list[str] = []
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield Unreadable(folder, f"the folder cannot be read ({error.strerror}). Check its permissions.")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_symlink() and (os.path.realpath(entry.path) + os.sep).startswith(inside):
                    continue
                if entry.is_dir():
                    below.append(entry.path)
                elif os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode):
                        yield Found(entry.path, status.st_size, status.st_mtime_ns)
                    else:
                        yield Unreadable(entry.path, "is a device or a pipe, not a file. Rename it or move it away.")
            except OSError as error:
                yield Unreadable(entry.path, f"cannot be read ({error.strerror}). Check the file or the link.")
        folders += reversed(below)


def fingerprint(path: str, size_bytes: int) -> bytes:
    """What tells a file's content from another's, at bounded cost: BLAKE2b of its size and of three blocks.

    A remote file's is another one (``cliplab.library.storage``). OSError where it cannot be read.
    """
    if is_remote(path):
        return storage.fingerprint(path, size_bytes)
    with open(path, "rb", buffering=0) as file:

        def read(start: int, end: int) -> bytes:
            file.seek(start)
            return _read(file.fileno(), end - start)

        return blocks_fingerprint(size_bytes, read)


def _read(handle: int, count: int) -> bytes:
    """Up to count bytes: a single read may give less."""
    parts = []
    while count > 0 and (part := os.read(handle, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def printable(path: str) -> str:
    """A path as one line of text: line ends and bytes that are not UTF-8 as escapes."""
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
