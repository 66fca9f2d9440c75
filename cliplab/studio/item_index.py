"""All items of a list in a few bytes each, so that a page can move among 100,000 of them without asking."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplab.studio.queries import ItemFilter, conditions
from cliplab.studio.store import LabelStore

# Bits of the flags.
DISAGREE, FLAGGED, MISSING, OPEN, VIDEO = 1, 2, 4, 8, 16
OTHER_LABEL = 0xFFFF  # labelled with a class that is offered no more
SEVERAL = 0xFFFE  # several labels, or none of the classes: the row of the item says which


def read_index(store: LabelStore, filters: ItemFilter, annotator: str) -> bytes:
    """Return the numbers, own labels and flags of items, in the order of their numbers.

    Args:
        store: The label store.
        filters: Which items.
        annotator: Whose labels; those of others are not in it, because two people label without seeing each other's.

    Returns:
        Little-endian: for N items N uint32 of numbers, N uint16 of labels (0 for none, otherwise the class's place from
        1, ``SEVERAL`` or ``OTHER_LABEL``), and N uint8 of flags.
    """
    return store.unchanged(("index", filters, annotator), lambda connection: _index(connection, filters, annotator))


def first_to_label(store: LabelStore, annotator: str) -> int:
    """Return the number of the item with which an annotator begins.

    Args:
        store: The label store.
        annotator: Who labels.

    Returns:
        The first item without a label of theirs whose file is there; otherwise the first of all; 0 without items.
    """
    index = read_index(store, ItemFilter(), annotator)
    count = len(index) // 7
    labels, flags = np.frombuffer(index, "<u2", count, 4 * count), np.frombuffer(index, np.uint8, count, 6 * count)
    open_places = np.flatnonzero((labels == 0) & (flags & MISSING == 0))
    place = int(open_places[0]) if len(open_places) else 0
    return int(np.frombuffer(index, "<u4", count)[place]) if count else 0


def _index(connection: sqlite3.Connection, filters: ItemFilter, annotator: str) -> bytes:
    where, values = conditions(filters)
    # One number for each item and one for each own label: 100,000 rows in Python would take most of the time.
    items = (
        "SELECT items.id * 32 + items.disagree + 2 * items.flagged + 4 * (items.missing IS NOT NULL) "
        f"+ 8 * (items.done < items.wanted) + 16 * (items.kind = 'video') FROM items WHERE {where}"
    )
    own = (
        f"SELECT own.item * 65536 + CASE WHEN instr(own.label, char(31)) THEN {SEVERAL} ELSE "
        f"coalesce(classes.position + 1, {OTHER_LABEL}) END FROM current_labels AS own "
        "LEFT JOIN classes ON classes.name = own.label AND NOT classes.retired WHERE own.annotator = ?"
    )
    packed = np.sort(_numbers(connection, items, values))
    given = _numbers(connection, own, [annotator])
    numbers, labels = packed >> 5, np.zeros(len(packed), "<u2")
    places = np.searchsorted(numbers, given >> 16)
    known = places < len(numbers)
    known[known] = numbers[places[known]] == given[known] >> 16
    labels[places[known]] = given[known] & 0xFFFF
    return bytes(numbers.astype("<u4").tobytes() + labels.tobytes() + (packed & 31).astype(np.uint8).tobytes())


def _numbers(connection: sqlite3.Connection, query: str, values: Sequence[Any]) -> npt.NDArray[np.int64]:
    """The one column of a query."""
    return np.fromiter(chain.from_iterable(connection.execute(query, values)), np.int64)
