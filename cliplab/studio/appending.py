"""Storing events: each once, all of a batch in one transaction, and what is refused with its reason."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from adapters.errors import DatasetError
from cliplab.studio.classes import class_of
from cliplab.studio.events import LabelEvent, check_event, crc_of, label_names, subject_of
from cliplab.studio.state import IMPORTED, apply_event, find_event


@dataclass(frozen=True)
class Refused:
    """An event that was not stored.

    Attributes:
        client: Its client.
        sequence: Its number.
        error: What is wrong with it.
    """

    client: str
    sequence: int
    error: str


@dataclass(frozen=True)
class Appended:
    """What became of a batch of events.

    Attributes:
        durable: By client, the numbers of the events that are stored, also those that were stored before.
        refused: The events that were not stored.
        applied: The events that this call stored, with their ids; repeated ones are not among them.
    """

    durable: dict[str, list[int]] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    applied: list[tuple[int, LabelEvent]] = field(default_factory=list)


def append_events(connection: sqlite3.Connection, events: Iterable[LabelEvent]) -> Appended:
    """Store events in their order. One that is refused does not keep the others from being stored.

    Args:
        connection: A database in a transaction.
        events: What people did.
    """
    result = Appended()
    for event in events:
        try:
            check_event(event)
            number = _append(connection, event)
        except DatasetError as error:
            result.refused.append(Refused(event.client, event.sequence, str(error)))
            continue
        result.durable.setdefault(event.client, []).append(event.sequence)
        if number is not None:
            result.applied.append((number, event))
    return result


def _append(connection: sqlite3.Connection, event: LabelEvent) -> int | None:
    """The id of the event; None where it was stored before."""
    value = event.value_text()
    content = (event.annotator, event.item, event.action, value)
    known = connection.execute(
        "SELECT annotator, item, action, value FROM events WHERE client = ? AND sequence = ?",
        (event.client, event.sequence),
    ).fetchone()
    if known is not None:
        if tuple(known) != content:
            raise DatasetError(
                f"number {event.sequence} of client {event.client!r} was stored before as {known[2]} of item "
                f"{known[1]} by {known[0]!r} with {known[3]:.200}, and is now {event.action} of item {event.item}. "
                "A client must give each event its own number"
            )
        return None
    subject = _checked_subject(connection, event)
    crc = crc_of(event.client, event.sequence, *content)
    row = (event.client, event.sequence, float(event.at), time.time(), *content, subject, crc)
    done = connection.execute(
        "INSERT INTO events (client, sequence, at, received, annotator, item, action, value, subject, crc) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    assert done.lastrowid is not None
    apply_event(connection, done.lastrowid, event, subject)
    return done.lastrowid


def _checked_subject(connection: sqlite3.Connection, event: LabelEvent) -> str:
    """The subject of an event, after the checks that need a look into the store."""
    if event.item is not None and not connection.execute("SELECT 1 FROM items WHERE id = ?", (event.item,)).fetchone():
        raise DatasetError(f"there is no item {event.item}. Reload the page")
    if event.action in ("undo", "redo"):
        return _undone_subject(connection, event)
    for name in label_names(event.value):
        class_of(connection, name)
    if "interval" in event.value:
        _check_interval(connection, event)
    return subject_of(event)


def _undone_subject(connection: sqlite3.Connection, event: LabelEvent) -> str:
    target = find_event(connection, event)
    named = f"number {event.value['sequence']} of client {event.value['client']!r}"
    if target is None:
        raise DatasetError(f"{named} is not stored, so there is nothing to {event.action}")
    _, action, subject, annotator, item = target
    if action in ("undo", "redo", "lease"):
        raise DatasetError(f"{named} is {action}, which cannot be undone; give the event that it refers to")
    if annotator != event.annotator:
        raise DatasetError(f"{named} is by {annotator!r}; only that person can {event.action} it")
    if item != event.item:
        raise DatasetError(f"{named} is about item {item}, not {event.item}")
    return subject


def _check_interval(connection: sqlite3.Connection, event: LabelEvent) -> None:
    name = event.value["interval"]
    known = connection.execute("SELECT item, annotator FROM interval_ids WHERE id = ?", (name,)).fetchone()
    if known is None:
        if event.action != "interval":
            raise DatasetError(f"there is no interval {name!r:.80} to {event.action}")
        return
    item, owner = known
    if item != event.item:
        raise DatasetError(f"interval {name!r:.80} is of item {item}, not {event.item}")
    if owner not in (event.annotator, IMPORTED):
        raise DatasetError(f"interval {name!r:.80} is by {owner!r}; add one of your own, or review the item")
