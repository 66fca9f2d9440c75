"""Which videos a library holds, on disks and in storages, and what tells their contents apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from adapters.media import Found, Unreadable, videos_below
from adapters.system import blocks_fingerprint
from cliplab.library import storage
from cliplab.library.storage import is_remote


def walk(library: str | Path) -> Iterator[Found | Unreadable]:
    """The videos below a folder or an address (``s3://``), and what cannot be read, as ``videos_below`` gives them."""
    return storage.walk(str(library)) if is_remote(library) else videos_below(library)


def fingerprint(path: str, size_bytes: int) -> bytes:
    """What tells a video's content from another's: a digest of its size and of three blocks.

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
