"""The append-only table of events, and what holds for the registry as a whole."""

from alembic import op

from cliplab.registry.schema import EVENTS, FACTS, POSTGRES_TRIGGERS, SQLITE_TRIGGERS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables and the triggers that keep events as they are."""
    # Whoever changes one of these tables later writes its present form here first.
    connection = op.get_bind()
    for table in (EVENTS, FACTS):
        table.create(connection)
    for statement in SQLITE_TRIGGERS if connection.dialect.name == "sqlite" else POSTGRES_TRIGGERS:
        connection.exec_driver_sql(statement)
