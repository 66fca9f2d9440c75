"""Opening the database of a registry: SQLite or PostgreSQL, brought to this version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.errors import StorageError
from cliplab.registry.schema import VERSION_TABLE, sa
from cliplab.sql import (
    alembic_config,
    copy_sqlite,
    free_name,
    known_versions,
    named_database,
    open_engine,
    translated,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7234156  # PostgreSQL's advisory lock of whoever writes events or migrates


class RegistryDatabase:
    """An open database of this version.

    Attributes:
        name: The path or URL, without a password, for messages.
        path: The file; None for PostgreSQL.
        engine: What runs its statements.
        backup_path: The copy that was made before an older version was migrated; None where none was needed.
    """

    def __init__(self, database: str | Path, *, read_only: bool = False, missing: StorageError | None = None) -> None:
        """Open the database and bring an older one, or an empty one, to this version.

        Args:
            database: A path of a SQLite file, or a URL ``postgresql://...``.
            read_only: Raise where it is not of this version, instead of changing it.
            missing: Raised where it has no tables of a registry; None makes them.

        Raises:
            StorageError: It cannot be opened or written, or is of a later version.
            MissingExtraError: The ``registry`` extra is not installed.
        """
        self.name, self.path = named_database(database)
        self.backup_path: Path | None = None
        if read_only and self.path is not None and not self.path.is_file():
            raise missing or StorageError(f"{self.name}: there is no registry. Create it: cliplab registry init")
        if missing is not None and self.path is not None and not self.path.exists():
            raise missing
        self.engine: Engine = open_engine(self.name, database, self.path, "registry")
        try:
            with translated(self.name):
                self._bring_up(read_only, missing)
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database.

        Raises:
            StorageError: The database cannot be read.
        """
        with translated(self.name), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction of the only writer of events; committed at the end, or undone by an exception.

        Raises:
            StorageError: The database cannot be written: it is locked, read-only, or the disk is full.
        """
        engine = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        with translated(self.name), engine.begin() as connection:
            if self.path is None:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            yield connection

    def _bring_up(self, read_only: bool, missing: StorageError | None) -> None:
        """Migrate to this version, under the database's own lock."""
        from alembic import command

        config = alembic_config(_MIGRATIONS, VERSION_TABLE)
        known = known_versions(config)
        with self.engine.connect() as connection:
            found = self._version(connection, known)
        if found == known[-1]:
            return
        if found is None and missing is not None:
            raise missing
        if read_only:
            raise StorageError(
                f"{self.name}: has version {found or 'none'}; this cliplab reads {known[-1]}. Open it once as a "
                "user who may write: cliplab registry init"
            )
        with self.writing() as connection:
            found = self._version(connection, known)  # another process may have been faster
            if found == known[-1]:
                return
            if found is not None and self.path is not None:
                self.backup_path = free_name(self.path, found)
                copy_sqlite(self.path, self.backup_path)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _version(self, connection: Connection, known: list[str]) -> str | None:
        """The version of the database; None where it has no tables of a registry yet."""
        tables = set(sa.inspect(connection).get_table_names())
        if VERSION_TABLE not in tables:
            if self.path is not None and tables:
                raise StorageError(
                    f"{self.name}: is a database of another program (tables {', '.join(sorted(tables)[:5])}). "
                    "Use another folder"
                )
            return None
        rows = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalars().all()
        if len(rows) == 1 and rows[0] in known:
            return str(rows[0])
        raise StorageError(
            f"{self.name}: has version {', '.join(map(repr, rows)) or 'none'}; this cliplab knows "
            f"{', '.join(known)}. A newer cliplab wrote it. Update cliplab, or use another registry"
        )
