"""CSV: a row per clip, and a header that names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats.format import Format
from adapters.data.formats.text import not_empty, parse_json, read_text
from adapters.data.rows import make_dataset, to_row
from adapters.errors import DatasetError
from adapters.system import did_you_mean, json_text, write_text_atomic

_COLUMNS = ("path", "label", "start_seconds", "end_seconds", "split", "group", "source")
_ALIASES = {
    "file": "path",
    "filename": "path",
    "video": "path",
    "class": "label",
    "labels": "label",
    "start": "start_seconds",
    "end": "end_seconds",
}


def import_csv(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read a CSV with a header that names at least path and label; separated by commas, tabs or semicolons.

    Several labels share a cell as a JSON list. Other columns are ignored, but a name that is similar to one of ours is
    an error, so that a misspelt ``start_second`` is not lost.

    Args:
        path: The CSV file.
        labels: The order of the classes; None: as the rows first name them.

    Raises:
        DatasetError: The file cannot be read, or a row is wrong; names its place.
    """
    path = Path(path)
    text = read_text(path)
    header = text.split("\n", 1)[0]
    delimiter = next((mark for mark in "\t,;" if mark in header), ",")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV ({error})") from None
    names = [_ALIASES.get(name.strip().lower(), name.strip().lower()) for name in (lines[0] if lines else [])]
    _check_columns(names, path)
    rows = [(f"{path}, row {n}", _row(names, cells, f"{path}, row {n}")) for n, cells in enumerate(lines[1:], 2)]
    return not_empty(make_dataset([(where, row) for where, row in rows if row], path.parent, labels), path)


def export_csv(dataset: Dataset, path: str | Path) -> Path:
    """Write a CSV atomically with every column of a row. It cannot express the label order and unused labels.

    Args:
        dataset: The clips.
        path: The CSV file.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
    """
    path = Path(path)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for item in dataset.examples:
        row = to_row(item, path.parent)
        if isinstance(row["label"], list) or row["label"].startswith("[") or row["label"] != row["label"].strip():
            row["label"] = json_text(list(item.labels))
        writer.writerow([row[name] for name in _COLUMNS])
    write_text_atomic(path, buffer.getvalue())
    return path


def _check_columns(names: list[str], path: Path) -> None:
    ours = [name for name in names if name in _COLUMNS]
    if not {"path", "label"} <= set(ours) or len(set(ours)) != len(ours):
        raise DatasetError(
            f"{path}: the first line must name the columns, each once, path and label among them; "
            f"got {', '.join(names) or 'nothing'}; known: {', '.join(_COLUMNS)}"
        )
    for name in set(names) - set(ours):
        if near := did_you_mean(name, _COLUMNS, cutoff=0.75):
            raise DatasetError(f'{path}: column "{name}" is not known.{near}')


def _row(names: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if not any(cell.strip() for cell in cells):
        return {}
    if len(cells) != len(names):
        raise DatasetError(f"{where}: has {len(cells)} cells where the header names {len(names)}")
    row: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=True) if cell and name in _COLUMNS}
    for name in ("start_seconds", "end_seconds"):
        if name in row:
            try:
                row[name] = float(row[name])
            except ValueError:
                raise DatasetError(f"{where}: {name} must be seconds, a number; got {row[name]!r}") from None
    label = str(row.get("label", "")).strip()
    row["label"] = parse_json(label, f"{where}, label") if label.startswith("[") else label
    return row


FORMAT = Format(import_csv, export_csv, suffixes=(".csv", ".tsv"), file_name="dataset.csv")
