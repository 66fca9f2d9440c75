"""The tables of the clip database: the seed's table ``clips`` as it stands, and beside it what it has no place for.

Times are text in ISO 8601, UTC, as the seed's scripts write them. A list of clips never reads ``features``, which may
be long: the indexes of the gallery hold everything else.
"""

from __future__ import annotations

from adapters.errors import MissingExtraError

try:
    import sqlalchemy as sa
    from sqlalchemy import CheckConstraint, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint
    from sqlalchemy.engine import Connection
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "sqlalchemy", "clips") from error

# Others of this folder take sqlalchemy from here, so that one place says what to install.
__all__ = [
    "CLIPS",
    "COMPARISONS",
    "FACTS",
    "LISTED",
    "METADATA",
    "OWN_WRITER",
    "RATINGS",
    "REMOVED",
    "SOURCES",
    "TAGS",
    "Connection",
    "sa",
]

METADATA = MetaData()

# Everything of a clip but its features, in the seed's order.
LISTED = (
    "id",
    "filename",
    "filepath",
    "start_time",
    "end_time",
    "duration",
    "score",
    "clip_type",
    "rating",
    "created_at",
    "rated_at",
    "source_url",
)

CLIPS = Table(
    "clips",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("filename", Text, nullable=False),
    Column("filepath", Text, nullable=False),
    Column("start_time", Float(53), nullable=False),
    Column("end_time", Float(53), nullable=False),
    Column("duration", Float(53), nullable=False),
    Column("score", Float(53), nullable=False),
    Column("clip_type", Text, nullable=False),
    Column("features", Text, nullable=False),
    Column("rating", Integer),
    Column("created_at", Text, nullable=False),
    Column("rated_at", Text),
    Column("source_url", Text),
)

# Append-only: the latest row of a clip and rater counts; one without stars takes the rating back.
RATINGS = Table(
    "ratings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("clip_id", Integer, nullable=False),
    Column("rater", Text, nullable=False),
    Column("stars", Integer),
    Column("confidence", Float(53)),
    Column("rated_at", Text, nullable=False),
    # Of requests that may be sent twice: the same pair is stored once.
    Column("client", Text),
    Column("sequence", Integer),
    CheckConstraint("stars BETWEEN 1 AND 5", name="ratings_stars"),
    CheckConstraint("confidence > 0 AND confidence <= 1", name="ratings_confidence"),
    UniqueConstraint("client", "sequence", name="ratings_once"),
    Index("ratings_by_clip", "clip_id", "id"),
)

COMPARISONS = Table(
    "comparisons",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("better_id", Integer, nullable=False),
    Column("worse_id", Integer, nullable=False),
    Column("rater", Text, nullable=False),
    Column("compared_at", Text, nullable=False),
    Column("client", Text),
    Column("sequence", Integer),
    UniqueConstraint("client", "sequence", name="comparisons_once"),
    Index("comparisons_by_better", "better_id"),
    Index("comparisons_by_worse", "worse_id"),
)

TAGS = Table(
    "tags",
    METADATA,
    Column("clip_id", Integer, primary_key=True),
    Column("tag", Text, primary_key=True),
    Index("tags_by_tag", "tag", "clip_id"),
)

# Where a clip came from: with it, its edges can be moved later.
SOURCES = Table(
    "clip_sources",
    METADATA,
    Column("clip_id", Integer, primary_key=True),
    Column("fingerprint", Text),
    Column("source_start", Float(53)),
    Column("source_end", Float(53)),
    Column("model_version", Text),
)

# Clips that were deleted, with their ratings, tags and comparisons as JSON: nothing that a person said is lost.
REMOVED = Table(
    "removed_clips",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("removed_at", Text, nullable=False),
    Column("content", Text, nullable=False),
)

# What holds for the database as a whole, and whose turn it is while we write ourselves.
FACTS = Table("facts", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
OWN_WRITER = "own_writer"
