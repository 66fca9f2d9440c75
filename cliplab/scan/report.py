"""Stored scores to highlights.json: the videos over a threshold, best first, and what could not be read.

What the file holds follows from the library, the model and the options alone, so that a scan that was killed and went
on writes the same bytes as one that was not. highlights.schema.json describes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from adapters.errors import StorageError
from adapters.records import Aggregation, Float32Array, aggregate
from adapters.system import atomic_file, json_text, storage_error
from cliplab.library import HIGHLIGHTS_FORMAT
from cliplab.scan.sampling import best_windows
from cliplab.scan.score_rows import Scores
from cliplab.scan.store import Store


@dataclass(frozen=True)
class HighlightCriteria:
    """How stored scores become a video's score and its best windows.

    Attributes:
        label: The label whose score counts; of prompts, all of them as they were typed.
        column: The label's index among the classes.
        aggregation: How the scores of a video become one.
        top_fraction: For "top_mean": the share, 0..1, of the highest scores that counts.
        min_score: Least score, 0..1, of a highlight.
        window_seconds: Length of the best windows.
        parts: Several prompts with their indices, instead of one column: at each moment the highest of their scores
            counts, and highlights.json also lists them one by one.
    """

    label: str
    column: int
    aggregation: Aggregation
    top_fraction: float
    min_score: float
    window_seconds: float
    parts: tuple[tuple[str, int], ...] = ()

    def score(self, scores: Float32Array) -> float:
        """A video's score, 0..1, rounded to 6 places.

        Args:
            scores: float32 [N, C] in 0..1, one row per window or frame.
        """
        column = self._column(scores)[:, None]
        return round(float(aggregate(column, self.aggregation, self.top_fraction)[0]), 6)

    def windows(self, result: Scores) -> list[dict[str, float]]:
        """The best windows of a video, best first, as highlights.json lists them: start and end in seconds, score.

        Args:
            result: The video's scores; not those of a video that failed.
        """
        assert result.spans is not None
        assert result.scores is not None
        found = best_windows(result.spans, self._column(result.scores), self.window_seconds)
        return [{"start": round(a, 3), "end": round(b, 3), "score": round(score, 6)} for a, b, score in found]

    def _column(self, scores: Float32Array) -> Float32Array:
        """float32 [N]: what counts at each moment."""
        if not self.parts:
            return scores[:, self.column]
        return np.asarray(scores[:, [column for _, column in self.parts]].max(axis=1))

    def by_label(self, result: Scores) -> dict[str, dict[str, Any]]:
        """Score and best windows of each of ``parts``.

        Args:
            result: The video's scores; not those of a video that failed.
        """
        assert result.scores is not None
        each = {name: replace(self, label=name, column=column, parts=()) for name, column in self.parts}
        return {name: {"score": one.score(result.scores), "windows": one.windows(result)} for name, one in each.items()}


@dataclass(frozen=True)
class ScanCounts:
    """Counts of a scan.

    Attributes:
        videos: Videos found.
        highlights: Videos at or above min_score.
        failed: Videos that were not scored, and folders that could not be read.
    """

    videos: int
    highlights: int
    failed: int


def write_highlights(
    path: Path, store: Store, run: int, criteria: HighlightCriteria, head: dict[str, Any], total: int
) -> ScanCounts:
    """Write highlights.json atomically, replacing an older one. Only the names and scores of highlights are in memory.

    Args:
        path: The file to write.
        store: The open store.
        run: Number of the run whose scores count.
        criteria: How scores become highlights.
        head: The first keys of the file.
        total: How many videos were found.

    Returns:
        How many videos were found, are highlights, and failed.

    Raises:
        StorageError: The file cannot be written.
    """
    ranked: list[tuple[float, str]] = []
    failed = 0
    for name, result in store.results(run):
        if result.scores is None:
            failed += 1
        elif (score := criteria.score(result.scores)) >= criteria.min_score:
            ranked.append((-score, name))
    ranked.sort(key=lambda entry: (entry[0], os.fsencode(entry[1])))
    failed += sum(1 for _ in store.problems())
    counts = ScanCounts(total, len(ranked), failed)
    rows = (_row(name, result, criteria) for name, result in store.results(run, (name for _, name in ranked)))
    failures = ({"path": name, "error": error} for name, error in all_failures(store, run))
    with atomic_file(path, text=True) as file:
        _write(
            file,
            {
                **head,
                "total_scanned": counts.videos,
                "highlights_found": counts.highlights,
                "failed": counts.failed,
            },
            {"highlights": rows, "failures": failures},
        )
    return counts


def all_failures(store: Store, run: int) -> Iterator[tuple[str, str]]:
    """Path and reason of what this scan could not score: first what could not be read, then what cannot be decoded.

    Args:
        store: The open store.
        run: Number of the run.

    Yields:
        (path, reason).
    """
    yield from store.problems()
    for name, result in store.results(run):
        if result.error is not None:
            yield name, result.error


def _row(name: str, result: Scores, criteria: HighlightCriteria) -> dict[str, Any]:
    assert result.scores is not None
    assert result.duration is not None
    row = {
        "path": name,
        "score": criteria.score(result.scores),
        "duration": round(result.duration, 3),
        "windows": criteria.windows(result),
    }
    if criteria.parts:
        row["labels"] = criteria.by_label(result)
    return row | ({"warnings": list(result.warnings)} if result.warnings else {})


def _write(file: IO[str], head: dict[str, Any], lists: dict[str, Iterable[dict[str, Any]]]) -> None:
    """A JSON object of some keys and of long lists, a line an entry, without holding the lists."""
    file.write("{\n")
    file.write("".join(f"  {json_text(key)}: {json_text(value)},\n" for key, value in head.items()))
    for place, (key, rows) in enumerate(lists.items()):
        file.write(f"  {json_text(key)}: [")
        before, end = "\n    ", "]"
        for row in rows:
            file.write(before + json_text(row))
            before, end = ",\n    ", "\n  ]"
        file.write(end + (",\n" if place < len(lists) - 1 else "\n"))
    file.write("}\n")


def require_replaceable(path: Path) -> None:
    """Check that a path is free or holds a scan's highlights.json: a mistyped name must not cost another file.

    Args:
        path: The file to write.

    Raises:
        StorageError: The path is a folder, a device, another kind of file, or unreadable.
    """
    if path.exists() and not path.is_file():
        raise StorageError(f"{path}: is a folder or a device, not a file. Give a file with --output.")
    try:
        with path.open("rb") as file:
            begin = file.read(80)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(path, error) from error
    if begin and f'"format": "{HIGHLIGHTS_FORMAT}"'.encode() not in begin:
        raise StorageError(
            f"{path}: already exists and is not a highlights.json of a scan, so it is not replaced. "
            "Give another --output."
        )
