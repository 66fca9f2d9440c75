"""Queries of lists and numbers of clips. None of them reads the features."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from cliplab.clips.database import Database
from cliplab.clips.records import CLIP_TYPES, STARS, ClipError, checked_stars
from cliplab.clips.schema import CLIPS, LISTED, RATINGS, TAGS, sa

RatingFilter = tuple[Literal["=", ">=", "<="], int]
LISTED_COLUMNS = [CLIPS.c[name] for name in LISTED]
_NEWEST = (CLIPS.c.created_at.desc(), CLIPS.c.id.desc())


def list_rows(
    database: Database,
    limit: int,
    *,
    before: tuple[str, int] | None = None,
    rating: RatingFilter | None = None,
    rated: bool | None = None,
    tag: str | None = None,
    clip_type: str | None = None,
) -> list[Any]:
    """Rows of clips, the newest first; see ``ClipManager.list_clips``.

    Args:
        database: The database.
        limit: Maximum number of rows to return.
        before: ``created_at`` and id of the last clip of the page before.
        rating: Those whose latest rating is as asked.
        rated: True for those with a rating, False for those without.
        tag: Those with this tag.
        clip_type: "audio" or "video".

    Raises:
        ClipError: The filter is not allowed.
    """
    query = sa.select(*LISTED_COLUMNS)
    if before is not None:
        query = query.where(
            sa.tuple_(CLIPS.c.created_at, CLIPS.c.id) < sa.tuple_(sa.literal(before[0]), sa.literal(before[1]))
        )
    if rating is not None:
        query = query.where(_rating_condition(*rating))
    if rated is not None:
        query = query.where(CLIPS.c.rating.is_not(None) if rated else CLIPS.c.rating.is_(None))
    if clip_type is not None:
        query = query.where(CLIPS.c.clip_type == clip_type)
    if tag is not None:
        query = query.where(CLIPS.c.id.in_(sa.select(TAGS.c.clip_id).where(TAGS.c.tag == tag)))
    query = query.order_by(*_NEWEST).limit(_limit(limit))
    with database.reading() as connection:
        return list(connection.execute(query))


def rows_without_rating_by(database: Database, rater: str, limit: int) -> list[Any]:
    """Rows of the clips that one person has not rated, the newest first.

    Args:
        database: The database.
        rater: The person.
        limit: Maximum number of rows to return.
    """
    latest = sa.select(sa.func.max(RATINGS.c.id)).where(RATINGS.c.rater == rater).group_by(RATINGS.c.clip_id)
    own = sa.select(RATINGS.c.clip_id).where(RATINGS.c.id.in_(latest), RATINGS.c.stars.is_not(None))
    query = sa.select(*LISTED_COLUMNS).where(CLIPS.c.id.not_in(own)).order_by(*_NEWEST).limit(_limit(limit))
    with database.reading() as connection:
        return list(connection.execute(query))


def statistics(database: Database) -> dict[str, Any]:
    """Numbers of clips and ratings; see ``ClipManager.get_statistics``.

    Args:
        database: The database.
    """
    # One pass over an index, in its order: sorting 100,000 clips for each of two columns takes ten times as long.
    query = sa.select(CLIPS.c.rating, CLIPS.c.clip_type, sa.func.count()).group_by(CLIPS.c.rating, CLIPS.c.clip_type)
    with database.reading() as connection:
        by_stars, by_kind = Counter[int | None](), Counter[str]()
        for stars, kind, number in connection.execute(query):
            by_stars[stars if stars in STARS else None] += int(number)
            by_kind[str(kind)] += int(number)
        given = sa.select(sa.func.count(), sa.func.count(sa.distinct(RATINGS.c.rater)))
        ratings, raters = connection.execute(given.where(RATINGS.c.stars.is_not(None))).one()
    rated = {star: by_stars.get(star, 0) for star in STARS}
    total, count = sum(by_stars.values()), sum(rated.values())
    return {
        "total_clips": total,
        "rated_clips": count,
        "unrated_clips": total - count,
        "average_rating": sum(star * n for star, n in rated.items()) / count if count else None,
        "rating_distribution": rated,
        "clips_by_type": {kind: by_kind.get(kind, 0) for kind in (*CLIP_TYPES, *sorted(set(by_kind) - {*CLIP_TYPES}))},
        "ratings": int(ratings),
        "raters": int(raters),
    }


def count_ratings(database: Database) -> int:
    """How many ratings are stored, as in ``statistics``, without counting clips.

    Args:
        database: The database.
    """
    with database.reading() as connection:
        query = sa.select(sa.func.count()).select_from(RATINGS).where(RATINGS.c.stars.is_not(None))
        return int(connection.execute(query).scalar_one())


def are_rated(database: Database, count: int) -> bool:
    """Whether at least ``count`` clips are rated.

    Args:
        database: The database.
        count: How many.
    """
    query = sa.select(CLIPS.c.id).where(CLIPS.c.rating.in_(tuple(STARS))).limit(count)
    with database.reading() as connection:
        return len(connection.execute(query).all()) >= count


def _rating_condition(operator: str, stars: int) -> Any:
    wanted, rating = checked_stars(stars), CLIPS.c.rating  # scripts may have stored numbers that are not stars
    conditions = {"=": rating == wanted, ">=": rating.in_(range(wanted, 6)), "<=": rating.in_(range(1, wanted + 1))}
    if operator not in conditions:
        raise ClipError(f"a rating filter is =, >= or <= and a number of stars, got {operator!r}")
    return conditions[operator]


def _limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ClipError(f"limit must be a whole number of at least 1, got {limit!r}")
    return limit
