"""Rows of float32 that were expensive to compute: an append-only file that is memory-mapped, and its index.

``features.f32`` holds rows of one shape, little-endian; ``index.jsonl`` maps a key to its row. A row's index line is
written after its data is on disk, so that a kill loses at most rows that were not reported as stored; a torn tail is
cut off when the store is opened. One writer at a time: the file lock makes a second one wait.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from adapters.errors import StorageError
from adapters.records import Float32Array
from adapters.system import descriptor_lock


class FeatureStore:
    """A folder of feature rows, each float32 of ``row_shape``, by key."""

    def __init__(self, folder: str | Path, row_shape: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.row_shape = tuple(row_shape)
        self.row_bytes = int(np.prod(self.row_shape)) * 4
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._data = (self.folder / "features.f32").open("a+b")
            self._index = (self.folder / "index.jsonl").open("a+b")
        except OSError as error:
            raise StorageError(f"{self.folder}: the feature cache cannot be opened ({error.strerror})") from error
        self._rows: dict[str, int] = {}
        self._index_end = 0
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

    def _write(self, rows: Mapping[str, Float32Array]) -> None:
        first = max(self._rows.values(), default=-1) + 1
        # What a killed writer left behind the last known row is written over.
        self._data.truncate(first * self.row_bytes)
        for row in rows.values():
            self._data.write(np.ascontiguousarray(row, "<f4").tobytes())
        self._data.flush()
        os.fsync(self._data.fileno())
        for number, key in enumerate(rows, first):
            self._index.write(json.dumps([key, number]).encode() + b"\n")
        self._index.flush()
        os.fsync(self._index.fileno())
        self._rows.update({key: number for number, key in enumerate(rows, first)})
        self._index_end = self._index.tell()

    def _read_index(self) -> None:
        """Lines that other writers added since; a torn last line is cut off."""
        self._index.seek(self._index_end)
        available = os.fstat(self._data.fileno()).st_size // self.row_bytes
        for line in self._index:
            try:
                key, number = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or number >= available:
                break
            self._rows[key] = number
            self._index_end += len(line)
        self._index.truncate(self._index_end)
        self._index.seek(self._index_end)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with descriptor_lock(self._index.fileno()) as held:
            if not held:
                raise StorageError(
                    f"{self.folder}: the file system has no locks, so the feature cache could be damaged. "
                    "Name a folder on another disk with $CLIPLAB_CACHE."
                )
            yield
