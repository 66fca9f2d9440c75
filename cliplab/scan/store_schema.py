"""The tables of a scan's store, and the steps that bring an older store to their present form."""

from __future__ import annotations

import sqlite3

from adapters.errors import StorageError

APPLICATION_ID = 0x636C7363  # "clsc": tells our file from any other SQLite file
# Each step brings a store from the version of its place to the next; new ones are added at the end.
MIGRATIONS = (
    """
    CREATE TABLE runs (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
    CREATE TABLE files (
        path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, fingerprint BLOB, scan INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE scores (
        fingerprint BLOB NOT NULL, run INTEGER NOT NULL REFERENCES runs, duration REAL, classes INTEGER, spans BLOB,
        scores BLOB, error TEXT, warnings TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (fingerprint, run)
    ) WITHOUT ROWID;
    CREATE TABLE problems (
        scan INTEGER NOT NULL, path BLOB NOT NULL, error TEXT NOT NULL, PRIMARY KEY (scan, path)
    ) WITHOUT ROWID;
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    INSERT INTO counters VALUES ('scan', 0);
    """,
    # The CRC of a row of scores; none in rows of older versions.
    "ALTER TABLE scores ADD COLUMN crc INTEGER;",
)


def prepare_database(connection: sqlite3.Connection, path: str) -> None:
    """Set a database up and bring its tables to this version.

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
        raise StorageError(f"{path}: is a database of another program, not of a scan. Give another path with --store.")
    if version > len(MIGRATIONS):
        raise StorageError(
            f"{path}: was written by a newer cliplab (its version is {version}, this one reads up to "
            f"{len(MIGRATIONS)}). Install the newer cliplab, or give another path with --store."
        )
    connection.execute("PRAGMA journal_mode = WAL")
    # A commit for each video, without waiting for the disk: a kill loses none, a power cut the last few and no more.
    connection.execute("PRAGMA synchronous = NORMAL")
    if version < len(MIGRATIONS):
        steps = "".join(MIGRATIONS[version:])
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION_ID}; "
            f"PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;"
        )
