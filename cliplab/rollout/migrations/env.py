"""Run by Alembic: brings the tables of rollouts to a version, on the connection of ``cliplab.rollout.migrating``."""

from alembic import context

from cliplab.rollout.schema import VERSION_TABLE


def migrate() -> None:
    """Run the versions in the connection's transaction."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name under which Alembic runs this file
    migrate()
