"""Ratings as files: CSV for people, JSON for programs, Parquet for tables; what is read is stored once."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import DatasetError, MissingExtraError
from adapters.system import atomic_file, parse_json
from cliplab.clips.listing import list_rows
from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_rows import rating_rows, store_rating
from cliplab.clips.records import ClipError
from cliplab.clips.schema import CLIPS, RATINGS, sa

COLUMNS = ("filepath", "start_time", "end_time", "rater", "stars", "confidence", "rated_at")
_REQUIRED = ("filepath", "start_time", "end_time", "stars")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_BYTES = 256 << 20
_IMPORTED = "import "
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


@dataclass(frozen=True)
class ImportReport:
    """What came of a file of ratings.

    Attributes:
        path: The file.
        stored: Ratings that are new.
        repeated: Those that an earlier import stored, that the database has itself, or that are older than what the
            same rater said of the clip here.
        problems: A sentence for each row that was left out.
    """

    path: str
    stored: int
    repeated: int
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "problems": list(self.problems)}


def export_ratings(manager: ClipManager, path: str | Path) -> int:
    """Write every rating that counts, with the clip that it is of.

    Args:
        manager: The database.
        path: X.csv, X.json or X.parquet; what is there is replaced.

    Returns:
        How many ratings.

    Raises:
        DatasetError: The name ends in something else.
        StorageError: It cannot be written.
    """
    target, kind = Path(path), _kind(path)
    with manager.database.reading() as connection:
        clips = {row.id: row for row in connection.execute(sa.select(CLIPS.c.id, *(CLIPS.c[n] for n in COLUMNS[:3])))}
        rows = [
            [*(getattr(clips[row.clip_id], name) for name in COLUMNS[:3]), *(getattr(row, n) for n in COLUMNS[3:])]
            for row in rating_rows(connection)
            if row.clip_id in clips
        ]
    if kind == ".parquet":
        _write_parquet(target, rows)
        return len(rows)
    with atomic_file(target, text=True) as file:
        if kind == ".json":
            json.dump([dict(zip(COLUMNS, row, strict=True)) for row in rows], file, ensure_ascii=False, indent=1)
        else:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([_inert(cell) for cell in row] for row in rows)
    return len(rows)


def import_ratings(manager: ClipManager, path: str | Path) -> ImportReport:
    """Store the ratings of a file of ``export_ratings``, or of another with its columns.

    A clip is found by ``filepath`` and its times; a path that is not in the database, by the file's name, if one clip
    alone has it. The same file can be read again: what it stored is not stored twice. Neither is a rating that was
    given in this database, or that is older than one of the same rater for the same clip here: the later word stays.

    Args:
        manager: The database.
        path: X.csv, X.json or X.parquet, with the columns filepath, start_time, end_time, stars, and rater,
            confidence where they are known.

    Raises:
        DatasetError: The file cannot be read, or lacks a column.
        StorageError: The ratings cannot be stored.
    """
    source, kind = Path(path), _kind(path)
    found = _read(source, kind)
    clips, own = _Clips(manager), _own_times(manager)
    stored = repeated = 0
    problems = []
    for number, row in enumerate(found, 1):
        try:
            clip_id, stars = clips.find(row), _whole(row.get("stars"))
            rater, confidence = row.get("rater") or manager.rater, _number(row.get("confidence"))
            if not isinstance(rater, str):
                raise ClipError(f"rater must be a name, got {rater!r:.40}")
            if _is_time(row.get("rated_at")) and row["rated_at"] <= own.get((clip_id, rater), ""):
                repeated += 1
                continue
            key = json.dumps([clip_id, stars, rater, confidence, row.get("rated_at")])
            client = _IMPORTED + hashlib.sha256(key.encode()).hexdigest()[:32]
            if store_rating(manager.database, clip_id, stars, rater, confidence, client, 0):
                stored += 1
            else:
                repeated += 1
        except (ClipError, ValueError, TypeError, OverflowError) as error:
            problems.append(f"{source}: row {number}: {error}")
    return ImportReport(str(source), stored, repeated, tuple(problems))


def _own_times(manager: ClipManager) -> dict[tuple[int, str], str]:
    """By clip and rater, when what counts was said, as far as it was said here and not imported."""
    with manager.database.reading() as connection:
        rows = connection.execute(sa.select(RATINGS).order_by(RATINGS.c.id)).all()
    latest = {(row.clip_id, row.rater): row for row in rows}
    return {
        key: row.rated_at
        for key, row in latest.items()
        if _is_time(row.rated_at) and not str(row.client or "").startswith(_IMPORTED)
    }


def _is_time(value: object) -> bool:
    """Whether a value is a time as this database writes it, so that two of them can be compared as text."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


class _Clips:
    """The clips of a database by path and times, and by name."""

    def __init__(self, manager: ClipManager) -> None:
        self._exact: dict[tuple[str, float, float], int] = {}
        self._named: dict[tuple[str, float, float], list[int]] = {}
        for row in list_rows(manager.database, 2**31 - 1):
            self._exact[row.filepath, row.start_time, row.end_time] = row.id
            self._named.setdefault((Path(row.filepath).name, row.start_time, row.end_time), []).append(row.id)

    def find(self, row: dict[str, Any]) -> int:
        path, start, end = str(row.get("filepath")), _number(row.get("start_time")), _number(row.get("end_time"))
        if start is None or end is None:
            raise ClipError("start_time and end_time must be seconds")
        named = self._named.get((Path(path).name, start, end), [])
        exact = self._exact.get((path, start, end))
        if exact is None and len(named) != 1:
            why = "more than one clip has this name" if named else "it is not in the database"
            raise ClipError(f"{path!r:.120} from {start:g} to {end:g} s: {why}")
        return exact if exact is not None else named[0]


def _kind(path: str | Path) -> str:
    kind = Path(path).suffix.lower()
    if kind not in (".csv", ".json", ".parquet"):
        raise DatasetError(
            f"{path}: ratings are stored as X.csv, X.json or X.parquet. Use a name with one of these suffixes"
        )
    return kind


def _read(path: Path, kind: str) -> list[dict[str, Any]]:
    try:
        size = path.stat().st_size
        if not path.is_file() or size > _MOST_BYTES:
            raise DatasetError(f"{path}: must be a file of at most {_MOST_BYTES:,} bytes, got {size:,}")
        rows = _read_parquet(path) if kind == ".parquet" else _read_text(path, kind)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as ratings: {error}") from error
    missing = [name for name in _REQUIRED if rows and name not in rows[0]]
    if missing:
        raise DatasetError(f"{path}: has no column {', '.join(missing)}. It needs {', '.join(_REQUIRED)}")
    return rows


def _read_text(path: Path, kind: str) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if kind == ".csv":
        return [
            {name: _as_given(cell) for name, cell in row.items()}
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
    found = parse_json(text)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise DatasetError(f"{path}: must be a JSON list of objects, one for each rating")
    return found


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pyarrow", "clips", "Parquet") from error
    try:
        rows: list[dict[str, Any]] = read_table(path).to_pylist()
    except ArrowException as error:
        raise ValueError(str(error)) from error
    return rows


def _write_parquet(path: Path, rows: Sequence[Iterable[Any]]) -> None:
    try:
        import pyarrow
        from pyarrow.parquet import write_table
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pyarrow", "clips", "Parquet") from error
    types = ("string", "double", "double", "string", "int64", "double", "string")
    schema = pyarrow.schema(
        [
            (name, getattr(pyarrow, kind.replace("double", "float64"))())
            for name, kind in zip(COLUMNS, types, strict=True)
        ]
    )
    table = pyarrow.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema)
    with atomic_file(path) as file:
        write_table(table, file)


def _inert(cell: Any) -> Any:
    """A cell that spreadsheets do not run as a formula: text with such a beginning gets an apostrophe before it.

    https://owasp.org/www-community/attacks/CSV_Injection. An apostrophe that is there gets another one, so that
    reading takes away exactly what was added.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip("'").startswith(_FORMULA) else cell


def _as_given(cell: Any) -> Any:
    """The cell without the apostrophe of ``_inert``."""
    quoted = isinstance(cell, str) and cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA)
    return cell[1:] if quoted else cell


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ClipError(f"stars must be a whole number from 1 to 5, got {value!r:.40}")
    return int(number)
