"""COCO-style JSON: videos, categories, and annotations with seconds."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.data.aliases import key_names, normal_name
from adapters.data.examples import Dataset, PreparedFrames
from adapters.data.formats.format import Format
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import label_list, not_empty, type_and_value
from adapters.data.formats.video_entries import shared_values, with_shared
from adapters.data.rows import make_dataset, merge_labels, to_row
from adapters.errors import DatasetError
from adapters.system import write_json_atomic

_KEYS = ("videos", "categories", "annotations")
_ANNOTATION_KEYS = frozenset({"id", "video_id", "category_id", "image_id", "bbox", "area", "segmentation", "iscrowd"})


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
    content = read_json_file(path)
    if not is_coco(content):
        raise DatasetError(
            f"{path}: must be an object with the lists {', '.join(_KEYS)}, got {type_and_value(content)}"
        )
    videos = _videos(content["videos"], path)
    names = _by_id(content["categories"], ("name",), path)
    rows, framed = [], []
    for index, annotation in enumerate(content["annotations"]):
        where = f"{path}, annotation {index + 1}"
        rows.append((where, _row(annotation, videos, names, where)))
        framed.append(_frames(annotation, content, Path(os.path.abspath(path.parent))))
    listed = label_list(list(names.values()), str(path))
    dataset = make_dataset(rows, path.parent, labels, listed=listed, extra_keys=True, frames=framed)
    return not_empty(merge_labels(dataset), path)


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


def _videos(entries: list[Any], path: Path) -> dict[Any, dict[str, Any]]:
    """The path and what else the annotations of each video share, by its id."""
    names = _by_id(entries, key_names("path"), path)
    shared = {entry["id"]: shared_values(entry, f"{path}, video {n}") for n, entry in enumerate(entries, 1)}
    return {key: {**shared[key], "path": name} for key, name in names.items()}


def _by_id(entries: list[Any], keys: Sequence[str], path: Path) -> dict[Any, Any]:
    """A value of each object by its id: that of the first of the keys that it has."""
    try:
        found = {}
        for entry in entries:
            if entry["id"] in found:
                raise DatasetError(
                    f"{path}: the id {entry['id']!r:.60} is given twice. Give each video and category its own."
                )
            given = {normal_name(name): value for name, value in entry.items()}
            found[entry["id"]] = next(given[key] for key in keys if key in given)
        return found
    except (TypeError, KeyError, AttributeError, StopIteration) as error:
        raise DatasetError(
            f"{path}: a video needs id and file_name, a category id and name ({type(error).__name__} {error})"
        ) from None


def _row(annotation: object, videos: dict[Any, dict[str, Any]], names: dict[Any, Any], where: str) -> dict[str, Any]:
    if not isinstance(annotation, dict):
        raise DatasetError(f"{where}: must be an object, got {type_and_value(annotation)}")
    video, category = annotation.get("video_id"), annotation.get("category_id")
    if not _is_id(video) or video not in videos:
        raise DatasetError(f"{where}: video_id {video!r:.60} is not among the videos")
    if category is not None and (not _is_id(category) or category not in names):
        raise DatasetError(f"{where}: category_id {category!r:.60} is not among the categories")
    row = {key: value for key, value in annotation.items() if not _is_of_coco(key, value)}
    return {**with_shared(row, videos[video]), "label": [] if category is None else names[category]}


def _is_id(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _is_of_coco(key: str, value: object) -> bool:
    """Whether a key of an annotation is one of COCO, or says again which video and category it is of."""
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(number, (int, float)) for number in value)
    pictures = key == "frames" and not pair  # a prepared dataset's; two numbers are a range
    return pictures or key in _ANNOTATION_KEYS or any(normal_name(key) in key_names(name) for name in ("path", "label"))


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
    return is_coco(read_json_file(path))


FORMAT = Format(import_coco, export_coco, suffixes=(".json",), file_name="dataset.json", matches=_holds_coco)
