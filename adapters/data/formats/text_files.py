"""The dataset in one text file: dataset.jsonl, labels.json, CSV, COCO-style JSON. docs/dataset.md shows each form."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.data.examples import (
    Dataset,
    Example,
    PreparedFrames,
    describe,
    first_seen,
    make_dataset,
    merge_labels,
    to_row,
    video_groups,
)
from adapters.errors import DatasetError
from adapters.system import did_you_mean, json_text, strict_json, write_json_atomic, write_text_atomic

_CSV_COLUMNS = ("path", "label", "start_seconds", "end_seconds", "split", "group", "source")
_CSV_ALIASES = {
    "file": "path",
    "filename": "path",
    "video": "path",
    "class": "label",
    "labels": "label",
    "start": "start_seconds",
    "end": "end_seconds",
}
_COCO_KEYS = ("videos", "categories", "annotations")


def import_jsonl(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read dataset.jsonl. Its first line may be {"labels": [...]}, the order of the classes.

    Raises DatasetError naming the file, the line and what is allowed.
    """
    path = Path(path)
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise DatasetError(f'{where}: a line must be a JSON object such as {{"path": "a.mp4", "label": "ad"}}')
        if not rows and set(row) == {"labels"}:
            labels = labels if labels is not None else _label_list(row["labels"], where)
        else:
            rows.append((where, row))
    return _not_empty(make_dataset(rows, path.parent, labels), path)


def export_jsonl(dataset: Dataset, path: str | Path) -> Path:
    """Write dataset.jsonl atomically, or the file of that name where path is a folder. Returns the file's path.

    Paths are relative where they lie under the file's folder. The line with the label order is written only where the
    rows do not give that order by themselves.
    """
    path = Path(path)
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        path = path / "dataset.jsonl"
    lines = [json_text(to_row(item, path.parent)) for item in dataset.examples]
    if dataset.labels != first_seen(dataset.examples):
        lines.insert(0, json_text({"labels": list(dataset.labels)}))
    write_text_atomic(path, "".join(line + "\n" for line in lines))
    return path


def import_labels_json(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read {"class": [entry, ...], ...}; an entry is a path or an object with the keys of a row but ``label``.

    Classes keep the file's order. Entries that differ in nothing but the class become one with several labels.
    """
    path = Path(path)
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, dict) or not content or not all(isinstance(v, list) for v in content.values()):
        raise DatasetError(
            f'{path}: must be an object of lists such as {{"highlights": ["a.mp4"], "normal": ["b.mp4"]}}, '
            f"got {_kind(content)}"
        )
    rows = []
    for label, entries in content.items():
        for index, entry in enumerate(entries):
            where = f"{path}, {label!r}, entry {index + 1}"
            row = {"path": entry} if isinstance(entry, str) else entry
            if not isinstance(row, dict) or "label" in row:
                raise DatasetError(f"{where}: must be a path, or an object with path, start_seconds and end_seconds")
            rows.append((where, {**row, "label": label}))
    order = labels if labels is not None else _label_list(list(content), str(path))
    return _not_empty(merge_labels(make_dataset(rows, path.parent, order)), path)


def export_labels_json(dataset: Dataset, path: str | Path) -> Path:
    """Write labels.json atomically: plain paths where nothing more is known of a clip, objects elsewhere."""
    path = Path(path)
    # Groups go unwritten only where reading gives all of them again: a written one draws others of its video to it.
    own_groups = [item.group for item in dataset.examples] == video_groups(dataset.examples)
    content: dict[str, list[Any]] = {label: [] for label in dataset.labels}
    for item in dataset.examples:
        if not item.labels:
            raise DatasetError(f"{describe(item)} has no label, which labels.json cannot say; export to CSV or JSONL")
        row = {key: value for key, value in to_row(item, path.parent).items() if value is not None and key != "label"}
        if own_groups:
            del row["group"]
        if row["source"] == row["path"]:
            del row["source"]
        for label in item.labels:
            content[label].append(row["path"] if set(row) == {"path"} else row)
    write_json_atomic(path, content)
    return path


def import_csv(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read a CSV with a header that names at least path and label; separated by commas, tabs or semicolons.

    Several labels stand in one cell as a JSON list. Other columns are passed over, but one that is nearly the name of
    ours is an error, so that a misspelt ``start_second`` is not lost.
    """
    path = Path(path)
    text = read_text(path)
    header = text.split("\n", 1)[0]
    delimiter = next((mark for mark in "\t,;" if mark in header), ",")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV ({error})") from None
    names = [_CSV_ALIASES.get(name.strip().lower(), name.strip().lower()) for name in (lines[0] if lines else [])]
    _check_columns(names, path)
    rows = [(f"{path}, row {n}", _csv_row(names, cells, f"{path}, row {n}")) for n, cells in enumerate(lines[1:], 2)]
    return _not_empty(make_dataset([(where, row) for where, row in rows if row], path.parent, labels), path)


def export_csv(dataset: Dataset, path: str | Path) -> Path:
    """Write a CSV atomically with every column of a row. Label order and unused labels are not in it."""
    path = Path(path)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_CSV_COLUMNS)
    for item in dataset.examples:
        row = to_row(item, path.parent)
        if isinstance(row["label"], list) or row["label"].startswith("[") or row["label"] != row["label"].strip():
            row["label"] = json_text(list(item.labels))
        writer.writerow([row[name] for name in _CSV_COLUMNS])
    write_text_atomic(path, buffer.getvalue())
    return path


def import_coco(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read the COCO-style JSON that export_coco writes: videos, categories, annotations with seconds.

    Of a prepared dataset it also knows which frames belong to each clip.
    """
    path = Path(path)
    content = parse_json(read_text(path), str(path))
    if not is_coco(content):
        raise DatasetError(f"{path}: must be an object with the lists {', '.join(_COCO_KEYS)}, got {_kind(content)}")
    try:
        videos = {video["id"]: video["file_name"] for video in content["videos"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
    except (TypeError, KeyError) as error:
        raise DatasetError(f"{path}: a video needs id and file_name, a category id and name ({error!r})") from None
    rows = []
    for index, annotation in enumerate(content["annotations"]):
        where = f"{path}, annotation {index + 1}"
        rows.append((where, _coco_row(annotation, videos, names, where)))
    order = labels if labels is not None else _label_list(list(names.values()), str(path))
    dataset = make_dataset(rows, path.parent, order)
    examples = zip(dataset.examples, content["annotations"], strict=True)
    framed = tuple(replace(item, frames=_coco_frames(entry, content, dataset.root)) for item, entry in examples)
    return _not_empty(merge_labels(replace(dataset, examples=framed)), path)


def export_coco(dataset: Dataset, path: str | Path) -> Path:
    """Write COCO-style JSON atomically; one annotation for each label of each clip. docs/dataset.md has the form."""
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


def is_coco(content: object) -> bool:
    """Whether a JSON value has the three lists of the COCO style."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _COCO_KEYS)


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 with or without a byte order mark. Raises DatasetError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file. Name a dataset.jsonl, labels.json, CSV or folder.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DatasetError(f"{path}: could not be read ({reason})") from None


def parse_json(text: str, where: str) -> Any:
    """A JSON value; DatasetError says where the text is wrong."""
    try:
        return strict_json.parse_json(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: is not valid JSON ({error})") from None


def _check_columns(names: list[str], path: Path) -> None:
    ours = [name for name in names if name in _CSV_COLUMNS]
    if not {"path", "label"} <= set(ours) or len(set(ours)) != len(ours):
        raise DatasetError(
            f"{path}: the first line must name the columns, each once, path and label among them; "
            f"got {', '.join(names) or 'nothing'}; known: {', '.join(_CSV_COLUMNS)}"
        )
    for name in set(names) - set(ours):
        if near := did_you_mean(name, _CSV_COLUMNS, cutoff=0.75):
            raise DatasetError(f'{path}: column "{name}" is not known.{near}')


def _csv_row(names: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if not any(cell.strip() for cell in cells):
        return {}
    if len(cells) != len(names):
        raise DatasetError(f"{where}: has {len(cells)} cells where the header names {len(names)}")
    row: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=True) if cell and name in _CSV_COLUMNS}
    for name in ("start_seconds", "end_seconds"):
        if name in row:
            try:
                row[name] = float(row[name])
            except ValueError:
                raise DatasetError(f"{where}: {name} must be seconds, a number; got {row[name]!r}") from None
    label = str(row.get("label", "")).strip()
    row["label"] = parse_json(label, f"{where}, label") if label.startswith("[") else label
    return row


def _coco_row(annotation: object, videos: dict[Any, Any], names: dict[Any, Any], where: str) -> dict[str, Any]:
    if not isinstance(annotation, dict):
        raise DatasetError(f"{where}: must be an object, got {_kind(annotation)}")
    video, category = annotation.get("video_id"), annotation.get("category_id")
    if video not in videos:
        raise DatasetError(f"{where}: video_id {video!r} is not among the videos")
    if category is not None and category not in names:
        raise DatasetError(f"{where}: category_id {category!r} is not among the categories")
    row = {key: annotation.get(key) for key in ("start_seconds", "end_seconds", "split", "group", "source")}
    return {**row, "path": videos[video], "label": [] if category is None else names[category]}


def _coco_frames(annotation: Mapping[str, Any], content: Mapping[str, Any], root: Path) -> PreparedFrames | None:
    """The frames that an annotation of a prepared dataset lists; None where it lists none, as others do not."""
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


def _label_list(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise DatasetError(f"{where}: labels must be a list of non-empty strings, got {value!r:.80}")
    return value


def _not_empty(dataset: Dataset, path: Path) -> Dataset:
    if not dataset.examples:
        raise DatasetError(f"{path}: holds no clips. Add rows, or name another file.")
    return dataset


def _kind(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def clips_with_video(dataset: Dataset) -> Iterator[tuple[Path, list[Example]]]:
    """Each video of the dataset with its examples, in first-seen order."""
    by_video: dict[Path, list[Example]] = {}
    for item in dataset.examples:
        by_video.setdefault(item.path, []).append(item)
    return iter(by_video.items())
