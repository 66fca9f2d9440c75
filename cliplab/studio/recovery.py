"""A damaged label store: what can be read of it goes into a new one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from adapters.errors import StorageError
from cliplab.studio.database import FILE_NAME, storage_errors
from cliplab.studio.events import crc_of
from cliplab.studio.state import rebuild_state
from cliplab.studio.store import open_store

# Only what people and files gave; the present state follows from it.
_TABLES = {
    "settings": ("name", "value"),
    "classes": ("name", "key", "position", "retired"),
    "class_aliases": ("alias", "name"),
    "items": (
        "id",
        "kind",
        "fingerprint",
        "path",
        "start_seconds",
        "end_seconds",
        "width",
        "height",
        "group_name",
        "source",
        "split",
        "missing",
        "overlap",
    ),
    "events": (
        "id",
        "client",
        "sequence",
        "at",
        "received",
        "annotator",
        "item",
        "action",
        "value",
        "subject",
        "crc",
    ),
}


@dataclass(frozen=True)
class RecoveryReport:
    """What was saved.

    Attributes:
        items: Items in the new store.
        events: Events in the new store.
        damaged: Events whose content was damaged, or whose item could not be read; they are not in the new store.
        aside: Where the damaged file is now.
    """

    items: int
    events: int
    damaged: int
    aside: str


def recover_store(data_dir: str | Path) -> RecoveryReport:
    """Move the label store of a folder aside and make a new one of all that can be read of it.

    Args:
        data_dir: The data folder. No studio may have it open.

    Raises:
        StorageError: There is no store, or the new one cannot be written.
    """
    path = Path(data_dir).absolute() / FILE_NAME
    if not path.is_file():
        raise StorageError(f"{path}: no such file; there is nothing to recover.")
    aside = next(Path(name) for n in count(1) if not os.path.lexists(name := f"{path}.damaged-{n}"))
    with storage_errors(path):
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        os.replace(path, aside)
        old = sqlite3.connect(f"{aside.as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        with open_store(path.parent) as store, store.writing() as connection:
            damaged = _copy(old, connection)
            events = rebuild_state(connection)
            [(items,)] = connection.execute("SELECT count(*) FROM items")
    finally:
        old.close()
    return RecoveryReport(items, events, damaged, str(aside))


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    """Copy every row that can be read and is whole; how many events were not."""
    damaged = 0
    for table, columns in _TABLES.items():
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        for row in _rows(old, table, columns):
            if table == "events" and not _is_whole(dict(zip(columns, row, strict=True)), new):
                damaged += 1
                continue
            with contextlib.suppress(sqlite3.IntegrityError):
                new.execute(insert, row)
    return damaged


def _is_whole(event: dict[str, Any], new: sqlite3.Connection) -> bool:
    content = [event[key] for key in ("client", "sequence", "annotator", "item", "action", "value")]
    try:
        if crc_of(*content) != event["crc"]:
            return False
    except (TypeError, ValueError):
        return False
    known = new.execute("SELECT 1 FROM items WHERE id = ?", (event["item"],)).fetchone()
    return event["item"] is None or known is not None


def _rows(old: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """All rows that can be read: from the front, and past damage by rowid where the table has one."""
    selected = f"SELECT {', '.join(columns)} FROM {table}"
    if columns[0] != "id":
        with contextlib.suppress(sqlite3.Error):
            yield from old.execute(selected)
        return
    last, step = 0, 1
    top = _greatest(old, table)
    while last < top:
        try:
            for row in old.execute(f"{selected} WHERE id > ? ORDER BY id", (last,)):
                yield row
                last, step = row[0], 1
            return
        except sqlite3.Error:
            # Damage after this row: the search goes on behind it, in growing steps.
            last, step = last + step, min(step * 2, 16)


def _greatest(old: sqlite3.Connection, table: str) -> int:
    for query in (f"SELECT max(id) FROM {table}", f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'"):
        with contextlib.suppress(sqlite3.Error):
            found = old.execute(query).fetchone()
            if found and isinstance(found[0], int):
                return found[0]
    return 10**6
