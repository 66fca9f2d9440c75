"""SQLite by path or PostgreSQL by URL, through SQLAlchemy: engines, versions of tables, errors with a way out."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import MissingExtraError, StorageError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection, Engine

_WAIT_SECONDS = 30.0  # for another process that writes
# Alembic's own name of the table that has a database's version.
ALEMBIC_TABLE = "alembic_version"
_POSTGRES = ("postgresql", "postgres")


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database as of one moment, and write it to disk.

    Args:
        source: The file, which others may be writing.
        target: The copy, which does not exist.
    """
    with (
        closing(sqlite3.connect(source, timeout=_WAIT_SECONDS)) as old,
        closing(sqlite3.connect(target, timeout=_WAIT_SECONDS)) as new,
    ):
        old.backup(new)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn a database's errors into ours, which say what to do.

    Args:
        name: The database, for messages.
    """
    import sqlalchemy as sa

    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise StorageError(f"{name}: {_explained(str(getattr(error, 'orig', None) or error))}") from error


def _explained(text: str) -> str:
    line = text.strip().partition("\n")[0]
    for part, means in _MEANINGS.items():
        if part in line.lower():
            return f"{line}. {means}"
    return f"{line}. Nothing of this change was stored"


_MEANINGS = {
    "locked": f"Another process has been writing for {_WAIT_SECONDS:g} s. End it, or try again",
    "readonly": "Give this user the right to write the file and its folder",
    "unable to open": "Check that the folder exists and that this user may write there",
    "disk is full": "Nothing of this change was stored. Free some space and try again",
    "not a database": "Name a database, or move this file away",
    "malformed": "The file is damaged. Go back to a backup of it",
    "disk i/o error": "The disk is full or damaged. Check it, and go back to a backup if the file is damaged",
    "connection": "Check that the server is running and that the URL is right",
}


def is_postgres(database: str | Path) -> bool:
    """Whether this is a URL of a PostgreSQL server and not a path."""
    text = str(database)
    return text.startswith(tuple(f"{scheme}{end}" for scheme in _POSTGRES for end in (":", "+")))


def named_database(database: str | Path) -> tuple[str, Path | None]:
    """What a database is called in messages, without its password, and its file; None for a server.

    Args:
        database: A path of a SQLite file, or a URL ``postgresql://...``.

    Raises:
        StorageError: It is a URL that cannot be read, or of another kind.
    """
    import sqlalchemy as sa

    text = str(database)
    if is_postgres(text):
        with suppress(sa.exc.ArgumentError):
            return sa.make_url(text).render_as_string(hide_password=True), None
        raise StorageError("the URL of the database cannot be read. It is postgresql://USER@HOST/NAME")
    if "://" in text:
        raise StorageError(f"{text.partition('://')[0]}://...: is not supported. Give a path, or postgresql://...")
    return text, Path(text)


def open_engine(name: str, database: str | Path, path: Path | None, extra: str) -> Engine:
    """An engine whose transactions begin where the caller says, and which writes through to the disk.

    Args:
        name: The database, for messages.
        database: As ``named_database`` receives it.
        path: The file; None for a server.
        extra: The extra that brings the server's driver.

    Raises:
        StorageError: The path is not a file.
        MissingExtraError: The driver is not installed.
    """
    import sqlalchemy as sa
    from sqlalchemy import event

    if path is None:
        url = sa.make_url(str(database)).set(drivername="postgresql+psycopg")
        try:
            return sa.create_engine(url, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "psycopg", extra, "PostgreSQL") from error
    if path.exists() and not path.is_file():
        raise StorageError(f"{name}: is not a file. Name the database's file")
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say
        with suppress(sqlite3.OperationalError):  # a read-only database stays as it is
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def alembic_config(migrations: Path, version_table: str = ALEMBIC_TABLE) -> Config:
    """What Alembic needs to bring tables to a version, without a file alembic.ini.

    Args:
        migrations: The folder with ``env.py``, which calls ``run_migrations``, and ``versions``.
        version_table: The table that has the version; sets of tables that share a database have one each.
    """
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["version_table"] = version_table
    return config


def known_versions(config: Config) -> list[str]:
    """The versions of the tables that this cliplab knows, the newest last.

    Args:
        config: By ``alembic_config``.
    """
    from alembic.script import ScriptDirectory

    return [item.revision for item in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def run_migrations() -> None:
    """Run the versions in the transaction of ``config.attributes["connection"]``; called by each ``env.py``."""
    from alembic import context

    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"], transactional_ddl=True, version_table=attributes["version_table"]
    )
    with context.begin_transaction():
        context.run_migrations()


def free_name(path: Path, version: str) -> Path:
    """A name beside a file for a copy of it that is of an older version.

    Args:
        path: The file.
        version: Its version.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (path.with_name(f"{path.name}.version-{version}-{stamp}{extra}") for extra in ("", *"abcdefgh"))
    return next(name for name in names if not name.exists())


def now() -> str:
    """This moment as the database stores it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
