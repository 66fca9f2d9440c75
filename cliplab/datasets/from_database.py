"""`cliplab dataset from-db`: a dataset of the rated clips of a production database, which is only read."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.data import Dataset, Example, write_dataset
from adapters.errors import ConfigError, DatasetError, MissingExtraError, StorageError
from adapters.system import atomic_file, check_regular_file, read_regular_text, storage_error
from cliplab.outputs import require_new

RECORD = "from_database.json"
_MOST_QUERY_BYTES = 1_000_000
_MOST_ROWS, _MOST_VALUE_BYTES = 1_000_000, 64 << 20
_PATHS = ("filepath", "file_path", "video_path", "path", "clip_path", "filename", "file_name")
_SOURCES = ("source_url", "source", "source_id", "stream_id", "session_id", "video_id")
_TERM = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|=|>|<)\s*('[^']*'|\"[^\"]*\"|[-+.\w]+)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
    "=": lambda one, other: one == other,
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
}


@dataclass(frozen=True)
class DatabaseReport:
    """What came of a database.

    Attributes:
        output: The folder of the dataset.
        query: What was asked.
        rows: How many rows answered.
        clips: Clips by label.
        neither: Rows that are neither positive nor negative.
        both: Rows that are both, which are left out.
        missing: Sentences about rows whose file is not there or is named twice.
        copied: Whether the clips were copied; False where they are referenced.
    """

    output: str
    query: str
    rows: int
    clips: dict[str, int]
    neither: int
    both: int
    missing: tuple[str, ...]
    copied: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "missing": list(self.missing)}


def dataset_from_db(
    database: str | Path,
    output: str | Path,
    *,
    query: str | Path | None = None,
    positive: str = "rating >= 4",
    negative: str = "rating <= 2",
    labels: Sequence[str] = ("trick", "non-trick"),
    root: str | Path | None = None,
    reference: bool = False,
    force: bool = False,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> DatabaseReport:
    """Make a dataset of the clips of a database: a folder for each of two labels, and dataset.jsonl with the groups.

    The database is opened for reading only. Clips of one source (``source_url``, ``source_id`` or the like) are one
    group, so that they are never in two splits. The query, the conditions and the time are kept in RECORD.

    Args:
        database: A SQLite file, or ``postgresql://...``.
        output: The folder to write.
        query: A file with one SELECT; None: every row of the table ``clips``. One column names the clip's file:
            filepath, file_path, video_path, path, clip_path, filename or file_name.
        positive: Which rows get the first label: ``COLUMN OPERATOR VALUE``, joined by ``and``.
        negative: Which rows get the second.
        labels: The names of the two.
        root: The folder that relative paths are relative to; None: the database's folder, or this one.
        reference: Leave the clips where they are.
        force: Replace what is in the folder.
        on_progress: Called with the stage's name, the clips done and the clips in all.

    Raises:
        ConfigError: A condition, a label or the query is not allowed.
        DatasetError: No row fits, a column is missing, or the query fails.
        StorageError: The database cannot be read, or the dataset cannot be written.
    """
    names = tuple(labels)
    if len(names) != 2 or len(set(names)) != 2 or not all(_is_folder_name(name) for name in names):
        raise ConfigError(f"--labels takes two different names of folders, such as trick,non-trick, got {labels!r:.80}")
    wanted = [_condition("positive", positive), _condition("negative", negative)]
    text = _query(query)
    require_new(output, force)
    rows = _read(database, text)
    base = Path(root) if root is not None else _folder_of(database)
    report = DatabaseReport(str(output), text, len(rows), dict.fromkeys(names, 0), 0, 0, (), not reference)
    examples, report = _examples(rows, names, wanted, base, report)
    if not examples:
        raise DatasetError(
            f"{_shown(database)}: none of the {len(rows)} rows is a clip of either label ({report.neither} fit neither "
            f"condition, {len(report.missing)} have no file{': ' + report.missing[0] if report.missing else ''}). "
            "Correct --positive, --negative or --root"
        )
    target = Path(output)
    if not reference:
        examples = _copied(examples, target, on_progress)
    _write(target, examples, names, report, database, positive, negative)
    return report


def _is_folder_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name.strip()) and name.isprintable() and not re.search(r"[/\\]|^\.", name)


def _condition(name: str, text: str) -> list[tuple[str, str, Any]]:
    """(column, operator, value) of each part that is joined by "and"."""
    terms = []
    for part in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE):
        found = _TERM.fullmatch(part)
        if found is None:
            raise ConfigError(
                f'--{name} is COLUMN OPERATOR VALUE, such as "rating >= 4" or "label = \'trick\' and score > 0.5", got '
                f"{text!r:.120}"
            )
        column, operator, value = found.groups()
        terms.append((column, operator, value[1:-1] if value[0] in "'\"" else _number(value)))
    return terms


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text.lower(), text)


def _query(query: str | Path | None) -> str:
    if query is None:
        return "SELECT * FROM clips"
    try:
        text = read_regular_text(query, _MOST_QUERY_BYTES, ConfigError).strip().rstrip(";").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{query}: the query cannot be read: {error}") from error
    if not re.match(r"(?is)(select|with)\b", text) or ";" in text:
        raise ConfigError(f"{query}: must hold one SELECT, got {text[:60]!r}")
    return text


def _read(database: str | Path, query: str) -> list[Mapping[str, Any]]:
    """Every row, in a transaction that can only read."""
    try:
        import sqlalchemy as sa
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "sqlalchemy", "clips") from error
    text = str(database)
    if text.startswith(("postgresql:", "postgres:", "postgresql+")):
        url = sa.make_url(text).set(drivername="postgresql+psycopg")
        options: dict[str, Any] = {"execution_options": {"postgresql_readonly": True}}
    elif "://" in text:
        raise ConfigError(f"{text.partition('://')[0]}://... is not supported. Give a SQLite file, or postgresql://...")
    else:
        try:
            check_regular_file(text, StorageError)
        except FileNotFoundError:
            raise StorageError(f"{text}: there is no such file. Give the path of the database") from None
        except (OSError, ValueError) as error:  # the latter of a name that no file can have
            raise StorageError(f"{text!a}: cannot be opened ({error}). Give the path of the database") from None
        url = sa.make_url("sqlite://")
        options = {"creator": lambda: _read_only(Path(text))}
    try:
        engine = sa.create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "psycopg", "clips", "PostgreSQL") from error
    try:
        with engine.connect() as connection:
            answer = connection.exec_driver_sql(query)
            rows: list[Mapping[str, Any]] = [dict(row._mapping) for row in islice(answer, _MOST_ROWS + 1)]
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise DatasetError(f"{_shown(database)}: the query failed: {reason}. It was: {query[:200]}") from error
    finally:
        engine.dispose()
    if len(rows) > _MOST_ROWS:
        raise DatasetError(
            f"{_shown(database)}: the query gives more than {_MOST_ROWS:,} rows. Add a LIMIT. It was: {query[:200]}"
        )
    return rows


def _read_only(path: Path) -> Any:
    import sqlite3

    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    connection.execute("PRAGMA query_only = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)
    return connection


def _examples(
    rows: Sequence[Mapping[str, Any]],
    names: tuple[str, ...],
    wanted: Sequence[list[tuple[str, str, Any]]],
    base: Path,
    report: DatabaseReport,
) -> tuple[list[Example], DatabaseReport]:
    if not rows:
        return [], report
    where = next((name for name in _PATHS if name in rows[0]), None)
    if where is None:
        raise DatasetError(
            f"the query returns no column with the clip's file: one of {', '.join(_PATHS)} is required; it returns "
            f"{', '.join(map(str, rows[0]))}. Rename the column in --query, such as SELECT video AS filepath, ..."
        )
    missing = [column for terms in wanted for column, _, _ in terms if column not in rows[0]]
    if missing:
        raise DatasetError(f"the query returns no column {missing[0]}; it returns {', '.join(map(str, rows[0]))}")
    source = next((name for name in _SOURCES if name in rows[0]), None)
    examples, clips, problems, neither, both, seen = [], dict(report.clips), [], 0, 0, set()
    for row in rows:
        fits = [all(_holds(row[column], operator, value) for column, operator, value in terms) for terms in wanted]
        if fits[0] == fits[1]:
            neither, both = neither + (not fits[0]), both + fits[0]
            continue
        path = Path(os.path.abspath(base / str(row[where] or "")))
        if path in seen or not os.path.isfile(path):  # False of a name that no file can have, too
            there = "is a folder, FIFO or device" if os.path.exists(path) else "there is no such file"
            problems.append(f"{row[where]!r:.200}: {'occurs twice' if path in seen else there}")
            continue
        seen.add(path)
        label = names[fits.index(True)]
        clips[label] += 1
        group = str(row[source]) if source is not None and row[source] is not None else ""
        examples.append(Example(path, (label,), group=group))
    return examples, replace(report, clips=clips, neither=neither, both=both, missing=tuple(problems))


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    """Whether a value fits; what is not known, or of another kind, does not."""
    if value is None:
        return False
    try:
        if isinstance(wanted, float):
            value = float(value)
        elif isinstance(wanted, str):
            value = str(value)
        return _COMPARE[operator](value, wanted)
    except (TypeError, ValueError):
        return False


def _copied(
    examples: Sequence[Example], target: Path, on_progress: Callable[[str, int, int], object] | None
) -> list[Example]:
    """The clips as copies, in a folder for each label."""
    made, taken = [], set()
    for number, example in enumerate(examples):
        if on_progress is not None:
            on_progress("copying", number, len(examples))
        folder = target / example.labels[0]
        place = folder / example.path.name
        if place in taken:
            place = folder / f"{example.path.stem}_{number:06d}{example.path.suffix}"
        taken.add(place)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(example.path, place)
        except OSError as error:
            raise storage_error(place, error) from error
        made.append(replace(example, path=Path(os.path.abspath(place)), source=example.path.name))
    return made


def _write(
    target: Path,
    examples: Sequence[Example],
    names: tuple[str, ...],
    report: DatabaseReport,
    database: str | Path,
    positive: str,
    negative: str,
) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(target, error) from error
    write_dataset(Dataset(tuple(examples), names, target), target / "dataset.jsonl")
    record = {
        "database": _shown(database),
        "read_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "positive": positive,
        "negative": negative,
        **report.to_json(),
    }
    with atomic_file(target / RECORD, text=True) as file:
        json.dump(record, file, ensure_ascii=False, indent=1)


def _folder_of(database: str | Path) -> Path:
    return Path() if "://" in str(database) else Path(database).resolve().parent


def _shown(database: str | Path) -> str:
    """The database without a password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(database))
