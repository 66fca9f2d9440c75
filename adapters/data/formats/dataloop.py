"""The items/ and json/ of a Dataloop download. docs/dataset.md explains how each field is understood."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import SPLITS, Dataset, clips_with_video, describe
from adapters.data.formats.folders import Placement, free_name, place_video, split_folders, videos_in
from adapters.data.formats.format import Format
from adapters.data.formats.text import parse_json, read_text
from adapters.data.rows import make_dataset, merge_labels, relative_path, to_row
from adapters.errors import DatasetError, MediaError
from adapters.media import is_video_name
from adapters.system import write_json_atomic


def import_dataloop(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read a Dataloop download: ``items/<dir>/a.mp4`` with ``json/<dir>/a.json`` or ``json/<dir>/a.mp4.json``.

    Also ``<subset>/items`` and ``<subset>/json`` for the subsets train, validation and test. Annotations of type
    ``class`` are read. Their range is metadata.system startTime and endTime in seconds, or frame and endFrame divided
    by the item's fps; without either, or with all of them 0, it is the whole video. An end at the item's length is the
    video's own. Annotations of one range become one example with several labels; an item without annotations becomes
    an example without label. Items that are not videos are skipped.

    Args:
        path: The folder of the download.
        labels: The order of the classes; None: as the items first name them.

    Raises:
        DatasetError: A JSON is wrong, or there are no items.
    """
    root = Path(path)
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for split, top in split_folders(root, "items"):
        for file, where, item in _dataloop_items(top):
            for row in _dataloop_rows(item, where):
                rows.append((where, {"split": split, **row, "path": os.path.relpath(file, root)}))
    if not rows:
        raise DatasetError(
            f"{root}: no items found, neither in items/ and json/ nor in <subset>/items. Check that the export is "
            "complete"
        )
    return merge_labels(make_dataset(rows, root, labels))


def export_dataloop(dataset: Dataset, path: str | Path, media: Placement = "copy", fps: float | None = None) -> Path:
    """Write items/ and json/ like a Dataloop download, with ranges as startTime and endTime.

    An open end is written as the video's length, since to the platform an annotation without an end is a moment. Keys
    that need a video that cannot be opened are left out. Split, group and source are written to metadata.user of each
    annotation. Each JSON is written atomically.

    Args:
        dataset: The clips.
        path: The folder to write.
        media: ``copy`` the videos or ``link`` them (symbolic links).
        fps: Frames per second, from which frame and endFrame are written too; None: each video's own.

    Returns:
        The path.

    Raises:
        DatasetError: A range has no label, or a video is missing.
        StorageError: A file cannot be written.
    """
    root = Path(path)
    taken: set[Path] = set()
    for file, examples in clips_with_video(dataset):
        if not all(item.labels for item in examples) and (len(examples) > 1 or examples[0].start_seconds is not None):
            raise DatasetError(
                f"{describe(examples[0])}: a range without a label cannot be represented in this format. Use jsonl"
            )
        inside = relative_path(file, dataset.root)
        inside = file.name if os.path.isabs(inside) else inside
        target = free_name(root / "items" / inside, taken)
        place_video(file, target, media)
        name = target.relative_to(root / "items").as_posix()
        # The suffix stays in the name: a.mp4 and a.mov may lie side by side.
        rate, length = _probe(file)
        rows = [to_row(item, dataset.root) for item in examples]
        write_json_atomic(root / "json" / (name + ".json"), _dataloop_json(name, rows, fps or rate, length))
    return root


def _probe(file: Path) -> tuple[float | None, float | None]:
    """Frames per second and length in seconds, None where not known."""
    from adapters.media import probe

    try:
        info = probe(file)
    except (MediaError, OSError):
        return None, None
    return info.fps, info.duration_seconds


def _dataloop_json(
    name: str, rows: Sequence[dict[str, Any]], fps: float | None, length: float | None
) -> dict[str, Any]:
    annotations = []
    for row in rows:
        times = {"startTime": row["start_seconds"], "endTime": row["end_seconds"]}
        if length is not None:
            times = {"startTime": times["startTime"] or 0.0, "endTime": times["endTime"] or length}
        system: dict[str, Any] = {key: value for key, value in times.items() if value is not None}
        if fps is not None:
            frames = {"frame": times["startTime"], "endFrame": times["endTime"]}
            system |= {key: round(value * fps) for key, value in frames.items() if value is not None}
        labels = [row["label"]] if isinstance(row["label"], str) else row["label"]
        for label in labels:
            annotations.append({"type": "class", "label": label, "metadata": {"system": system, "user": _user_of(row)}})
    metadata: dict[str, Any] = {"system": {}}
    if not annotations:
        metadata["user"] = _user_of(rows[0])
    if rows[0]["split"] is not None and all(row["split"] == rows[0]["split"] for row in rows):
        metadata["system"]["tags"] = {rows[0]["split"]: True}
    if length is not None:
        metadata["system"]["ffmpeg"] = {"duration": length}
    if fps is not None:
        metadata["fps"] = fps
    return {"filename": "/" + name, "type": "file", "metadata": metadata, "annotations": annotations}


def _user_of(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("split", "group", "source")}


def _dataloop_items(top: Path) -> list[tuple[Path, str, dict[str, Any]]]:
    """Each item under items/: its file, a place for messages, and its JSON ({} where there is none)."""
    items, found = top / "items", []
    files = {file.relative_to(items).as_posix(): file for file in videos_in(items)}
    for sheet in sorted((top / "json").rglob("*.json")):
        content = parse_json(read_text(sheet), str(sheet))
        if not isinstance(content, dict):
            raise DatasetError(f"{sheet}: must be an object with filename and annotations, got {content!r:.60}")
        inside = sheet.relative_to(top / "json").with_suffix("").as_posix()
        same_stem = [name for name in files if name == inside or os.path.splitext(name)[0] == inside]
        name = str(content.get("filename") or (same_stem[0] if same_stem else inside)).lstrip("/")
        if files.pop(name, None) or _is_video(name, content):
            found.append((items / name, str(sheet), content))
    found += [(file, str(file), {}) for file in files.values()]
    return sorted(found, key=lambda entry: entry[0])


def _is_video(name: str, item: dict[str, Any]) -> bool:
    mimetype = str(_object(_object(item.get("metadata")).get("system")).get("mimetype", ""))
    return is_video_name(os.path.basename(name)) or mimetype.startswith("video/")


def _dataloop_rows(item: dict[str, Any], where: str) -> list[dict[str, Any]]:
    metadata = _object(item.get("metadata")) or _object(item.get("itemMetadata"))
    tags = _object(_object(metadata.get("system")).get("tags"))
    base: dict[str, Any] = _user(metadata)
    tagged = [name for name in SPLITS if tags.get(name)]
    if len(tagged) == 1:
        base.setdefault("split", tagged[0])
    annotations = item.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(entry, dict) for entry in annotations):
        raise DatasetError(f"{where}: annotations must be a list of objects, got {annotations!r:.60}")
    rows = []
    for index, entry in enumerate(annotations, 1):
        if entry.get("type") == "class":
            start, end = _dataloop_range(entry, metadata, f"{where}, annotation {index}")
            row = {"start_seconds": start, "end_seconds": end, "label": entry.get("label")}
            rows.append({**base, **_user(_object(entry.get("metadata"))), **row})
    return rows or [{**base, "label": []}]


def _dataloop_range(entry: dict[str, Any], metadata: dict[str, Any], where: str) -> tuple[float | None, float | None]:
    system = _object(_object(entry.get("metadata")).get("system"))
    start, end = system.get("startTime"), system.get("endTime")
    if start is None and end is None and (system.get("frame") or system.get("endFrame")):
        fps = _fps(metadata)
        if fps is None:
            raise DatasetError(
                f"{where}: its range is in frames, but the item's metadata has no fps. Set the item's fps on the "
                "platform and download again, or give startTime and endTime in metadata.system."
            )
        start, end = (_seconds(system.get(key), fps, where) for key in ("frame", "endFrame"))
    length, fps = _number(_ffmpeg(metadata).get("duration")), _fps(metadata)
    if length is not None and isinstance(end, (int, float)) and end >= length - 0.5 / (fps or 25):
        end = None  # to within half a frame the video's own end
    return (None, None) if not end and not start else (start, end)


def _seconds(frame: object, fps: float, where: str) -> float | None:
    if frame is None or (isinstance(frame, (int, float)) and not isinstance(frame, bool)):
        return None if frame is None else frame / fps
    raise DatasetError(f"{where}: frame and endFrame must be numbers, got {frame!r}")


def _fps(metadata: dict[str, Any]) -> float | None:
    rate = metadata.get("fps") or _ffmpeg(metadata).get("avg_frame_rate")
    over, _, under = str(rate).partition("/")
    top, bottom = _number(over), _number(under or 1)
    return top / bottom if top and bottom else None


def _ffmpeg(metadata: dict[str, Any]) -> dict[str, Any]:
    return _object(_object(metadata.get("system")).get("ffmpeg"))


def _number(value: object) -> float | None:
    """The number of a number or its text if it is positive and finite, otherwise None."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _user(metadata: Mapping[str, Any]) -> dict[str, Any]:
    user = _object(metadata.get("user"))
    return {key: user[key] for key in ("split", "group", "source") if isinstance(user.get(key), str)}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_download(folder: Path) -> bool:
    tops = [folder, *(entry for entry in folder.iterdir() if entry.is_dir())]
    return any((top / "items").is_dir() and (top / "json").is_dir() for top in tops)


FORMAT = Format(import_dataloop, export_dataloop, matches=_is_download, holds_videos=True)
