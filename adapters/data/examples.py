"""A labelled clip, a set of them, and the row that stands for a clip in a file."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from adapters.errors import DatasetError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SPLIT_ALIASES: dict[str, Split] = {"val": "validation", "valid": "validation", "training": "train", "testing": "test"}
_ROW_KEYS = ("path", "start_seconds", "end_seconds", "label", "split", "group", "source")


@dataclass(frozen=True)
class PreparedFrames:
    """Pictures of a stretch of video, in order of time: the frame shown at its start and each 1 / fps seconds on.

    folder: absolute. names: of JPEG files in it, at least one.
    """

    folder: Path
    names: tuple[str, ...]
    fps: float


@dataclass(frozen=True)
class Example:
    """One labelled stretch of one video.

    path: absolute. labels: one for a single-label task; none, one or more for a multi-label task.
    start_seconds, end_seconds: seconds from the video's first frame; None is the video's own start or end.
    split: None until it was assigned. group: clips of one group never stand in two splits.
    source: the original footage that the clip was cut from; the path as written where nothing else is known.
    frames: pictures of this stretch that lie beside the dataset, for training where the video is gone; None: none.
    """

    path: Path
    labels: tuple[str, ...]
    start_seconds: float | None = None
    end_seconds: float | None = None
    split: Split | None = None
    group: str = ""
    source: str = ""
    frames: PreparedFrames | None = None

    def __post_init__(self) -> None:
        if not self.path.is_absolute():
            raise DatasetError(f"{self.path}: the path of an example must be absolute")
        if not all(isinstance(label, str) and label for label in self.labels):
            raise DatasetError(f"{self.path}: labels must be non-empty strings, got {self.labels!r}")
        if len(set(self.labels)) != len(self.labels):
            raise DatasetError(f"{self.path}: a label stands twice in {self.labels!r}")
        if self.split is not None and self.split not in SPLITS:
            raise DatasetError(f"{self.path}: split must be one of {', '.join(SPLITS)} or absent, got {self.split!r}")
        self._check_times()
        source = self.source or str(self.path)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "group", self.group or source)

    def _check_times(self) -> None:
        for name in ("start_seconds", "end_seconds"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise DatasetError(f"{self.path}: {name} must be seconds >= 0, got {value!r}")
            object.__setattr__(self, name, float(value))
        if self.end_seconds is not None and self.end_seconds <= (self.start_seconds or 0.0):
            raise DatasetError(
                f"{self.path}: end_seconds must be after start_seconds, got {self.start_seconds} to {self.end_seconds}"
            )

    @property
    def label(self) -> str:
        """The one label; DatasetError where there is not exactly one."""
        if len(self.labels) != 1:
            raise DatasetError(f"{describe(self)} has {len(self.labels)} labels where a single-label task needs one")
        return self.labels[0]

    def key(self) -> str:
        """Which stretch of which file, whatever its label: for caches and for finding duplicates."""
        return f"{self.path}#t={self.start_seconds},{self.end_seconds}"


@dataclass(frozen=True)
class Dataset:
    """Labelled clips. labels: every class in an explicit order, also those that no example has.

    root: the folder that relative paths in the file were relative to.
    """

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    root: Path

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise DatasetError(f"a label stands twice in the label order: {', '.join(self.labels)}")
        unknown = [name for name in first_seen(self.examples) if name not in set(self.labels)]
        if unknown:
            raise DatasetError(
                f"{self.root}: label {unknown[0]!r} is used by the data and not among the labels given: "
                f"{', '.join(self.labels) or '(none)'}. Add it there, or correct the rows that use it."
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def of_split(self, name: str | None) -> Dataset:
        """The examples of one split (None: those without), in the same order, with the same labels."""
        if name is not None and name not in SPLITS:
            raise DatasetError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
        return replace(self, examples=tuple(item for item in self.examples if item.split == name))

    def counts(self) -> dict[str, int]:
        """Clips by label, every label, in label order."""
        counts = dict.fromkeys(self.labels, 0)
        for item in self.examples:
            for label in item.labels:
                counts[label] += 1
        return counts


def describe(example: Example) -> str:
    """An example for a message: its path, and its range where it has one."""
    if example.start_seconds is None and example.end_seconds is None:
        return str(example.path)
    end = "end" if example.end_seconds is None else f"{example.end_seconds:g}"
    return f"{example.path} ({example.start_seconds or 0:g} to {end} s)"


def first_seen(examples: Iterable[Example]) -> tuple[str, ...]:
    """Labels in the order in which the examples first name them."""
    return tuple(dict.fromkeys(label for item in examples for label in item.labels))


def make_dataset(rows: Iterable[tuple[str, Mapping[str, Any]]], root: Path, labels: Sequence[str] | None) -> Dataset:
    """Rows, each with the place it came from for messages, to a dataset; groups are filled in where absent.

    labels: the order of the classes; None is first-seen order.
    """
    root = Path(os.path.abspath(root))
    placed = list(rows)
    examples = [_example(row, where, root) for where, row in placed]
    explicit = [bool(row.get("group")) for _, row in placed]
    grouped = tuple(
        replace(item, group=group) for item, group in zip(examples, video_groups(examples, explicit), strict=True)
    )
    return Dataset(grouped, tuple(labels) if labels is not None else first_seen(grouped), root)


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


def match_labels(dataset: Dataset, labels: Sequence[str]) -> Dataset:
    """The dataset with its labels under the names that a model has for them, where only the spelling differs.

    A label that the model has not becomes the one of the model's that is the same but for capitals and a final "s":
    "highlights" is "highlight". Where several fit, or where the data has that label too, it stays as it is, for
    ``check_dataset`` to report.
    """
    renamed: dict[str, str] = {}
    for label in dataset.labels:
        fitting = [name for name in labels if _spelling(name) == _spelling(label)]
        if label not in labels and len(fitting) == 1:
            renamed[label] = fitting[0]
    taken = Counter(renamed.get(label, label) for label in dataset.labels)
    renamed = {label: name for label, name in renamed.items() if taken[name] == 1}
    if not renamed:
        return dataset

    def names(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(renamed.get(label, label) for label in given)

    examples = tuple(replace(item, labels=names(item.labels)) for item in dataset.examples)
    return replace(dataset, examples=examples, labels=names(dataset.labels))


def _spelling(label: str) -> str:
    return label.casefold().removesuffix("s")


def to_row(example: Example, folder: Path) -> dict[str, Any]:
    """An example as a JSON object; the path is relative where it lies under folder, so is a group or source that is a
    path, so that the folder can move."""
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
    """path as written in a file that lies in folder: relative with / where it lies under it, else absolute."""
    folder = Path(os.path.abspath(folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def normal_split(name: str) -> str:
    """train, validation or test for the common spellings of them; other names as they are."""
    return _SPLIT_ALIASES.get(name.lower(), name.lower() if name.lower() in SPLITS else name)


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
    """The group of each example: its own where it was written (explicit; None: nowhere), else that of its video.

    Examples without a written group that share a path or a source are one group, so that two ranges of a video cannot
    part; it takes the name of a written group of the same video where there is one, else of the first source.
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


def clips_with_video(dataset: Dataset) -> Iterator[tuple[Path, list[Example]]]:
    """Each video of the dataset with its examples, in first-seen order."""
    by_video: dict[Path, list[Example]] = {}
    for item in dataset.examples:
        by_video.setdefault(item.path, []).append(item)
    return iter(by_video.items())
