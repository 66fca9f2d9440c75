"""A labelled clip, and a dataset of them."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from adapters.data.label_spellings import spelling_key
from adapters.errors import DatasetError
from adapters.system import value_digest

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class PreparedFrames:
    """Pictures of a stretch of video, in order of time: the frame shown at its start and every 1 / fps seconds after.

    Attributes:
        folder: The folder of the pictures, absolute.
        names: The JPEG files in it, at least one.
        fps: Pictures per second of video, above 0.
    """

    folder: Path
    names: tuple[str, ...]
    fps: float


@dataclass(frozen=True)
class Example:
    """One labelled stretch of one video. A value that is not allowed is a DatasetError when it is made.

    Attributes:
        path: The video, absolute; of a clip that is one picture, the picture.
        labels: One for a single-label task; any number for a multi-label task.
        start_seconds: In seconds from the video's first frame; None: the video's start.
        end_seconds: In the same seconds, after the start; None: the video's end.
        split: None until it is assigned.
        group: Clips of one group are never in two splits. Empty: the source.
        source: The original footage that the clip was cut from. Empty: the path.
        frames: Pictures of this stretch beside the dataset, for training without the video; None where there are
            none.
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
        if len(self.labels) > 1 and len(set(self.labels)) != len(self.labels):
            raise DatasetError(f"{self.path}: a label occurs twice in {self.labels!r}")
        if self.split is not None and self.split not in SPLITS:
            raise DatasetError(f"{self.path}: split must be one of {', '.join(SPLITS)} or absent, got {self.split!r}")
        self._check_times()
        if not self.source:
            object.__setattr__(self, "source", str(self.path))
        if not self.group:
            object.__setattr__(self, "group", self.source)

    def _check_times(self) -> None:
        for name in ("start_seconds", "end_seconds"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise DatasetError(f"{self.path}: {name} must be seconds >= 0, got {value!r}")
            if type(value) is not float:
                object.__setattr__(self, name, float(value))
        if self.end_seconds is not None and self.end_seconds <= (self.start_seconds or 0.0):
            raise DatasetError(
                f"{self.path}: end_seconds must be after start_seconds, got {self.start_seconds} to {self.end_seconds}"
            )

    @property
    def label(self) -> str:
        """The one label.

        Raises:
            DatasetError: The example has no label, or several.
        """
        if len(self.labels) != 1:
            raise DatasetError(f"{describe(self)} has {len(self.labels)} labels; a single-label task needs exactly one")
        return self.labels[0]

    @property
    def is_picture(self) -> bool:
        """Whether the clip is one picture: its file is the only one of its frames."""
        frames = self.frames
        return frames is not None and len(frames.names) == 1 and frames.folder / frames.names[0] == self.path

    def regrouped(self, group: str, labels: tuple[str, ...]) -> Example:
        """The example with another group and other spellings of its labels.

        Args:
            group: Not empty.
            labels: Non-empty strings, each once.
        """
        if group == self.group and labels == self.labels:
            return self
        changed = object.__new__(Example)  # the other values have been checked; a large file has many examples
        changed.__dict__.update(self.__dict__, group=group, labels=labels)
        return changed

    def key(self) -> str:
        """Which stretch of which file, whatever its label: for caches and for finding duplicates."""
        return f"{self.path}#t={self.start_seconds},{self.end_seconds}"


def clips_digest(examples: Iterable[Example]) -> str:
    """A digest of which clips these are, wherever their files lie: names, times and labels, in any order.

    Args:
        examples: The clips.
    """
    return value_digest(
        sorted([e.path.name, str(e.start_seconds), str(e.end_seconds), *sorted(e.labels)] for e in examples)
    )


@dataclass(frozen=True)
class Dataset:
    """Labelled clips. Iteration yields the examples.

    Attributes:
        examples: The clips in the order of the file.
        labels: Every class in an explicit order, also classes without an example.
        root: The folder to which paths in the file are relative.
        notes: Sentences about what was read otherwise than it is written, such as spellings of one label.
    """

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    root: Path
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise DatasetError(f"a label occurs twice in the label order: {', '.join(self.labels)}")
        unknown = [name for name in first_seen(self.examples) if name not in set(self.labels)]
        if unknown:
            raise DatasetError(
                f"{self.root}: label {unknown[0]!r} is used in the data, but it is not one of the given labels: "
                f"{', '.join(self.labels) or '(none)'}. Add it there, or correct the rows that use it."
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def of_split(self, name: str | None) -> Dataset:
        """The examples of one split, in the same order and with the same labels.

        Args:
            name: ``train``, ``validation`` or ``test``; None: the examples without a split.

        Raises:
            DatasetError: The name is not that of a split.
        """
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


def describe_labels(example: Example) -> str:
    """An example's labels for a message, such as "'a' + 'b'"."""
    return " + ".join(repr(label) for label in example.labels) or "without a label"


def list_entries(entries: Sequence[str], most: int = 5) -> str:
    """The first entries for a message, and how many more there are."""
    rest = len(entries) - most
    return "; ".join(entries[:most]) + (f"; and {rest} more" if rest > 0 else "")


def first_seen(examples: Iterable[Example]) -> tuple[str, ...]:
    """Labels in the order in which the examples first name them."""
    return tuple(dict.fromkeys(label for item in examples for label in item.labels))


def match_labels(dataset: Dataset, labels: Sequence[str], aliases: Mapping[str, str] | None = None) -> Dataset:
    """The dataset with the spelling that a model uses for its labels.

    A label unknown to the model is renamed to the model's label that differs from it only in capitals and a final "s":
    "highlights" becomes "highlight". Where several fit, or where the data has that label too, it is left as it is, for
    ``check_dataset`` to report.

    Args:
        dataset: The clips.
        labels: The classes of the model.
        aliases: Other names of classes, and the class that each is read as, whatever else the data has.
    """
    renamed: dict[str, str] = {}
    meant = {spelling_key(alias): label for alias, label in (aliases or {}).items() if label in labels}
    aliased = {
        label: meant[spelling_key(label)]
        for label in dataset.labels
        if label not in labels and spelling_key(label) in meant
    }
    for label in dataset.labels:
        fitting = [name for name in labels if _spelling(name) == _spelling(label)]
        if label not in labels and len(fitting) == 1:
            renamed[label] = fitting[0]
    taken = Counter(renamed.get(label, label) for label in dataset.labels)
    renamed = {label: name for label, name in renamed.items() if taken[name] == 1} | aliased
    if not renamed:
        return dataset

    def names(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(renamed.get(label, label) for label in given)

    examples = tuple(replace(item, labels=tuple(dict.fromkeys(names(item.labels)))) for item in dataset.examples)
    return replace(dataset, examples=examples, labels=tuple(dict.fromkeys(names(dataset.labels))))


def _spelling(label: str) -> str:
    return spelling_key(label).removesuffix("s")


def clips_with_video(dataset: Dataset) -> Iterator[tuple[Path, list[Example]]]:
    """Each video of the dataset with its examples, in first-seen order."""
    by_video: dict[Path, list[Example]] = {}
    for item in dataset.examples:
        by_video.setdefault(item.path, []).append(item)
    return iter(by_video.items())


def without_missing(dataset: Dataset) -> tuple[Dataset, list[Path]]:
    """The dataset without the clips whose file is missing, so that work on the others can continue.

    Returns:
        The remaining clips, and the files that are missing.
    """
    missing = [file for file, _ in clips_with_video(dataset) if not os.path.isfile(file)]
    gone = set(missing)
    return replace(dataset, examples=tuple(item for item in dataset.examples if item.path not in gone)), missing
