"""The times in a row of a label file: seconds, milliseconds, minutes, frames, clocks, and pairs of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapters.data.aliases import (
    TimeName,
    Unit,
    nearest_name,
    normal_name,
    time_name,
)
from adapters.errors import DatasetError

_SECONDS: dict[str, float] = {"seconds": 1.0, "milliseconds": 1e-3, "minutes": 60.0}
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d{1,9})?)")
# "62s", "2.5 sec", "1m02s", "1h 2min 3s", "500 ms": as people write times and as links to videos have them.
_WITH_UNITS = re.compile(
    r"(?:(\d{1,4}) ?h(?:ours?|rs?)? ?)?(?:(\d{1,5}) ?m(?:in(?:ute)?s?)? ?)?"
    r"(?:(\d{1,9}(?:\.\d{1,9})?) ?(s(?:ec(?:ond)?s?)?|ms|msecs?|milliseconds?))?",
    re.IGNORECASE,
)
# Runs of digits and spaces are bounded, so that a text is searched in a time that grows as it does.
_NUMBER = r"\d{1,15}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?"
_MOMENT = rf"(?:\d{{1,4}}:)?\d{{1,4}}:\d{{1,2}}(?:[.,]\d{{1,9}})?|{_NUMBER}"
_PAIR = re.compile(rf"[\[(]?\s*({_MOMENT})\s*(?:-->|->|\.\.+|to|[-–—~;,/]|\s)\s*({_MOMENT})\s*[\])]?")
# Times given twice may differ by this much: numbers are rounded, and frames are counted.
_SAME_SECONDS = 0.05
_MAX_RANGES = 100_000


@dataclass(frozen=True)
class Frames:
    """A moment as the number of a frame, from 0.

    Attributes:
        number: At least 0.
        name: The key that gave it, for messages.
    """

    number: int
    name: str


Moment = float | int | Frames | None


@dataclass(frozen=True)
class TimeRange:
    """A stretch of a video as a file gives it.

    Attributes:
        start: Seconds, a frame, or None for the video's start.
        end: Likewise, None for the video's end.
        again: The same range under other names, to compare where frames are among them.
        units: The units that it was given in, with "bare" where a name has no unit.
    """

    start: Moment = None
    end: Moment = None
    again: tuple[tuple[str, Moment, str, Moment], ...] = ()
    units: frozenset[str] = frozenset()


_WHOLE = TimeRange()


def read_ranges(row: Mapping[str, Any], where: str, *, text: bool) -> list[TimeRange]:
    """The ranges of a row from every key of it that is a time.

    Args:
        row: Keys and values, without those that are not times.
        where: The place of the row in its file, for messages.
        text: Whether numbers are text, as in a CSV.

    Returns:
        One range; several where a key has a list of pairs. A row without times has one without start and end.

    Raises:
        DatasetError: A key is not understood, a value is not a time, or two contradict each other.
    """
    if (plain := _plain_range(row, text)) is not None:
        return [plain]
    others = frozenset(normal_name(name) for name in row)
    starts: list[tuple[str, Moment]] = []
    ends: list[tuple[str, Moment]] = []
    lengths: list[tuple[str, Moment]] = []
    pairs: list[tuple[str, list[tuple[Moment, Moment]]]] = []
    units: set[str] = set()
    for name, value in row.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        known = time_name(name, others)
        if known is None:
            raise DatasetError(f"{where}: {name!r} is not known.{not_understood(name)}")
        units |= {known.unit, "bare"} if known.bare else {known.unit}
        if known.part == "range":
            pairs.append((name, _pairs(value, known, name, where, text)))
        else:
            {"start": starts, "end": ends, "duration": lengths}[known.part].append(
                (name, _moment(value, known.unit, name, where, text))
            )
    listed = next((found for _, found in pairs if len(found) != 1), None)
    if listed is not None:
        if len(pairs) > 1 or starts or ends or lengths:
            raise DatasetError(
                f"{where}: {pairs[0][0]!r} holds {len(listed)} ranges, but other keys give times too. Keep one way to "
                "give times"
            )
        return [TimeRange(start, end, units=frozenset(units)) for start, end in listed]
    for name, ((start, end),) in pairs:
        starts.append((name, start))
        ends.append((name, end))
    return [_one_range(starts, ends, lengths, frozenset(units), where)]


def _plain_range(row: Mapping[str, Any], text: bool) -> TimeRange | None:
    """The range of a row that has a start and an end as plain seconds, or none; None for any other row.

    Most rows are such, and large files have many.
    """
    if len(row) == 1 and (pair := _plain_pair(*next(iter(row.items())))) is not None:
        return pair
    known = _start_and_end(tuple(row)) if len(row) == 2 else None
    if known is None:
        return _WHOLE if all(value is None or value == "" for value in row.values()) else None
    start, end = row[known.start], row[known.end]
    if text and type(start) is str and type(end) is str and ":" not in start + end:
        try:
            start, end = float(start), float(end)
        except ValueError:
            return None
    if type(start) not in (int, float) or type(end) not in (int, float):
        return _WHOLE if start in (None, "") and end in (None, "") else None
    if not (0 <= start < math.inf and 0 <= end < math.inf):
        return None
    return TimeRange(start, end, (), known.units)


def _plain_pair(name: str, value: object) -> TimeRange | None:
    """The range of one key that holds two numbers of seconds; None for anything else."""
    if type(value) is not list or len(value) != 2:
        return None
    start, end = value
    if type(start) not in (int, float) or type(end) not in (int, float):
        return None
    units = _units_of_pair(name)
    if units is None or not (0 <= start < math.inf and 0 <= end < math.inf):
        return None
    return TimeRange(start, end, (), units)


@lru_cache(maxsize=1024)
def _units_of_pair(name: str) -> frozenset[str] | None:
    """The units of a name that is a range in seconds; None for any other name."""
    known = time_name(name, frozenset((normal_name(name),)))
    if known is None or known.part != "range" or known.unit != "seconds":
        return None
    return frozenset({"seconds", "bare"} if known.bare else {"seconds"})


@dataclass(frozen=True)
class _StartAndEnd:
    """The names of a start and an end in seconds."""

    start: str
    end: str
    units: frozenset[str]


@lru_cache(maxsize=1024)
def _start_and_end(names: tuple[str, ...]) -> _StartAndEnd | None:
    """Which of two names is the start and which the end, if they are these, in seconds."""
    others = frozenset(normal_name(name) for name in names)
    known = {name: found for name in names if (found := time_name(name, others)) and found.unit == "seconds"}
    by_part = {found.part: name for name, found in known.items()}
    if set(by_part) != {"start", "end"}:
        return None
    units = {"seconds", "bare"} if any(found.bare for found in known.values()) else {"seconds"}
    return _StartAndEnd(by_part["start"], by_part["end"], frozenset(units))


def not_understood(name: str) -> str:
    """The end of a message about a name that looks like a time and is not understood."""
    return (
        f"{nearest_name(name, 0.3)} It looks like a time, and cliplab never ignores times. Known names: start_seconds "
        "and "
        "end_seconds and the names in docs/dataset.md, such as start/end, time_start/time_end, start_frame/end_frame, "
        f"start/duration and segment. Rename it; to ignore it on purpose, remove it or rename it to {'_' + name!r}."
    )


def _one_range(
    starts: list[tuple[str, Moment]],
    ends: list[tuple[str, Moment]],
    lengths: list[tuple[str, Moment]],
    units: frozenset[str],
    where: str,
) -> TimeRange:
    if lengths and not starts and not ends:
        name = lengths[0][0]
        raise DatasetError(
            f"{where}: {name!r} without a start may be the length of the range or of the whole video. Give a start too "
            f"(0 for the beginning); to ignore it on purpose, remove it or rename it to {'_' + name!r}."
        )
    if lengths and not starts:
        raise DatasetError(f"{where}: {lengths[0][0]!r} and {ends[0][0]!r} need a start too. Add it")
    for name, length in lengths:
        ends.append((f"{starts[0][0]} + {name}", _sum(starts[0], (name, length), where)))
    again = [(*_preferred(starts), *other) for other in starts] + [(*_preferred(ends), *other) for other in ends]
    again = [entry for entry in again if entry[0] != entry[2]]
    for one, first, other, second in again:
        if not isinstance(first, Frames) and not isinstance(second, Frames):
            check_same(one, first, other, second, where)
    rest = tuple(entry for entry in again if isinstance(entry[1], Frames) or isinstance(entry[3], Frames))
    return TimeRange(_preferred(starts)[1], _preferred(ends)[1], rest, units)


def check_same(one: str, first: Moment, other: str, second: Moment, where: str) -> None:
    """Refuse a moment that is given twice and differs, both in seconds.

    Raises:
        DatasetError: They differ.
    """
    if first != second and not (
        isinstance(first, (int, float)) and isinstance(second, (int, float)) and abs(first - second) <= _SAME_SECONDS
    ):
        raise DatasetError(
            f"{where}: {one!r} and {other!r} contradict each other: {_shown(first)} and {_shown(second)} seconds. "
            f"Correct the one that is wrong, or ignore it: remove it or rename it to {'_' + other.split(' + ')[-1]!r}."
        )


def _preferred(found: list[tuple[str, Moment]]) -> tuple[str, Moment]:
    """The one that is not counted in frames, which needs no video; no name and None without any."""
    return next((item for item in found if not isinstance(item[1], Frames)), found[0] if found else ("", None))


def _sum(start: tuple[str, Moment], length: tuple[str, Moment], where: str) -> Moment:
    first, second = start[1], length[1]
    if isinstance(first, Frames) and isinstance(second, Frames):
        return Frames(first.number + second.number, length[0])
    if isinstance(first, (int, float)) and isinstance(second, (int, float)):
        return first + second
    raise DatasetError(f"{where}: {start[0]!r} and {length[0]!r} are in different units. Give both in seconds.")


def _moment(value: object, unit: Unit, name: str, where: str, text: bool) -> Moment:
    clock = _clock(value) if unit in ("seconds", "minutes") else None
    clock = _with_units(value) if clock is None and unit != "frames" else clock
    if clock is not None:
        return clock
    number: object = value
    if isinstance(value, str) and text:
        try:
            number = float(value)
        except ValueError:
            key = {"start": "start_seconds", "end": "end_seconds"}.get(name, name)
            kind = "seconds, a number" if unit == "seconds" else f"{unit}, a number"
            point = " Write decimals with a point, not a comma." if "," in value else ""
            raise DatasetError(
                f"{where}: {key} must be {kind}; got {value!r:.60}. Clock times such as 1:02:03.5 or 2:03, and times "
                f"with a unit such as 62s, are also accepted.{point}"
            ) from None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise DatasetError(f"{where}: {name} must be {unit} >= 0, got {value!r:.60}")
    if not 0 <= number < math.inf:
        raise DatasetError(f"{where}: {name} must be {unit} >= 0, got {number!r}")
    if unit == "frames":
        if number != int(number):
            raise DatasetError(f"{where}: {name} must be a frame number (a whole number), got {number!r}")
        return Frames(int(number), name)
    return number * _SECONDS[unit] if unit != "seconds" else number


def _clock(value: object) -> float | None:
    """Seconds of ``h:mm:ss.mmm`` or ``m:ss``; None where the value is other text."""
    found = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    hours, minutes, seconds = found[1], int(found[2]), float(found[3].replace(",", "."))
    if seconds >= 60 or (hours is not None and minutes >= 60):
        return None
    return int(hours or 0) * 3600 + minutes * 60 + seconds


def _with_units(value: object) -> float | None:
    """Seconds of a text such as ``62s``; None where the value is anything else."""
    text = " ".join(value.split()) if isinstance(value, str) and len(value) < 40 else ""
    found = _WITH_UNITS.fullmatch(text) if text else None
    if found is None:
        return None
    seconds = float(found[3] or 0) * (1e-3 if (found[4] or "").lower().startswith("m") else 1)
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + seconds


def _pairs(value: object, known: TimeName, name: str, where: str, text: bool) -> list[tuple[Moment, Moment]]:
    if isinstance(value, str) and value.strip().startswith(("[[", "[ [", "[(")):
        plain = _one_spaced(value)
        found = [list(pair) for pair in _PAIR.findall(plain)][:_MAX_RANGES]
        if re.sub(r"[\s\[\](),;]", "", _PAIR.sub("", plain)):
            raise DatasetError(f"{where}: {name} must be a range such as [1.5, 4], got {value!r:.60}")
        return [_pair(pair, known.unit, name, where, True) for pair in found]
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, (list, tuple, dict)) for part in value):
        return [_pair(part, known.unit, name, where, text) for part in value]
    return [_pair(value, known.unit, name, where, text)]


def _one_spaced(text: str) -> str:
    """A text with one space where it has several, and none at its ends."""
    return " ".join(text.split())


def _pair(value: object, unit: Unit, name: str, where: str, text: bool) -> tuple[Moment, Moment]:
    if isinstance(value, str):
        found = _PAIR.fullmatch(_one_spaced(value))
        value, text = (list(found.groups()), True) if found is not None else (value, text)
    elif isinstance(value, dict):
        names = frozenset(normal_name(key) for key in value)
        if all((known := time_name(key, names)) is not None and known.part != "range" for key in value):
            (inner,) = read_ranges(value, f"{where}, {name}", text=text)
            if not inner.again:
                return inner.start, inner.end
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise DatasetError(
            f"{where}: {name} must be a start and an end, such as [1.5, 4] or 1.5-4, got {value!r:.60}. "
            f"To ignore it on purpose, remove it or rename it to {'_' + name!r}."
        )
    one, other = (_moment(part, unit, name, where, text) if part is not None else None for part in value)
    return one, other


def _shown(value: Moment) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "none"
