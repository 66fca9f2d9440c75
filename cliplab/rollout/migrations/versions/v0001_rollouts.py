"""Reports, sums, rollouts with their decisions and members: what cliplab 0.2 made without Alembic."""

from alembic import op

from cliplab.rollout.schema import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    # Whoever changes one of these tables later writes its present form here first.
    METADATA.create_all(op.get_bind(), checkfirst=True)
