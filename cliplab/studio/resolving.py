"""One label for each item from those of several people, and the rows that an export or a training reads."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from adapters.data import agreed_spans, parted_labels
from cliplab.studio.state import IMPORTED


@dataclass(frozen=True)
class ResolvedLabel:
    """The label of an item.

    Attributes:
        item: Its number.
        label: The label; None where as many people say one thing as another. Several labels are one text, of
            ``adapters.data.joined_labels``.
        by: ``review`` (adjudicated), ``all`` (whoever labelled it agrees) or ``majority``; ``tie`` without a label.
        votes: People by label.
    """

    item: int
    label: str | None
    by: Literal["review", "all", "majority", "tie"]
    votes: dict[str, int]


@dataclass(frozen=True)
class Interval:
    """A labelled stretch of a video.

    Attributes:
        id: Its name, by the client that made it.
        item: The number of the video.
        annotator: Who labelled it.
        label: The label.
        start: In seconds of the stream's timestamps from the first frame.
        end: After the start.
    """

    id: str
    item: int
    annotator: str
    label: str
    start: float
    end: float


def resolve_votes(
    review: str | None, votes: dict[str, int]
) -> tuple[str | None, Literal["review", "all", "majority", "tie"]]:
    """The label of an item and what it follows from.

    Args:
        review: The adjudicated label; None: none.
        votes: People by label, at least one where there is no review.
    """
    if review is not None:
        return review, "review"
    ranked = Counter(votes).most_common(2)
    if len(ranked) == 1:
        return ranked[0][0], "all"
    return (None, "tie") if ranked[0][1] == ranked[1][1] else (ranked[0][0], "majority")


def read_labels(connection: sqlite3.Connection) -> list[ResolvedLabel]:
    """The label of each labelled item, in the order of the items.

    Args:
        connection: The open database.
    """
    # A label of a file counts only where no person gave one.
    votes: dict[int, dict[str, int]] = {}
    for item, label, people in connection.execute(
        "SELECT item, label, count(*) FROM current_labels AS given WHERE annotator <> ?1 OR NOT EXISTS (SELECT 1 FROM "
        "current_labels WHERE item = given.item AND annotator <> ?1) GROUP BY item, label ORDER BY item, label",
        (IMPORTED,),
    ):
        votes.setdefault(item, {})[label] = people
    reviews = dict(connection.execute("SELECT item, label FROM current_reviews").fetchall())
    found = []
    for item in sorted(votes.keys() | reviews.keys()):
        label, by = resolve_votes(reviews.get(item), votes.get(item, {}))
        found.append(ResolvedLabel(item, label, by, votes.get(item, {})))
    return found


def read_intervals(connection: sqlite3.Connection, item: int, annotator: str | None = None) -> list[Interval]:
    """The intervals of an item in the order of their starts.

    Args:
        connection: The open database.
        item: Its number.
        annotator: Only this person's; None: everybody's.
    """
    return [
        Interval(*row)
        for row in connection.execute(
            "SELECT id, item, annotator, label, start_seconds, end_seconds FROM current_intervals WHERE item = ?1 "
            "AND (?2 IS NULL OR annotator = ?2) ORDER BY start_seconds, end_seconds, id",
            (item, annotator),
        )
    ]


def export_rows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every resolved label and interval as a row, in the order of the items.

    Of a video that several people labelled, each moment has the label of more than half of them.

    Args:
        connection: The open database.

    Returns:
        Objects with item, kind, path, start_seconds, end_seconds, label (several as one text), labels, annotator (""
        for labels of several people), group, source, split and missing.
    """
    rows = connection.execute(
        "SELECT id, kind, path, start_seconds, end_seconds, group_name, source, split, missing FROM items ORDER BY id"
    )
    labels = {one.item: one.label for one in read_labels(connection) if one.label is not None}
    intervals: dict[int, dict[str, list[tuple[float, float, str]]]] = {}
    for item, annotator, *span in connection.execute(
        "SELECT item, annotator, start_seconds, end_seconds, label FROM current_intervals "
        "ORDER BY item, start_seconds, end_seconds, id"
    ):
        start, end, label = span
        intervals.setdefault(item, {}).setdefault(annotator, []).append((start, end, label))
    found = []
    for number, kind, path, start, end, group, source, split, missing in rows:
        shared = {"item": number, "kind": kind, "path": os.fsdecode(path), "group": group, "source": source}
        shared |= {"split": split, "missing": missing}
        spans = [(start, end, labels[number], "")] if number in labels else []
        people = intervals.get(number, {})
        who = next(iter(people)) if len(people) == 1 else ""
        spans += [(*span, who) for span in agreed_spans(people)] if people else []
        for begin, finish, label, annotator in spans:
            span = {"start_seconds": begin, "end_seconds": finish, "label": label, "annotator": annotator}
            span["labels"] = list(parted_labels(label))
            found.append({**shared, **span})
    return found
