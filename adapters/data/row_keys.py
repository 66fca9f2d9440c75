"""One row of a label file to its values: which key each name is, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from adapters.data.aliases import (
    ROW_KEYS,
    SPLIT_FLAGS,
    STRONG,
    WEAKER,
    is_left_out,
    is_rate,
    looks_like_time,
    nearest_name,
    normal_name,
    time_name,
)
from adapters.data.time_values import TimeRange, not_understood, read_ranges
from adapters.errors import DatasetError

_MAX_NAME = 200
_MAX_NAMES = 2000
# Columns that Label Studio always writes beside the answers, whose own names are those of the project's tags.
_SHORT_EXPORT = frozenset({"annotation_id", "annotator", "lead_time"})


class RowValues(NamedTuple):
    """The values of a row under our own keys.

    Attributes:
        values: By key: path, label, split, group and source, where the row has them.
        ranges: One or more ranges of the video.
        rate: Frames per second that the row gives; None where it gives none.
    """

    values: Mapping[str, Any]
    ranges: tuple[TimeRange, ...]
    rate: float | None


@dataclass(frozen=True)
class _Names:
    """Which names of a row are which keys."""

    keys: Mapping[str, tuple[str, ...]]
    times: tuple[str, ...]
    rates: tuple[str, ...]


def check_names(names: tuple[str, ...], where: str, extra_keys: bool = True) -> tuple[str, ...]:
    """The keys of which a header names a column.

    Args:
        names: The columns.
        where: The file, for messages.
        extra_keys: Whether names that are not understood and cannot be a mistake are ignored.

    Returns:
        Some of path, label, split, group and source.

    Raises:
        DatasetError: A name is not allowed.
    """
    return tuple(_understand(names, where, extra_keys).keys)


def read_row(row: Mapping[str, Any], where: str, *, text: bool, extra_keys: bool) -> RowValues:
    """The values of a row under any of the names that are understood.

    Args:
        row: The keys and values.
        where: The place of the row in its file, for messages.
        text: Whether numbers are text, as in a CSV.
        extra_keys: Whether names that are not understood and cannot be a mistake are ignored.

    Raises:
        DatasetError: A name or a value is not allowed, or two contradict each other.
    """
    names = _understand(tuple(row), where, extra_keys)
    values: dict[str, Any] = {}
    for key, given in names.keys.items():
        if len(given) == 1:
            values[key] = row[given[0]]
            continue
        filled = [name for name in given if row[name] not in (None, "")] or list(given[:1])
        if any(row[name] != row[filled[0]] for name in filled[1:]):
            raise DatasetError(
                f"{where}: {key} is given twice, as {filled[0]!r} and {filled[1]!r}, with different values. Keep only "
                "one. To ignore a column on purpose, remove it or begin its name with an underscore."
            )
        values[key] = row[filled[0]]
    ranges = read_ranges({name: row[name] for name in names.times}, where, text=text)
    return RowValues(values, tuple(ranges), _rate(row, names.rates, where) if names.rates else None)


def _understand(names: tuple[str, ...], where: str, extra_keys: bool) -> _Names:
    try:
        return _cached(names, extra_keys)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None


def _check_printable_and_short(names: tuple[str, ...]) -> None:
    longest = max(names, key=len, default="")
    if (odd := next((name for name in names if not name.isprintable()), None)) is not None:
        raise DatasetError(f"the name {odd!r:.200} has a character that cannot be printed. Rename or remove it.")
    if len(longest) > _MAX_NAME or len(names) > _MAX_NAMES:
        raise DatasetError(
            f"has {len(names)} names of up to {len(longest)} characters, such as {longest[:40]!r}; at most "
            f"{_MAX_NAMES} of {_MAX_NAME} characters are allowed. Check that it is a label file."
        )


@lru_cache(maxsize=1024)
def _cached(names: tuple[str, ...], extra_keys: bool) -> _Names:
    """What names mean; rows of a file mostly have the same ones. What is refused is not kept."""
    _check_printable_and_short(names)
    others = frozenset(normal_name(name) for name in names)
    if others >= _SHORT_EXPORT:
        raise DatasetError(
            "is a short export of Label Studio (CSV, TSV or JSON-MIN), in which any column may hold the labels. Export "
            "the project as JSON."
        )
    keys: dict[str, list[str]] = {}
    weaker: dict[str, list[str]] = {}
    times: list[str] = []
    rates: list[str] = []
    for name in names:
        normal = normal_name(name)
        if is_left_out(name):
            continue
        if (key := next((key for key, known in STRONG.items() if normal in known), None)) is not None:
            keys.setdefault(key, []).append(name)
        elif is_rate(name):
            rates.append(name)
        elif time_name(name, others) is not None:
            times.append(name)
        elif (key := next((key for key, known in WEAKER.items() if normal in known), None)) is not None:
            weaker.setdefault(key, []).append(name)
        else:
            _refuse(name, extra_keys)
    for key, given in weaker.items():
        if key not in keys:
            keys[key] = [min(given, key=lambda name: WEAKER[key].index(normal_name(name)))]
    return _Names({key: tuple(given) for key, given in keys.items()}, tuple(times), tuple(rates))


def _refuse(name: str, extra_keys: bool) -> None:
    """Refuse a name that is not understood, unless it is one to pass over."""
    hint = not_understood(name) if looks_like_time(name) else nearest_name(name)
    if SPLIT_FLAGS.fullmatch(normal_name(name)):
        hint = ' Write the split of each clip in a column "split": train, validation or test.'
    if not extra_keys:
        raise DatasetError(f"{name!r} is not a key of a row; allowed: {', '.join(ROW_KEYS)}.{hint}")
    if hint:
        raise DatasetError(f'column "{name}" is not known.{hint}')


def _rate(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> float | None:
    for name in names:
        if row[name] in (None, ""):
            continue
        try:
            rate = float(row[name])
        except (TypeError, ValueError):
            rate = 0.0
        if not 0 < rate <= 10_000:
            raise DatasetError(f"{where}: {name} must be frames per second above 0, got {row[name]!r:.60}")
        return rate
    return None
