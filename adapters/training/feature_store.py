"""Rows of float32 that were expensive to compute: an append-only file that is memory-mapped, and its index.

``features.f32`` holds rows of one shape, little-endian; ``index.jsonl`` maps a key to its row and the CRC of key and
row. A row's index line is written after its data is on disk, so that a kill loses at most rows that were not reported
as stored; a torn tail is cut off when the store is opened. One writer at a time: the file lock makes a second one wait.

Damage is found before a row is used: ``drop_damaged`` compares rows with their CRCs, and an index line that cannot be
read is erased. Lines of older versions have no CRC; their rows are taken as they are.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from adapters.errors import StorageError
from adapters.records import Float32Array
from adapters.system import check_regular_file, descriptor_lock

_log = logging.getLogger(__name__)
_LONGEST_LINE = 1 << 16


class FeatureStore:
    """A folder of feature rows, each float32 of ``row_shape``, by key."""

    def __init__(self, folder: str | Path, row_shape: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.row_shape = tuple(row_shape)
        self.row_bytes = int(np.prod(self.row_shape)) * 4
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in ("features.f32", "index.jsonl"):
                if os.path.lexists(self.folder / name):
                    check_regular_file(self.folder / name, StorageError)
            self._data = (self.folder / "features.f32").open("a+b")
            self._index = (self.folder / "index.jsonl").open("a+b")
        except OSError as error:
            raise StorageError(f"{self.folder}: the feature cache cannot be opened ({error.strerror})") from error
        self._rows: dict[str, int] = {}
        self._crcs: dict[str, int | None] = {}
        self._index_end = 0
        self._end_row = 0  # behind the last row that a line of the index names
        with self._locked():
            self._read_index()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; rows that were read stay."""
        self._data.close()
        self._index.close()

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, rows: Mapping[str, Float32Array]) -> None:
        """Store rows; they are on disk when this returns. A key that exists keeps its row.

        Args:
            rows: float32 of ``row_shape`` by key.

        Raises:
            StorageError: The file cannot be written.
            ValueError: A row has another shape.
        """
        for key, row in rows.items():
            if row.shape != self.row_shape:
                raise ValueError(f"row {key!r} is {list(row.shape)}, this store holds {list(self.row_shape)}")
        with self._locked():
            self._read_index()
            new = {key: row for key, row in rows.items() if key not in self._rows}
            try:
                self._write(new)
            except OSError as error:
                raise StorageError(f"{self.folder}: features cannot be written ({error.strerror})") from error

    def rows(self, keys: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The positions of rows in ``array()``.

        Args:
            keys: Keys of stored rows.

        Returns:
            int64 [len(keys)].

        Raises:
            KeyError: A key has no row.
        """
        return np.array([self._rows[key] for key in keys], np.int64)

    def array(self) -> Float32Array:
        """All rows, memory-mapped read-only: float32 [rows, *row_shape]."""
        count = os.fstat(self._data.fileno()).st_size // self.row_bytes
        if count == 0:
            return np.zeros((0, *self.row_shape), np.float32)
        return np.memmap(self._data.name, "<f4", mode="r", shape=(count, *self.row_shape))

    def drop_damaged(self, keys: Sequence[str]) -> list[str]:
        """Compare rows with their CRCs, and forget those that differ, so that they are computed and stored again.

        Args:
            keys: Keys to look at; those without a row are skipped.

        Returns:
            The keys of the damaged rows.
        """
        stored = self.array()
        damaged = [
            key
            for key in dict.fromkeys(keys)
            if key in self._rows
            and self._crcs[key] is not None
            and self._crcs[key] != _crc(key, stored[self._rows[key]].tobytes())
        ]
        for key in damaged:
            del self._rows[key], self._crcs[key]
        if damaged:
            _log.warning("%s: %d cached features were damaged; they are computed again", self.folder, len(damaged))
        return damaged

    def _write(self, rows: Mapping[str, Float32Array]) -> None:
        first = self._end_row
        # What a killed writer left behind the last known row is written over.
        self._data.truncate(first * self.row_bytes)
        for row in rows.values():
            self._data.write(np.ascontiguousarray(row, "<f4").tobytes())
        self._data.flush()
        os.fsync(self._data.fileno())
        for number, key in enumerate(rows, first):
            self._crcs[key] = _crc(key, np.ascontiguousarray(rows[key], "<f4").tobytes())
            self._index.write(json.dumps([key, number, self._crcs[key]]).encode() + b"\n")
        self._index.flush()
        os.fsync(self._index.fileno())
        self._rows.update({key: number for number, key in enumerate(rows, first)})
        self._end_row = first + len(rows)
        self._index_end = self._index.tell()

    def _read_index(self) -> None:
        """Lines that other writers added since; a torn last line is cut off, and damaged ones are erased."""
        self._index.seek(self._index_end)
        available = os.fstat(self._data.fileno()).st_size // self.row_bytes
        damaged: list[tuple[int, int]] = []
        while line := self._index.readline(_LONGEST_LINE):
            if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                break
            entry = _index_entry(line, available)
            if entry is not None:
                key, number, crc = entry
                self._rows[key], self._crcs[key] = number, crc
                self._end_row = max(self._end_row, number + 1)
            elif line.strip():
                damaged.append((self._index_end, len(line)))
            self._index_end += len(line)
        self._index.truncate(self._index_end)
        self._index.seek(self._index_end)
        if damaged:
            self._erase(damaged)

    def _erase(self, places: list[tuple[int, int]]) -> None:
        """Overwrite damaged lines of the index with spaces, so that they are reported once. The lock is held."""
        _log.warning(
            "%s: %d lines of the feature cache's index were damaged; the features that they list are computed again",
            self.folder,
            len(places),
        )
        try:
            with open(self._index.name, "r+b") as index:
                for start, length in places:
                    index.seek(start)
                    index.write(b" " * (length - 1) + b"\n")
        except OSError as error:
            raise StorageError(f"{self.folder}: the feature cache cannot be written ({error.strerror})") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with descriptor_lock(self._index.fileno()) as held:
            if not held:
                raise StorageError(
                    f"{self.folder}: the file system has no locks, so the feature cache could be damaged. "
                    "Set CLIPLAB_CACHE to a folder on another disk."
                )
            yield


def _crc(key: str, row: bytes) -> int:
    return zlib.crc32(row, zlib.crc32(key.encode("utf-8", "surrogatepass")))


def _index_entry(line: bytes, available: int) -> tuple[str, int, int | None] | None:
    """(key, row, CRC) of a line of the index; None where it is damaged or its row is not there."""
    try:
        key, number, *rest = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    crc = rest[0] if rest else None
    sound = type(key) is str and type(number) is int and len(rest) <= 1 and (not rest or type(crc) is int)
    return (key, number, crc) if sound and 0 <= number < available else None
