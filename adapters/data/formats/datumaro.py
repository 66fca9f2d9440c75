"""Datumaro's JSON: items with labels, of a video, of frames of one, or of an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.frame_ranges import FrameRanges
from adapters.data.formats.frame_runs import frames_in_a_row, usual_gap
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import type_and_value
from adapters.data.rows import to_row
from adapters.data.split_names import normal_split
from adapters.errors import DatasetError
from adapters.system import write_json_atomic

# MediaType.VIDEO of openvinotoolkit/datumaro, src/datumaro/components/media.py.
_MEDIA_VIDEO = 5
_KNOWN = ("split", "group", "source")
_MEDIA_FOLDERS = ("images", "videos")


def import_datumaro(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read the annotations of type "label" of each item. The split is the subset, which is the file's name.

    Frames of a video in a row with one label are one clip. The end frame of a video belongs to it.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: that of the file.
        options: Where the videos are, and their rate.

    Raises:
        DatasetError: The file cannot be read, or an item is wrong; names it.
    """
    path = Path(path)
    content = read_json_file(path)
    if not is_datumaro(content):
        raise DatasetError(f"{path}: must be an object with categories and items, got {type_and_value(content)}")
    names = _names(content["categories"], path)
    rows = ForeignRows(path, _from_above(path, options))
    runs: dict[tuple[str, str], list[tuple[int, str]]] = {}
    seen: dict[str, list[int]] = {}
    split = normal_split(path.stem)
    for number, item in enumerate(content["items"], 1):
        where = f"item {number}"
        if not isinstance(item, dict) or not isinstance(item.get("annotations"), list):
            raise DatasetError(f"{path}, {where}: must be an object with annotations, got {type_and_value(item)}")
        if isinstance(frame := item.get("video_frame"), dict) and type(frame.get("frame_index")) is int:
            seen.setdefault(str(frame.get("video_path")), []).append(frame["frame_index"])
        found = _labels(item["annotations"], names, rows, where)
        if found:
            _add(item, found, rows, where, split if split in ("train", "validation", "test") else None, runs)
    for (video, label), frames in runs.items():
        gap = usual_gap(seen[video])  # also of frames without a label, which part two runs
        for first, last, where in frames_in_a_row(sorted(frames), gap):
            rows.add(where, video, label, frames=(first, last + gap))
    if runs:
        rows.notes.append("equal labels of consecutive frames are joined into one clip")
    return rows.dataset(labels, names)


def _from_above(path: Path, options: ReadOptions) -> ReadOptions:
    """The options with the dataset's folder as that of its media: annotations/train.json lies beside images/train/."""
    above = path.absolute().parent.parent
    lies_beside = path.absolute().parent.name == "annotations" and any((above / one).is_dir() for one in _MEDIA_FOLDERS)
    return replace(options, videos=above) if options.videos is None and lies_beside else options


def _below_subset(name: Any, rows: ForeignRows) -> Any:
    """The place of an item's media: below images/SUBSET or videos/SUBSET, where it is there."""
    subset = rows.path.stem
    if isinstance(name, str) and name and "\0" not in name and not os.path.isabs(name):
        for folder in (*(f"{kind}/{subset}" for kind in _MEDIA_FOLDERS), *_MEDIA_FOLDERS, subset):
            if os.path.lexists(rows.root / folder / name):
                return f"{folder}/{name}"
    return name


def _names(categories: Any, path: Path) -> list[str]:
    """The names of the classes in order."""
    try:
        return [str(entry["name"]) for entry in categories["label"]["labels"]]
    except (TypeError, KeyError):
        raise DatasetError(f"{path}: categories must have label with labels, each with a name") from None


def _labels(annotations: list[Any], names: list[str], rows: ForeignRows, where: str) -> list[str]:
    found = []
    for item in annotations:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind != "label":
            rows.leave_out(where, f"annotations of type {kind!r:.40}, which are not labels of the whole item")
            continue
        number = item.get("label_id")
        if type(number) is not int or not 0 <= number < len(names):
            raise DatasetError(
                f"{rows.path}, {where}: label_id {number!r:.40} must be a number from 0 to {len(names) - 1}"
            )
        found.append(names[number])
    return found


def _add(
    item: dict[str, Any],
    found: list[str],
    rows: ForeignRows,
    where: str,
    split: str | None,
    runs: dict[tuple[str, str], list[tuple[int, str]]],
) -> None:
    attributes = item.get("attr") if isinstance(item.get("attr"), dict) else {}
    known = {key: attributes[key] for key in _KNOWN if isinstance(attributes.get(key), str)}  # type: ignore[union-attr,index]
    known.setdefault("split", split)
    frame, video = item.get("video_frame"), item.get("video")
    if isinstance(frame, dict) and type(frame.get("frame_index")) is int and isinstance(frame.get("video_path"), str):
        for label in found:
            runs.setdefault((frame["video_path"], label), []).append((frame["frame_index"], where))
        return
    media = next((entry for key in ("video", "media", "image") if isinstance(entry := item.get(key), dict)), {})
    name = _below_subset(media.get("path") or item.get("id"), rows)
    first, last = (video.get(key) for key in ("start_frame", "end_frame")) if isinstance(video, dict) else (None, None)
    if type(first) is int and type(last) is int:
        rows.add(where, name, found, frames=(first, last + 1), **known)
    elif type(first) is int and first > 0:
        raise DatasetError(f"{rows.path}, {where}: a video from frame {first} needs an end_frame")
    else:
        rows.add(where, name, found, **known)


def export_datumaro(dataset: Dataset, path: str | Path, frame_rate: float | None = None) -> Path:
    """Write an item for each clip; a range is the frames of its video.

    Args:
        dataset: The clips.
        path: The JSON file.
        frame_rate: Of all videos, in frames per second; None: that of each video, which is opened.

    Returns:
        The path.

    Raises:
        DatasetError: The rate of a video is needed and not known.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    number = {label: place for place, label in enumerate(dataset.labels)}
    items, frames = [], FrameRanges(frame_rate)
    for place, item in enumerate(dataset.examples):
        row = to_row(item, path.parent)
        video: dict[str, Any] = {"path": row["path"]}
        if (item.start_seconds, item.end_seconds) != (None, None):
            first, last = frames.of(item)
            video |= {"step": 1, "start_frame": first, "end_frame": last - 1}
        annotations = [
            {"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": number[label]} for label in item.labels
        ]
        known = {key: row[key] for key in _KNOWN if row[key] is not None}
        items.append({"id": f"{place:06d}", "annotations": annotations, "attr": known, "video": video})
    names = [{"name": label, "parent": "", "attributes": []} for label in dataset.labels]
    categories = {"label": {"labels": names, "label_groups": [], "attributes": []}}
    # Without a media_type, Datumaro expects images, and refuses items of another kind.
    head = {"dm_format_version": "1.0", "media_type": _MEDIA_VIDEO, "infos": {}}
    write_json_atomic(path, {**head, "categories": categories, "items": items})
    return path


def is_datumaro(content: object) -> bool:
    """Whether a JSON value has Datumaro's categories and items."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
        and "label" in content["categories"]
    )


FORMAT = Format(
    import_datumaro,
    export_datumaro,
    suffixes=(".json",),
    matches=lambda path: is_datumaro(read_json_file(path)),
    takes_options=True,
    counts_frames=True,
    keeps=frozenset({"ranges", "several labels", "splits", "groups", "sources"}),
    precision="ranges are rounded to frames",
)
