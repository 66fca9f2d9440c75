"""The label store of a studio: what people did is stored once and for good, and the present state follows from it.

One SQLite file, ``labels.db`` in the data folder. ``schema.sql`` describes its tables, ``state.py`` how the state
follows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from cliplab.studio import classes as class_table
from cliplab.studio import queries, scores
from cliplab.studio.appending import Appended, append_events
from cliplab.studio.database import FILE_NAME, open_database, storage_errors
from cliplab.studio.events import LabelEvent, check_name
from cliplab.studio.state import rebuild_state, refresh_wanted
from cliplab.studio.store_reading import MAX_PAGE, StoreReading

SEVERAL_LABELS = "several_labels"  # the setting: "1" where an item may have several labels


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


class LabelStore(StoreReading):
    """An open label store. Methods may be called from several threads; several processes may have it open.

    What is read of it is in ``StoreReading``, its transactions are in ``StoreConnections``.
    """

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
            count: Maximum number of items.
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
