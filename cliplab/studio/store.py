"""The label store of a studio: what people did is stored once and for good, and the present state follows from it.

One SQLite file, ``labels.db`` in the data folder. ``schema.sql`` describes its tables, ``state.py`` how the state
follows.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, DatasetError, StorageError
from cliplab.studio import classes as class_table
from cliplab.studio import queries, resolving, scores
from cliplab.studio.appending import Appended, append_events
from cliplab.studio.classes import LabelClass
from cliplab.studio.database import FILE_NAME, connect, open_database, storage_errors
from cliplab.studio.events import LabelEvent, check_name
from cliplab.studio.queries import ItemFilter, ItemRow, Want
from cliplab.studio.resolving import Interval, ResolvedLabel
from cliplab.studio.state import rebuild_state, refresh_wanted

MAX_PAGE = 10_000
SEVERAL_LABELS = "several_labels"  # the setting: "1" where an item may have several labels
_EVERYTHING = ItemFilter()


def open_store(data_dir: str | Path, labels: Sequence[str] | None = None) -> LabelStore:
    """Open the label store of a folder; it is made if needed.

    A store that cannot be written is opened for reading: ``LabelStore.read_only`` says why.

    Args:
        data_dir: The data folder.
        labels: The classes in their order; None leaves those that the store has.

    Raises:
        StorageError: The store is damaged, of another program or of a newer version, or cannot be made.
        DatasetError: The name of a class is not allowed.
    """
    folder = Path(data_dir).absolute()
    path = folder / FILE_NAME
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
    connection, reason = open_database(path)
    store = LabelStore(folder, connection, reason)
    if labels is not None and not reason:
        try:
            store.set_classes(labels)
        except BaseException:
            store.close()
            raise
    return store


class LabelStore:
    """An open label store. Methods may be called from several threads; several processes may have it open.

    Args:
        folder: The data folder, absolute.
        connection: The database, for writing where it can be written.
        read_only: Why it cannot be written; "": it can.

    Attributes:
        folder: The data folder, absolute.
        path: The SQLite file.
        read_only: Why nothing can be stored; "" where it can.
        notes: Sentences for the annotators, such as that labels of a retired class stay.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, read_only: str) -> None:
        self.folder, self.path, self.read_only = folder, folder / FILE_NAME, read_only
        self.notes: list[str] = []
        self._writer, self._lock = connection, threading.RLock()
        self._pool_lock = threading.Lock()  # of its own: who reads does not wait for who writes
        self._readers: list[sqlite3.Connection] = []
        self._closed = False

    def close(self) -> None:
        """Close the file. What was stored is safe without it too."""
        with self._lock:
            with self._pool_lock:
                self._closed = True
                while self._readers:
                    self._readers.pop().close()
            self._writer.close()

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Events -----------------------------------------------------------------------------------------------------------

    def append(self, events: Iterable[LabelEvent]) -> Appended:
        """Store events. When it returns, what it calls durable survives a kill and a power cut.

        Args:
            events: What people did, in the order of each client's numbers. An event that is stored already is durable
                and not applied twice.

        Returns:
            What is durable, what was refused and why, and what this call added.

        Raises:
            StorageError: Nothing of the batch was stored: the disk is full, or the file read-only, locked or damaged.
        """
        listed = list(events)
        with self.writing() as connection:
            return append_events(connection, listed)

    def lease(self, annotator: str, count: int, seconds: float) -> list[int]:
        """Reserve the next items for an annotator, so that nobody else is offered them. Former leases of theirs end.

        Args:
            annotator: The name.
            count: The most items.
            seconds: How long.

        Returns:
            Numbers of items that this person has not labelled, in their order.

        Raises:
            StorageError: The store cannot be written.
            DatasetError: The name is not allowed.
        """
        check_name(annotator, "annotator")
        if not 0 <= count <= MAX_PAGE or not 0 < seconds <= 7 * 86400:
            raise ConfigError(
                f"a lease must be for 0 to {MAX_PAGE} items and up to 7 days, got {count!r} for {seconds!r} s"
            )
        now = time.time()
        with self.writing() as connection:
            rows = connection.execute(
                f"SELECT id FROM items WHERE {queries.OPEN_FOR} ORDER BY id LIMIT ?", (annotator, annotator, now, count)
            )
            numbers = [int(row[0]) for row in rows]
            client = f"lease of {annotator}"[:200]
            [(last,)] = connection.execute("SELECT coalesce(max(sequence), 0) FROM events WHERE client = ?", (client,))
            value = {"items": numbers, "until": now + seconds}
            append_events(connection, [LabelEvent(client, last + 1, annotator, None, "lease", value, now)])
        return numbers

    def rebuild(self) -> int:
        """Make the present state again from the events alone.

        Returns:
            The number of events.

        Raises:
            StorageError: The store cannot be written.
        """
        with self.writing() as connection:
            return rebuild_state(connection)

    def version(self) -> int:
        """The id of the last event: another number where something has changed."""
        return int(self._one("SELECT coalesce(max(id), 0) FROM events"))

    def events(self, after: int = 0, limit: int = 1000) -> list[tuple[int, LabelEvent]]:
        """Events in the order in which they were stored, with their ids.

        Args:
            after: The id of the last event of the page before.
            limit: The most events.
        """
        rows = self._read(
            "SELECT id, client, sequence, annotator, item, action, value, at FROM events WHERE id > ? "
            "ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [
            (number, LabelEvent(client, sequence, annotator, item, action, json.loads(value), at))
            for number, client, sequence, annotator, item, action, value, at in rows
        ]

    def last_sequence(self, client: str) -> int:
        """The greatest number of a client that is stored; -1 for none.

        Args:
            client: The name of the client.
        """
        return int(self._one("SELECT coalesce(max(sequence), -1) FROM events WHERE client = ?", client))

    # Items ------------------------------------------------------------------------------------------------------------

    def items(self, after: int = 0, limit: int = 200, *, filters: ItemFilter = _EVERYTHING) -> list[ItemRow]:
        """A page of items in the order of their numbers.

        Args:
            after: The number of the last item of the page before; 0: the first page.
            limit: The most items, up to MAX_PAGE.
            filters: Which items.
        """
        with self.reading() as connection:
            return queries.read_items(connection, after, min(limit, MAX_PAGE), filters)

    def item(self, number: int) -> ItemRow:
        """One item.

        Args:
            number: Its number.

        Raises:
            DatasetError: There is none of this number.
        """
        with self.reading() as connection:
            found = queries.read_item(connection, number) if 0 < number < 2**63 else None
        if found is None:
            raise DatasetError(f"there is no item {number} in {self.folder}")
        return found

    def count(self, filters: ItemFilter = _EVERYTHING) -> int:
        """How many items there are.

        Args:
            filters: Which items.
        """
        with self.reading() as connection:
            return queries.count_items(connection, filters)

    def next_item(self, annotator: str, after: int = 0, *, want: Want = "unlabelled") -> ItemRow | None:
        """The next item that an annotator is to see; None where there is none. See ``queries.next_number``.

        Args:
            annotator: The name.
            after: The item that is shown; 0: none.
            want: ``unlabelled``, ``uncertain``, ``flagged`` or ``disagree``.
        """
        with self.reading() as connection:
            number = queries.next_number(connection, annotator, after, want, time.time())
            return None if number is None else queries.read_item(connection, number)

    def media_path(self, item: ItemRow) -> Path:
        """The absolute path of an item's file.

        Args:
            item: The item.
        """
        return self.folder / item.path

    # Classes ----------------------------------------------------------------------------------------------------------

    def classes(self, retired: bool = False) -> list[LabelClass]:
        """The classes in their order.

        Args:
            retired: Whether those that are offered no more are among them.
        """
        with self.reading() as connection:
            return class_table.read_classes(connection, retired)

    def set_classes(self, names: Sequence[str]) -> list[str]:
        """Set all classes and their order; others are retired, and their labels stay.

        Args:
            names: The names.

        Returns:
            A sentence for each class that is retired while labels have it; they are in ``notes`` too.

        Raises:
            DatasetError: A name is not allowed.
            StorageError: The store cannot be written.
        """
        with self.writing() as connection:
            notes = class_table.write_classes(connection, names)
        self.notes = notes
        return notes

    def rename_class(self, old: str, new: str) -> None:
        """Give a class another name; labels follow, also those that are typed by the old name later.

        Args:
            old: Its present name.
            new: Its new name.

        Raises:
            DatasetError: There is no such class, or the new name is another class.
            StorageError: The store cannot be written.
        """
        with self.writing() as connection:
            class_table.rename(connection, old, new)

    # Labels, progress and scores --------------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """How far the work is; see ``queries.read_progress``."""
        with self.reading() as connection:
            return queries.read_progress(connection)

    def labels(self, resolved: bool = True) -> list[ResolvedLabel]:
        """The label of each labelled item: the adjudicated one, otherwise that of most annotators.

        Args:
            resolved: Leave out items of which annotators disagree half and half.
        """
        with self.reading() as connection:
            return [one for one in resolving.read_labels(connection) if one.label is not None or not resolved]

    def intervals(self, item: int, annotator: str | None = None) -> list[Interval]:
        """The intervals of an item in the order of their starts.

        Args:
            item: Its number.
            annotator: Only this person's; None: everybody's.
        """
        with self.reading() as connection:
            return resolving.read_intervals(connection, item, annotator)

    def notes_of(self, item: int) -> dict[str, str]:
        """The note of each annotator on an item.

        Args:
            item: Its number.
        """
        return dict(self._read("SELECT annotator, text FROM current_notes WHERE item = ?", (item,)))

    def set_overlap(self, percent: float) -> None:
        """Set the share of items that two people label, each without seeing the other's label.

        Args:
            percent: From 0 to 100. Which items they are depends on their content alone.

        Raises:
            ConfigError: It is no such number.
            StorageError: The store cannot be written.
        """
        if not 0 <= percent <= 100:
            raise ConfigError(f"overlap must be a percentage from 0 to 100, got {percent!r}")
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('overlap_percent', ?)", (str(float(percent)),))
            refresh_wanted(connection)

    def set_scores(self, model: str, rows: Iterable[tuple[int, str, float]]) -> int:
        """Replace what a model says of items.

        Args:
            model: The name of the model.
            rows: Number of an item, label, and score in 0..1.

        Returns:
            How many items have scores now.

        Raises:
            DatasetError: A score is not a number from 0 to 1.
            StorageError: The store cannot be written.
        """
        with self.writing() as connection:
            return scores.write_scores(connection, model, rows)

    def scores(self, item: int, model: str | None = None) -> dict[str, float]:
        """What a model says of an item, by label, the best first.

        Args:
            item: Its number.
            model: The name of the model; None: the one whose scores were stored last.
        """
        with self.reading() as connection:
            return scores.read_scores(connection, item, model)

    def set_queue(self, name: str, items: Sequence[int]) -> None:
        """Set an order in which items are to be reviewed.

        Args:
            name: Such as ``uncertain``, which ``next_item`` follows.
            items: Numbers of items, the first to be seen first; empty removes the queue.

        Raises:
            StorageError: The store cannot be written.
        """
        with self.writing() as connection:
            connection.execute("DELETE FROM queues WHERE name = ?", (name,))
            unique = dict.fromkeys(items)
            connection.executemany("INSERT INTO queues VALUES (?, ?, ?)", [(name, n, i) for n, i in enumerate(unique)])

    def queue(self, name: str) -> list[int]:
        """The items of a queue in their order.

        Args:
            name: The queue.
        """
        return [int(row[0]) for row in self._read("SELECT item FROM queues WHERE name = ? ORDER BY position", (name,))]

    def export_rows(self) -> list[dict[str, Any]]:
        """Every resolved label and interval as a row: path, kind, start_seconds, end_seconds, label and so on."""
        with self.reading() as connection:
            return resolving.export_rows(connection)

    # Settings and files -----------------------------------------------------------------------------------------------

    def setting(self, name: str) -> str:
        """A setting of the store; "" where it was never set.

        Args:
            name: Its name.
        """
        return next((str(row[0]) for row in self._read("SELECT value FROM settings WHERE name = ?", (name,))), "")

    def set_setting(self, name: str, value: str) -> None:
        """Set a setting of the store.

        Args:
            name: Its name.
            value: Its value.

        Raises:
            StorageError: The store cannot be written.
        """
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def known_files(self) -> list[tuple[bytes, int, int, str]]:
        """Path, size, time and fingerprint of the files that were read; see ``items.fill_items``."""
        return self._read("SELECT path, size, mtime_ns, fingerprint FROM files")

    def remember_files(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Keep the fingerprints of files.

        Args:
            rows: Path, size, time and fingerprint of each.

        Raises:
            StorageError: The store cannot be written.
        """
        if rows:
            with self.writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)

    # Connections ------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is stored and durable when the block ends, or nothing of it.

        Yields:
            The database.

        Raises:
            StorageError: It cannot be written.
        """
        with self._lock, storage_errors(self.path):
            if self.read_only:
                raise StorageError(
                    f"{self.read_only}. Nothing was stored. Make the file and its folder writable, and start "
                    "the studio again."
                )
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk has ended the transaction already.
                with contextlib.suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading, which does not wait for writers; all reads of the block see one state.

        Yields:
            The database.

        Raises:
            StorageError: It cannot be read.
        """
        with storage_errors(self.path):
            with self._pool_lock:
                if self._closed:
                    raise StorageError(f"{self.path}: the store is closed")
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = connect(self.path, read_only=bool(self.read_only))
                connection.execute("PRAGMA query_only = ON")
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                with self._pool_lock:
                    if self._closed:
                        connection.close()
                    else:
                        self._readers.append(connection)

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self.reading() as connection:
            return connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        return self._read(query, values)[0][0]
