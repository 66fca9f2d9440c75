"""COCO-style JSON: videos, categories, and annotations with seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, PreparedFrames
from adapters.data.formats.format import Format
from adapters.data.formats.text import label_list, not_empty, parse_json, read_text, type_and_value
from adapters.data.rows import make_dataset, merge_labels, to_row
from adapters.errors import DatasetError
from adapters.system import write_json_atomic

_KEYS = ("videos", "categories", "annotations")


def import_coco(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read the COCO-style JSON that export_coco writes: videos, categories, annotations with seconds.

    The frames of a prepared dataset are read with it.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: that of the categories.

    Raises:
        DatasetError: The file cannot be read, or a row is wrong; names its place.
    """
    path = Path(path)
    content = parse_json(read_text(path), str(path))
    if not is_coco(content):
        raise DatasetError(
            f"{path}: must be an object with the lists {', '.join(_KEYS)}, got {type_and_value(content)}"
        )
    try:
        videos = {video["id"]: video["file_name"] for video in content["videos"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
    except (TypeError, KeyError) as error:
        raise DatasetError(f"{path}: a video needs id and file_name, a category id and name ({error!r})") from None
    rows = []
    for index, annotation in enumerate(content["annotations"]):
        where = f"{path}, annotation {index + 1}"
        rows.append((where, _row(annotation, videos, names, where)))
    order = labels if labels is not None else label_list(list(names.values()), str(path))
    dataset = make_dataset(rows, path.parent, order)
    examples = zip(dataset.examples, content["annotations"], strict=True)
    framed = tuple(replace(item, frames=_frames(entry, content, dataset.root)) for item, entry in examples)
    return not_empty(merge_labels(replace(dataset, examples=framed)), path)


def export_coco(dataset: Dataset, path: str | Path) -> Path:
    """Write COCO-style JSON atomically: one annotation for each label of each clip. See docs/dataset.md.

    Args:
        dataset: The clips.
        path: The JSON file.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
    """
    path = Path(path)
    ids = {file: number for number, file in enumerate(dict.fromkeys(item.path for item in dataset.examples), 1)}
    category = {label: number for number, label in enumerate(dataset.labels, 1)}
    annotations: list[dict[str, Any]] = []
    for item in dataset.examples:
        row = to_row(item, path.parent)
        for label in item.labels or (None,):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": ids[item.path],
                    "category_id": None if label is None else category[label],
                    **{key: row[key] for key in ("start_seconds", "end_seconds", "split", "group", "source")},
                }
            )
    folder_names = {item.path: to_row(item, path.parent)["path"] for item in dataset.examples}
    content = {
        "info": {"description": "Labelled stretches of videos, in seconds", "version": 1},
        "videos": [{"id": number, "file_name": folder_names[file]} for file, number in ids.items()],
        "categories": [{"id": number, "name": label} for label, number in category.items()],
        "annotations": annotations,
    }
    write_json_atomic(path, content)
    return path


def _row(annotation: object, videos: dict[Any, Any], names: dict[Any, Any], where: str) -> dict[str, Any]:
    if not isinstance(annotation, dict):
        raise DatasetError(f"{where}: must be an object, got {type_and_value(annotation)}")
    video, category = annotation.get("video_id"), annotation.get("category_id")
    if video not in videos:
        raise DatasetError(f"{where}: video_id {video!r} is not among the videos")
    if category is not None and category not in names:
        raise DatasetError(f"{where}: category_id {category!r} is not among the categories")
    row = {key: annotation.get(key) for key in ("start_seconds", "end_seconds", "split", "group", "source")}
    return {**row, "path": videos[video], "label": [] if category is None else names[category]}


def _frames(annotation: Mapping[str, Any], content: Mapping[str, Any], root: Path) -> PreparedFrames | None:
    """The frames that an annotation of a prepared dataset lists; None for those of other datasets."""
    names, info = annotation.get("frames"), content.get("info")
    fps = info.get("fps") if isinstance(info, dict) else None
    if not isinstance(names, list) or not names or not isinstance(fps, (int, float)) or not 0 < fps < math.inf:
        return None
    if not all(isinstance(name, str) and name and "\0" not in name for name in names):
        return None
    paths = [root / name for name in names]
    if any(path.parent != paths[0].parent for path in paths):
        return None
    return PreparedFrames(paths[0].parent, tuple(path.name for path in paths), float(fps))


def is_coco(content: object) -> bool:
    """Whether a JSON value has the three lists of the COCO style."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _KEYS)


def _holds_coco(path: Path) -> bool:
    return is_coco(parse_json(read_text(path), str(path)))


FORMAT = Format(import_coco, export_coco, suffixes=(".json",), file_name="dataset.json", matches=_holds_coco)
