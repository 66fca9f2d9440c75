"""Where a scan keeps its scores: one SQLite file, which a kill, a full disk or a second scan cannot harm.

files: what the last walk saw, path -> size, time, fingerprint of the content. scores: what a model said of a content,
under the run (model, sampling) that it was scored in, so that a moved file is known, a changed one is not, and another
threshold or aggregation needs no decoding. problems: what could not be read in a scan and is tried again in the next.

Each row of scores has a CRC. A scan removes damaged rows before it begins, so that their videos are scored again; a
store whose tables cannot be read is moved aside, and a new one begun.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from adapters.media import VideoFile
from adapters.system import file_lock
from cliplab.scan.score_rows import COLUMNS, Scores, crc_of, pack, unpack
from cliplab.scan.store_file import in_use, open_whole, storage_errors

_PAGE = 256
_PENDING = (
    "FROM files LEFT JOIN scores ON scores.fingerprint = files.fingerprint AND scores.run = :run "
    "WHERE files.scan = :scan AND (scores.run IS NULL OR (:retry AND scores.error IS NOT NULL)) "
)


@contextmanager
def open_store(path: str | Path, on_note: Callable[[str], object] | None = None) -> Iterator[Store]:
    """Open a store for one scan, creating it if needed; everything is committed at the end, also after an error.

    Damaged rows of scores are removed. A store of ours whose tables are damaged is moved aside, and a new one begun.

    Args:
        path: The SQLite file.
        on_note: Called with a sentence where damage was found.

    Yields:
        The open store.

    Raises:
        StorageError: Another scan uses the store, it is damaged, of a newer version or not a store, or it cannot be
            written.
    """
    target = os.path.abspath(path)
    with file_lock(f"{target}.lock", busy=lambda holder: in_use(target, holder)), storage_errors(target):
        connection = open_whole(target, on_note or (lambda text: None))
        try:
            store = Store(connection, target)
            try:
                yield store
            finally:
                store.commit()
        finally:
            connection.close()


class Store:
    """An open store; its methods may be called from several threads. Writes are kept by ``commit``, all or none."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.path = path
        self._connection, self._lock = connection, threading.RLock()
        self._scan = 0

    def commit(self) -> None:
        """Make everything so far durable."""
        with self._lock, storage_errors(self.path):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def begin_scan(self) -> None:
        """Start a new scan: files that earlier scans recorded are unknown until they are recorded again."""
        self._write("UPDATE counters SET value = value + 1 WHERE name = 'scan'")
        [(self._scan,)] = self._read("SELECT value FROM counters WHERE name = 'scan'")
        self._write("DELETE FROM problems WHERE scan < ?", (self._scan,))

    def run(self, key: dict[str, Any]) -> tuple[int, bool]:
        """The number of the run with this key, and whether it was added to a store that has other runs.

        Args:
            key: A JSON object that names model and sampling.
        """
        text = json.dumps(key, sort_keys=True, ensure_ascii=False)
        found = self._read("SELECT id FROM runs WHERE key = ?", (text,))
        if found:
            return int(found[0][0]), False
        [(others,)] = self._read("SELECT count(*) FROM runs")
        self._write("INSERT INTO runs (key) VALUES (?)", (text,))
        [(number,)] = self._read("SELECT id FROM runs WHERE key = ?", (text,))
        return int(number), others > 0

    def record_files(self, files: Iterable[VideoFile]) -> None:
        """Record files that exist. A file whose size or time changed has an unknown content.

        Args:
            files: Files that this scan found.
        """
        self._write_many(
            "INSERT INTO files (path, size, mtime_ns, scan) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "fingerprint = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns THEN fingerprint END, "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, scan = excluded.scan",
            [(os.fsencode(item.path), item.size_bytes, item.mtime_ns, self._scan) for item in files],
        )

    def add_problem(self, path: str, error: str) -> None:
        """Record why this scan could not read a file or folder; the next scan tries it again.

        Args:
            path: The file or folder.
            error: The reason.
        """
        self._write("INSERT OR REPLACE INTO problems VALUES (?, ?, ?)", (self._scan, os.fsencode(path), error))

    def identify(self, path: str, content: bytes | None) -> None:
        """Set the fingerprint of a file of this scan; None for an unknown content."""
        self._write("UPDATE files SET fingerprint = ? WHERE path = ?", (content, os.fsencode(path)))

    def knows(self, content: bytes, run: int, retry_failed: bool = False) -> bool:
        """Whether a content was scored in a run.

        Args:
            content: Fingerprint of the content.
            run: Number of the run.
            retry_failed: Whether a score with an error counts as not scored.
        """
        found = self._read("SELECT error FROM scores WHERE fingerprint = ? AND run = ?", (content, run))
        return bool(found) and not (retry_failed and found[0][0] is not None)

    def keep(self, content: bytes, run: int, result: Scores) -> None:
        """Store the scores of a content in a run.

        Args:
            content: Fingerprint of the content.
            run: Number of the run.
            result: The scores, or why there are none.
        """
        spans = None if result.spans is None else np.ascontiguousarray(result.spans, "<f8").tobytes()
        scores = None if result.scores is None else pack(result.scores)
        classes = None if result.scores is None else result.scores.shape[1]
        warnings = json.dumps(result.warnings)
        row = (content, run, result.duration, classes, spans, scores, result.error, warnings)
        self._write(
            f"INSERT OR REPLACE INTO scores ({COLUMNS}, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, crc_of(row))
        )

    def count(self, run: int, retry_failed: bool) -> tuple[int, int, int]:
        """Count files.

        Args:
            run: Number of the run.
            retry_failed: Whether contents with an error count as not scored.

        Returns:
            Files of this scan, those still to be scored, and the bytes of the latter.
        """
        values = {"run": run, "scan": self._scan, "retry": retry_failed}
        [(files,)] = self._read("SELECT count(*) FROM files WHERE scan = ?", (self._scan,))
        [(pending, size)] = self._read(f"SELECT count(*), coalesce(sum(size), 0) {_PENDING}", values)
        return files, pending, size

    def count_vanished(self) -> int:
        """How many files the scan before this one recorded and this one did not."""
        [(files,)] = self._read("SELECT count(*) FROM files WHERE scan = ?", (self._scan - 1,))
        return int(files)

    def pending(self, run: int, retry_failed: bool) -> Iterator[tuple[VideoFile, bytes | None]]:
        """Files of this scan without scores in the run, and their fingerprints, in the order of their paths.

        Args:
            run: Number of the run.
            retry_failed: Whether contents with an error count as not scored.

        Yields:
            The file, and the fingerprint of its content or None if unknown.
        """
        values = {"run": run, "scan": self._scan, "retry": retry_failed, "last": b"", "page": _PAGE}
        query = f"SELECT path, size, mtime_ns, files.fingerprint {_PENDING} AND path > :last ORDER BY path LIMIT :page"
        while rows := self._read(query, values):
            for path, size, mtime_ns, content in rows:
                yield VideoFile(os.fsdecode(path), size, mtime_ns), content
            values["last"] = rows[-1][0]

    def results(self, run: int, paths: Iterable[str] | None = None) -> Iterator[tuple[str, Scores]]:
        """The run's scores of the files of this scan.

        Args:
            run: Number of the run.
            paths: Only these files, in this order; None is all, in the order of their paths.

        Yields:
            (path, scores).
        """
        columns = "SELECT path, duration, classes, spans, scores.scores, error, warnings FROM files JOIN scores "
        columns += "ON scores.fingerprint = files.fingerprint AND scores.run = :run WHERE files.scan = :scan AND path "
        values: dict[str, Any] = {"run": run, "scan": self._scan, "path": b""}
        if paths is not None:
            for path in paths:
                values["path"] = os.fsencode(path)
                yield from map(unpack, self._read(f"{columns} = :path", values))
            return
        while rows := self._read(f"{columns} > :path ORDER BY path LIMIT {_PAGE}", values):
            yield from map(unpack, rows)
            values["path"] = rows[-1][0]

    def problems(self) -> Iterator[tuple[str, str]]:
        """What this scan could not read, in the order of paths.

        Yields:
            (path, reason).
        """
        last = b""
        query = f"SELECT path, error FROM problems WHERE scan = ? AND path > ? ORDER BY path LIMIT {_PAGE}"
        while rows := self._read(query, (self._scan, last)):
            yield from ((os.fsdecode(path), error) for path, error in rows)
            last = rows[-1][0]

    def _read(self, query: str, values: Any = ()) -> list[Any]:
        with self._lock, storage_errors(self.path):
            return self._connection.execute(query, values).fetchall()

    def _write(self, query: str, values: Any = ()) -> None:
        self._write_many(query, [values])

    def _write_many(self, query: str, rows: list[Any]) -> None:
        with self._lock, storage_errors(self.path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(query, rows)
