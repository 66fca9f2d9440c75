"""Locks between processes. The operating system releases a lock when its process ends, even if it is killed.

On a file system without locks, and for a folder on Windows, nothing is locked and the caller learns it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.errors import AdapterError, StorageError
from adapters.system.atomic import storage_error

_POLL_SECONDS = 0.02
_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0)  # for a writer of a FIFO


@contextmanager
def file_lock(path: str | Path, *, busy: Callable[[str], AdapterError], wait: bool | float = False) -> Iterator[bool]:
    """Hold the lock of a file while the block runs. It keeps out other processes and other threads of this one.

    Args:
        path: The lock file, which is made with its folder, names its holder and is never removed; or a folder, which
            is locked itself and in which nothing is written.
        busy: Returns the error to raise where another process holds the lock; it receives the name of that process.
        wait: How long to wait for another holder. True: without limit; a number: seconds; False: not at all.

    Yields:
        Whether the lock is held. False: the file system does not have locks.

    Raises:
        StorageError: The lock file cannot be made.
        AdapterError: The error that ``busy`` returns.
    """
    folder = os.path.isdir(path)
    if folder and os.name == "nt":  # Windows locks files only
        yield False
        return
    handle, writable = _open(Path(path), folder)
    held: bool | None = False
    try:
        held = _lock(handle, wait)
        if held is None:
            raise busy("another process" if folder else _holder(handle))
        if held and writable:
            _name_holder(handle)
        yield held
    finally:
        if held and writable:
            _forget_holder(handle)
        os.close(handle)


@contextmanager
def descriptor_lock(handle: int, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of an open file while the block runs. The file's position and content do not change.

    Args:
        handle: The descriptor of the file.
        wait: Whether to wait, without limit, for another holder.

    Yields:
        Whether the lock is held. False: another process holds it, or the file system does not have locks.
    """
    held = bool(_lock(handle, wait))
    try:
        yield held
    finally:
        if held:
            from filelock import unlock_descriptor

            unlock_descriptor(handle)


def _open(path: Path, folder: bool) -> tuple[int, bool]:
    """A handle to lock, and whether it can be written."""
    try:
        if folder:
            return os.open(path, os.O_RDONLY), False
        path.parent.mkdir(parents=True, exist_ok=True)
        return _regular(path, os.open(path, os.O_RDWR | os.O_CREAT | _NEVER_WAIT, 0o666)), True
    except OSError as error:
        if not folder and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            # A lock file of another user, or on a read-only disk, can be locked all the same.
            with contextlib.suppress(OSError):
                return _regular(path, os.open(path, os.O_RDONLY | _NEVER_WAIT)), False
        raise storage_error(path, error) from error


def _regular(path: Path, handle: int) -> int:
    """The handle, if it is that of a regular file: one of a FIFO or a device could wait for ever or be written to."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise StorageError(f"{path}: is a FIFO, a socket or a device; a lock file is required at this path. Remove it.")
    return handle


def _forget_holder(handle: int) -> None:
    """A lock file that is left in a folder of models, and may be copied with it, names no machine."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)


def _lock(handle: int, wait: bool | float) -> bool | None:
    """True: locked. None: another holds it, also at the end of the wait. False: the file system has no locks."""
    from filelock import lock_descriptor

    give_up = float("inf") if wait is True else time.monotonic() + wait
    try:
        while not lock_descriptor(handle, blocking=False):
            if time.monotonic() >= give_up:
                return None
            time.sleep(_POLL_SECONDS)
    except OSError:
        return False
    return True


def _holder(handle: int) -> str:
    """Who holds a lock file; Windows does not let others read it."""
    with contextlib.suppress(OSError):
        os.lseek(handle, 0, os.SEEK_SET)
        return os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
    return "another process"


def _name_holder(handle: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock is held all the same
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
