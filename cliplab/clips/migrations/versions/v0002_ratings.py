"""Ratings as rows, comparisons, tags, sources, what was removed, and indexes that hold all but the features."""

from alembic import op

from cliplab.clips.schema import COMPARISONS, FACTS, LISTED, RATINGS, REMOVED, SOURCES, TAGS
from cliplab.clips.triggers import POSTGRES, RATER_OF_SCRIPTS, SQLITE

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, turn stored ratings into rows, and begin to watch the table ``clips``."""
    # Whoever changes one of these tables later writes its present form here first.
    connection = op.get_bind()
    for table in (RATINGS, COMPARISONS, TAGS, SOURCES, REMOVED, FACTS):
        table.create(connection)
    lite = connection.dialect.name == "sqlite"
    whole = "typeof(rating) = 'integer' AND rating BETWEEN 1 AND 5" if lite else "rating BETWEEN 1 AND 5"
    op.execute(
        "INSERT INTO ratings (clip_id, rater, stars, rated_at) "
        f"SELECT id, '{RATER_OF_SCRIPTS}', rating, COALESCE(rated_at, created_at) FROM clips WHERE {whole} ORDER BY id"
    )
    others = ", ".join(name for name in LISTED if name not in ("id", "created_at"))
    # PostgreSQL allows rows of 2,700 bytes in an index: there the columns that lists sort and filter by are enough,
    # for it stores long features apart from their row.
    op.execute(f"CREATE INDEX clips_gallery ON clips (created_at, id{', ' + others if lite else ''})")
    others = ", ".join(name for name in LISTED if name not in ("id", "created_at", "rating"))
    op.execute(f"CREATE INDEX clips_rating ON clips (rating, created_at, id{', ' + others if lite else ''})")
    for statement in SQLITE if lite else POSTGRES:
        connection.exec_driver_sql(statement)
