"""Labelled clips: read, write, import, export, split, count and check. The one module of datasets that others import.

The forms are told apart by what is there: see read_dataset. docs/dataset.md shows each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.data.checks import check_dataset, dataset_problems, summarize_dataset
from adapters.data.examples import SPLITS, Dataset, Example, Split, match_labels
from adapters.data.formats import FORMATS, find_format
from adapters.data.formats.folders import without_missing
from adapters.data.splits import split_dataset
from adapters.errors import DatasetError

__all__ = [
    "FORMATS",
    "SPLITS",
    "Dataset",
    "Example",
    "Split",
    "check_dataset",
    "dataset_problems",
    "detect_format",
    "export_dataset",
    "match_labels",
    "read_dataset",
    "split_dataset",
    "summarize_dataset",
    "without_missing",
    "write_dataset",
]


def read_dataset(path: str | Path, labels: Sequence[str] | None = None, format: str | None = None) -> Dataset:
    """Read labelled clips from a file or folder in any of FORMATS.

    path: dataset.jsonl; a CSV; labels.json; COCO-style JSON; or a folder: one that holds dataset.jsonl, labels.json,
    dataset.csv or dataset.json (the first there is), a Dataloop download (items/ and json/, also within train/,
    validation/, test/), or a folder for each class. labels: the order of the classes; None keeps the file's. format:
    which of FORMATS it is; None looks. Files are not opened: check says which are missing.
    Raises DatasetError naming the file, the place in it, and what is allowed.
    """
    name, place = (format, Path(path)) if format is not None else detect_format(path)
    return find_format(name).read(place, labels)


def write_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write dataset.jsonl, atomically; into path where it is a folder. Returns the file's path.

    Paths are relative where they lie under the file's folder. Raises StorageError.
    """
    return find_format("jsonl").write(dataset, path)


def export_dataset(dataset: Dataset, path: str | Path, format: str, **options: Any) -> Path:
    """Write the dataset in one of FORMATS; options are those of its export function. Returns what was written."""
    return find_format(format).write(dataset, path, **options)


def detect_format(path: str | Path) -> tuple[str, Path]:
    """Which of FORMATS a path is, and the file or folder that holds it. Raises DatasetError where it is none."""
    path = Path(path)
    formats = {name: find_format(name) for name in FORMATS}
    if path.is_dir():
        for known in formats.values():
            if known.file_name is not None and (path / known.file_name).is_file():
                return detect_format(path / known.file_name)
    for name, known in reversed(formats.items()):
        if known.detects(path):
            return name, path
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder. Name a dataset.jsonl, labels.json, CSV or folder.")
    suffixes = dict.fromkeys(suffix for known in formats.values() for suffix in known.suffixes)
    raise DatasetError(
        f"{path}: is not a dataset: its name ends in none of {', '.join(suffixes)}. "
        "A folder with a subfolder for each class is one too."
    )
