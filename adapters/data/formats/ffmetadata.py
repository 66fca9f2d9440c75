"""Chapters in ffmpeg's metadata file, as ``ffmpeg -f ffmetadata`` writes and reads it."""

from __future__ import annotations

import re
from fractions import Fraction

from adapters.data.formats.interval_records import IntervalFormat, IntervalOutput, IntervalSource
from adapters.errors import DatasetError

# https://ffmpeg.org/ffmpeg-formats.html#Metadata-2: these characters are escaped with a backslash.
_SPECIAL = re.compile(r"([=;#\\\n])")
_MAGIC = ";FFMETADATA"
_MICROSECONDS = 1_000_000
# No exponent: that of 1e999999999 would be a number of a thousand million digits.
_TIME_BASE = re.compile(r"\d{1,18}(?:/\d{1,18}|\.\d{1,18})?")


def read_ffmetadata(source: IntervalSource) -> None:
    """Read the chapters; a chapter's title is its label.

    Raises:
        DatasetError: A chapter has no start or end, or one that is not a whole number of its time base.
    """
    chapter: dict[str, str] | None = None
    place, untitled, others = "", 0, 0
    for number, line in _logical_lines(source.lines()):
        text = line.strip()
        if not text or text[0] in ";#":
            continue
        if text.startswith("[") and text.endswith("]"):
            untitled += _add(chapter, source, place)
            chapter = {} if text.upper() == "[CHAPTER]" else None
            place = f"line {number}"
        elif chapter is None:
            others += 1
        else:
            key, value = _key_and_value(line)
            chapter[key.strip().lower()] = value
    untitled += _add(chapter, source, place)
    source.notes.append("chapter titles are used as labels")
    if untitled:
        source.notes.append(f"{untitled} chapters without a title get the label 'chapter'")
    if others:
        source.notes.append(f"{others} metadata lines outside chapters were left out")


def _logical_lines(lines: list[str]) -> list[tuple[int, str]]:
    """Lines with their numbers; one that ends with an odd number of backslashes goes on in the next."""
    found: list[tuple[int, list[str]]] = []
    joined = False
    for number, line in enumerate(lines, 1):
        if joined:
            found[-1][1].append(line)
        else:
            found.append((number, [line]))
        joined = (len(line) - len(line.rstrip("\\"))) % 2 == 1
    return [(number, "\n".join(parts)) for number, parts in found]


def _key_and_value(line: str) -> tuple[str, str]:
    parts = re.split(r"(?<!\\)=", line, maxsplit=1)
    key, value = parts if len(parts) == 2 else (parts[0], "")
    return _unescape(key), _unescape(value)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.S)


def _add(chapter: dict[str, str] | None, source: IntervalSource, where: str) -> int:
    """Add a chapter. Returns 1 where it has no title."""
    if chapter is None:
        return 0
    try:
        given = _TIME_BASE.fullmatch(chapter.get("timebase", "1/1000000000").replace(" ", ""))  # ffmpeg's own default
        if given is None:
            raise ValueError("TIMEBASE must be two whole numbers such as 1/1000")
        base = Fraction(given[0])
        start, end = (float(int(chapter[name]) * base) for name in ("start", "end"))
    except (KeyError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise DatasetError(
            f"{source.path}, {where}: a chapter needs START and END, whole numbers of its TIMEBASE "
            f"({type(error).__name__} {error!s:.60})"
        ) from None
    title = chapter.get("title", "").strip()
    source.add(where, title or "chapter", start, end)
    return 0 if title else 1


def write_ffmetadata(output: IntervalOutput) -> str:
    """The text of the file: a chapter for each interval, in microseconds."""
    lines = [f"{_MAGIC}1"]
    for item in output.intervals:
        start, end = (round(value * _MICROSECONDS) for value in (item.start_seconds, item.end_seconds))
        title = _SPECIAL.sub(r"\\\1", item.label)
        lines += ["[CHAPTER]", f"TIMEBASE=1/{_MICROSECONDS}", f"START={start}", f"END={end}", f"title={title}"]
    return "".join(line + "\n" for line in lines)


def is_ffmetadata(source: IntervalSource) -> bool:
    """Whether the file begins as ffmpeg's metadata do."""
    return source.head.startswith(_MAGIC)


FORMAT = IntervalFormat(
    read_ffmetadata,
    write_ffmetadata,
    (".ffmeta", ".ffmetadata", ".txt"),
    is_ffmetadata,
    frozenset({"labels"}),
    step_seconds=1e-6,
)
