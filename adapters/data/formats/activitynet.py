"""JSON in the style of ActivityNet: a database of videos, each with a subset and its segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats.format import FACTS, NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.kinetics_csv import video_ids
from adapters.data.formats.text import not_empty, type_and_value
from adapters.data.formats.video_entries import shared_values, with_shared
from adapters.data.rows import check_count, make_dataset, merge_labels, to_row
from adapters.errors import DatasetError
from adapters.system import write_json_atomic


def is_activitynet(content: object) -> bool:
    """Whether a JSON value has the database of the ActivityNet style."""
    return isinstance(content, dict) and isinstance(content.get("database"), dict)


def import_activitynet(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read the database: a clip for each segment of each video. The video of an id is looked for below the folder.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: as the segments first name them.
        options: Where the videos are.

    Raises:
        DatasetError: The file cannot be read, or an entry is wrong; names the video.
    """
    path = Path(path)
    content = read_json_file(path)
    if not is_activitynet(content):
        raise DatasetError(f"{path}: must be an object with the object database, got {type_and_value(content)}")
    entries = (entry.get("annotations") for entry in content["database"].values() if isinstance(entry, dict))
    check_count(sum(len(given) for given in entries if isinstance(given, list)), path)
    clipped: list[str] = []
    rows = activitynet_rows(content, path, clipped)
    made = merge_labels(make_dataset(rows, options.videos or path.parent, labels, extra_keys=True))
    empty = sum(not entry["annotations"] for entry in content["database"].values())
    notes = [f"{path}: left out: {empty} videos without an annotation"] if empty else []
    if clipped:
        notes.append(
            f"{path}: {len(clipped)} segments end after the end of their video and were shortened to it ({clipped[0]})"
        )
    return not_empty(replace(made, notes=(*made.notes, *notes)), path)


def activitynet_rows(
    content: Mapping[str, Any], path: Path, clipped: list[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for each annotation of each video; its path is the id, for which a file is looked for.

    Args:
        content: The JSON value.
        path: The file, for messages.
        clipped: Gets the place of each segment that was cut to the end of its video.

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
            row = with_shared(annotation, shared)
            yield place, _within(row, entry.get("duration"), place, clipped)


def _within(row: dict[str, Any], length: object, place: str, clipped: list[str] | None) -> dict[str, Any]:
    """The row with its segment cut to the end of the video, where the file says how long that is."""
    pair = row.get("segment")
    numbers = isinstance(pair, list) and len(pair) == 2 and all(type(value) in (int, float) for value in pair)
    if clipped is None or not numbers or type(length) not in (int, float) or not length > 0:  # type: ignore[operator]
        return row
    start, end = pair  # type: ignore[misc]
    if start >= length:
        raise DatasetError(f"{place}: starts at {start:g} s, but the video lasts {length:g} s. Correct or remove it.")
    if end <= length:
        return row
    clipped.append(place)
    return {**row, "segment": [start, length]}


def export_activitynet(dataset: Dataset, path: str | Path) -> Path:
    """Write the database: an annotation for each label of each clip, and one subset for each video.

    Args:
        dataset: The clips.
        path: The JSON file.

    Returns:
        The path.

    Raises:
        DatasetError: A clip has no label, or the clips of a video are in several splits or groups.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    names = video_ids(dataset, path.parent)
    database: dict[str, dict[str, Any]] = {}
    for item in dataset.examples:
        row = to_row(item, path.parent)
        shared = {
            **({"subset": item.split} if item.split else {}),
            **{key: row[key] for key in ("group", "source") if row[key] not in (None, names[item.path])},
        }
        entry = database.setdefault(names[item.path], {**shared, "annotations": []})
        if {key: value for key, value in entry.items() if key != "annotations"} != shared:
            raise DatasetError(
                f"{item.path}: its clips are in several splits, groups or sources, but ActivityNet has one of each per "
                "video. Export to jsonl or csv."
            )
        for label in item.labels:
            annotation: dict[str, Any] = {"label": label}
            if (item.start_seconds, item.end_seconds) != (None, None):
                annotation["segment"] = [item.start_seconds, item.end_seconds]
            entry["annotations"].append(annotation)
    write_json_atomic(path, {"version": "cliplab", "database": database})
    return path


FORMAT = Format(
    import_activitynet,
    export_activitynet,
    suffixes=(".json",),
    matches=lambda path: is_activitynet(read_json_file(path)),
    takes_options=True,
    keeps=FACTS - {"no label"},
)
