"""The table of the seed's guide, as its scripts make it."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table ``clips``."""
    op.create_table(
        "clips",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("filepath", sa.Text, nullable=False),
        sa.Column("start_time", sa.Float(53), nullable=False),
        sa.Column("end_time", sa.Float(53), nullable=False),
        sa.Column("duration", sa.Float(53), nullable=False),
        sa.Column("score", sa.Float(53), nullable=False),
        sa.Column("clip_type", sa.Text, nullable=False),
        sa.Column("features", sa.Text, nullable=False),
        sa.Column("rating", sa.Integer),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("rated_at", sa.Text),
        sa.Column("source_url", sa.Text),
    )
