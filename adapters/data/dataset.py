"""Labelled clips: read and write in any format, which is detected. docs/dataset.md shows each of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats import FORMATS, find_format
from adapters.errors import DatasetError
from adapters.system import check_regular_file, in_own_form, is_url


def read_dataset(path: str | Path, labels: Sequence[str] | None = None, format: str | None = None) -> Dataset:
    """Read labelled clips from a file or folder in any of FORMATS. The videos are not opened.

    Args:
        path: dataset.jsonl; a CSV; labels.json; COCO-style JSON; the data folder of a studio, or its labels.db; or a
            folder: one that holds dataset.jsonl, labels.json, dataset.csv or dataset.json (the first that exists), a
            Dataloop download (items/ and json/, also within train/, validation/, test/), or a folder for each class.
        labels: The order of the classes; None keeps the file's.
        format: One of FORMATS; None detects it.

    Raises:
        DatasetError: The path is not a dataset, or a row is wrong; names the file, the place in it and what is
            allowed.
    """
    name, place = (format, Path(path)) if format is not None else detect_format(path)
    return find_format(name).read(place, labels)


def write_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write dataset.jsonl atomically. Paths in it are relative where they are below the file's folder.

    Args:
        dataset: The clips.
        path: The file, or a folder for ``dataset.jsonl``.

    Returns:
        The path of the file.

    Raises:
        StorageError: The file cannot be written.
    """
    return _write("jsonl", dataset, path)


def export_dataset(dataset: Dataset, path: str | Path, format: str, **options: Any) -> Path:
    """Write the dataset in one of FORMATS.

    Args:
        dataset: The clips.
        path: The file or folder to write.
        format: One of FORMATS.
        **options: Those of the format's export function, such as ``media`` ("copy" or "link") for formats that hold
            the videos.

    Returns:
        The file or folder that was written.

    Raises:
        DatasetError: The format is unknown, or cannot express a clip, which the message names.
        StorageError: A file cannot be written.
    """
    return _write(format, dataset, path, **options)


def _write(format: str, dataset: Dataset, path: str | Path, **options: Any) -> Path:
    write = find_format(format).write
    if write is None:
        written = [name for name in FORMATS if find_format(name).write is not None]
        raise DatasetError(f"{format} is read and not written; written are: {', '.join(written)}")
    return write(dataset, path, **options)


def detect_format(path: str | Path) -> tuple[str, Path]:
    """Which of FORMATS a path is in, and the file or folder that holds the dataset.

    Args:
        path: A file, or a folder that may hold one.

    Raises:
        DatasetError: The path does not exist, or is not a dataset.
    """
    path = Path(path)
    if is_url(str(path)):
        raise DatasetError(f"{path}: is a URL, and datasets are read from local files. Download it first.")
    path = Path(in_own_form(str(path)))
    formats = {name: find_format(name) for name in FORMATS}
    if path.is_dir():
        for known in formats.values():
            if known.file_name is None or not (file := path / known.file_name).exists() or file.is_dir():
                continue
            check_regular_file(file, DatasetError)
            return detect_format(file)
    for name, known in reversed(formats.items()):
        if known.detects(path):
            return name, path
    if not os.path.exists(path):
        raise DatasetError(f"{path}: no such file or folder. Name a dataset.jsonl, labels.json, CSV or folder.")
    suffixes = dict.fromkeys(suffix for known in formats.values() for suffix in known.suffixes)
    raise DatasetError(
        f"{path}: is not a dataset: its name ends in none of {', '.join(suffixes)}. "
        "A folder with a subfolder for each class is one too."
    )
