"""The row of a clip in a file, which formats share: rows to a dataset, and examples to rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from adapters.data.examples import SPLITS, Dataset, Example, Split, first_seen
from adapters.errors import DatasetError

_SPLIT_ALIASES: dict[str, Split] = {"val": "validation", "valid": "validation", "training": "train", "testing": "test"}
_ROW_KEYS = ("path", "start_seconds", "end_seconds", "label", "split", "group", "source")


def make_dataset(rows: Iterable[tuple[str, Mapping[str, Any]]], root: Path, labels: Sequence[str] | None) -> Dataset:
    """A dataset from the rows of a file. Groups are filled in where a row has none (see ``video_groups``).

    Args:
        rows: The place of each row in its file, for messages, and the row: an object with the keys that
            docs/dataset.md lists.
        root: The folder to which the paths are relative.
        labels: The order of the classes; None: as the rows first name them.

    Raises:
        DatasetError: A key or value of a row is not allowed, or a label is not among ``labels``.
    """
    root = Path(os.path.abspath(root))
    placed = list(rows)
    examples = [_example(row, where, root) for where, row in placed]
    explicit = [bool(row.get("group")) for _, row in placed]
    grouped = tuple(
        replace(item, group=group) for item, group in zip(examples, video_groups(examples, explicit), strict=True)
    )
    return Dataset(grouped, tuple(labels) if labels is not None else first_seen(grouped), root)


def _example(row: Mapping[str, Any], where: str, root: Path) -> Example:
    unknown = [key for key in row if key not in _ROW_KEYS]
    if unknown:
        raise DatasetError(f"{where}: {unknown[0]!r} is not a key of a row; allowed: {', '.join(_ROW_KEYS)}")
    path = row.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise DatasetError(f"{where}: a row needs a path, a non-empty string; got {path!r}")
    for name in ("split", "group", "source"):
        if not isinstance(row.get(name), (str, type(None))):
            raise DatasetError(f"{where}: {name} must be a string or absent, got {row[name]!r}")
    split = row.get("split")
    try:
        return Example(
            path=Path(os.path.abspath(root / path)),
            labels=_labels(row.get("label"), where),
            start_seconds=row.get("start_seconds"),
            end_seconds=row.get("end_seconds"),
            split=cast(Split, normal_split(split)) if split else None,
            group=row.get("group") or "",
            source=row.get("source") or path,
        )
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None


def _labels(value: object, where: str) -> tuple[str, ...]:
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not all(isinstance(item, str) and item for item in labels):
        raise DatasetError(f"{where}: label must be a non-empty string, or a list of them; got {value!r}")
    return tuple(labels)


def video_groups(examples: Sequence[Example], explicit: Sequence[bool] | None = None) -> list[str]:
    """The group of each example: its own where the file has one, otherwise that of its video.

    Examples without a group of their own that share a path or a source are one group, so that two ranges of a video
    are never in two splits. Its name is that of a written group of the same video, or of the first source.

    Args:
        examples: The clips.
        explicit: Whether the group of each example was written in the file; None: of none of them.
    """
    explicit = [False] * len(examples) if explicit is None else explicit
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    nodes = [(f"path:{item.path}", f"source:{item.source}") for item in examples]
    for by_path, by_source in nodes:
        parent[find(by_source)] = find(by_path)
    names: dict[str, str] = {}
    for written in (True, False):
        for item, own, (by_path, _) in zip(examples, explicit, nodes, strict=True):
            if own == written:
                names.setdefault(find(by_path), item.group if own else item.source)
    return [
        item.group if own else names[find(by_path)]
        for item, own, (by_path, _) in zip(examples, explicit, nodes, strict=True)
    ]


def merge_labels(dataset: Dataset) -> Dataset:
    """Rows that differ in nothing but the label become one example with several labels (in label order)."""
    merged: dict[Example, list[str]] = {}
    for item in dataset.examples:
        merged.setdefault(replace(item, labels=()), []).extend(item.labels)
    position = {label: index for index, label in enumerate(dataset.labels)}
    examples = tuple(
        replace(item, labels=tuple(sorted(set(labels), key=position.__getitem__))) for item, labels in merged.items()
    )
    return replace(dataset, examples=examples)


def to_row(example: Example, folder: Path) -> dict[str, Any]:
    """An example as the row of a file, which is a JSON object.

    A path below the folder is written as a relative one, also one that is a group or source, so that the folder can
    be moved.

    Args:
        example: The clip.
        folder: The folder of the file.
    """
    labels: str | list[str] = example.labels[0] if len(example.labels) == 1 else list(example.labels)
    return {
        "path": relative_path(example.path, folder),
        "start_seconds": example.start_seconds,
        "end_seconds": example.end_seconds,
        "label": labels,
        "split": example.split,
        "group": relative_path(Path(example.group), folder) if os.path.isabs(example.group) else example.group,
        "source": relative_path(Path(example.source), folder) if os.path.isabs(example.source) else example.source,
    }


def relative_path(path: Path, folder: Path) -> str:
    """A path as it is written in a file of this folder: relative with ``/`` below the folder, otherwise absolute."""
    folder = Path(os.path.abspath(folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def normal_split(name: str) -> str:
    """``train``, ``validation`` or ``test`` for common spellings of them; another name unchanged."""
    return _SPLIT_ALIASES.get(name.lower(), name.lower() if name.lower() in SPLITS else name)
