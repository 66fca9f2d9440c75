"""Ratings and comparisons as rows: stored once each, the latest of each rater counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cliplab.clips.database import Database, now
from cliplab.clips.records import ClipError, UnknownClipError, checked_confidence, checked_name, checked_stars
from cliplab.clips.schema import CLIPS, COMPARISONS, RATINGS, sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def store_rating(
    database: Database,
    clip_id: int,
    rating: int | None,
    rater: str,
    confidence: float | None = None,
    client: str | None = None,
    sequence: int | None = None,
    created_at: str | None = None,
) -> bool:
    """Store a rating; see ``ClipManager.rate_clip``.

    Args:
        database: The database.
        clip_id: The clip.
        rating: 1 to 5 stars; None takes the rater's rating back.
        rater: Who rates.
        confidence: How sure the rater is, above 0 and up to 1.
        client: With ``sequence``, names the request.
        sequence: The request's number.
        created_at: Of the clip that the rater saw; None: whichever clip has the id now.

    Returns:
        True; False where this request was stored before.

    Raises:
        ClipError: The rating or rater is not allowed, or there is no such clip.
        StorageError: It cannot be stored.
    """
    values = {
        "clip_id": clip_id,
        "rater": checked_name(rater, "rater"),
        "stars": None if rating is None else checked_stars(rating),
        "confidence": checked_confidence(confidence),
        "rated_at": now(),
        "client": client,
        "sequence": sequence,
    }
    with database.writing() as connection:
        if _was_sent(connection, RATINGS, client, sequence):
            return False
        require_clip(connection, clip_id, created_at)
        connection.execute(sa.insert(RATINGS).values(**values))
        _write_back(connection, clip_id)
    return True


def store_comparison(
    database: Database,
    better_id: int,
    worse_id: int,
    rater: str,
    client: str | None = None,
    sequence: int | None = None,
    created_at: tuple[str | None, str | None] = (None, None),
) -> bool:
    """Store that one clip is better than another; see ``ClipManager.compare_clips``.

    Args:
        database: The database.
        better_id: The better clip.
        worse_id: The other.
        rater: Who says so.
        client: As for ``store_rating``.
        sequence: As for ``store_rating``.
        created_at: Of the better and the worse clip, as for ``store_rating``.

    Returns:
        As ``store_rating``.

    Raises:
        ClipError: The clips are the same, or one of them does not exist.
    """
    if better_id == worse_id:
        raise ClipError(f"clip {better_id} cannot be compared with itself")
    values = {"better_id": better_id, "worse_id": worse_id, "rater": checked_name(rater, "rater"), "compared_at": now()}
    with database.writing() as connection:
        if _was_sent(connection, COMPARISONS, client, sequence):
            return False
        for clip_id, seen in zip((better_id, worse_id), created_at, strict=True):
            require_clip(connection, clip_id, seen)
        connection.execute(sa.insert(COMPARISONS).values(**values, client=client, sequence=sequence))
    return True


def rating_rows(connection: Connection) -> Iterator[Any]:
    """Every rating that counts: the latest of each clip and rater that was not taken back, in order of their ids.

    Args:
        connection: A connection to the database.

    Yields:
        Rows of ``ratings``.
    """
    latest = sa.select(sa.func.max(RATINGS.c.id)).group_by(RATINGS.c.clip_id, RATINGS.c.rater)
    query = sa.select(RATINGS).where(RATINGS.c.id.in_(latest), RATINGS.c.stars.is_not(None)).order_by(RATINGS.c.id)
    yield from connection.execute(query)


def first_ratings(connection: Connection) -> dict[int, int]:
    """The id of each clip's first rating, also of one that was taken back.

    Args:
        connection: A connection to the database.
    """
    query = sa.select(RATINGS.c.clip_id, sa.func.min(RATINGS.c.id)).group_by(RATINGS.c.clip_id)
    return {int(clip_id): int(first) for clip_id, first in connection.execute(query)}


def unknown_clip(clip_id: Any) -> UnknownClipError:
    """The error for a clip that is not in the database.

    Args:
        clip_id: What was given.
    """
    return UnknownClipError(f"clip {clip_id!r} is not in the database. cliplab clips list shows those that are")


def require_clip(connection: Connection, clip_id: Any, created_at: str | None = None) -> None:
    """Check that a clip exists, and that it is the one that somebody saw.

    Args:
        connection: A connection to the database.
        clip_id: What was given.
        created_at: Of the clip that was seen; None: not known. SQLite gives the id of a removed clip to a new one.

    Raises:
        UnknownClipError: There is no such clip, or another one has its id now.
    """
    known = isinstance(clip_id, int) and not isinstance(clip_id, bool) and 0 < clip_id < 2**63
    row = known and connection.execute(sa.select(CLIPS.c.created_at).where(CLIPS.c.id == clip_id)).first()
    if not row:
        raise unknown_clip(clip_id)
    if created_at is not None and created_at != row.created_at:
        raise UnknownClipError(
            f"clip {clip_id} was removed, and another clip has its number now. Nothing was stored: load the clips again"
        )


def _was_sent(connection: Connection, table: sa.Table, client: str | None, sequence: int | None) -> bool:
    if client is None or sequence is None:
        return False
    same = (table.c.client == client) & (table.c.sequence == sequence)
    return connection.execute(sa.select(table.c.id).where(same)).first() is not None


def _write_back(connection: Connection, clip_id: int) -> None:
    """Keep the seed's columns in step: the latest stars that still count, and when they were given."""
    latest = sa.select(sa.func.max(RATINGS.c.id)).where(RATINGS.c.clip_id == clip_id).group_by(RATINGS.c.rater)
    query = sa.select(RATINGS.c.stars, RATINGS.c.rated_at).where(RATINGS.c.id.in_(latest), RATINGS.c.stars.is_not(None))
    row = connection.execute(query.order_by(RATINGS.c.id.desc()).limit(1)).first()
    stars, at = (None, None) if row is None else row
    connection.execute(sa.update(CLIPS).where(CLIPS.c.id == clip_id).values(rating=stars, rated_at=at))
