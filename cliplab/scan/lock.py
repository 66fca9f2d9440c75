"""One process at a time: a lock that goes with its process, also when that is killed, and tells who has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.errors import StorageError
from adapters.system import storage_error


@contextmanager
def locked(path: str, what: str) -> Iterator[None]:
    """Hold the lock of a file, which is made, with its folder, and stays. what: what it stands for, in messages.

    Raises StorageError naming the process that has it. Where the system has no such locks, nothing is held.
    """
    try:
        import fcntl
    except ImportError:  # Windows: SQLite's own locks are all there is
        yield
        return
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
            raise StorageError(
                f"{what}: is in use by {owner}. Wait for that scan to end, stop it, or name another with --store."
            ) from None
        except OSError:  # a network file system without locks
            pass
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
