"""Scores of items as they are computed, so that a killed run goes on where it stopped."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from adapters.system import cache_dir, file_fingerprint, storage_error, value_digest
from cliplab.studio.queries import ItemRow

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter

_FORM = 1  # another number where the same model would give other scores
_MOST_BYTES = 2_000_000_000


def journal_path(adapter: BaseModelAdapter, model: str | Path) -> Path:
    """Where the scores of a model are kept.

    Args:
        adapter: The model.
        model: As it was named: a file or folder counts by its content.
    """
    place = Path(str(model))
    content = ""
    for file in (place / "bundle.json", place):
        if file.is_file():
            content = file_fingerprint(file)
            break
    name = value_digest([_FORM, content, adapter.config])
    return cache_dir() / "studio_scores" / f"{name}.jsonl"


class ScoreJournal:
    """A file of JSON lines, one for each scored item. A line that was cut short by a kill is left out.

    Args:
        path: The file.
        classes: How many scores an item has.
    """

    def __init__(self, path: Path, classes: int) -> None:
        self._path, self._classes = path, classes
        self._known: dict[str, list[float]] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _MOST_BYTES:
                self._path.unlink()
            if self._path.exists():
                with self._path.open("rb") as file:
                    for line in file:
                        self._take(line)
            self._file = self._path.open("ab")
            if self._file.tell():
                self._file.write(b"\n")  # whatever was cut short before ends here
        except OSError as error:
            raise storage_error(self._path, error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, item: ItemRow) -> list[float] | None:
        """The scores of an item; None where it was not scored.

        Args:
            item: The item: it counts by its content, wherever it is.
        """
        return self._known.get(_key(item))

    def add(self, item: ItemRow, scores: list[float]) -> None:
        """Keep the scores of an item.

        Args:
            item: The item.
            scores: One for each class.

        Raises:
            StorageError: The cache cannot be written.
        """
        assert self._file is not None
        self._known[_key(item)] = scores
        line = json.dumps({"k": _key(item), "s": [round(score, 6) for score in scores]}) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
        except OSError as error:
            raise storage_error(self._path, error) from None

    def _take(self, line: bytes) -> None:
        try:
            entry: Any = json.loads(line)
        except ValueError:
            return
        if not isinstance(entry, Mapping) or not isinstance(entry.get("k"), str):
            return
        scores = entry.get("s")
        if isinstance(scores, list) and len(scores) == self._classes and all(map(_is_score, scores)):
            self._known[entry["k"]] = scores


def _is_score(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 1


def _key(item: ItemRow) -> str:
    return f"{item.fingerprint}:{item.start_seconds}:{item.end_seconds}:{os.path.splitext(item.path)[1].lower()}"
