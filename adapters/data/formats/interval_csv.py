"""Intervals as CSV: a start, an end and a label per row, under a header or without one."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Any

from adapters.data.aliases import RATES, is_left_out, key_names, normal_name, time_name
from adapters.data.formats.interval_records import COMMERCIAL, IntervalFormat, IntervalOutput, IntervalSource
from adapters.data.row_keys import read_row
from adapters.data.time_values import Frames
from adapters.errors import DatasetError

_COLUMNS = ("video", "start_seconds", "end_seconds", "label", "score", "note")
_SCORES, _NOTES = ("score", "confidence", "probability"), ("note", "notes", "comment", "remark", "description")
_NUMBER = re.compile(r"\s*(?:\d+(?:\.\d*)?|(?:\d{1,4}:)?\d{1,4}:\d{1,2}(?:\.\d+)?)\s*")


def read_csv(source: IntervalSource) -> None:
    """Read rows under a header with the names of docs/dataset.md, or without a header: start, end, label.

    A row without a label is of label "ad".

    Raises:
        DatasetError: A row is not an interval.
    """
    delimiter = next((mark for mark in "\t;," if mark in source.lines()[0]), ",")
    try:
        rows = list(csv.reader(io.StringIO(source.text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{source.path}: is not CSV ({error})") from None
    first = next((row for row in rows if any(row)), [])
    headed = not _is_headless(first)
    names = [" ".join(name.split()) for name in rows.pop(0)] if headed else ["start", "end", "label", "score", "note"]
    if not headed:
        source.notes.append("no header: the columns are read as start, end and label")
        names = names[: max(map(len, rows))]
    for number, cells in enumerate(rows, 2 if headed else 1):
        if any(cell.strip() for cell in cells):
            _row(names, cells, source, f"row {number}")


def _row(names: Sequence[str], cells: Sequence[str], source: IntervalSource, where: str) -> None:
    if len(cells) != len(names):
        raise DatasetError(f"{source.path}, {where}: has {len(cells)} cells; {len(names)} are expected")
    add_row(dict(zip(names, cells, strict=True)), source, where, text=True)


def add_row(row: dict[str, Any], source: IntervalSource, where: str, *, text: bool, video: str | None = None) -> None:
    """Add the interval of a row or object under any of the names of docs/dataset.md.

    Args:
        row: Keys and values.
        source: The file.
        where: The place in it.
        text: Whether numbers are text, as in a CSV.
        video: The video of the row where the row itself names none.

    Raises:
        DatasetError: The row has no start or end, or a name or value is not allowed.
    """
    rest, score, note = {}, None, None
    for name, value in row.items():
        normal = normal_name(name)
        if normal in _SCORES:
            score = _score(value, f"{source.path}, {where}")
        elif normal in _NOTES:
            note = value if isinstance(value, str) and value else None
        else:
            rest[name] = value
    values = read_row(rest, f"{source.path}, {where}", text=text, extra_keys=True)
    given = values.values.get("path")
    label = values.values.get("label") or COMMERCIAL
    label = label[0] if isinstance(label, list) and len(label) == 1 else label
    if not isinstance(label, str):
        raise DatasetError(f"{source.path}, {where}: label must be a string, got {label!r:.60}")
    for span in values.ranges:
        start, end = span.start, span.end
        if isinstance(start, Frames) and isinstance(end, Frames):
            source.frame_rate = values.rate or source.frame_rate
            start, end = source.seconds_of_frames(start.number, end.number, where)
        if not isinstance(start, (int, float)) or not isinstance(end, (int, float)):
            raise DatasetError(f"{source.path}, {where}: needs a start and an end, both in seconds or both in frames")
        own = given if isinstance(given, str) and given else video
        source.add(where, label, start, end, score=score, note=note, video=own)


def _score(value: object, where: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not 0 <= score <= 1:
        raise DatasetError(f"{where}: the score must be a number in 0..1, got {value!r:.60}")
    return score


def write_csv(output: IntervalOutput) -> str:
    """The CSV with every column; numbers in full."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for name, items in output.videos.items():
        for item in items:
            score = "" if item.score is None else item.score
            writer.writerow([name, item.start_seconds, item.end_seconds, item.label, score, item.note or ""])
    return buffer.getvalue()


def _first_cells(source: IntervalSource) -> list[str]:
    line = next((line for line in source.head.split("\n") if line.strip()), "")
    delimiter = next((mark for mark in "\t;," if mark in line), ",")
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell of more than 128 KiB
        return []


def _is_headless(cells: Sequence[str]) -> bool:
    """Whether the first row is times already."""
    return len(cells) >= 2 and all(_NUMBER.fullmatch(cell) for cell in cells[:2])


def is_csv(source: IntervalSource) -> bool:
    """Whether the first line names a start and an end, or is two times and more."""
    cells = _first_cells(source)
    if _is_headless(cells):
        return True
    others = frozenset(normal_name(cell) for cell in cells)
    found = {known.part for cell in cells if not is_left_out(cell) and (known := time_name(cell.strip(), others))}
    return "range" in found or "start" in found


def is_of_one_video(source: IntervalSource) -> bool:
    """Whether a CSV has no column for the video, and none that may be one misspelt: it has no header, or all is known.

    Args:
        source: The file.
    """
    cells = _first_cells(source)
    others = frozenset(normal_name(cell) for cell in cells)
    known = {*key_names("label"), *_SCORES, *_NOTES, *RATES}
    return _is_headless(cells) or (
        bool(cells)
        and all(
            is_left_out(cell) or normal_name(cell) in known or time_name(cell.strip(), others) is not None
            for cell in cells
        )
    )


FORMAT = IntervalFormat(
    read_csv, write_csv, (".csv", ".tsv"), is_csv, frozenset({"labels", "scores", "notes", "videos"})
)
