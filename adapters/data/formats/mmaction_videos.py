"""MMAction2's list of videos: a path and one or more class numbers from 0 per line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from adapters.data.examples import Dataset
from adapters.data.formats.clip_lists import class_names, numbered, split_of_name, whole_clip, write_lines
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.text import read_head, read_text
from adapters.errors import DatasetError
from adapters.media import is_video_name
from adapters.system import write_text_atomic

_NUMBER, _WORD = re.compile(r"\d{1,9}"), re.compile(r"\S+")


def import_mmaction_videos(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read a list of videos. Names of classes are those of ``label_map.txt`` beside it; the split is in its name.

    Args:
        path: The list.
        labels: The order of the classes; None: that of their numbers.
        options: Where the videos are.

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
        found = _name_and_numbers(line)
        if found is None:
            raise DatasetError(
                f'{path}, line {number}: must be a path and a class number, such as "a.mp4 3"; got {line.strip()!r:.80}'
            )
        name, numbers = found
        used.update(numbers)
        classes = [numbered(names, value, f"{path}, line {number}", 0) for value in numbers]
        rows.add(f"line {number}", name, classes, split=split)
    say_classes(rows, file, split)
    return rows.dataset(labels, names or [str(number) for number in sorted(used)])


def _name_and_numbers(line: str) -> tuple[str, list[int]] | None:
    """The path and the numbers of classes that a line ends in; None where it does not. A name may have spaces in it.

    Word by word: one pattern for all would look at the numbers of a long line once for each of them.
    """
    text = line.strip()
    words = list(_WORD.finditer(text))
    first = len(words)
    while first > 1 and _NUMBER.fullmatch(words[first - 1][0]):
        first -= 1
    numbers = [int(word[0]) for word in words[first:]]
    return (text[: words[first - 1].end()], numbers) if numbers else None


def say_classes(rows: ForeignRows, file: Path | None, split: str | None) -> None:
    """Note where the names of the classes and the split come from.

    Args:
        rows: Of the list.
        file: That names the classes; None: there is none.
        split: Of the file's name.
    """
    named = f"class names are read from {file.name}" if file else "no label_map.txt: class numbers are used as names"
    rows.notes.append(f"{named}; split by the file's name: {split or 'none'}")


def export_mmaction_videos(dataset: Dataset, path: str | Path) -> Path:
    """Write a list of videos, and the names of the classes beside it as ``<name>.label_map.txt``.

    Args:
        dataset: Clips that are whole videos.
        path: The list.

    Returns:
        The path.

    Raises:
        DatasetError: A clip has a range or no label, or a path has spaces.
        StorageError: A file cannot be written.
    """
    path = Path(path)
    names, number = write_lines(dataset, path)
    lines = [
        " ".join([name, *(str(number[label]) for label in whole_clip(item).labels)])
        for name, item in zip(names, dataset.examples, strict=True)
    ]
    write_text_atomic(path.with_name(f"{path.stem}.label_map.txt"), "".join(f"{label}\n" for label in dataset.labels))
    write_text_atomic(path, "".join(line + "\n" for line in lines))
    return path


def _is_video_list(path: Path) -> bool:
    line = next((line.strip() for line in read_head(path).split("\n") if line.strip()), "")
    found = _name_and_numbers(line)
    return found is not None and is_video_name(found[0].split("/")[-1])


FORMAT = Format(
    import_mmaction_videos,
    export_mmaction_videos,
    suffixes=(".txt",),
    matches=_is_video_list,
    takes_options=True,
    keeps=frozenset({"several labels"}),
)
