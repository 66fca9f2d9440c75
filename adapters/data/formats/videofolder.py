"""Hugging Face VideoFolder: videos with ``metadata.csv`` or ``metadata.jsonl``, also in a folder for each split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from adapters.data.aliases import key_names, normal_name
from adapters.data.examples import Dataset, Example
from adapters.data.formats.folders import Placement, free_name, place_video
from adapters.data.formats.foreign_rows import below
from adapters.data.formats.format import Format
from adapters.data.formats.text import not_empty, parse_json, read_text, type_and_value
from adapters.data.rows import make_dataset, to_row
from adapters.data.split_names import is_split_name
from adapters.errors import DatasetError
from adapters.system import json_text, write_text_atomic

_FILES = ("metadata.jsonl", "metadata.csv")


def import_videofolder(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read the metadata of the folder and of its split folders. ``file_name`` is relative to the file that has it.

    A row without a label takes that of the folder of its video.

    Args:
        path: The folder.
        labels: The order of the classes; None: as the rows first name them.

    Raises:
        DatasetError: A file cannot be read, a row is wrong, or a name leads out of the folder.
    """
    root = Path(path)
    files = list(_metadata(root))
    if not files:
        raise DatasetError(f"{root}: has no {' or '.join(_FILES)}, neither directly nor in the folder of a split")
    rows = [(where, row) for split, file in files for where, row in _rows(file, root, split)]
    text = any(file.suffix == ".csv" for _, file in files)
    return not_empty(make_dataset(rows, root, labels, text=text, extra_keys=True), root)


def _metadata(root: Path) -> Iterator[tuple[str | None, Path]]:
    """The files of metadata with the split of their folder."""
    if not root.is_dir():
        return
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and is_split_name(entry.name))
    for split, folder in ((None, root), *((folder.name, folder) for folder in folders)):
        file = next((folder / name for name in _FILES if (folder / name).is_file()), None)
        if file is not None:
            yield split, file


def _rows(file: Path, root: Path, split: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, given in _objects(file):
        row = {name: value for name, value in given.items() if name != "file_name"}
        name = given.get("file_name")
        found = below(name, file.parent.absolute(), where)
        if not isinstance(name, str) or ".." in Path(name).parts or Path(name).is_absolute():
            raise DatasetError(f"{where}: file_name must be below the folder of {file.name}, got {name!r:.80}")
        row["path"] = str((file.parent / found).relative_to(root))
        folder = Path(found).parent.name
        if folder and not any(normal_name(key) in key_names("label") for key in row):
            row["label"] = folder
        if split is not None and not any(normal_name(key) in key_names("split") for key in row):
            row["split"] = split
        yield where, row


def _objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    text = read_text(file)
    if file.suffix == ".csv":
        try:
            for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True), 2):
                if None in row or None in row.values():
                    raise DatasetError(f"{file}, row {number}: has a different number of cells than the header")
                yield f"{file}, row {number}", dict(row)
        except csv.Error as error:
            raise DatasetError(f"{file}: is not CSV ({error})") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = parse_json(line, f"{file}, line {number}")
            if not isinstance(row, dict):
                raise DatasetError(f"{file}, line {number}: must be a JSON object, got {type_and_value(row)}")
            yield f"{file}, line {number}", row


def export_videofolder(dataset: Dataset, path: str | Path, media: Placement = "copy") -> Path:
    """Put the videos into a folder, in one for each split where clips have splits, each with a ``metadata.jsonl``.

    Args:
        dataset: The clips.
        path: The folder to write.
        media: ``copy`` the videos or ``link`` them (symbolic links).

    Returns:
        The path.

    Raises:
        DatasetError: Some clips have a split and some have none, or a video is missing.
        StorageError: A file cannot be written.
    """
    root = Path(path)
    splits = {item.split for item in dataset.examples}
    if None in splits and len(splits) > 1:
        raise DatasetError(
            f"{dataset.root}: some clips have a split and others do not. Split the dataset first: cliplab dataset split"
        )
    taken: set[Path] = set()
    names: dict[tuple[Path, str | None], Path] = {}
    lines: dict[str | None, list[str]] = {}
    for item in dataset.examples:
        folder = root / item.split if item.split else root
        if (item.path, item.split) not in names:
            names[item.path, item.split] = free_name(folder / item.path.name, taken)
            place_video(item.path, names[item.path, item.split], media)
        row = _row(item, names[item.path, item.split].name, dataset.root)
        lines.setdefault(item.split, []).append(json_text(row) + "\n")
    for split, found in lines.items():
        write_text_atomic((root / split if split else root) / "metadata.jsonl", "".join(found))
    return root


def _row(item: Example, name: str, folder: Path) -> dict[str, Any]:
    row = to_row(item, folder)
    kept = {key: row[key] for key in ("label", "start_seconds", "end_seconds", "group", "source")}
    return {"file_name": name, **{key: value for key, value in kept.items() if value is not None}}


FORMAT = Format(
    import_videofolder,
    export_videofolder,
    matches=lambda path: next(_metadata(path), None) is not None,
    holds_videos=True,
)
