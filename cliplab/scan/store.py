"""Where a scan keeps its scores: one SQLite file, which a kill, a full disk or a second scan cannot harm.

files: what the last walk saw, path -> size, time, fingerprint of the content. scores: what a model said of a content,
under the run (model, sampling) that it was scored in, so that a moved file is known, a changed one is not, and another
threshold or aggregation needs no decoding. problems: what could not be read in a scan and is tried again in the next.

Each row of scores has a CRC. A scan removes damaged rows before it begins, so that their videos are scored again; a
store whose tables cannot be read is moved aside, and a new one begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import StorageError
from adapters.media import VideoFile
from adapters.records import Float32Array, Float64Array
from adapters.system import check_regular_file, file_lock
from cliplab.scan.store_schema import APPLICATION_ID, prepare_database

# How long a write waits for another program that has the database locked.
BUSY_SECONDS = 10.0
# More classes than this are kept as float16, of 11 bits: a Kinetics model gives 600 scores for every window.
FLOAT32_CLASSES = 16
_PAGE = 256
_COLUMNS = "fingerprint, run, duration, classes, spans, scores, error, warnings"
_PENDING = (
    "FROM files LEFT JOIN scores ON scores.fingerprint = files.fingerprint AND scores.run = :run "
    "WHERE files.scan = :scan AND (scores.run IS NULL OR (:retry AND scores.error IS NOT NULL)) "
)


@dataclass(frozen=True)
class Scores:
    """A model's scores of one video, or why there are none.

    Attributes:
        duration: Length of the video in seconds; None if unknown.
        spans: float64 [N, 2], start and end in seconds of what each row of scores covers, in order of time; None with
            an error.
        scores: float32 [N, C] in 0..1; None with an error.
        error: Why the video could not be scored; None if it was.
        warnings: Damage that decoding passed over.
    """

    duration: float | None
    spans: Float64Array | None
    scores: Float32Array | None
    error: str | None = None
    warnings: tuple[str, ...] = ()


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
    with file_lock(f"{target}.lock", busy=lambda holder: _in_use(target, holder)), _storage_errors(target):
        connection = _open_whole(target, on_note or (lambda text: None))
        try:
            store = Store(connection, target)
            try:
                yield store
            finally:
                store.commit()
        finally:
            connection.close()


def _open_whole(path: str, note: Callable[[str], object]) -> sqlite3.Connection:
    """The database without damaged rows; a new one where the old one's tables cannot be read."""
    for name in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        if os.path.lexists(name):
            check_regular_file(name, StorageError)
    connection = _connect(path)
    try:
        prepare_database(connection, path)
        removed = _remove_damaged(connection)
        if removed:
            note(f"{path}: the scores of {removed} videos were damaged; they are scored again")
        return connection
    except sqlite3.DatabaseError as error:
        connection.close()
        if "malformed" not in str(error) or not _is_ours(path):
            raise
        aside = _move_aside(path)
        note(f"{path}: was damaged ({error}) and is now {aside}; every video is scored again")
    except BaseException:
        connection.close()
        raise
    connection = _connect(path)
    try:
        prepare_database(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _remove_damaged(connection: sqlite3.Connection) -> int:
    """Delete rows of scores whose content is not what was stored; how many there were."""
    last: tuple[bytes, int] = (b"", 0)
    damaged: list[tuple[bytes, int]] = []
    query = f"SELECT {_COLUMNS}, crc FROM scores WHERE (fingerprint, run) > (?, ?) ORDER BY fingerprint, run LIMIT 256"
    while rows := connection.execute(query, last).fetchall():
        damaged += [(row[0], row[1]) for row in rows if not _is_sound(row)]
        last = rows[-1][:2]
    if damaged:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM scores WHERE fingerprint = ? AND run = ?", damaged)
        connection.execute("COMMIT")
    return len(damaged)


def _is_ours(path: str) -> bool:
    """Whether a file has the header of a scan's store, wherever it is damaged."""
    with open(path, "rb") as file:
        header = file.read(100)
    return header.startswith(b"SQLite format 3\0") and header[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _move_aside(path: str) -> str:
    """Rename a damaged store and the files that SQLite keeps beside it; the new name."""
    aside = next(name for n in count(1) if not os.path.lexists(name := f"{path}.damaged-{n}"))
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    os.replace(path, aside)
    return aside


def _in_use(path: str, holder: str) -> StorageError:
    return StorageError(
        f"{path}: is in use by {holder}. Wait for that scan to end, stop it, or name another with --store."
    )


class Store:
    """An open store; its methods may be called from several threads. Writes are kept by ``commit``, all or none."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.path = path
        self._connection, self._lock = connection, threading.RLock()
        self._scan = 0

    def commit(self) -> None:
        """Make everything so far durable."""
        with self._lock, _storage_errors(self.path):
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
        scores = None if result.scores is None else _pack(result.scores)
        classes = None if result.scores is None else result.scores.shape[1]
        warnings = json.dumps(result.warnings)
        row = (content, run, result.duration, classes, spans, scores, result.error, warnings)
        self._write(
            f"INSERT OR REPLACE INTO scores ({_COLUMNS}, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, _crc(row))
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
                yield from map(_unpack, self._read(f"{columns} = :path", values))
            return
        while rows := self._read(f"{columns} > :path ORDER BY path LIMIT {_PAGE}", values):
            yield from map(_unpack, rows)
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
        with self._lock, _storage_errors(self.path):
            return self._connection.execute(query, values).fetchall()

    def _write(self, query: str, values: Any = ()) -> None:
        self._write_many(query, [values])

    def _write_many(self, query: str, rows: list[Any]) -> None:
        with self._lock, _storage_errors(self.path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(query, rows)


def _pack(scores: Float32Array) -> bytes:
    return np.ascontiguousarray(scores, "<f4" if scores.shape[1] <= FLOAT32_CLASSES else "<f2").tobytes()


def _crc(row: Sequence[Any]) -> int:
    """The CRC of a row of scores, by the values of ``_COLUMNS``."""
    crc = 0
    for value in row:
        is_bytes = isinstance(value, bytes)
        head = f"{len(value)} bytes" if is_bytes else json.dumps(value)
        crc = zlib.crc32(f"{head}\n".encode(), crc)
        crc = zlib.crc32(value, crc) if is_bytes else crc
    return crc


def _is_sound(row: Sequence[Any]) -> bool:
    """Whether a row of scores, with its CRC last, can be used. Those of older versions have none."""
    *values, crc = row
    try:
        if crc is not None:
            return bool(crc == _crc(values))
        _, found = _unpack((b"", *values[2:]))
    except (ArithmeticError, TypeError, ValueError, RecursionError):
        return False
    if found.scores is None or found.spans is None:
        return found.error is not None
    return bool(np.isfinite(found.scores).all() and np.isfinite(found.spans).all())


def _unpack(row: Any) -> tuple[str, Scores]:
    path, duration, classes, spans, scores, error, warnings = row
    notes = tuple(json.loads(warnings))
    if classes is None:
        return os.fsdecode(path), Scores(duration, None, None, error, notes)
    times = np.frombuffer(spans, "<f8").reshape(-1, 2)
    kind = f"<f{len(scores) // (len(times) * classes)}"
    values = np.frombuffer(scores, kind).reshape(-1, classes).astype(np.float32)
    return os.fsdecode(path), Scores(duration, times, values, error, notes)


@contextmanager
def _storage_errors(path: str) -> Iterator[None]:
    """SQLite's errors as StorageError, in one clear line."""
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        if "locked" in reason or "busy" in reason:
            step = "another program keeps it locked. Close that program and run the scan again: it goes on from here"
        elif "full" in reason or "disk I/O" in reason:
            step = f"the disk is full or fails ({reason}). Free some space and run the scan again: it goes on from here"
        elif "not a database" in reason or "malformed" in reason:
            step = (
                f"it is damaged or no database ({reason}). Name another path with --store, or remove it to begin anew"
            )
        else:
            step = f"{reason}. Check that its folder is there and can be written, or name another path with --store"
        raise StorageError(f"{path}: the scores could not be read or written: {step}.") from error
