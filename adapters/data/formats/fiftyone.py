"""FiftyOne's temporal detections: ``labels.json`` with classes, and a list of labelled ranges for each video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.kinetics_csv import video_ids
from adapters.data.formats.text import label_list, type_and_value
from adapters.errors import DatasetError
from adapters.system import write_json_atomic


def import_fiftyone(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read temporal detections: ``timestamps`` in seconds, or ``support``, the first and last frame counted from 1.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: that of the file.
        options: Where the videos are, and their rate.

    Raises:
        DatasetError: The file cannot be read, or an entry is wrong; names it.
    """
    path = Path(path)
    content = read_json_file(path)
    if not is_fiftyone(content):
        raise DatasetError(f"{path}: must be an object with classes and labels, got {type_and_value(content)}")
    classes = label_list(content["classes"], f"{path}, classes") if content.get("classes") is not None else None
    rows = ForeignRows(path, options)
    for video, found in content["labels"].items():
        where = f"video {video!r:.80}"
        if found is None:
            rows.leave_out(where, "videos without a label")
            continue
        for number, item in enumerate(found if isinstance(found, list) else [found], 1):
            _add(item, classes, rows, video, f"{where}, detection {number}")
    return rows.dataset(labels, classes)


def _add(item: Any, classes: list[str] | None, rows: ForeignRows, video: str, where: str) -> None:
    label = item.get("label") if isinstance(item, dict) else None
    if type(label) is int and classes is not None and 0 <= label < len(classes):
        label = classes[label]
    if not isinstance(item, dict) or not isinstance(label, str) or not label.strip():
        raise DatasetError(
            f"{rows.path}, {where}: must have a label, a name or a number of classes, got {type_and_value(item)}"
        )
    key = "timestamps" if item.get("timestamps") is not None else "support"
    pair = item.get(key)
    kinds = (int, float) if key == "timestamps" else (int,)
    if pair is None:
        rows.add(where, video, label)
        return
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(value) in kinds for value in pair):
        raise DatasetError(f"{rows.path}, {where}: {key} must be two numbers, got {type_and_value(pair)}")
    if key == "timestamps":
        rows.add(where, video, label, seconds=(pair[0], pair[1]))
    elif not 1 <= pair[0] <= pair[1]:
        raise DatasetError(f"{rows.path}, {where}: support must be two frames counted from 1, got {pair!r:.60}")
    else:
        rows.add(where, video, label, frames=(pair[0] - 1, pair[1]))


def export_fiftyone(dataset: Dataset, path: str | Path) -> Path:
    """Write ``timestamps`` in seconds for each label of each clip; a whole video has none.

    Args:
        dataset: The clips.
        path: The JSON file.

    Returns:
        The path.

    Raises:
        DatasetError: A clip begins or ends without the other end being known.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    names = video_ids(dataset, path.parent)
    position = {label: number for number, label in enumerate(dataset.labels)}
    content: dict[str, list[dict[str, Any]]] = {}
    for item in dataset.examples:
        times: dict[str, Any] = {}
        if item.end_seconds is not None:
            times["timestamps"] = [item.start_seconds or 0.0, item.end_seconds]
        elif item.start_seconds is not None:
            raise DatasetError(
                f"{item.path}: a clip from {item.start_seconds:g} s needs an end in this format. Set it."
            )
        content.setdefault(names[item.path], []).extend({"label": position[label], **times} for label in item.labels)
    write_json_atomic(path, {"classes": list(dataset.labels), "labels": content})
    return path


def is_fiftyone(content: object) -> bool:
    """Whether a JSON value is FiftyOne's file of labels."""
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        return False
    return set(content) <= {"classes", "labels"}


FORMAT = Format(
    import_fiftyone,
    export_fiftyone,
    suffixes=(".json",),
    matches=lambda path: is_fiftyone(read_json_file(path)),
    takes_options=True,
    keeps=frozenset({"ranges", "several labels"}),
)
