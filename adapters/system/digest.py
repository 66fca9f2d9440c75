"""Digests of files and values. They are the keys of caches and stored scores, so their results must not change."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from adapters.errors import AdapterError, WeightsError
from adapters.system.regular_files import open_regular_file

# ``blocks_fingerprint`` reads three blocks of this size.
BLOCK_BYTES = 256 * 1024
# ``file_fingerprint`` reads smaller files whole, and this much at each end of larger ones.
WHOLE_FILE_BYTES = 64 * 2**20
END_BYTES = 2**20


def sha256_file(path: Path) -> str:
    """The SHA-256 of a weights file, 64 hexadecimal characters.

    Raises:
        WeightsError: The file cannot be read.
    """
    try:
        return file_digest(path)
    except OSError as error:
        raise WeightsError(
            f"weights file {path} could not be read ({error.strerror or error}). Give the path of a readable file."
        ) from error


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file's content in hexadecimal. The file is read in small pieces.

    Args:
        path: The file.
        algorithm: A name that ``hashlib`` knows.

    Raises:
        OSError: The file cannot be read.
    """
    with _open_regular(path) as stream:
        made = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
        return made.hexdigest()


def value_digest(value: Any) -> str:
    """The SHA-256 of a JSON value, 64 hexadecimal characters; the order of an object's keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def blocks_fingerprint(size_bytes: int, read: Callable[[int, int], bytes]) -> bytes:
    """A fingerprint of a large file's content at bounded cost: BLAKE2b of its size and of three blocks of it.

    Args:
        size_bytes: The size of the file.
        read: Returns the bytes from a start up to an end, both in bytes. A file of up to three blocks of BLOCK_BYTES
            is read whole, in one call.

    Returns:
        20 bytes.
    """
    digest = hashlib.blake2b(size_bytes.to_bytes(8, "little"), digest_size=20)
    if size_bytes <= 3 * BLOCK_BYTES:
        spans = [(0, size_bytes)]
    else:
        starts = (0, (size_bytes - BLOCK_BYTES) // 2, size_bytes - BLOCK_BYTES)
        spans = [(start, start + BLOCK_BYTES) for start in starts]
    for start, end in spans:
        digest.update(read(start, end) if end > start else b"")
    return digest.digest()


def file_fingerprint(path: Path) -> str:
    """A fingerprint of a file's content: of a small file the whole content, of a large one its ends and its mtime.

    Args:
        path: The file; up to WHOLE_FILE_BYTES it is small.

    Returns:
        64 hexadecimal characters.

    Raises:
        OSError: The file cannot be read.
    """
    stat = path.stat()
    return _fingerprint(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)  # fine-tuning needs each clip's in every epoch
def _fingerprint(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    with _open_regular(path) as file:
        if size <= WHOLE_FILE_BYTES:
            digest.update(file.read())
        else:
            digest.update(str(mtime_ns).encode() + file.read(END_BYTES))
            file.seek(-END_BYTES, 2)
            digest.update(file.read())
    return digest.hexdigest()


def _open_regular(path: Path) -> BufferedReader:
    """OSError for a FIFO, a socket or a device, which could be read for ever."""
    try:
        return cast(BufferedReader, open_regular_file(path))
    except AdapterError as error:
        raise OSError(errno.EINVAL, "is not a regular file", str(path)) from error
