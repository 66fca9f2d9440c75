"""CSV: a row per clip, and a header that names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from adapters.data.aliases import is_left_out, key_names, normal_name
from adapters.data.examples import Dataset
from adapters.data.formats.format import Format
from adapters.data.formats.text import not_empty, parse_json, read_text
from adapters.data.row_keys import check_names
from adapters.data.rows import make_dataset, to_row
from adapters.errors import DatasetError
from adapters.system import json_text, write_text_atomic

_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n')
_SPREADSHEET_ERRORS = {"#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"}
_COLUMNS = ("path", "label", "start_seconds", "end_seconds", "split", "group", "source")


def import_csv(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read a CSV with a header that names at least path and label; separated by commas, tabs or semicolons.

    Several labels share a cell as a JSON list. Other columns are ignored, but a name that is similar to one of ours, or
    looks like a time, is an error, so that a misspelt ``start_second`` is not lost.

    Args:
        path: The CSV file.
        labels: The order of the classes; None: as the rows first name them.

    Raises:
        DatasetError: The file cannot be read, or a row is wrong; names its place.
    """
    path = Path(path)
    text = read_text(path, utf_16=True)
    told = _SEPARATOR.match(text)  # of Excel
    text = text if told is None else text[told.end() :]
    header = text.split("\n", 1)[0]
    delimiter = told[1] if told else next((mark for mark in "\t,;" if mark in header), ",")
    lines = _lines(text, delimiter, path)
    names = [" ".join(name.split()) for name in next(lines, [])]
    _check_columns(names, path)
    return not_empty(make_dataset(_rows(names, lines, path), path.parent, labels, text=True, extra_keys=True), path)


def _lines(text: str, delimiter: str, path: Path) -> Iterator[list[str]]:
    """The cells of each row, one by one: a large file has many. DatasetError: It is not CSV."""
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV ({error})") from None


def _rows(names: list[str], lines: Iterator[list[str]], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and values of each row that is not empty."""
    labels = [name for name in names if _is_label(name)]
    for number, cells in enumerate(lines, 2):
        where = f"{path}, row {number}"
        if row := _row(names, labels, cells, where):
            yield where, row


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
    given = [name.lower() for name in names if not is_left_out(name)]
    known = check_names(tuple(names), str(path))
    if not {"path", "label"} <= set(known) or len(set(given)) != len(given):
        raise DatasetError(
            f"{path}: the first line must list the columns, each once, including path and label; "
            f"got {', '.join(names) or 'nothing':.400}; known columns: {', '.join(_COLUMNS)}, and the names in "
            "docs/dataset.md"
        )


def _is_label(name: str) -> bool:
    """Whether a column may hold labels."""
    return normal_name(name) in key_names("label")


def _row(names: list[str], labels: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if not any(map(str.strip, cells)):
        return {}
    if [" ".join(cell.split()) for cell in cells] == names:  # files that were joined repeat the header
        return {}
    if len(cells) > len(names) and not any(map(str.strip, cells[len(names) :])):
        cells = cells[: len(names)]
    if len(cells) != len(names):
        raise DatasetError(f"{where}: has {len(cells)} cells, but the header has {len(names)} columns")
    row: dict[str, Any] = dict(zip(names, cells, strict=True))
    for name in labels:
        label = row[name].strip()
        if label.startswith("#") and label in _SPREADSHEET_ERRORS:
            raise DatasetError(f"{where}: the label is {label}, an error of a spreadsheet. Correct the cell there")
        if not label and len(labels) == 1:
            raise DatasetError(
                f"{where}: label must be a non-empty string, or a list of them; got ''. Remove rows of totals and "
                "titles, and fill cells that a spreadsheet merged"
            )
        row[name] = parse_json(label, f"{where}, label") if label.startswith("[") else label
    return row


FORMAT = Format(import_csv, export_csv, suffixes=(".csv", ".tsv"), file_name="dataset.csv")
