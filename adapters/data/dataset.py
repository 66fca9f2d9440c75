"""Labelled clips: read, write, import, export, split, count and check. The one module of datasets that others import.

The forms are told apart by what is there: see read_dataset. docs/dataset.md shows each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapters.data.checks import check, problems, stats
from adapters.data.examples import SPLITS, Dataset, Example, Split, match_labels
from adapters.data.formats.dataloop import export_dataloop, import_dataloop
from adapters.data.formats.folders import export_folders, import_folders, without_missing
from adapters.data.formats.text_files import (
    export_coco,
    export_csv,
    export_jsonl,
    export_labels_json,
    import_coco,
    import_csv,
    import_jsonl,
    import_labels_json,
    is_coco,
    parse_json,
    read_text,
)
from adapters.data.splits import split
from adapters.errors import DatasetError

__all__ = [
    "FORMATS",
    "SPLITS",
    "Dataset",
    "Example",
    "Split",
    "check",
    "export_coco",
    "export_csv",
    "export_dataloop",
    "export_dataset",
    "export_folders",
    "export_jsonl",
    "export_labels_json",
    "import_coco",
    "import_csv",
    "import_dataloop",
    "import_folders",
    "import_jsonl",
    "import_labels_json",
    "match_labels",
    "problems",
    "read_dataset",
    "recognise",
    "split",
    "stats",
    "without_missing",
    "write_dataset",
]

_IMPORT: dict[str, Callable[..., Dataset]] = {
    "jsonl": import_jsonl,
    "labels_json": import_labels_json,
    "csv": import_csv,
    "coco": import_coco,
    "folders": import_folders,
    "dataloop": import_dataloop,
}
_EXPORT: dict[str, Callable[..., Path]] = {
    "jsonl": export_jsonl,
    "labels_json": export_labels_json,
    "csv": export_csv,
    "coco": export_coco,
    "folders": export_folders,
    "dataloop": export_dataloop,
}
FORMATS = tuple(_IMPORT)
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
_FILES_IN_FOLDER = ("dataset.jsonl", "labels.json", "dataset.csv", "dataset.json")


def read_dataset(path: str | Path, labels: Sequence[str] | None = None, form: str | None = None) -> Dataset:
    """Read labelled clips from a file or folder in any of FORMATS.

    path: dataset.jsonl; a CSV; labels.json; COCO-style JSON; or a folder: one that holds dataset.jsonl, labels.json,
    dataset.csv or dataset.json (the first there is), a Dataloop download (items/ and json/, also within train/,
    validation/, test/), or a folder for each class. labels: the order of the classes; None keeps the file's. form:
    which of FORMATS it is; None looks. Files are not opened: check says which are missing.
    Raises DatasetError naming the file, the place in it, and what is allowed.
    """
    kind, place = (form, Path(path)) if form is not None else recognise(path)
    if kind not in _IMPORT:
        raise DatasetError(f"{kind!r} is not a form of dataset; allowed: {', '.join(FORMATS)}")
    return _IMPORT[kind](place, labels)


def write_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write dataset.jsonl, atomically; into path where it is a folder. Returns the file's path.

    Paths are relative where they lie under the file's folder. Raises StorageError.
    """
    return export_jsonl(dataset, path)


def export_dataset(dataset: Dataset, path: str | Path, form: str, **options: Any) -> Path:
    """Write the dataset in one of FORMATS; options are those of its export function. Returns what was written."""
    if form not in _EXPORT:
        raise DatasetError(f"{form!r} is not a form of dataset; allowed: {', '.join(FORMATS)}")
    return _EXPORT[form](dataset, path, **options)


def recognise(path: str | Path) -> tuple[str, Path]:
    """Which of FORMATS a path is, and the file or folder that holds it. Raises DatasetError where it is none."""
    path = Path(path)
    if path.is_dir():
        for name in _FILES_IN_FOLDER:
            if (path / name).is_file():
                return recognise(path / name)
        tops = [path, *(entry for entry in sorted(path.iterdir()) if entry.is_dir())]
        dataloop = any((top / "items").is_dir() and (top / "json").is_dir() for top in tops)
        return ("dataloop" if dataloop else "folders"), path
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()], path
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder. Name a dataset.jsonl, labels.json, CSV or folder.")
    if path.suffix.lower() == ".json":
        return ("coco" if is_coco(parse_json(read_text(path), str(path))) else "labels_json"), path
    raise DatasetError(
        f"{path}: is not a dataset: its name ends in none of {', '.join((*_SUFFIXES, '.json'))}. "
        "A folder with a subfolder for each class is one too."
    )
