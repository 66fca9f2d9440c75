"""Clips as rows: entered once each, read for training, removed with what was said of them kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapters.errors import StorageError
from cliplab.clips.database import Database, now
from cliplab.clips.records import STARS, ClipError, read_features
from cliplab.clips.schema import CLIPS, METADATA, SOURCES, sa

MANY = 500  # ids in one statement


def store_clip(database: Database, values: Mapping[str, Any], source: Mapping[str, Any]) -> int:
    """Enter a clip; see ``ClipManager.register_clip``. The same file with the same times is entered once.

    Args:
        database: The database.
        values: Columns of ``clips``, all but ``id``, ``created_at`` and those of the rating.
        source: Columns of ``clip_sources``, all but ``clip_id``.

    Returns:
        The clip's id.

    Raises:
        ClipError: A name is not text that a database can hold.
        StorageError: It cannot be stored.
    """
    for name in ("filename", "filepath", "source_url"):
        _require_storable(name, values[name])
    same = sa.and_(*(CLIPS.c[name] == values[name] for name in ("filepath", "start_time", "end_time")))
    with database.writing() as connection:
        found = connection.execute(sa.select(CLIPS.c.id).where(same)).scalar()
        if found is None:
            made = connection.execute(sa.insert(CLIPS).values(**values, created_at=now()))
            clip_id = int(made.inserted_primary_key[0])  # type: ignore[index]
        else:
            clip_id = int(found)
            connection.execute(sa.update(CLIPS).where(CLIPS.c.id == clip_id).values(**values))
            connection.execute(sa.delete(SOURCES).where(SOURCES.c.clip_id == clip_id))
        connection.execute(sa.insert(SOURCES).values(clip_id=clip_id, **source))
    return clip_id


def rated_features(database: Database, clip_type: str | None) -> tuple[list[dict[str, Any]], list[int]]:
    """The features and the latest stars of the rated clips; see ``ClipManager.get_training_data``.

    Args:
        database: The database.
        clip_type: Only "audio" or "video" clips; None: all.

    Raises:
        ClipError: Stored features are not a JSON object; the message names the clip.
    """
    query = sa.select(CLIPS.c.id, CLIPS.c.features, CLIPS.c.rating).where(CLIPS.c.rating.in_(tuple(STARS)))
    if clip_type is not None:
        query = query.where(CLIPS.c.clip_type == clip_type)
    with database.reading() as connection:
        rows = connection.execute(query.order_by(CLIPS.c.id)).all()
    features = []
    for row in rows:
        try:
            features.append(read_features(row.features))
        except ClipError as error:
            raise ClipError(f"{database.name}: clip {row.id}: {error}") from error
    return features, [int(row.rating) for row in rows]


def remove_missing(database: Database, dry_run: bool) -> int:
    """Remove the clips whose files are gone; see ``ClipManager.cleanup_missing_files``.

    Args:
        database: The database.
        dry_run: Only count them.

    Returns:
        How many clips.

    Raises:
        StorageError: Every file is gone.
    """
    with database.reading() as connection:
        rows = connection.execute(sa.select(CLIPS.c.id, CLIPS.c.filepath)).all()
    gone = [int(row.id) for row in rows if not Path(row.filepath).exists()]
    if len(gone) == len(rows) > 1 and not dry_run:
        raise StorageError(
            f"{database.name}: none of the {len(rows)} files exists; the first is {rows[0].filepath}. "
            "Nothing was removed. Check that the disk is mounted and that you are in the folder that the paths "
            "are relative to"
        )
    if not dry_run and gone:
        with database.writing() as connection:
            for part in parts(gone):
                connection.execute(sa.delete(CLIPS).where(CLIPS.c.id.in_(part)))
    return len(gone)


def remove_everything(database: Database) -> None:
    """Empty the database; see ``ClipManager.reset``.

    Args:
        database: The database.
    """
    with database.writing() as connection:
        for table in METADATA.sorted_tables:
            if table.name != "facts":
                connection.execute(sa.delete(table))
        # What the trigger kept of the clips that were just removed.
        connection.execute(sa.delete(METADATA.tables["removed_clips"]))


def parts(ids: Sequence[int]) -> list[Sequence[int]]:
    """Ids in parts that fit into one statement each.

    Args:
        ids: The ids.
    """
    return [ids[first : first + MANY] for first in range(0, len(ids), MANY)]


def _require_storable(name: str, value: str | None) -> None:
    """A path that is not UTF-8 has halves of characters, which no database takes."""
    with suppress(UnicodeEncodeError):
        if value is None or ("\0" not in value and value.encode()):
            return
    raise ClipError(f"{name} must be non-empty UTF-8 text, got {value!r:.80}. Rename the file")
