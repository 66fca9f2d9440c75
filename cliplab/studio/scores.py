"""What models say of the items of a label store."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable

from adapters.errors import DatasetError
from cliplab.studio.events import check_name
from cliplab.studio.queries import latest_model


def write_scores(connection: sqlite3.Connection, model: str, rows: Iterable[tuple[int, str, float]]) -> int:
    """Replace what a model says of items; it becomes the latest model.

    Args:
        connection: A database in a transaction.
        model: The name of the model.
        rows: Number of an item, label, and score in 0..1.

    Returns:
        How many items have scores now.

    Raises:
        DatasetError: A name or score is not allowed, or there is no such item.
    """
    check_name(model, "model")
    by_item: dict[int, dict[str, float]] = {}
    for item, label, score in rows:
        check_name(label, "label")
        if not math.isfinite(score) or not 0 <= score <= 1:
            raise DatasetError(f"score of item {item} for {label!r} must be a number from 0 to 1, got {score!r}")
        by_item.setdefault(int(item), {})[label] = float(score)
    known = {row[0] for row in connection.execute("SELECT id FROM items")}
    if unknown := sorted(by_item.keys() - known):
        raise DatasetError(f"there is no item {unknown[0]}, for which {model!r} has scores")
    for table in ("scores", "top_scores"):
        connection.execute(f"DELETE FROM {table} WHERE model = ?", (model,))
    connection.executemany(
        "INSERT INTO scores VALUES (?, ?, ?, ?)",
        [(item, model, label, score) for item, found in by_item.items() for label, score in found.items()],
    )
    connection.executemany(
        "INSERT INTO top_scores VALUES (?, ?, ?, ?, ?)",
        [(item, model, *_best(found)) for item, found in by_item.items()],
    )
    connection.execute("INSERT OR REPLACE INTO settings VALUES ('latest_model', ?)", (model,))
    return len(by_item)


def _best(found: dict[str, float]) -> tuple[str, float, float]:
    """The best label, its score, and how far it is ahead of the second; the first of equal ones."""
    ranked = sorted(found.items(), key=lambda pair: -pair[1])
    second = ranked[1][1] if len(ranked) > 1 else 1.0 - ranked[0][1]
    return ranked[0][0], ranked[0][1], abs(ranked[0][1] - second)


def read_scores(connection: sqlite3.Connection, item: int, model: str | None) -> dict[str, float]:
    """What a model says of an item, by label, the best first; empty where it was not scored.

    Args:
        connection: The open database.
        item: Its number.
        model: The name of the model; None: the latest.
    """
    rows = connection.execute(
        "SELECT label, score FROM scores WHERE item = ? AND model = ? ORDER BY score DESC, label",
        (item, model if model is not None else latest_model(connection)),
    )
    return dict(rows.fetchall())
