"""Our own JSON of intervals: all that an interval has, for several videos."""

from __future__ import annotations

from typing import Any

from adapters.data.formats.interval_csv import add_row
from adapters.data.formats.interval_records import IntervalFormat, IntervalOutput, IntervalSource
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import type_and_value
from adapters.errors import DatasetError
from adapters.system import json_text

_KIND = "cliplab-intervals"


def read_json(source: IntervalSource) -> None:
    """Read our own JSON, a plain list of intervals, or objects with a path and segments, as ``cliplab`` prints them.

    Raises:
        DatasetError: It is none of these, or an entry is wrong.
    """
    content = read_json_file(source.path)
    if isinstance(content, dict) and content.get("format") == _KIND:
        if content.get("version") != 1:
            raise DatasetError(f"{source.path}: version must be 1, got {content.get('version')!r:.40}")
        content = content.get("videos")
    entries = [content] if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise DatasetError(f"{source.path}: must be a list of intervals, got {type_and_value(content)}")
    for number, entry in enumerate(entries, 1):
        where = f"entry {number}"
        if not isinstance(entry, dict):
            raise DatasetError(f"{source.path}, {where}: must be an object, got {type_and_value(entry)}")
        items = _intervals_of(entry)
        if items is None:
            add_row(entry, source, where, text=False)
            continue
        for place, item in enumerate(items, 1):
            if not isinstance(item, dict):
                raise DatasetError(f"{source.path}, {where}, interval {place}: must be an object with label and times")
            video = entry.get("video", entry.get("path"))
            add_row(item, source, f"{where}, interval {place}", text=False, video=_name(video, source, where))


def _intervals_of(entry: dict[str, Any]) -> list[Any] | None:
    found = next((entry[key] for key in ("intervals", "segments", "breaks") if key in entry), None)
    return found if isinstance(found, list) and (not found or isinstance(found[0], dict)) else None


def _name(video: object, source: IntervalSource, where: str) -> str | None:
    if video is not None and not isinstance(video, str):
        raise DatasetError(f"{source.path}, {where}: video must be a string, got {type_and_value(video)}")
    return video or None


def write_json(output: IntervalOutput) -> str:
    """The JSON, indented."""
    videos = [
        {
            "video": name,
            "intervals": [
                {
                    "label": item.label,
                    "start_seconds": item.start_seconds,
                    "end_seconds": item.end_seconds,
                    **({} if item.score is None else {"score": item.score}),
                    **({} if item.note is None else {"note": item.note}),
                }
                for item in items
            ],
        }
        for name, items in output.videos.items()
    ]
    return json_text({"format": _KIND, "version": 1, "videos": videos}, indent=2) + "\n"


def is_json(source: IntervalSource) -> bool:
    """Whether it is our own JSON, or a list of objects with times."""
    try:
        content = read_json_file(source.path)
    except DatasetError:
        return False
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return False
    return first.get("format") == _KIND or _intervals_of(first) is not None or isinstance(content, list)


def is_own_json(source: IntervalSource) -> bool:
    """Whether the JSON says itself that it is our own."""
    return f'"{_KIND}"' in source.head[:400]


FORMAT = IntervalFormat(read_json, write_json, (".json",), is_json, frozenset({"labels", "scores", "notes", "videos"}))
