"""What waits for review: items by the reason why a person should look at them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from adapters.errors import ConfigError
from cliplab.studio.queries import HOLDS, latest_model
from cliplab.studio.review_order import MISLABELS, QUEUE

if TYPE_CHECKING:
    from cliplab.studio.store import LabelStore

ReviewKind = Literal["uncertain", "sure", "disagree", "model", "mislabels", "flagged"]
KINDS: tuple[ReviewKind, ...] = get_args(ReviewKind)
MOST_ITEMS = 1000

_OPEN = "items.done = 0 AND NOT EXISTS (SELECT 1 FROM current_reviews WHERE item = items.id)"
_NOT_REVIEWED = "NOT EXISTS (SELECT 1 FROM current_reviews WHERE item = items.id)"
_WHERE: dict[str, str] = {
    "uncertain": f"t.item IS NOT NULL AND {_OPEN}",
    "sure": f"t.item IS NOT NULL AND {_OPEN}",
    "disagree": "items.disagree",
    "model": f"t.item IS NOT NULL AND {_NOT_REVIEWED} AND EXISTS (SELECT 1 FROM current_labels WHERE item = items.id) "
    "AND NOT EXISTS (SELECT 1 FROM current_labels WHERE item = items.id "
    "AND instr(char(31) || label || char(31), char(31) || t.label || char(31)))",
    "mislabels": f"q.item IS NOT NULL AND {_NOT_REVIEWED} AND items.done > 0",
    "flagged": "items.flagged",
}
_ORDER: dict[str, str] = {
    "uncertain": "q.position IS NULL, q.position, t.margin, items.id",
    "sure": "t.score DESC, items.id",
    "disagree": "items.id",
    "model": "t.score DESC, items.id",
    "mislabels": "q.position",
    "flagged": "items.id",
}


@dataclass(frozen=True)
class ReviewFilter:
    """Which items of a queue are meant.

    Attributes:
        label: A class that the model predicts or somebody gave; None: any.
        low: Minimum score of the model's best class, in 0..1.
        high: The greatest.
        text: A part of the path, in any capitals; "": any.
    """

    label: str | None = None
    low: float = 0.0
    high: float = 1.0
    text: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(f"scores must be 0 <= low <= high <= 1, got {self.low!r} and {self.high!r}")


def review_queue(
    store: LabelStore, kind: ReviewKind, filters: ReviewFilter = ReviewFilter(), limit: int = MOST_ITEMS
) -> list[int]:
    """Numbers of the items to review, the first to be seen first.

    Args:
        store: The label store.
        kind: ``uncertain``: without a label, uncertain and different ones first. ``sure``: without a label, those with
            the highest scores first. ``disagree``: annotators disagree. ``model``: people and the model disagree, where
            the model is surest first. ``mislabels``: labels that are likely wrong. ``flagged``.
        filters: Which items.
        limit: The most.

    Raises:
        ConfigError: ``kind`` is none of these.
    """
    with store.reading() as connection:
        query, values = _query(connection, kind, filters)
        rows = connection.execute(f"SELECT items.id {query} ORDER BY {_ORDER[kind]} LIMIT ?", (*values, limit))
        return [int(row[0]) for row in rows]


def review_counts(store: LabelStore, filters: ReviewFilter = ReviewFilter()) -> dict[str, int]:
    """How many items wait, by kind.

    Args:
        store: The label store.
        filters: Which items.
    """
    found: dict[str, int] = {}
    with store.reading() as connection:
        for kind in KINDS:
            query, values = _query(connection, kind, filters)
            [(found[kind],)] = connection.execute(f"SELECT count(*) {query}", values)
    return found


def _query(connection: sqlite3.Connection, kind: str, filters: ReviewFilter) -> tuple[str, list[Any]]:
    if kind not in _WHERE:
        raise ConfigError(f"kind must be one of {', '.join(KINDS)}, got {kind!r:.80}")
    queue = MISLABELS if kind == "mislabels" else QUEUE
    values: list[Any] = [latest_model(connection), queue]
    parts = ["items.missing IS NULL", _WHERE[kind]]
    if filters.low > 0 or filters.high < 1:
        parts.append("t.score BETWEEN ? AND ?")
        values += [filters.low, filters.high]
    if filters.label:
        parts.append(f"(t.label = ? OR EXISTS (SELECT 1 FROM current_labels WHERE item = items.id AND {HOLDS}))")
        values += [filters.label, filters.label]
    if filters.text:
        parts.append("instr(lower(CAST(items.path AS TEXT)), lower(?)) > 0")
        values.append(filters.text)
    return (
        "FROM items LEFT JOIN top_scores t ON t.item = items.id AND t.model = ? "
        f"LEFT JOIN queues q ON q.item = items.id AND q.name = ? WHERE {' AND '.join(parts)}",
        values,
    )


def why_empty(store: LabelStore, kind: str) -> str:
    """One sentence for an empty queue: why, and what to do.

    Args:
        store: The label store.
        kind: The queue.
    """
    with store.reading() as connection:
        scored = latest_model(connection) is not None
    if kind in ("uncertain", "sure", "model") and not scored:
        return (
            "No model has scored the items yet. Label a few of each class and press Retrain now, or score with a model."
        )
    return {
        "uncertain": "Every item that the model scored has a label.",
        "sure": "Every item that the model scored has a label.",
        "disagree": "No two annotators disagree. Choose on the Annotators page how many items two people label.",
        "model": "The model agrees with every label.",
        "mislabels": "No label is known to look wrong. Press Retrain now to check.",
        "flagged": "Nobody flagged an item. Press F to flag one.",
    }[kind]
