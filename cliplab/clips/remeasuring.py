"""Measuring the clips of a database again: those without features, of another version, or all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError, MissingExtraError
from cliplab.clips.features import clip_features
from cliplab.clips.manager import ClipManager
from cliplab.clips.records import VERSION_KEY, features_text, is_outdated, read_features
from cliplab.clips.schema import CLIPS, sa

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter

_MANY = 500  # ids in one statement


@dataclass(frozen=True)
class FeaturesReport:
    """What came of measuring clips.

    Attributes:
        chosen: How many clips were to be measured.
        measured: How many were.
        problems: (clip, why) of the others.
        dry_run: Whether they were only counted.
    """

    chosen: int
    measured: int
    problems: tuple[tuple[int, str], ...]
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "problems": [{"id": number, "error": error} for number, error in self.problems]}


def measure_clips(
    manager: ClipManager,
    *,
    all_clips: bool = False,
    adapter: BaseModelAdapter | None = None,
    model: str | Path | None = None,
    dry_run: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> FeaturesReport:
    """Measure clips and store their features. Features that other programs gave them stay.

    Args:
        manager: The database.
        all_clips: Every clip; by default those without features and those of another version of cliplab.
        adapter: As for ``clip_features``.
        model: As for ``clip_features``.
        dry_run: Only count them.
        on_progress: Receives the clip's name, how many are done, and of how many.

    Returns:
        How many were measured, and why others were not.

    Raises:
        StorageError: The database cannot be read or written.
        MissingExtraError: librosa is not installed.
    """
    chosen = _chosen(manager, all_clips or adapter is not None)
    problems: list[tuple[int, str]] = []
    for done, number in enumerate([] if dry_run else chosen):
        clip = manager.get_clip(number)
        if on_progress is not None:
            on_progress(clip.filename, done, len(chosen))
        try:
            _measure(manager, number, clip.filepath, adapter, model)
        except MissingExtraError:
            raise
        except AdapterError as error:
            problems.append((number, str(error)))
    measured = 0 if dry_run else len(chosen) - len(problems)
    return FeaturesReport(len(chosen), measured, tuple(problems), dry_run)


def _chosen(manager: ClipManager, all_clips: bool) -> list[int]:
    with manager.database.reading() as connection:
        if all_clips:
            return [int(number) for number in connection.execute(sa.select(CLIPS.c.id).order_by(CLIPS.c.id)).scalars()]
        # Few clips qualify, and features may be long: a rough choice in SQL, and the exact one of those.
        rough = CLIPS.c.features.contains(VERSION_KEY) | (sa.func.length(CLIPS.c.features) <= 2)
        numbers, last = [], 0
        while rows := connection.execute(
            sa.select(CLIPS.c.id, CLIPS.c.features).where(rough, CLIPS.c.id > last).order_by(CLIPS.c.id).limit(_MANY)
        ).all():
            last = rows[-1].id
            for row in rows:
                try:
                    found = read_features(row.features)
                except AdapterError:
                    continue  # another program's; `--all` measures it
                if not found or is_outdated(found):
                    numbers.append(int(row.id))
        return numbers


def _measure(
    manager: ClipManager, number: int, path: str, adapter: BaseModelAdapter | None, model: str | Path | None
) -> None:
    new = clip_features(os.fspath(path), adapter, model)
    with manager.database.writing() as connection:
        text = connection.execute(sa.select(CLIPS.c.features).where(CLIPS.c.id == number)).scalar()
        try:
            old = read_features(text or "{}")
        except AdapterError:
            old = {}
        values = features_text({**old, **new})
        connection.execute(sa.update(CLIPS).where(CLIPS.c.id == number).values(features=values))
