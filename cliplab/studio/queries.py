"""What a label store answers: items by pages, the next item, labels, and how far the work is."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from adapters.data import parted_labels
from adapters.errors import ConfigError

Want = Literal["unlabelled", "uncertain", "flagged", "disagree"]
State = Literal["unlabelled", "labelled", "open", "disagree", "flagged", "missing", "review"]
_COLUMNS = (
    "items.id, items.kind, items.fingerprint, items.path, items.start_seconds, items.end_seconds, items.width, "
    "items.height, items.group_name, items.source, items.split, items.missing, items.wanted, items.done, "
    "items.disagree, items.flagged"
)
_ATTRIBUTES = {"group_name": "group"}  # of ItemRow, where they differ from the column


@dataclass(frozen=True)
class ItemFilter:
    """Which items are meant; a value that is None or empty leaves none out.

    Attributes:
        kind: ``frame``, ``clip`` or ``video``.
        state: ``unlabelled`` (by nobody), ``labelled``, ``open`` (fewer people labelled it than are to), ``disagree``,
            ``flagged``, ``missing`` (its file is gone or was replaced), ``review`` (labelled, not yet adjudicated).
        label: A label that somebody gave it, or that it has an interval of.
        annotator: Somebody who labelled it.
        text: A part of its path, in any capitals.
        group: Its group.
        split: Its split.
        model: Whose scores the next three are about; None: of the model whose scores were stored last.
        score_below: Its best score is lower.
        score_above: Its best score is at least this.
        predicted: The label with its best score.
    """

    kind: str | None = None
    state: State | None = None
    label: str | None = None
    annotator: str | None = None
    text: str | None = None
    group: str | None = None
    split: str | None = None
    model: str | None = None
    score_below: float | None = None
    score_above: float | None = None
    predicted: str | None = None


@dataclass(frozen=True)
class ItemRow:
    """An item and its present state.

    Attributes:
        id: Its number.
        kind: ``frame``, ``clip`` or ``video``.
        fingerprint: Of the content of its file, hexadecimal.
        path: Its file: relative to the data folder, or absolute where it is outside of it.
        start_seconds: Of a clip, its start; of a frame, its timestamp in its source; None: the start, or unknown.
        end_seconds: Of a clip, its end; None: the end.
        width: Of its pictures, in pixels; None: not known.
        height: Likewise.
        group: Clips of one group are never in two splits.
        source: The footage that a frame was extracted from.
        split: ``train``, ``validation``, ``test`` or None.
        missing: ``gone`` or ``replaced`` where its file cannot be used; otherwise None.
        wanted: How many people are to label it.
        done: How many did.
        disagree: Whether they disagree and nobody has adjudicated.
        flagged: Whether somebody flagged it.
        labels: The label of each annotator; several as ``adapters.data.joined_labels`` makes one text of them.
        review: The adjudicated label, likewise; None: none.
        predicted: The best label of the latest model and its score; None: not scored.
    """

    id: int
    kind: str
    fingerprint: str
    path: str
    start_seconds: float | None
    end_seconds: float | None
    width: int | None
    height: int | None
    group: str
    source: str
    split: str | None
    missing: str | None
    wanted: int
    done: int
    disagree: bool
    flagged: bool
    labels: dict[str, str] = field(default_factory=dict)
    review: str | None = None
    predicted: tuple[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object; bytes of a path that are not UTF-8 are replaced."""
        return {**vars(self), "path": os.fsencode(self.path).decode("utf-8", "replace")}


def read_items(connection: sqlite3.Connection, after: int, limit: int, filters: ItemFilter) -> list[ItemRow]:
    """A page of items in the order of their numbers.

    Args:
        connection: The open database.
        after: The number of the last item of the page before; 0: the first page.
        limit: Maximum number of items.
        filters: Which items.
    """
    where, values = conditions(filters)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM items WHERE items.id > ? AND {where} ORDER BY items.id LIMIT ?",
        (after, *values, limit),
    ).fetchall()
    return _with_state(connection, rows)


def read_item(connection: sqlite3.Connection, number: int) -> ItemRow | None:
    """One item; None where there is none of this number.

    Args:
        connection: The open database.
        number: Its number.
    """
    rows = connection.execute(f"SELECT {_COLUMNS} FROM items WHERE id = ?", (number,)).fetchall()
    return next(iter(_with_state(connection, rows)), None)


def count_items(connection: sqlite3.Connection, filters: ItemFilter) -> int:
    """How many items there are.

    Args:
        connection: The open database.
        filters: Which items.
    """
    where, values = conditions(filters)
    [(count,)] = connection.execute(f"SELECT count(*) FROM items WHERE {where}", values)
    return int(count)


def next_number(connection: sqlite3.Connection, annotator: str, after: int, want: Want, now: float) -> int | None:
    """The next item that an annotator is to see; the search goes on at the first item after the last.

    Args:
        connection: The open database.
        annotator: The name.
        after: The item that is shown; 0: none.
        want: ``unlabelled``: not by this person, and by fewer people than are to label it. ``uncertain``: likewise, in
            the order of the queue "uncertain" where there is one, otherwise by the smallest margin of the latest
            model's scores. ``flagged`` and ``disagree``: items that are so.
        now: Seconds since 1970: leases of others that end later keep items from being offered.

    Returns:
        The number of the item; None where there is none.

    Raises:
        ConfigError: ``want`` is none of these.
    """
    if want not in get_args(Want):
        raise ConfigError(f"want must be one of {', '.join(get_args(Want))}, got {want!r:.80}")
    if want == "uncertain":
        return _next_uncertain(connection, annotator, after, now)
    for bounds in ((after, 2**62), (0, after)):
        if want == "unlabelled":
            query = f"{OPEN_FOR} AND items.id > ? AND items.id <= ?"
            values: tuple[Any, ...] = (annotator, annotator, now, *bounds)
        else:
            column = "flagged" if want == "flagged" else "disagree"
            query = f"{column} AND missing IS NULL AND items.id > ? AND items.id <= ? AND items.id <> ?"
            values = (*bounds, after)
        found = connection.execute(f"SELECT id FROM items WHERE {query} ORDER BY id LIMIT 1", values).fetchone()
        if found is not None:
            return int(found[0])
    return None


# Whether the column label has a class, alone or among several. Parameter: the class.
HOLDS = "instr(char(31) || label || char(31), char(31) || ? || char(31)) > 0"
# Parameters: annotator, annotator, now. Twice-labelled items may be leased by two.
OPEN_FOR = (
    "items.done < items.wanted AND items.missing IS NULL "
    "AND NOT EXISTS (SELECT annotator FROM current_labels WHERE item = items.id UNION ALL SELECT annotator FROM "
    "current_intervals WHERE item = items.id INTERSECT SELECT ?) "
    "AND (SELECT count(*) FROM leases WHERE item = items.id AND annotator <> ? AND until > ? AND annotator NOT IN "
    "(SELECT annotator FROM current_labels WHERE item = items.id UNION ALL SELECT annotator FROM current_intervals "
    "WHERE item = items.id)) < items.wanted - items.done"
)


def _next_uncertain(connection: sqlite3.Connection, annotator: str, after: int, now: float) -> int | None:
    """By the queue "uncertain", going on after the item that is shown; without a queue, by the smallest margin."""
    name: str | None
    place: tuple[int, ...]
    queued = connection.execute("SELECT 1 FROM queues WHERE name = 'uncertain' LIMIT 1").fetchone()
    if queued:
        source, order = "queues JOIN items ON items.id = queues.item WHERE name = ?", "(position <= ?), position"
        shown = connection.execute(
            "SELECT position FROM queues WHERE name = 'uncertain' AND item = ?", (after,)
        ).fetchone()
        name, place = "uncertain", (shown[0] if shown else -1,)
    else:
        source, order = "top_scores JOIN items ON items.id = top_scores.item WHERE model = ?", "margin"
        name, place = latest_model(connection), ()
    found = connection.execute(
        f"SELECT items.id FROM {source} AND {OPEN_FOR} AND items.id <> ? ORDER BY {order} LIMIT 1",
        (name, annotator, annotator, now, after, *place),
    ).fetchone()
    return None if found is None else int(found[0])


def latest_model(connection: sqlite3.Connection) -> str | None:
    """The model whose scores were stored last; None where there are none.

    Args:
        connection: The open database.
    """
    found = connection.execute("SELECT value FROM settings WHERE name = 'latest_model'").fetchone()
    return None if found is None else str(found[0])


def read_progress(connection: sqlite3.Connection) -> dict[str, Any]:
    """How far the work is.

    Args:
        connection: The open database.

    Returns:
        Counts: ``items`` (whose files exist), ``labelled`` (by at least one person), ``finished`` (by all who are to,
        or adjudicated), ``disagree``, ``flagged``, ``missing``, ``overlap`` (to be labelled by two), ``intervals``,
        ``events``, ``by_label`` and ``by_annotator`` (labels and intervals together).
    """
    names = ("items", "labelled", "finished", "disagree", "flagged", "overlap", "missing")
    row = connection.execute(
        "SELECT coalesce(sum(missing IS NULL), 0), coalesce(sum(missing IS NULL AND done > 0), 0), "
        "coalesce(sum(missing IS NULL AND done >= wanted), 0), coalesce(sum(disagree), 0), coalesce(sum(flagged), 0), "
        "coalesce(sum(wanted > 1), 0), coalesce(sum(missing IS NOT NULL), 0) FROM items"
    ).fetchone()
    by_label: Counter[str] = Counter()
    by_annotator: Counter[str] = Counter()
    for table in ("current_labels", "current_intervals"):
        for label, annotator, count in connection.execute(
            f"SELECT label, annotator, count(*) FROM {table} GROUP BY label, annotator"
        ):
            by_label.update(dict.fromkeys(parted_labels(label), count))
            by_annotator[annotator] += count
    [(intervals,)] = connection.execute("SELECT count(*) FROM current_intervals")
    [(events,)] = connection.execute("SELECT coalesce(max(id), 0) FROM events")
    return {
        **dict(zip(names, row, strict=True)),
        "intervals": intervals,
        "events": events,
        "by_label": dict(by_label),
        "by_annotator": dict(by_annotator),
    }


def conditions(filters: ItemFilter) -> tuple[str, list[Any]]:
    """The WHERE of a filter and its values.

    Args:
        filters: Which items.

    Raises:
        ConfigError: The state is not one of those known.
    """
    parts, values = ["1 = 1"], list[Any]()

    def add(part: str, *given: Any) -> None:
        parts.append(part)
        values.extend(given)

    for column, value in (("kind", filters.kind), ("group_name", filters.group), ("split", filters.split)):
        if value:
            add(f"items.{column} = ?", value)
    if filters.state:
        if filters.state not in _STATES:
            raise ConfigError(f"state must be one of {', '.join(_STATES)}, got {filters.state!r:.80}")
        add(_STATES[filters.state])
    if filters.label:
        add(
            f"(EXISTS (SELECT 1 FROM current_labels WHERE item = items.id AND {HOLDS}) OR "
            "EXISTS (SELECT 1 FROM current_intervals WHERE item = items.id AND label = ?))",
            filters.label,
            filters.label,
        )
    if filters.annotator:
        add("EXISTS (SELECT 1 FROM current_labels WHERE item = items.id AND annotator = ?)", filters.annotator)
    if filters.text:
        add("instr(lower(CAST(items.path AS TEXT)), lower(?)) > 0", filters.text)
    _add_scores(filters, add)
    return " AND ".join(parts), values


_STATES: dict[str, str] = {
    "unlabelled": "items.done = 0 AND items.missing IS NULL",
    "labelled": "items.done > 0",
    "open": "items.done < items.wanted AND items.missing IS NULL",
    "disagree": "items.disagree",
    "flagged": "items.flagged",
    "missing": "items.missing IS NOT NULL",
    "review": "items.done > 0 AND NOT EXISTS (SELECT 1 FROM current_reviews WHERE item = items.id)",
}


def _add_scores(filters: ItemFilter, add: Any) -> None:
    tests, values = [], list[Any]()
    for test, value in (
        ("score < ?", filters.score_below),
        ("score >= ?", filters.score_above),
        ("label = ?", filters.predicted),
    ):
        if value is not None:
            tests.append(test)
            values.append(value)
    if tests or filters.model is not None:
        # With one model its index finds the row of an item.
        model = "?" if filters.model is not None else "(SELECT value FROM settings WHERE name = 'latest_model')"
        given = [] if filters.model is None else [filters.model]
        conditions = " AND ".join([f"model = {model}", "item = items.id", *tests])
        add(f"EXISTS (SELECT 1 FROM top_scores WHERE {conditions})", *given, *values)


def _with_state(connection: sqlite3.Connection, rows: list[Any]) -> list[ItemRow]:
    """Rows of items with their labels, reviews and predictions."""
    numbers = [row[0] for row in rows]
    marks = ", ".join("?" * len(numbers))
    labels: dict[int, dict[str, str]] = {}
    for item, annotator, label in connection.execute(
        f"SELECT item, annotator, label FROM current_labels WHERE item IN ({marks})", numbers
    ):
        labels.setdefault(item, {})[annotator] = label
    reviews = dict(
        connection.execute(f"SELECT item, label FROM current_reviews WHERE item IN ({marks})", numbers).fetchall()
    )
    scored = connection.execute(
        f"SELECT item, label, score FROM top_scores WHERE model = ? AND item IN ({marks})",
        (latest_model(connection), *numbers),
    )
    best = {item: (label, score) for item, label, score in scored}
    names = [name.partition(".")[2] for name in _COLUMNS.split(", ")]
    found = []
    for row in rows:
        values = {_ATTRIBUTES.get(name, name): value for name, value in zip(names, row, strict=True)}
        values |= {"path": os.fsdecode(values["path"]), "labels": labels.get(values["id"], {})}
        values |= {"review": reviews.get(values["id"]), "predicted": best.get(values["id"])}
        found.append(ItemRow(**values | {name: bool(values[name]) for name in ("disagree", "flagged")}))
    return found
