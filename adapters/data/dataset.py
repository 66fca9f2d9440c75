"""Labelled clips: read and write in any format, which is detected. docs/dataset.md shows each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, describe
from adapters.data.formats import FORMATS, find_format
from adapters.data.formats.foreign_rows import found_below
from adapters.data.formats.format import ReadOptions
from adapters.data.formats.json_file import json_kept
from adapters.data.rows import video_groups
from adapters.errors import DatasetError
from adapters.system import check_regular_file, in_own_form, is_url

_SPREADSHEETS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"}


def read_dataset(
    path: str | Path,
    labels: Sequence[str] | None = None,
    format: str | None = None,
    options: ReadOptions | None = None,
) -> Dataset:
    """Read labelled clips from a file or folder in any of FORMATS. The videos are not opened.

    Args:
        path: dataset.jsonl; a CSV; labels.json; COCO-style JSON; the data folder of a studio, or its labels.db; a file
            of another tool (docs/formats.md); or a folder: one that holds dataset.jsonl, labels.json, dataset.csv or
            dataset.json (the first that exists), a Dataloop download (items/ and json/, also within train/,
            validation/, test/), or a folder for each class.
        labels: The order of the classes; None keeps the file's.
        format: One of FORMATS; None detects it.
        options: Where the videos are, and at which rate frames are counted; None: beside the file, at their own.

    Raises:
        DatasetError: The path is not a dataset, or a row is wrong; names the file, the place in it and what is
            allowed.
    """
    with json_kept():
        name, place = (format, Path(path)) if format is not None else detect_format(path)
        known = find_format(name)
        if known.takes_options and options is not None:
            return known.read(place, labels, options)
        made = known.read(place, labels)
    return made if options is None or options.videos is None else found_below(made, options.videos)


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
    return _writer("jsonl")(dataset, path)


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
    check_held(dataset, format)
    return _writer(format)(dataset, path, **options)


def _writer(format: str) -> Callable[..., Path]:
    """The function that writes a format. DatasetError: It is only read."""
    write = find_format(format).write
    if write is None:
        written = [name for name in FORMATS if find_format(name).write is not None]
        raise DatasetError(f"{format} can be read but not written; formats that can be written: {', '.join(written)}")
    return write


def check_held(dataset: Dataset, format: str) -> None:
    """Refuse a format that is read only, and a clip whose range or number of labels it cannot represent.

    Args:
        dataset: The clips.
        format: One of FORMATS.

    Raises:
        DatasetError: The format is only read, or there is such a clip; names the first.
    """
    _writer(format)
    keeps = find_format(format).keeps
    for item in dataset.examples:
        what = None
        if "ranges" not in keeps and (item.start_seconds, item.end_seconds) != (None, None):
            what = "a range"
        elif "several labels" not in keeps and len(item.labels) > 1:
            what = f"{len(item.labels)} labels"
        elif "no label" not in keeps and not item.labels:
            what = "no label"
        if what is not None:
            raise DatasetError(
                f"{describe(item)} has {what}, which {format} cannot represent. Export to jsonl or csv, which can."
            )


def lost_in_export(dataset: Dataset, format: str) -> list[str]:
    """Sentences about what these clips lose in a format, although it can represent each of them.

    Args:
        dataset: The clips.
        format: One of FORMATS.
    """
    known = find_format(format)
    lost = []
    if "splits" not in known.keeps and (count := sum(item.split is not None for item in dataset.examples)):
        lost.append(f"the splits of {count} clips")
    own = video_groups(dataset.examples)
    counts = {
        "groups": sum(item.group != name for item, name in zip(dataset.examples, own, strict=True)),
        "sources": sum(item.source not in (str(item.path), item.path.name) for item in dataset.examples),
    }
    for name, count in counts.items():
        if name not in known.keeps and count:
            lost.append(f"the {name} of {count} clips that have one of their own")
    ranged = any(item.end_seconds is not None or item.start_seconds is not None for item in dataset.examples)
    if known.precision and ranged:
        lost.append(known.precision)
    return lost


def detect_format(path: str | Path) -> tuple[str, Path]:
    """Which of FORMATS a path is in, and the file or folder that holds the dataset.

    Args:
        path: A file, or a folder that may hold one.

    Raises:
        DatasetError: The path does not exist, or is not a dataset.
    """
    with json_kept():
        return _detect(Path(path))


def _detect(path: Path) -> tuple[str, Path]:
    if is_url(str(path)):
        raise DatasetError(f"{path}: is a URL; datasets are read from local files. Download it first.")
    path = Path(in_own_form(str(path)))
    formats = {name: find_format(name) for name in FORMATS}
    if path.is_dir():
        for known in formats.values():
            if known.file_name is None or not (file := path / known.file_name).exists() or file.is_dir():
                continue
            check_regular_file(file, DatasetError)
            return _detect(file)
    for name, known in reversed(formats.items()):
        if known.detects(path):
            return name, path
    if not os.path.exists(path):
        raise DatasetError(f"{path}: no such file or folder. Give a dataset.jsonl, labels.json, CSV or folder.")
    suffixes = dict.fromkeys(suffix for known in formats.values() for suffix in known.suffixes)
    if path.suffix.lower() in suffixes and not path.is_dir():
        able = [name for name, known in formats.items() if path.suffix.lower() in known.suffixes]
        raise DatasetError(
            f"{path}: is not a dataset: its content is not of a format whose files end in {path.suffix.lower()} "
            f"({', '.join(able)}). Name the format that it should be (--format) to see what is wrong."
        )
    if path.suffix.lower() in _SPREADSHEETS:
        raise DatasetError(f"{path}: is a spreadsheet. Save it as CSV in the program that made it, and give the CSV.")
    raise DatasetError(
        f"{path}: is not a dataset: its name must end in one of {', '.join(suffixes)}. "
        "A folder with a subfolder for each class is also a dataset."
    )
