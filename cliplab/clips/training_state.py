"""What the last training found, kept in the database so that every process knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_training import TrainingResult
from cliplab.clips.schema import FACTS

_NAME = "last_training"


def read_state(manager: ClipManager) -> dict[str, Any]:
    """``ratings``: how many there were at the last training; ``results``: what it found by type of clips.

    Args:
        manager: The database.
    """
    with manager.database.reading() as connection:
        text = connection.execute(sa.select(FACTS.c.value).where(FACTS.c.name == _NAME)).scalar()
    state: dict[str, Any] = {"ratings": 0, "results": {}} if text is None else json.loads(text)
    return state


def write_state(manager: ClipManager, ratings: int, results: Mapping[str, TrainingResult]) -> None:
    """Keep what a training found.

    Args:
        manager: The database.
        ratings: How many ratings there were when it began.
        results: By type of clips.
    """
    content = {"ratings": ratings, "results": {kind: result.to_json() for kind, result in results.items()}}
    with manager.database.writing() as connection:
        connection.execute(sa.delete(FACTS).where(FACTS.c.name == _NAME))
        connection.execute(sa.insert(FACTS).values(name=_NAME, value=json.dumps(content)))
