"""Tags of clips as rows."""

from __future__ import annotations

from collections.abc import Sequence

from cliplab.clips.clip_rows import parts
from cliplab.clips.database import Database
from cliplab.clips.rating_rows import require_clip
from cliplab.clips.records import checked_name
from cliplab.clips.schema import TAGS, sa


def add_tags(database: Database, clip_id: int, tags: Sequence[str]) -> None:
    """Give a clip tags; those that it has already stay.

    Args:
        database: The database.
        clip_id: The clip.
        tags: Names.

    Raises:
        ClipError: A name is not allowed, or there is no such clip.
    """
    names = [checked_name(name, "tag") for name in tags]
    with database.writing() as connection:
        require_clip(connection, clip_id)
        present = set(connection.execute(sa.select(TAGS.c.tag).where(TAGS.c.clip_id == clip_id)).scalars())
        for name in dict.fromkeys(names):
            if name not in present:
                connection.execute(sa.insert(TAGS).values(clip_id=clip_id, tag=name))


def remove_tags(database: Database, clip_id: int, tags: Sequence[str]) -> None:
    """Take tags away from a clip.

    Args:
        database: The database.
        clip_id: The clip.
        tags: Names; those that it does not have are ignored.

    Raises:
        ClipError: There is no such clip.
    """
    with database.writing() as connection:
        require_clip(connection, clip_id)
        connection.execute(sa.delete(TAGS).where(TAGS.c.clip_id == clip_id, TAGS.c.tag.in_(tags)))


def tags_of(database: Database, clip_ids: Sequence[int]) -> dict[int, list[str]]:
    """The sorted tags of clips, by clip.

    Args:
        database: The database.
        clip_ids: The clips.
    """
    found: dict[int, list[str]] = {clip_id: [] for clip_id in clip_ids}
    with database.reading() as connection:
        for part in parts(clip_ids):
            query = sa.select(TAGS).where(TAGS.c.clip_id.in_(part)).order_by(TAGS.c.tag)
            for row in connection.execute(query):
                found[int(row.clip_id)].append(str(row.tag))
    return found
