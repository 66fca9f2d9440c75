"""Opening a clip database: SQLite by path or PostgreSQL by URL, brought to this version, one transaction at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.errors import StorageError
from cliplab.clips.schema import FACTS, METADATA, OWN_WRITER, Connection, sa
from cliplab.clips.triggers import TRIGGERS
from cliplab.sql import (
    alembic_config,
    copy_sqlite,
    free_name,
    known_versions,
    named_database,
    now,
    open_engine,
    translated,
)

__all__ = ["Database", "now"]

_SEED = "0001"


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
        self.name, self.path = named_database(database)
        self.migrated_from: str | None = None
        self.backup_path: Path | None = None
        self._engine = open_engine(self.name, database, self.path, "clips")
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
            raise StorageError(f"{target}: already exists. Use another path")
        with translated(self.name):
            copy_sqlite(self.path, target)

    def _bring_up(self) -> None:
        """Migrate to this version, under the database's own lock."""
        from alembic import command

        config = alembic_config(Path(__file__).parent / "migrations")
        known = known_versions(config)
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
                self.backup_path = free_name(self.path, found)
                # The lock is held: what is copied is what is migrated.
                copy_sqlite(self.path, self.backup_path)
            config.attributes["connection"] = connection
            try:
                if found is not None and not sa.inspect(connection).has_table("alembic_version"):
                    command.stamp(config, found)
                command.upgrade(config, "head")
            except BaseException:  # the database stays as it was, and each try would leave a copy
                if self.backup_path is not None:
                    self.backup_path.unlink(missing_ok=True)
                raise
            self.migrated_from = found

    def _version(self, connection: Connection, known: list[str]) -> str | None:
        """The version of the database; None for an empty one."""
        tables = set(sa.inspect(connection).get_table_names())
        if "alembic_version" in tables:
            rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
            if len(rows) == 1 and rows[0] in known:
                self._require_whole(connection, tables, str(rows[0]))
                return str(rows[0])
            raise StorageError(
                f"{self.name}: has version {', '.join(map(repr, rows)) or 'none'}; this cliplab knows "
                f"{', '.join(known)}. A newer cliplab or another program wrote it. Update cliplab, or use another "
                "database"
            )
        if "clips" in tables:
            self._require_seed(connection)
            self._require_whole(connection, tables, _SEED)
            return _SEED
        if tables and self.is_sqlite:
            raise StorageError(
                f"{self.name}: is a database of another program (tables {', '.join(sorted(tables)[:5])}). Use another "
                "database"
            )
        return None

    def _require_whole(self, connection: Connection, tables: set[str], version: str) -> None:
        """Refuse a database that has some of another version's tables and triggers: half migrated, or altered."""
        there = {name for name in tables if name in METADATA.tables} | self._triggers(connection)
        wanted = {"clips"} if version == _SEED else {*METADATA.tables, *TRIGGERS}
        missing, more = sorted(wanted - there), sorted(there - wanted)
        if not missing and not more:
            return
        found = [f"lacks {', '.join(missing)}"] if missing else []
        found += [f"has {', '.join(more)} of a later version"] if more else []
        copies = [] if self.path is None else sorted(self.path.parent.glob(f"{glob.escape(self.path.name)}.version-*"))
        way = f"its copy {copies[-1].name}" if copies else "a copy of it"
        raise StorageError(
            f"{self.name}: is half migrated, or another program altered it: it is of version {version}, but "
            f"{' and '.join(found)}. Nothing was changed. Put {way} in its place, or move it away to begin a new one"
        )

    def _triggers(self, connection: Connection) -> set[str]:
        """Our triggers in the database."""
        query = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'clips'"
            if self.is_sqlite
            else "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass('clips') AND NOT tgisinternal"
        )
        return set(connection.exec_driver_sql(query).scalars()) & set(TRIGGERS)

    def _require_seed(self, connection: Connection) -> None:
        from cliplab.clips.schema import CLIPS

        columns = {column["name"] for column in sa.inspect(connection).get_columns("clips")}
        missing = [column.name for column in CLIPS.columns if column.name not in columns]
        if missing:
            raise StorageError(
                f"{self.name}: its table clips has no column {', '.join(missing)}, so it is not a clip database. Use "
                "another database, or add the columns (docs/guides/clips.md)"
            )
