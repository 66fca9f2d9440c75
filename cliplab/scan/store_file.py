"""The file of a scan's store: opened without its damage or moved aside, and SQLite's errors in words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from adapters.errors import StorageError
from adapters.system import check_regular_file
from cliplab.scan.score_rows import remove_damaged
from cliplab.scan.store_schema import APPLICATION_ID, prepare_database

# How long a write waits for another program that has the database locked.
BUSY_SECONDS = 10.0


def open_whole(path: str, note: Callable[[str], object]) -> sqlite3.Connection:
    """The database without damaged rows; a new one where the old one's tables cannot be read.

    Args:
        path: The SQLite file.
        note: Called with a sentence where damage was found.

    Raises:
        StorageError: It is of a newer version or not a store.
        sqlite3.Error: It cannot be read or written.
    """
    for name in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        if os.path.lexists(name):
            check_regular_file(name, StorageError)
    connection = _connect(path)
    try:
        prepare_database(connection, path)
        removed = remove_damaged(connection)
        if removed:
            note(f"{path}: the scores of {removed} videos were damaged; these videos are scored again")
        return connection
    except sqlite3.DatabaseError as error:
        connection.close()
        if "malformed" not in str(error) or not _is_ours(path):
            raise
        aside = _move_aside(path)
        note(f"{path}: was damaged ({error}) and is now {aside}; every video is scored again")
    except BaseException:
        connection.close()
        raise
    connection = _connect(path)
    try:
        prepare_database(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _is_ours(path: str) -> bool:
    """Whether a file has the header of a scan's store, wherever it is damaged."""
    with open(path, "rb") as file:
        header = file.read(100)
    return header.startswith(b"SQLite format 3\0") and header[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _move_aside(path: str) -> str:
    """Rename a damaged store and the files that SQLite keeps beside it; the new name."""
    aside = next(name for n in count(1) if not os.path.lexists(name := f"{path}.damaged-{n}"))
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    os.replace(path, aside)
    return aside


def in_use(path: str, holder: str) -> StorageError:
    """The error where another scan has the store.

    Args:
        path: The SQLite file.
        holder: Who has it.
    """
    return StorageError(
        f"{path}: is in use by {holder}. Wait until that scan ends, stop it, or give another store with --store."
    )


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """SQLite's errors as StorageError, in one clear line.

    Args:
        path: The SQLite file, for messages.
    """
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        if "locked" in reason or "busy" in reason:
            step = "another program keeps it locked. Close that program and run the scan again: it resumes here"
        elif "full" in reason or "disk I/O" in reason:
            step = f"the disk is full or failing ({reason}). Free some space and run the scan again: it resumes here"
        elif "not a database" in reason or "malformed" in reason:
            step = f"it is damaged or not a database ({reason}). Give another --store, or remove it to start again"
        else:
            step = f"{reason}. Check that its folder exists and can be written, or give another path with --store"
        raise StorageError(f"{path}: the scores could not be read or written: {step}.") from error
