"""MMAction2's list of folders of frames: a folder, its number of frames, and class numbers from 0 per line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adapters.data.examples import Dataset, describe
from adapters.data.formats.clip_lists import class_names, numbered, split_of_name, write_lines
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.mmaction_videos import say_classes
from adapters.data.formats.text import read_head, read_text
from adapters.data.frame_folders import DEFAULT_RATE, frames_of_folder
from adapters.data.rows import relative_path
from adapters.errors import DatasetError
from adapters.media import is_video_name
from adapters.system import write_text_atomic

_LINE = re.compile(r"(.*\S)\s+(\d{1,9})\s+(\d{1,9})")
_OFFSET = re.compile(r"(.*\S)\s+(\d{1,9})")  # what is left of a line with MMAction2's with_offset


def import_mmaction_rawframes(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read a list of folders. A video of the folder's name below the root is preferred; otherwise the frames are read.

    The list does not say at which rate the frames were taken: 30 frames per second, unless the caller says so.

    Args:
        path: The list.
        labels: The order of the classes; None: that of their numbers.
        options: Where the folders are, and their rate.

    Raises:
        DatasetError: The file cannot be read, or a line is wrong; names it.
    """
    path = Path(path)
    names, file = class_names(path)
    rows, split = ForeignRows(path, options), split_of_name(path)
    used: set[int] = set()
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise DatasetError(
                f"{path}, line {number}: must be a folder, its number of frames and a class number, such as "
                f'"clip_1 163 3"; got {line.strip()!r:.80}'
            )
        used.add(int(found[3]))
        folder, offset = _without_offset(found[1], rows.root)
        if offset:
            raise DatasetError(
                f"{path}, line {number}: frames after an offset ({offset}) cannot be read; only whole folders can. "
                "Copy the frames of each clip to a folder of their own"
            )
        rows.add(f"line {number}", folder, numbered(names, int(found[3]), f"{path}, line {number}", 0), split=split)
    say_classes(rows, file, split)
    made = rows.dataset(labels, names or [str(number) for number in sorted(used)])
    rate = options.frame_rate or DEFAULT_RATE
    examples = tuple(replace(item, frames=frames_of_folder(item.path, rate)) for item in made.examples)
    of_frames = sum(item.frames is not None for item in examples)
    note = f"{path}: {of_frames} folders are read at {rate:g} frames per second (the list does not give a rate)"
    return replace(made, examples=examples, notes=(*made.notes, *([note] if of_frames else [])))


def _without_offset(text: str, root: Path) -> tuple[str, int]:
    """The folder of a line and its offset, 0 without one: a number is a part of the name where such a folder exists."""
    found = _OFFSET.fullmatch(text)
    if found is None or os.path.isdir(root / text) or not os.path.isdir(root / found[1]):
        return text, 0
    return found[1], int(found[2])


def export_mmaction_rawframes(dataset: Dataset, path: str | Path) -> Path:
    """Write a list of the folders of a prepared dataset, and the names of the classes as ``<name>.label_map.txt``.

    Args:
        dataset: Clips with prepared frames, as ``cliplab dataset prepare`` writes them.
        path: The list.

    Returns:
        The path.

    Raises:
        DatasetError: A clip has no frames, or not exactly one label, or a path has spaces.
        StorageError: A file cannot be written.
    """
    path = Path(path)
    _, number = write_lines(replace(dataset, examples=()), path)
    lines = []
    for item in dataset.examples:
        if item.frames is None:
            raise DatasetError(
                f"{describe(item)} has no extracted frames beside the dataset. Extract them first: cliplab dataset "
                "prepare."
            )
        name = relative_path(item.frames.folder, path.parent)
        if name.split() != [name]:
            raise DatasetError(
                f"{name}: the folder's path has spaces, which separate the fields of this list. Rename it."
            )
        lines.append(f"{name} {len(item.frames.names)} {number[item.label]}\n")
    write_text_atomic(path.with_name(f"{path.stem}.label_map.txt"), "".join(f"{label}\n" for label in dataset.labels))
    write_text_atomic(path, "".join(lines))
    return path


def _is_frame_list(path: Path) -> bool:
    line = next((line.strip() for line in read_head(path).split("\n") if line.strip()), "")
    found = _LINE.fullmatch(line)
    return found is not None and not is_video_name(found[1].split("/")[-1]) and re.search(r"\D", found[1]) is not None


FORMAT = Format(
    import_mmaction_rawframes,
    export_mmaction_rawframes,
    suffixes=(".txt",),
    matches=_is_frame_list,
    takes_options=True,
    keeps=frozenset({"ranges"}),
    precision="a clip becomes the folder of its frames, without its place in the video",
)
