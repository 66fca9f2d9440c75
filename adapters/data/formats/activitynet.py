"""JSON in the style of ActivityNet, which is read only: a database of videos, each with a subset and its segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters.data.formats.text import type_and_value
from adapters.data.formats.video_entries import shared_values, with_shared
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
        shared = {"path": video, **shared_values(entry, where)}
        for number, annotation in enumerate(entry["annotations"], 1):
            place = f"{where}, annotation {number}"
            if not isinstance(annotation, dict):
                raise DatasetError(
                    f"{place}: must be an object with label and segment, got {type_and_value(annotation)}"
                )
            yield place, with_shared(annotation, shared)
