"""Opening a clip database: SQLite by path or PostgreSQL by URL, brought to this version, one transaction at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from adapters.errors import MissingExtraError, StorageError
from cliplab.clips.schema import FACTS, OWN_WRITER

if TYPE_CHECKING:
    from alembic.config import Config

_WAIT_SECONDS = 30.0  # for another process that writes
_SEED, _POSTGRES = "0001", ("postgresql", "postgres")


class Database:
    """An open clip database of this version.

    Attributes:
        name: The path or URL, without a password, for messages.
        path: The file; None for PostgreSQL.
        migrated_from: The version that was there before, where opening it brought it up; None otherwise.
        backup_path: The copy that was made before that; None where none was needed or possible.
    """

    def __init__(self, database: str | Path) -> None:
        """Open the database, make it where there is none, and bring an older one to this version.

        Args:
            database: A path of a SQLite file, or a URL ``postgresql://...``.

        Raises:
            StorageError: It cannot be opened or written, is not a clip database, or is of a later version.
            MissingExtraError: The ``clips`` extra is not installed.
        """
        self.name, self.path = _named(database)
        self.migrated_from: str | None = None
        self.backup_path: Path | None = None
        self._engine = _engine(self.name, database, self.path)
        try:
            with translated(self.name):
                self._bring_up()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file and not a server."""
        return self.path is not None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database.

        Raises:
            StorageError: The database cannot be read.
        """
        with translated(self.name), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; committed at the end, or undone by an exception. Triggers for ratings stay quiet.

        Raises:
            StorageError: The database cannot be written: it is locked, read-only, or the disk is full.
        """
        engine = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        with translated(self.name), engine.begin() as connection:
            if self.is_sqlite:
                connection.execute(sa.insert(FACTS).values(name=OWN_WRITER, value="1"))
            else:
                connection.exec_driver_sql(f"SELECT set_config('cliplab.{OWN_WRITER}', '1', true)")
            yield connection
            if self.is_sqlite:
                connection.execute(sa.delete(FACTS).where(FACTS.c.name == OWN_WRITER))

    def backup(self, target: Path) -> None:
        """Copy a SQLite database while others use it.

        Args:
            target: The file to write.

        Raises:
            StorageError: It exists, cannot be written, or the database is on a server.
        """
        if self.path is None:
            raise StorageError(f"{self.name}: is on a server. Back it up with pg_dump, or export the ratings")
        if target.exists():
            raise StorageError(f"{target}: already exists. Name another path")
        with translated(self.name):
            copy_sqlite(self.path, target)

    def _bring_up(self) -> None:
        """Migrate to this version, under the database's own lock."""
        from alembic import command
        from alembic.script import ScriptDirectory

        config = _alembic()
        known = [item.revision for item in ScriptDirectory.from_config(config).walk_revisions()][::-1]
        with self._engine.connect() as connection:
            if self._version(connection, known) == known[-1]:
                return
        engine = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        with engine.connect() as connection, connection.begin():
            if not self.is_sqlite:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7234155)")
            found = self._version(connection, known)  # another process may have been faster
            if found == known[-1]:
                return
            if found is not None and self.path is not None:
                self.backup_path = _free_name(self.path, found)
                # The lock is held: what is copied is what is migrated.
                copy_sqlite(self.path, self.backup_path)
            config.attributes["connection"] = connection
            if found is not None and not sa.inspect(connection).has_table("alembic_version"):
                command.stamp(config, found)
            command.upgrade(config, "head")
            self.migrated_from = found

    def _version(self, connection: Connection, known: list[str]) -> str | None:
        """The version of the database; None for an empty one."""
        tables = set(sa.inspect(connection).get_table_names())
        if "alembic_version" in tables:
            rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
            if len(rows) == 1 and rows[0] in known:
                return str(rows[0])
            raise StorageError(
                f"{self.name}: has version {', '.join(map(repr, rows)) or 'none'}, and this cliplab knows "
                f"{', '.join(known)}. It is of a later cliplab, or of another program: update cliplab, or name another "
                "database"
            )
        if "clips" in tables:
            self._require_seed(connection)
            return _SEED
        if tables and self.is_sqlite:
            raise StorageError(
                f"{self.name}: is a database of something else (tables {', '.join(sorted(tables)[:5])}). Name another"
            )
        return None

    def _require_seed(self, connection: Connection) -> None:
        from cliplab.clips.schema import CLIPS

        columns = {column["name"] for column in sa.inspect(connection).get_columns("clips")}
        missing = [column.name for column in CLIPS.columns if column.name not in columns]
        if missing:
            raise StorageError(
                f"{self.name}: its table clips has no column {', '.join(missing)}, so it is not a clip database. Name "
                "another, or add the columns as the guide shows them"
            )


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
    "not a database": "Name a clip database, or move this file away",
    "malformed": "The file is damaged. Go back to a backup (cliplab clips backup makes one)",
    "disk i/o error": "The disk cannot be read or written. Check it, and go back to a backup if the file is damaged",
    "connection": "Check that the server is running and that the URL is right",
}


def _named(database: str | Path) -> tuple[str, Path | None]:
    text = str(database)
    if text.startswith(tuple(f"{scheme}:" for scheme in _POSTGRES) + tuple(f"{s}+" for s in _POSTGRES)):
        with suppress(sa.exc.ArgumentError):
            return sa.make_url(text).render_as_string(hide_password=True), None
        raise StorageError("the URL of the database cannot be read. It is postgresql://USER@HOST/NAME")
    if "://" in text:
        raise StorageError(f"{text.partition('://')[0]}://...: is not supported. Give a path, or postgresql://...")
    return text, Path(text)


def _engine(name: str, database: str | Path, path: Path | None) -> Engine:
    if path is None:
        url = sa.make_url(str(database)).set(drivername="postgresql+psycopg")
        try:
            return sa.create_engine(url, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "psycopg", "clips", "PostgreSQL") from error
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


def _alembic() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _free_name(path: Path, version: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (path.with_name(f"{path.name}.version-{version}-{stamp}{extra}") for extra in ("", *"abcdefgh"))
    return next(name for name in names if not name.exists())


def now() -> str:
    """This moment as the database stores it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
