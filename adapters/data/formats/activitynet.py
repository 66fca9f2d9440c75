"""JSON in the style of ActivityNet, which is read only: a database of videos, each with a subset and its segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters.data.aliases import is_left_out, is_rate, key_names, normal_name, time_name
from adapters.data.formats.text import type_and_value
from adapters.errors import DatasetError


def is_activitynet(content: object) -> bool:
    """Whether a JSON value has the database of the ActivityNet style."""
    return isinstance(content, dict) and isinstance(content.get("database"), dict)


def activitynet_rows(content: Mapping[str, Any], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for each annotation of each video; its path is the id, for which a file is looked for.

    Args:
        content: The JSON value.
        path: The file, for messages.

    Raises:
        DatasetError: A video or an annotation is not an object, or gives a range outside its annotations.
    """
    for video, entry in content["database"].items():
        where = f"{path}, video {video!r:.80}"
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations"), list):
            raise DatasetError(f"{where}: must be an object with the list annotations, got {type_and_value(entry)}")
        shared = _of_video(entry, where)
        for number, annotation in enumerate(entry["annotations"], 1):
            place = f"{where}, annotation {number}"
            if not isinstance(annotation, dict):
                raise DatasetError(
                    f"{place}: must be an object with label and segment, got {type_and_value(annotation)}"
                )
            # Names of ActivityNet itself (the version without prefix is what people save the videos as).
            yield place, {"path": video, **shared, **annotation}


def _of_video(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What the annotations of a video share: its split, its rate, and its file where it is named."""
    found: dict[str, Any] = {}
    for name, value in entry.items():
        known = None if is_left_out(name) else time_name(name)
        if known is not None and known.part in ("start", "end"):
            raise DatasetError(
                f"{where}: {name!r} looks like a time of a range, and ranges are read from the annotations. Move it "
                f"there; to leave it out on purpose, call it {'_' + name!r}."
            )
        normal = normal_name(name)
        if normal in key_names("split"):
            found["split"] = value
        elif is_rate(name):
            found["fps"] = value
        elif normal in ("path", "file", "filename", "file_name", "video_path"):
            found["path"] = value
    return found
