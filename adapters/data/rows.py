"""The row of a clip in a file, which formats share: rows to a dataset, and examples to rows."""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from adapters.data.examples import Dataset, Example, PreparedFrames, Split
from adapters.data.footage import footage_of
from adapters.data.frame_folders import frames_of_folder
from adapters.data.frame_times import FrameTimes
from adapters.data.label_spellings import clean_label, one_spelling, spelled_apart
from adapters.data.row_keys import RowValues, read_row
from adapters.data.split_names import all_splits, normal_split
from adapters.data.time_values import TimeRange
from adapters.data.video_paths import VideoFinder, cut_from
from adapters.errors import DatasetError, MediaError
from adapters.media import VIDEO_SUFFIXES, is_picture_name

_log = logging.getLogger(__name__)
MAX_CLIPS = 1_000_000
_SURE_UNITS: tuple[frozenset[str], ...] = (frozenset(), frozenset({"seconds"}))


def check_count(count: int, where: Path) -> None:
    """Refuse a file of more clips than can be read in reasonable time and memory.

    Args:
        count: Clips.
        where: The file, or the folder of its paths.

    Raises:
        DatasetError: There are more than MAX_CLIPS.
    """
    if count > MAX_CLIPS:
        raise DatasetError(
            f"{where}: holds more than {MAX_CLIPS:,} clips, the maximum for one dataset. Split the file."
        )


def make_dataset(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    root: Path,
    labels: Sequence[str] | None,
    *,
    listed: Sequence[str] | None = None,
    text: bool = False,
    extra_keys: bool = False,
    frames: Sequence[PreparedFrames | None] | None = None,
) -> Dataset:
    """A dataset from the rows of a file. Groups are filled in where a row has none (see ``video_groups``).

    Args:
        rows: The place of each row in its file, for messages, and the row: an object with the keys that
            docs/dataset.md lists.
        root: The folder to which the paths are relative.
        labels: The order of the classes that the caller gives; None: that of the file.
        listed: The order of the classes that the file gives; None: as the rows first name them.
        text: Whether numbers are text, as in a CSV.
        extra_keys: Whether keys that are not understood, and cannot be a mistake, are ignored.
        frames: The prepared frames of each row.

    Raises:
        DatasetError: A key or value of a row is not allowed, a label is not among ``labels``, or there are more than
            MAX_CLIPS clips.
    """
    with _collector_paused():
        reader = _RowReader(Path(os.path.abspath(root)))
        examples: list[Example] = []
        explicit: list[bool] = []
        for number, (where, row) in enumerate(rows):
            values = read_row(row, where, text=text, extra_keys=extra_keys)
            for item in reader.examples(values, where, row.keys()):
                given = None if frames is None else frames[number]
                examples.append(item if given is None else replace(item, frames=given))
                explicit.append(bool(values.values.get("group")))
            check_count(len(examples), reader.root)
        reader.check_all_read(examples)
        return _grouped(reader, examples, explicit, labels, listed)


def _grouped(
    reader: _RowReader,
    examples: Sequence[Example],
    explicit: Sequence[bool],
    labels: Sequence[str] | None,
    listed: Sequence[str] | None,
) -> Dataset:
    """The dataset of the examples, with one spelling of each label and a group for each video."""
    used = [label for item in examples for label in item.labels]
    kept, warnings = one_spelling(used, labels, listed or ())
    order = list(labels) if labels is not None else _in_order(listed, used, kept)
    if labels is None and all_splits(order):
        raise DatasetError(
            f"{reader.root}: its labels are the names of splits: {', '.join(map(repr, order))}. Give each clip's class "
            "as its label and its split as its split. If these really are the classes, list them (--label, labels=)."
        )
    grouped = tuple(
        item.regrouped(group, tuple(dict.fromkeys(kept[name] for name in item.labels)))
        for item, group in zip(examples, video_groups(examples, explicit), strict=True)
    )
    counts = Counter(label for item in grouped for label in item.labels)
    warnings += spelled_apart({label: counts[label] for label in order}, labels)
    notes = tuple(f"{reader.root}: {sentence}" for sentence in warnings) + tuple(reader.left_out)
    for note in notes:
        _log.warning("%s", note)
    return Dataset(grouped, tuple(order), reader.root, notes)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Let Python not look for cycles while rows are read: a large file makes millions of objects and no cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _in_order(listed: Sequence[str] | None, used: Sequence[str], kept: Mapping[str, str]) -> list[str]:
    """The labels in the file's order, or as the clips first name them. A list that has one twice stays an error."""
    if listed is not None and len(set(listed)) < len(listed):
        return list(listed)
    return list(dict.fromkeys(kept[label] for label in (used if listed is None else listed)))


class _RowReader:
    """Makes the examples of one file's rows.

    Attributes:
        root: The folder to which paths are relative.
        left_out: A sentence for each row that needs a video that cannot be opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left_out: list[str] = []
        self._finder = VideoFinder(root)
        self._frames = FrameTimes()
        self._bare = ""
        self._other_unit = ""

    def examples(self, row: RowValues, where: str, keys: Iterable[str]) -> Iterator[Example]:
        """An example for each range of a row, of which the keys as they were given are for messages."""
        path = row.values.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            raise DatasetError(f"{where}: a row needs a path, a non-empty string; got {path!r:.80}{_keys(path, keys)}")
        for name in ("split", "group", "source"):
            if not isinstance(row.values.get(name), (str, type(None))):
                raise DatasetError(f"{where}: {name} must be a string or absent, got {row.values[name]!r}")
        labels, split = _labels(row.values.get("label"), where), row.values.get("split")
        hints = (*labels, *((split,) if split else ()))
        for span in row.ranges:
            self._check_units(span, where)
            seconds = (span.start, span.end)
            file = self._finder.find(path, where, seconds, hints)
            try:
                start, end = self._frames.resolve(span, file, row.rate, where)
            except MediaError as error:
                self.left_out.append(
                    f"{where}: left out, since its frame numbers need the frame rate of a video: {error} Give it "
                    "(--frame-rate), or the folder of the videos (--videos)."
                )
                continue
            if end is not None and (cut := cut_from(file.stem)) is not None and (start, end) == cut[1:]:
                start, end = None, None  # the file is the range
            picture = is_picture_name(file.name) and start is None and end is None
            try:
                yield Example(
                    path=file,
                    labels=labels,
                    start_seconds=start,
                    end_seconds=end,
                    split=cast(Split, normal_split(split)) if split else None,
                    group=row.values.get("group") or "",
                    source=row.values.get("source") or path,
                    frames=PreparedFrames(file.parent, (file.name,), 1.0) if picture else _folder(file, row, span),
                )
            except DatasetError as error:
                raise DatasetError(f"{where}: {error}") from None

    def _check_units(self, span: TimeRange, where: str) -> None:
        """Refuse a file in which a name without a unit may be seconds or what other rows count in."""
        if span.units in _SURE_UNITS:
            return
        if span.units <= {"seconds", "bare"} and "bare" in span.units:
            self._bare = self._bare or where
        elif span.units - {"seconds", "bare"}:
            self._other_unit = self._other_unit or where
        if self._bare and self._other_unit:
            raise DatasetError(
                f"{self._bare}: has times without a unit, but {self._other_unit} has frames or milliseconds, so "
                "their unit is unclear. Use the same unit for all times of a file, such as start_seconds and "
                "end_seconds."
            )

    def check_all_read(self, examples: Sequence[Example]) -> None:
        """Refuse a file of which no row could be read."""
        if self.left_out and not examples:
            raise DatasetError(self.left_out[0].replace("left out, since its", "its"))


def _folder(file: Path, row: RowValues, span: TimeRange) -> PreparedFrames | None:
    """The frames of a row that names a folder of them, as a whole."""
    if file.suffix.lower() in VIDEO_SUFFIXES or (span.start, span.end) != (None, None):
        return None
    return frames_of_folder(file, row.rate)


def _labels(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, str) and value.strip():
        return (value,)
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not all(isinstance(item, str) and item.strip() for item in labels):
        raise DatasetError(f"{where}: label must be a non-empty string, or a list of them; got {value!r:.200}")
    if len({clean_label(item) for item in labels}) < len(labels):
        raise DatasetError(f"{where}: a label occurs twice in {value!r:.200}")
    return tuple(labels)


def video_groups(examples: Sequence[Example], explicit: Sequence[bool] | None = None) -> list[str]:
    """The group of each example: its own where the file has one, otherwise that of its video.

    Examples without a group of their own that share a path or a source, or whose names say that they were cut from
    the same footage (see ``footage_of``), are one group, so that two ranges of a video are never in two splits. Its
    name is that of a written group of the same video, or of the footage, or of the first source.

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
    shots = {by_path: item.path for (by_path, _), item in zip(nodes, examples, strict=True)}
    found_shots = {by_path: footage_of(path.stem) for by_path, path in shots.items()}
    footage = [found_shots[by_path] for by_path, _ in nodes]
    for (by_path, by_source), shot in zip(nodes, footage, strict=True):
        parent[find(by_source)] = find(by_path)
        if shot is not None:
            parent[find(f"footage:{shot}")] = find(by_path)
    names: dict[str, str] = {}
    for written in (True, False):
        for item, own, shot, (by_path, _) in zip(examples, explicit, footage, nodes, strict=True):
            if own == written:
                names.setdefault(find(by_path), item.group if own else shot or item.source)
    return [
        item.group if own else names[find(by_path)]
        for item, own, (by_path, _) in zip(examples, explicit, nodes, strict=True)
    ]


def merge_labels(dataset: Dataset) -> Dataset:
    """Rows that differ in nothing but the label become one example with several labels (in label order)."""
    merged: dict[tuple[object, ...], list[Example]] = {}
    for item in dataset.examples:
        clip = (item.path, item.start_seconds, item.end_seconds, item.split, item.group, item.source, item.frames)
        merged.setdefault(clip, []).append(item)
    position = {label: index for index, label in enumerate(dataset.labels)}

    def one(items: list[Example]) -> Example:
        labels = {label for item in items for label in item.labels}
        return items[0].regrouped(items[0].group, tuple(sorted(labels, key=position.__getitem__)))

    return replace(dataset, examples=tuple(map(one, merged.values())))


def _keys(path: object, keys: Iterable[str]) -> str:
    """Where a row has no path, the keys that it has."""
    if path is not None:
        return ""
    there = ", ".join(f"{key!r:.40}" for key in islice(keys, 8))
    return f". The row has the keys {there}; name its video in the key 'path'" if there else ""


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
    below = os.path.join(os.path.abspath(folder), "")
    if (text := str(path)).startswith(below):  # a file has many rows, and this is far quicker than pathlib
        return text[len(below) :].replace(os.sep, "/")
    folder = Path(below)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
