"""The file of a label store: opened and checked, and SQLite's errors in words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.errors import StorageError
from adapters.system import check_regular_file

FILE_NAME = "labels.db"
APPLICATION_ID = 0x636C7374  # "clst": tells our file from any other SQLite file
# Each step brings a store from the version of its place to the next; new ones are added at the end.
MIGRATIONS = (Path(__file__).with_name("schema.sql"),)
# What is counted of all items and sent of each, so that neither reads the whole rows of 100,000 items. A version of
# cliplab that does not know this index keeps it in step all the same: it is no new version of the tables.
# Its first column is one that no query asks for by a value: SQLite would take it for those by their order otherwise.
_NARROW_INDEX = "CREATE INDEX IF NOT EXISTS items_narrow ON items (disagree, flagged, missing, done, wanted, kind)"
# How long a write waits for another program that has the database locked.
BUSY_SECONDS = 10.0


def open_database(path: Path) -> tuple[sqlite3.Connection, str]:
    """Open the database for writing, or for reading where it cannot be written; it is made if needed.

    Args:
        path: The SQLite file.

    Returns:
        The connection, and why it cannot be written ("" where it can).

    Raises:
        StorageError: It is damaged, of another program or a newer version, or cannot be opened.
    """
    with storage_errors(path):
        for name in (path, *(Path(f"{path}{end}") for end in ("-wal", "-shm", "-journal"))):
            if os.path.lexists(name):
                check_regular_file(name, StorageError)
        try:
            return _open_for_writing(path), ""
        except sqlite3.OperationalError as error:
            # In a folder that cannot be written SQLite cannot make the files beside it, and says that it cannot open.
            if not any(word in str(error) for word in ("readonly", "unable to open")) or not path.is_file():
                raise
            reason = "its folder cannot be written" if "unable to open" in str(error) else str(error)
        connection = connect(path, read_only=True)
        try:
            check_version(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection, f"{path} is read-only ({reason})"


def _open_for_writing(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection that may be used from any thread, by one at a time.

    Args:
        path: The SQLite file.
        read_only: For a file or folder that cannot be written.
    """
    if not read_only:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -4000")
        return connection
    address = Path(os.path.abspath(path)).as_uri()
    # Without its -wal, which a folder that is read-only may not let SQLite make, nothing but the file itself is read.
    alone = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    return sqlite3.connect(
        f"{address}?mode=ro{alone}", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a store's tables; 0 for an empty file.

    Args:
        connection: The open database.
        path: Its path, for messages.

    Raises:
        StorageError: It is another program's, or of a newer version.
    """
    [(kind,)] = connection.execute("PRAGMA application_id").fetchall()
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    if kind != APPLICATION_ID and (tables or version):
        raise StorageError(f"{path}: is a database of another program, not of a studio. Give another folder.")
    if version > len(MIGRATIONS):
        raise StorageError(
            f"{path}: was written by a newer cliplab (its version is {version}, this one reads up to "
            f"{len(MIGRATIONS)}). Install the newer cliplab, or give another folder."
        )
    return int(version)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to this version, and see whether the file is whole and can be written."""
    version = check_version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    # A commit waits for the disk: a label that was acknowledged survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    if version < len(MIGRATIONS):
        steps = "".join(step.read_text(encoding="utf-8") for step in MIGRATIONS[version:])
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")  # says that the file is read-only before the script begins
        # Another process may have made the tables since: its transaction is seen only inside of ours.
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;"
            )
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if check_version(connection, path) != len(MIGRATIONS):
                raise
    # Only a change says that a file is read-only.
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_NARROW_INDEX)
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    finally:
        connection.execute("ROLLBACK")
    problems = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if problems != ["ok"]:
        raise sqlite3.DatabaseError(f"malformed: {problems[0]}")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as StorageError, in one clear line.

    Args:
        path: The SQLite file, for messages.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {_words(str(error))}") from error
    except OSError as error:
        raise StorageError(
            f"{path}: could not be opened ({error.strerror or error}). Check the folder and its permissions."
        ) from error


def _words(reason: str) -> str:
    if "locked" in reason or "busy" in reason:
        return "another program keeps the labels locked. Nothing was changed; close that program and try again."
    if "full" in reason or "disk I/O" in reason:
        return f"the disk is full or failing ({reason}). Nothing was changed; free some space and try again."
    if "readonly" in reason:
        return "the labels are read-only. Nothing was changed; make the file and its folder writable and try again."
    if "not a database" in reason or "malformed" in reason:
        return (
            f"is damaged or not a database ({reason}). Make a copy of the file, then recover its readable part with "
            "cliplab.studio.recover_store(folder), or restore a backup."
        )
    return f"could not be read or written: {reason}. Check that its folder exists and can be written."
