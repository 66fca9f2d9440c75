"""SponsorBlock's JSON: the answer of its API for one video or several, and what yt-dlp keeps of it."""

from __future__ import annotations

from typing import Any

from adapters.data.formats.interval_records import IntervalFormat, IntervalOutput, IntervalSource
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import type_and_value
from adapters.errors import DatasetError
from adapters.system import json_text

_MOMENTS = ("poi",)  # action types that mark a moment


def read_sponsorblock(source: IntervalSource) -> None:
    """Read the segments; a segment's category is its label.

    Raises:
        DatasetError: An entry is not a segment of SponsorBlock.
    """
    content = read_json_file(source.path)
    if isinstance(content, dict):
        content = content.get("sponsorblock_chapters", [content])
    if not isinstance(content, list):
        raise DatasetError(f"{source.path}: must be a list of segments, got {type_and_value(content)}")
    for number, entry in enumerate(content, 1):
        where = f"entry {number}"
        if isinstance(entry, dict) and isinstance(entry.get("segments"), list):
            video = entry.get("videoID")
            if not isinstance(video, str) or not video:
                raise DatasetError(f"{source.path}, {where}: videoID must be a string, got {type_and_value(video)}")
            for place, segment in enumerate(entry["segments"], 1):
                _add(segment, source, f"{where}, segment {place}", video)
        else:
            _add(entry, source, where, None)
    source.notes.append("categories are used as labels")


def _add(entry: Any, source: IntervalSource, where: str, video: str | None) -> None:
    if not isinstance(entry, dict):
        raise DatasetError(f"{source.path}, {where}: must be an object with category and segment")
    if entry.get("actionType", entry.get("type")) in _MOMENTS:
        source.leave_out(where, "mark a moment, not an interval")
        return
    pair = entry.get("segment", [entry.get("start_time"), entry.get("end_time")])
    numbers = isinstance(pair, list) and len(pair) == 2 and all(type(value) in (int, float) for value in pair)
    label = entry.get("category")
    if not numbers or not isinstance(label, str) or not label.strip():
        raise DatasetError(
            f"{source.path}, {where}: must have a category and a segment such as [12.5, 30], "
            f"got {type_and_value(entry)}"
        )
    length = entry.get("videoDuration")
    start, end = pair
    if entry.get("actionType") == "full":  # the label is of the whole video
        given = isinstance(length, (int, float)) and length > 0
        known = length if given else source.duration_seconds
        if known is None:
            source.leave_out(where, "are for a whole video whose length is unknown")
            return
        start, end = 0, known
    note = entry.get("description") or entry.get("title")
    source.add(where, label, start, end, note=note if isinstance(note, str) else None, video=video)


def write_sponsorblock(output: IntervalOutput) -> str:
    """The JSON of a server's answer: by video, with the category of each segment."""
    length = round(output.duration_seconds or 0, 6)
    content = [
        {
            "videoID": name,
            "segments": [
                {
                    "category": item.label,
                    "actionType": "skip",
                    "segment": [item.start_seconds, item.end_seconds],
                    "videoDuration": length,
                    "description": item.note or "",
                }
                for item in items
            ],
        }
        for name, items in output.videos.items()
    ]
    return json_text(content) + "\n"


def is_sponsorblock(source: IntervalSource) -> bool:
    """Whether the first entry is one of SponsorBlock."""
    try:
        content = read_json_file(source.path)
    except DatasetError:
        return False
    if isinstance(content, dict):
        return "sponsorblock_chapters" in content or ("category" in content and "segment" in content)
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, dict):
        return False
    return ("category" in first and ("segment" in first or "start_time" in first)) or (
        "videoID" in first and "segments" in first
    )


FORMAT = IntervalFormat(
    read_sponsorblock, write_sponsorblock, (".json",), is_sponsorblock, frozenset({"labels", "notes", "videos"})
)
