"""What the last training found, kept in the database so that every process knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cliplab.clips.database import now
from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_training import TrainingResult
from cliplab.clips.schema import FACTS, sa

_NAME, _HISTORY = "last_training", "training_history"
_MOST_KEPT = 200  # trainings in the history


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
    history = [*read_history(manager), *_points(ratings, results)][-_MOST_KEPT:]
    with manager.database.writing() as connection:
        for name, value in ((_NAME, content), (_HISTORY, history)):
            connection.execute(sa.delete(FACTS).where(FACTS.c.name == name))
            connection.execute(sa.insert(FACTS).values(name=name, value=json.dumps(value)))


def read_history(manager: ClipManager) -> list[dict[str, Any]]:
    """How ranking went from training to training, the oldest first, the last 200.

    Args:
        manager: The database.

    Returns:
        For each: ``at``, ``ratings``, ``clip_type``, ``clips``, ``share`` of pairs in the right order, its 95%
        ``interval``, that of ``stage1``, its ``evidence``, whether the model ``serves``, and whether the training
        ``takes_back`` the one before.
    """
    with manager.database.reading() as connection:
        text = connection.execute(sa.select(FACTS.c.value).where(FACTS.c.name == _HISTORY)).scalar()
    history: list[dict[str, Any]] = [] if text is None else json.loads(text)
    return history


def _points(ratings: int, results: Mapping[str, TrainingResult]) -> list[dict[str, Any]]:
    at = now()
    return [
        {
            "at": at,
            "ratings": ratings,
            "clip_type": kind,
            "clips": result.ranking.clips,
            "share": round(result.ranking.share, 4),
            "interval": [round(end, 4) for end in result.ranking.interval],
            "stage1": None if result.stage1 is None else round(result.stage1.share, 4),
            "serves": result.serves,
            "takes_back": result.takes_back,
            "evidence": None if result.evidence is None else float(f"{result.evidence:.3g}"),
        }
        for kind, result in results.items()
        if result.ranking is not None
    ]
