"""labels.json: an object with a list of videos for each class; a list of rows, as other tools write, is read too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.data.aliases import STRONG, normal_name
from adapters.data.examples import Dataset, describe
from adapters.data.formats.activitynet import activitynet_rows, is_activitynet
from adapters.data.formats.format import FACTS, Format
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import label_list, not_empty, type_and_value
from adapters.data.rows import make_dataset, merge_labels, to_row, video_groups
from adapters.errors import DatasetError
from adapters.system import write_json_atomic


def import_labels_json(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read {"class": [entry, ...], ...}; an entry is a path, or an object with the keys of a row except ``label``.

    JSON in the style of ActivityNet and a list of rows with the columns of a CSV are read too. Entries that differ only
    in the class become one clip with several labels.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: that of the file.

    Raises:
        DatasetError: The file cannot be read, or a row is wrong; names its place.
    """
    path = Path(path)
    content = read_json_file(path)
    if is_activitynet(content):
        return not_empty(
            merge_labels(make_dataset(activitynet_rows(content, path), path.parent, labels, extra_keys=True)), path
        )
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        listed_rows = ((f"{path}, entry {number}", row) for number, row in enumerate(content, 1))
        return not_empty(merge_labels(make_dataset(listed_rows, path.parent, labels, extra_keys=True)), path)
    if not isinstance(content, dict) or not content or not all(isinstance(v, list) for v in content.values()):
        raise DatasetError(
            f'{path}: must be an object of lists such as {{"highlights": ["a.mp4"], "normal": ["b.mp4"]}}, or a list '
            f'of rows such as [{{"path": "a.mp4", "label": "ad"}}], got {type_and_value(content)}'
        )
    rows = []
    for label, entries in content.items():
        for index, entry in enumerate(entries):
            where = f"{path}, {label!r}, entry {index + 1}"
            row = {"path": entry} if isinstance(entry, str) else entry
            if not isinstance(row, dict) or any(normal_name(name) in STRONG["label"] for name in row):
                raise DatasetError(f"{where}: must be a path, or an object with path, start_seconds and end_seconds")
            rows.append((where, {**row, "label": label}))
    listed = label_list(list(content), str(path))
    return not_empty(merge_labels(make_dataset(rows, path.parent, labels, listed=listed)), path)


def export_labels_json(dataset: Dataset, path: str | Path) -> Path:
    """Write labels.json atomically: a clip is a plain path where nothing more is known of it, otherwise an object.

    Args:
        dataset: The clips.
        path: The JSON file.

    Returns:
        The path.

    Raises:
        DatasetError: A clip has no label.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    # Groups are left out only where reading restores all of them: a written one draws others of its video to it.
    own_groups = [item.group for item in dataset.examples] == video_groups(dataset.examples)
    content: dict[str, list[Any]] = {label: [] for label in dataset.labels}
    for item in dataset.examples:
        if not item.labels:
            raise DatasetError(
                f"{describe(item)} has no label, which labels.json cannot represent. Export to csv or jsonl"
            )
        row = {key: value for key, value in to_row(item, path.parent).items() if value is not None and key != "label"}
        if own_groups:
            del row["group"]
        if row["source"] == row["path"]:
            del row["source"]
        for label in item.labels:
            content[label].append(row["path"] if set(row) == {"path"} else row)
    write_json_atomic(path, content)
    return path


FORMAT = Format(
    import_labels_json, export_labels_json, suffixes=(".json",), file_name="labels.json", keeps=FACTS - {"no label"}
)
