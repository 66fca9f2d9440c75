"""Kinetics' JSON: an object of videos, each with its annotations, duration, subset and address."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, describe
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.kinetics_csv import video_ids
from adapters.data.formats.text import type_and_value
from adapters.errors import DatasetError
from adapters.system import write_json_atomic


def import_kinetics_json(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read ``{id: {"annotations": {"label": ..., "segment": [a, b]}, "subset": ...}}``.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: as the videos first name them.
        options: Where the videos are.

    Raises:
        DatasetError: The file cannot be read, or an entry is wrong; names the video.
    """
    path = Path(path)
    content = read_json_file(path)
    if not is_kinetics_json(content):
        raise DatasetError(f"{path}: must be an object of videos with annotations, got {type_and_value(content)}")
    rows = ForeignRows(path, options)
    for video, entry in content.items():
        where = f"video {video!r:.80}"
        found = entry.get("annotations") if isinstance(entry, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get("label"), str):
            if isinstance(found, dict) and "label" not in found:
                rows.leave_out(where, "videos without a label (the test set has none)")
                continue
            raise DatasetError(
                f"{path}, {where}: annotations must be an object with label, got {type_and_value(entry)}"
            )
        rows.add(
            where,
            video,
            found["label"],
            seconds=segment_of(found, entry.get("duration"), rows, where),
            split=entry.get("subset"),
            group=entry.get("group"),
            source=entry.get("source"),
        )
    return rows.dataset(labels)


def segment_of(
    annotation: dict[str, Any], length: object, rows: ForeignRows, where: str
) -> tuple[float | None, float | None]:
    """The range of an annotation, within the video where its length is given.

    Args:
        annotation: With a segment, or without for the whole video.
        length: What the file says that the video lasts.
        rows: Of the file, for notes.
        where: The place of the annotation.

    Raises:
        DatasetError: The segment is not two times, or lies after the end of the video.
    """
    pair = annotation.get("segment")
    if pair is None:
        return None, None
    if not isinstance(pair, list) or len(pair) != 2 or not all(_is_time(value) or value is None for value in pair):
        raise DatasetError(
            f"{rows.path}, {where}: segment must be a start and an end in seconds, such as [1.5, 4], "
            f"got {type_and_value(pair)}"
        )
    start, end = pair
    if isinstance(length, (int, float)) and not isinstance(length, bool) and length > 0 and end is not None:
        if (start or 0) >= length:
            raise DatasetError(
                f"{rows.path}, {where}: starts at {start:g} s, but the video lasts {length:g} s. Correct or remove it."
            )
        if end > length:
            rows.leave_out(where, "ends after the end of their video, where the clips were cut")
            end = float(length)
    return start, end


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9


def export_kinetics_json(dataset: Dataset, path: str | Path) -> Path:
    """Write an entry for each video; the id is the path of the video without its suffix.

    Args:
        dataset: One clip for each video.
        path: The JSON file.

    Returns:
        The path.

    Raises:
        DatasetError: A video has several clips, or a clip has not exactly one label.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    names = video_ids(dataset, path.parent)
    content: dict[str, Any] = {}
    for item in dataset.examples:
        name = names[item.path]
        if name in content:
            raise DatasetError(
                f"{describe(item)}: its video has several clips, but this format holds one clip per video. Export to "
                "activitynet."
            )
        annotation: dict[str, Any] = {"label": item.label}
        if (item.start_seconds, item.end_seconds) != (None, None):
            annotation["segment"] = [item.start_seconds, item.end_seconds]
        content[name] = {"annotations": annotation, **({"subset": item.split} if item.split else {})}
    write_json_atomic(path, content)
    return path


def is_kinetics_json(content: object) -> bool:
    """Whether a JSON value is an object of videos with an annotations object each."""
    if not isinstance(content, dict) or not content:
        return False
    first = next(iter(content.values()))
    return isinstance(first, dict) and isinstance(first.get("annotations"), dict)


FORMAT = Format(
    import_kinetics_json,
    export_kinetics_json,
    suffixes=(".json",),
    matches=lambda path: is_kinetics_json(read_json_file(path)),
    takes_options=True,
    keeps=frozenset({"ranges", "splits"}),
)
