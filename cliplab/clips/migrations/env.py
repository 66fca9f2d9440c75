"""Run by Alembic: brings the database of the connection that ``cliplab.clips.database`` gives to a version."""

from alembic import context


def migrate() -> None:
    """Run the versions in the connection's transaction."""
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name under which Alembic runs this file
    migrate()
