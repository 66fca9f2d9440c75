"""What a label store answers: items, classes, labels, progress and scores, each from one state of the database."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from adapters.errors import DatasetError
from cliplab.studio import classes as class_table
from cliplab.studio import queries, resolving, scores
from cliplab.studio.classes import LabelClass
from cliplab.studio.events import LabelEvent
from cliplab.studio.queries import ItemFilter, ItemRow, Want
from cliplab.studio.resolving import Interval, ResolvedLabel
from cliplab.studio.store_connections import StoreConnections

MAX_PAGE = 10_000
_EVERYTHING = ItemFilter()


class StoreReading(StoreConnections):
    """Everything that is read of a label store. Reading does not wait for who writes."""

    def version(self) -> int:
        """The id of the last event: another number where something has changed."""
        return int(self._one("SELECT coalesce(max(id), 0) FROM events"))

    def events(self, after: int = 0, limit: int = 1000) -> list[tuple[int, LabelEvent]]:
        """Events in the order in which they were stored, with their ids.

        Args:
            after: The id of the last event of the page before.
            limit: Maximum number of events.
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

    def items(self, after: int = 0, limit: int = 200, *, filters: ItemFilter = _EVERYTHING) -> list[ItemRow]:
        """A page of items in the order of their numbers.

        Args:
            after: The number of the last item of the page before; 0: the first page.
            limit: Maximum number of items, up to MAX_PAGE.
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

    def classes(self, retired: bool = False) -> list[LabelClass]:
        """The classes in their order.

        Args:
            retired: Whether those that are offered no more are among them.
        """
        with self.reading() as connection:
            return class_table.read_classes(connection, retired)

    def progress(self) -> dict[str, Any]:
        """How far the work is; see ``queries.read_progress``."""
        return dict(self.unchanged("progress", queries.read_progress))

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

    def scores(self, item: int, model: str | None = None) -> dict[str, float]:
        """What a model says of an item, by label, the best first.

        Args:
            item: Its number.
            model: The name of the model; None: the one whose scores were stored last.
        """
        with self.reading() as connection:
            return scores.read_scores(connection, item, model)

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

    def setting(self, name: str) -> str:
        """A setting of the store; "" where it was never set.

        Args:
            name: Its name.
        """
        return next((str(row[0]) for row in self._read("SELECT value FROM settings WHERE name = ?", (name,))), "")

    def known_files(self) -> list[tuple[bytes, int, int, str]]:
        """Path, size, time and fingerprint of the files that were read; see ``items.fill_items``."""
        return self._read("SELECT path, size, mtime_ns, fingerprint FROM files")
