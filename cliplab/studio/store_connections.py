"""The connections of a label store: one that writes, and a pool of those that read meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from adapters.errors import StorageError
from cliplab.studio.database import FILE_NAME, connect, storage_errors

Found = TypeVar("Found")
_MOST_KEPT = 8  # answers that are given again while nothing changes; of 100,000 items one may have 700 kB


class StoreConnections:
    """Transactions on an open label store. Methods may be called from several threads.

    Args:
        folder: The data folder, absolute.
        connection: The database, for writing where it can be written.
        read_only: Why it cannot be written; "": it can.

    Attributes:
        folder: The data folder, absolute.
        path: The SQLite file.
        read_only: Why nothing can be stored; "" where it can.
        notes: Sentences for the annotators, such as that labels of a retired class stay.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, read_only: str) -> None:
        self.folder, self.path, self.read_only = folder, folder / FILE_NAME, read_only
        self.notes: list[str] = []
        self._writer, self._lock = connection, threading.RLock()
        self._pool_lock = threading.Lock()  # of its own: who reads does not wait for who writes
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        self._watcher: sqlite3.Connection | None = None
        self._kept: dict[Hashable, tuple[int, Any]] = {}

    def close(self) -> None:
        """Close the file. What was stored is safe without it too."""
        with self._lock:
            with self._pool_lock:
                self._closed = True
                while self._readers:
                    self._readers.pop().close()
                if self._watcher is not None:
                    self._watcher.close()
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is stored and durable when the block ends, or nothing of it.

        Yields:
            The database.

        Raises:
            StorageError: It cannot be written.
        """
        with self._lock, storage_errors(self.path):
            if self.read_only:
                raise StorageError(
                    f"{self.read_only}. Nothing was stored. Make the file and its folder writable, and start "
                    "the studio again."
                )
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk has ended the transaction already.
                with contextlib.suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading, which does not wait for writers; all reads of the block see one state.

        Yields:
            The database.

        Raises:
            StorageError: It cannot be read.
        """
        with storage_errors(self.path):
            with self._pool_lock:
                if self._closed:
                    raise StorageError(f"{self.path}: the store is closed")
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = connect(self.path, read_only=bool(self.read_only))
                connection.execute("PRAGMA query_only = ON")
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                with self._pool_lock:
                    if self._closed:
                        connection.close()
                    else:
                        self._readers.append(connection)

    def unchanged(self, name: Hashable, read: Callable[[sqlite3.Connection], Found]) -> Found:
        """What was read under a name before, where nothing was stored since by any process; otherwise it is read now.

        Args:
            name: What is read. Only the last few names are kept.
            read: Reads it. The answer is shared, so nobody may change it.

        Raises:
            StorageError: It cannot be read.
        """
        stamp = self._stamp()  # before reading: what is stored meanwhile makes the answer newer than its stamp
        with self._pool_lock:
            known = self._kept.pop(name, None)
            if known is not None and known[0] == stamp:
                self._kept[name] = known  # the last of them again
                return known[1]  # type: ignore[no-any-return]
        with self.reading() as connection:
            found = read(connection)
        with self._pool_lock:
            self._kept[name] = stamp, found
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return found

    def _stamp(self) -> int:
        """A number that changes as soon as another connection has stored anything; this one only watches."""
        with storage_errors(self.path), self._pool_lock:
            if self._closed:
                raise StorageError(f"{self.path}: the store is closed")
            if self._watcher is None:
                self._watcher = connect(self.path, read_only=bool(self.read_only))
            [(number,)] = self._watcher.execute("PRAGMA data_version")
            return int(number)

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self.reading() as connection:
            return connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        return self._read(query, values)[0][0]
