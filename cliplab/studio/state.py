"""The present state of a label store, which follows from its events: one function applies an event.

The events of one subject of one item (see ``events.subject_of``) that are not undone make its present state, in the
order in which they were stored. So an undo, of any event at any time, computes one subject again.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from cliplab.studio.classes import class_of, label_text
from cliplab.studio.events import LabelEvent

# The tables that follow from events.
_DERIVED = (
    "undone",
    "current_labels",
    "current_reviews",
    "current_intervals",
    "interval_ids",
    "current_notes",
    "current_flags",
    "leases",
)
# Labels of other programs' files count as an annotator's.
IMPORTED = "imported"


def apply_event(connection: sqlite3.Connection, number: int, event: LabelEvent, subject: str) -> None:
    """Bring the present state in step with an event that was stored last.

    Args:
        connection: A database in a transaction.
        number: The id of the event.
        event: The event.
        subject: Its subject.
    """
    if event.action in ("undo", "redo"):
        target = find_event(connection, event)
        assert target is not None
        if event.action == "undo":
            connection.execute("INSERT OR IGNORE INTO undone VALUES (?)", (target[0],))
        else:
            connection.execute("DELETE FROM undone WHERE event = ?", (target[0],))
        _compute_anew(connection, event.item, subject)
    else:
        _change(connection, number, event)
    if event.item is not None:
        refresh_item(connection, event.item)


def find_event(connection: sqlite3.Connection, event: LabelEvent) -> tuple[int, str, str, str, int | None] | None:
    """The event that an undo or redo names.

    Args:
        connection: The open database.
        event: The undo or redo.

    Returns:
        Its id, action, subject, annotator and item; None where there is none.
    """
    found = connection.execute(
        "SELECT id, action, subject, annotator, item FROM events WHERE client = ? AND sequence = ?",
        (event.value["client"], event.value["sequence"]),
    ).fetchone()
    return None if found is None else tuple(found)


def refresh_item(connection: sqlite3.Connection, item: int) -> None:
    """Compute again how many people labelled an item, whether they disagree, and whether it is flagged.

    Args:
        connection: A database in a transaction.
        item: Its number.
    """
    connection.execute(
        "UPDATE items SET done = CASE WHEN EXISTS (SELECT 1 FROM current_reviews WHERE item = ?1) THEN max(wanted, 1) "
        "ELSE (SELECT count(*) FROM (SELECT annotator FROM current_labels WHERE item = ?1 UNION "
        "SELECT annotator FROM current_intervals WHERE item = ?1)) END, "
        "disagree = (SELECT count(DISTINCT label) > 1 FROM current_labels WHERE item = ?1 AND annotator <> ?2) "
        "AND NOT EXISTS (SELECT 1 FROM current_reviews WHERE item = ?1), "
        "flagged = EXISTS (SELECT 1 FROM current_flags WHERE item = ?1) WHERE id = ?1",
        (item, IMPORTED),
    )


def rebuild_state(connection: sqlite3.Connection) -> int:
    """Make everything that follows from the events again.

    Args:
        connection: A database in a transaction.

    Returns:
        The number of events.
    """
    for table in _DERIVED:
        connection.execute(f"DELETE FROM {table}")
    refresh_wanted(connection)
    connection.execute("UPDATE items SET done = 0, disagree = 0, flagged = 0")
    count = 0
    for _, _, event in _stored(connection, "1 = 1"):
        if event.action in ("undo", "redo"):
            # Only noted: the subjects are computed once, below, in which undone events have no part.
            target = find_event(connection, event)
            assert target is not None
            if event.action == "undo":
                connection.execute("INSERT OR IGNORE INTO undone VALUES (?)", (target[0],))
            else:
                connection.execute("DELETE FROM undone WHERE event = ?", (target[0],))
        elif event.action == "interval":
            _know_interval(connection, event)
        count += 1
    for number, _, event in _stored(connection, "id NOT IN (SELECT event FROM undone)"):
        if event.action not in ("undo", "redo"):
            _change(connection, number, event)
    for (item,) in connection.execute("SELECT DISTINCT item FROM events WHERE item IS NOT NULL").fetchall():
        refresh_item(connection, item)
    return count


def refresh_wanted(connection: sqlite3.Connection) -> None:
    """Set how many people are to label each item: two for the share that is labelled twice.

    Args:
        connection: A database in a transaction.
    """
    found = connection.execute("SELECT value FROM settings WHERE name = 'overlap_percent'").fetchone()
    percent = float(found[0]) if found else 0.0
    connection.execute("UPDATE items SET wanted = CASE WHEN overlap * 100 < ? THEN 2 ELSE 1 END", (percent,))
    connection.execute("UPDATE items SET done = max(wanted, 1) WHERE id IN (SELECT item FROM current_reviews)")


def _compute_anew(connection: sqlite3.Connection, item: int | None, subject: str) -> None:
    """Compute one subject from its events."""
    kind, _, name = subject.partition(":")
    if kind == "interval":
        connection.execute("DELETE FROM current_intervals WHERE id = ?", (name,))
    elif kind == "review":
        connection.execute("DELETE FROM current_reviews WHERE item = ?", (item,))
    else:
        table = {"label": "current_labels", "note": "current_notes", "flag": "current_flags"}[kind]
        connection.execute(f"DELETE FROM {table} WHERE item = ? AND annotator = ?", (item, name))
    where = (
        "item = ? AND subject = ? AND action NOT IN ('undo', 'redo') AND NOT EXISTS "
        "(SELECT 1 FROM undone WHERE event = events.id)"
    )
    for number, _, event in list(_stored(connection, where, (item, subject))):
        _change(connection, number, event)


def _stored(connection: sqlite3.Connection, where: str, values: tuple[Any, ...] = ()) -> Any:
    rows = connection.execute(
        f"SELECT id, subject, client, sequence, annotator, item, action, value, at FROM events WHERE {where} "
        "ORDER BY id",
        values,
    )
    for number, subject, client, sequence, annotator, item, action, value, at in rows:
        yield number, subject, LabelEvent(client, sequence, annotator, item, action, json.loads(value), at)


def _know_interval(connection: sqlite3.Connection, event: LabelEvent) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO interval_ids VALUES (?, ?, ?)", (event.value["interval"], event.item, event.annotator)
    )


def _change(connection: sqlite3.Connection, number: int, event: LabelEvent) -> None:
    """What an event other than undo and redo does."""
    value, item, who = event.value, event.item, event.annotator
    run = connection.execute
    if event.action == "label":
        label = label_text(connection, value)
        run("INSERT OR REPLACE INTO current_labels VALUES (?, ?, ?, ?, ?)", (item, who, label, number, event.at))
    elif event.action == "clear":
        run("DELETE FROM current_labels WHERE item = ? AND annotator = ?", (item, who))
    elif event.action == "review":
        label = label_text(connection, value)
        run("INSERT OR REPLACE INTO current_reviews VALUES (?, ?, ?, ?, ?)", (item, who, label, number, event.at))
    elif event.action == "note":
        run("DELETE FROM current_notes WHERE item = ? AND annotator = ?", (item, who))
        if value["text"]:
            run("INSERT INTO current_notes VALUES (?, ?, ?, ?)", (item, who, value["text"], number))
    elif event.action == "flag":
        run("DELETE FROM current_flags WHERE item = ? AND annotator = ?", (item, who))
        if value["on"]:
            run("INSERT INTO current_flags VALUES (?, ?, ?)", (item, who, number))
    elif event.action == "lease":
        run("DELETE FROM leases WHERE annotator = ?", (who,))
        rows = [(leased, who, value["until"], number) for leased in value["items"]]
        connection.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", rows)
    else:
        _change_interval(connection, number, event)


def _change_interval(connection: sqlite3.Connection, number: int, event: LabelEvent) -> None:
    value, name = event.value, event.value["interval"]
    if event.action == "delete":
        connection.execute("DELETE FROM current_intervals WHERE id = ?", (name,))
        return
    edges = (float(value["start"]), float(value["end"]))
    if event.action == "interval":
        _know_interval(connection, event)
        label = class_of(connection, value["label"])
        connection.execute(
            "INSERT OR REPLACE INTO current_intervals VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, event.item, event.annotator, label, *edges, number),
        )
        return
    new_label = class_of(connection, value["label"]) if "label" in value else None
    # Of an interval that was deleted in another tab there is nothing to move.
    connection.execute(
        "UPDATE current_intervals SET start_seconds = ?, end_seconds = ?, label = coalesce(?, label), event = ? "
        "WHERE id = ?",
        (*edges, new_label, number, name),
    )
