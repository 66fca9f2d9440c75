"""Where a clip came from, and a clip that gets other edges: its number, ratings, tags and comparisons stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_rows import require_clip
from cliplab.clips.records import checked_clip
from cliplab.clips.schema import CLIPS, SOURCES, sa


@dataclass(frozen=True)
class ClipSource:
    """What is known of a clip's source.

    Attributes:
        fingerprint: Of its content; None: unknown.
        start: The earliest second that it has for the clip; None: unknown.
        end: The latest; None: unknown.
    """

    fingerprint: str | None
    start: float | None
    end: float | None


def clip_source(manager: ClipManager, clip_id: int) -> ClipSource:
    """What is known of the source of a clip.

    Args:
        manager: The database.
        clip_id: The clip's number.

    Raises:
        ClipError: There is no such clip.
    """
    with manager.database.reading() as connection:
        require_clip(connection, clip_id)
        row = connection.execute(sa.select(SOURCES).where(SOURCES.c.clip_id == clip_id)).first()
    return (
        ClipSource(None, None, None) if row is None else ClipSource(row.fingerprint, row.source_start, row.source_end)
    )


def move_clip(
    manager: ClipManager, clip_id: int, filepath: str | Path, start: float, end: float, features: Mapping[str, Any]
) -> None:
    """Give a clip another file with other edges; everything that was said of it stays.

    Args:
        manager: The database.
        clip_id: The clip's number.
        filepath: The new file.
        start: Where it begins in its source, in seconds.
        end: Where it ends there.
        features: Of the new file; they replace those of the same names.

    Raises:
        ClipError: A value is not allowed, or there is no such clip.
        StorageError: It cannot be stored.
    """
    clip = manager.get_clip(clip_id)
    begin, until, _, _, text = checked_clip(start, end, clip.score, clip.clip_type, {**clip.features, **features})
    path = os.fspath(filepath)
    values = {
        "filepath": path,
        "filename": Path(path).name,
        "start_time": begin,
        "end_time": until,
        "duration": until - begin,
        "features": text,
    }
    with manager.database.writing() as connection:
        require_clip(connection, clip_id)
        connection.execute(sa.update(CLIPS).where(CLIPS.c.id == clip_id).values(**values))
