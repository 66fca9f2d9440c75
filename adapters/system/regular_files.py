"""Opening files at names that someone else may have filled: a FIFO, a socket or a device is refused at once.

Opening a FIFO waits for a writer and a device such as ``/dev/zero`` never ends, so both are refused before they are
opened. What was opened is checked once more, since the file may have been replaced in between.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from adapters.errors import AdapterError

_LEAST_READ = 1 << 16
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO (named pipe)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def check_regular_file(path: str | Path, error: type[AdapterError] = AdapterError) -> None:
    """Refuse what is not a regular file, or a link to one. The file is not opened.

    Args:
        path: The file.
        error: The class to raise.

    Raises:
        AdapterError: It is a folder, FIFO, socket or device; of the class ``error``.
        OSError: The path does not exist, or may not be looked at.
    """
    _refuse(path, os.stat(path).st_mode, error)


def open_regular_file(path: str | Path, error: type[AdapterError] = AdapterError) -> BinaryIO:
    """Open a regular file to read its bytes, without ever waiting for a writer of a FIFO.

    Args:
        path: The file.
        error: The class to raise.

    Raises:
        AdapterError: It is a folder, FIFO, socket or device; of the class ``error``.
        OSError: It does not exist, or cannot be opened.
    """
    check_regular_file(path, error)
    # O_NONBLOCK: a FIFO that replaced the file since is opened at once, and refused. It has no effect on regular files.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse(path, os.fstat(descriptor).st_mode, error)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular_bytes(path: str | Path, limit_bytes: int, error: type[AdapterError] = AdapterError) -> bytes:
    """The content of a regular file of limited size.

    Args:
        path: The file.
        limit_bytes: Maximum size in bytes.
        error: The class to raise.

    Raises:
        AdapterError: It is not a regular file, or is larger; of the class ``error``.
        OSError: It does not exist, or cannot be read.
    """
    with open_regular_file(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        # Reading is limited too: the file may grow, and some file systems give no sizes.
        content = b"" if size > limit_bytes else _read_at_most(file, limit_bytes + 1, size + 1)
    if size > limit_bytes or len(content) > limit_bytes:
        raise error(
            f"{path}: has {max(size, len(content)):,} bytes; at most {limit_bytes:,} are allowed. "
            "Check that it is the right file."
        )
    return content


def _read_at_most(file: BinaryIO, most: int, expected: int) -> bytes:
    """The bytes of a file up to a number; memory is taken for what is expected first, not for all that is allowed."""
    content = file.read(min(expected, most))
    while len(content) < most and (more := file.read(min(max(len(content), _LEAST_READ), most - len(content)))):
        content += more
    return content


def read_regular_text(path: str | Path, limit_bytes: int, error: type[AdapterError] = AdapterError) -> str:
    """The text of a regular file of limited size in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        limit_bytes: Maximum size in bytes.
        error: The class to raise.

    Raises:
        AdapterError: It is not a regular file, or is larger; of the class ``error``.
        OSError: It does not exist, or cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_regular_bytes(path, limit_bytes, error).decode("utf-8-sig")


def _refuse(path: str | Path, mode: int, error: type[AdapterError]) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "not a regular file")
        raise error(f"{path}: is {kind}; a regular file is required. Remove it, or give another path.")
