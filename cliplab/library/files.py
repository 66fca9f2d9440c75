"""Which videos a library holds, on disks and in storages, and fingerprints of their contents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from adapters.media import UnreadablePath, VideoFile, videos_below
from adapters.system import blocks_fingerprint
from cliplab.library import storage
from cliplab.library.storage import is_remote


def walk(library: str | Path) -> Iterator[VideoFile | UnreadablePath]:
    """The videos below a folder or an address, and what cannot be read.

    Args:
        library: A folder, or an address that fsspec opens, such as s3://bucket/folder.

    Yields:
        Videos and unreadable entries in the order of their paths, as ``adapters.media.videos_below`` yields them.
    """
    return storage.walk(str(library)) if is_remote(library) else videos_below(library)


def fingerprint(path: str, size_bytes: int) -> bytes:
    """A digest that identifies a video's content: of its size and of three blocks, or a remote storage's own digest.

    Args:
        path: A path or an address.
        size_bytes: Size of the file.

    Returns:
        20 bytes.

    Raises:
        OSError: The file cannot be read.
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
    """A path as one line of text: line ends, and bytes that are not UTF-8, as escapes."""
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
