"""Run by Alembic for ``cliplab.registry.database``."""

from cliplab.sql import run_migrations

if __name__ == "env_py":  # the name under which Alembic runs this file
    run_migrations()
