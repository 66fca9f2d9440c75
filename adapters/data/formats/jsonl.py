"""dataset.jsonl: one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, Example, first_seen
from adapters.data.formats.format import Format
from adapters.data.formats.text import label_list, not_empty, parse_json, read_text
from adapters.data.frame_folders import is_frame_folder
from adapters.data.rows import make_dataset, to_row
from adapters.errors import DatasetError
from adapters.system import json_text, write_text_atomic

SUFFIXES = (".jsonl", ".ndjson")


def import_jsonl(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read dataset.jsonl. Its first line may be {"labels": [...]}, the order of the classes.

    Args:
        path: The file.
        labels: The order of the classes; None: that of the file, or as the rows first name them.

    Raises:
        DatasetError: The file cannot be read, or a line is wrong; names it and what is allowed.
    """
    path = Path(path)
    rows = _rows(path)
    listed: list[str] | None = None
    first: list[tuple[str, Mapping[str, Any]]] = []
    for where, row in rows:
        if set(row) != {"labels"}:
            first.append((where, row))
            break
        listed = label_list(row["labels"], where)
    return not_empty(make_dataset(chain(first, _without_labels(rows)), path.parent, labels, listed=listed), path)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place and object of each line, one by one: a large file has many."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise DatasetError(f'{where}: a line must be a JSON object such as {{"path": "a.mp4", "label": "ad"}}')
        yield where, row


def _without_labels(rows: Iterator[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows after the first, none of which may be the order of the labels."""
    for where, row in rows:
        if len(row) == 1 and "labels" in row:
            raise DatasetError(f"{where}: 'labels' is not a key of a row. Put the label order in the first line")
        yield where, row


def export_jsonl(dataset: Dataset, path: str | Path) -> Path:
    """Write dataset.jsonl atomically.

    Paths are relative where they are below the file's folder; a clip that is a folder of frames has their rate as
    ``fps``. The line with the label order is written only where the
    rows do not show that order by themselves.

    Args:
        dataset: The clips.
        path: A file with one of SUFFIXES, or a folder for ``dataset.jsonl``.

    Returns:
        The path of the file.

    Raises:
        StorageError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        path = path / "dataset.jsonl"
    lines = [json_text(to_row(item, path.parent) | _rate(item)) for item in dataset.examples]
    if dataset.labels != first_seen(dataset.examples):
        lines.insert(0, json_text({"labels": list(dataset.labels)}))
    write_text_atomic(path, "".join(line + "\n" for line in lines))
    return path


def _rate(example: Example) -> dict[str, float]:
    """The rate of a folder of frames, which nothing else says."""
    return {"fps": example.frames.fps} if example.frames is not None and is_frame_folder(example) else {}


FORMAT = Format(import_jsonl, export_jsonl, suffixes=SUFFIXES, file_name="dataset.jsonl")
