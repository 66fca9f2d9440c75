"""The tables of rollouts, brought to this version by Alembic, in the registry's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.errors import StorageError
from cliplab.registry.schema import Connection, Engine, sa
from cliplab.rollout.schema import FACTS, VERSION_TABLE
from cliplab.sql import alembic_config, copy_sqlite, free_name, known_versions

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).parent / "migrations"
# The last of migrations/versions. Known here, so that most openings need not read the scripts.
HEAD = "0001"
# What ``FACTS`` says in databases that were made before Alembic, and the version that they have.
_BEFORE_ALEMBIC = {"1": "0001"}


def version_of(connection: Connection) -> str | None:
    """The version of the rollouts' tables; None where there are none.

    Args:
        connection: To the registry's database.

    Raises:
        StorageError: A later cliplab wrote them.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        rows = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalars().all()
        found = ", ".join(map(str, rows))
        known = known_versions(_config()) if found != HEAD else [HEAD]
    elif FACTS.name in tables:
        fact = connection.execute(sa.select(FACTS.c.value).where(FACTS.c.name == "version")).scalar()
        if fact is None:  # the making of the tables was cut short
            return None
        found, known = _BEFORE_ALEMBIC.get(str(fact), str(fact)), [*_BEFORE_ALEMBIC.values()]
    else:
        return None
    if found not in known:
        raise StorageError(
            f"the tables of rollouts have version {found or 'none'}, and this cliplab knows {', '.join(known)}. Update "
            "cliplab"
        )
    return found


def bring_up(connection: Connection, engine: Engine) -> None:
    """Make or migrate the tables, in a transaction of their only writer.

    Args:
        connection: The transaction.
        engine: Of the same database. A SQLite file with older tables is copied beside itself before.

    Raises:
        StorageError: A later cliplab wrote the tables.
    """
    from alembic import command

    found = version_of(connection)
    if found == HEAD and sa.inspect(connection).has_table(VERSION_TABLE):
        return  # another process was faster
    config = _config()
    config.attributes["connection"] = connection
    if found is not None:
        if found != HEAD and engine.dialect.name == "sqlite" and engine.url.database:
            path = Path(engine.url.database)
            copy_sqlite(path, free_name(path, f"rollouts-{found}"))  # the lock is held: this is what is migrated
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            command.stamp(config, found)
    command.upgrade(config, "head")


def _config() -> Config:
    return alembic_config(SCRIPTS, VERSION_TABLE)
