"""What lists of clips with numbers for classes share: the names of the classes, and the split in a file's name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from adapters.data.examples import Dataset, Example, describe
from adapters.data.formats.text import read_text
from adapters.data.rows import relative_path
from adapters.data.split_names import ALIASES
from adapters.errors import DatasetError

_MAPS = ("label_map.txt", "classInd.txt", "classes.txt", "labels.txt")


def split_of_name(path: Path) -> str | None:
    """The split that the name of a list says, such as ``kinetics_train_list.txt`` or ``testlist01.txt``.

    Args:
        path: The list.
    """
    words = re.findall(r"[a-z]+", path.stem.lower().replace("list", " "))
    found = {ALIASES[word] for word in words if word in ALIASES}
    return next(iter(found)) if len(found) == 1 else None


def class_names(path: Path) -> tuple[list[str], Path | None]:
    """The names of the classes from a file beside a list: one per line, in order, with or without a number before.

    Args:
        path: The list.

    Returns:
        The names, and the file that has them; none where there is no such file.
    """
    for name in (f"{path.stem}.label_map.txt", f"{path.stem}_label_map.txt", *_MAPS):
        file = path.with_name(name)
        if file != path and file.is_file():
            lines = [line.strip() for line in read_text(file).split("\n") if line.strip()]
            return [re.sub(r"^\d+\s+(?=\S)", "", line) for line in lines], file
    return [], None


def write_lines(dataset: Dataset, path: Path) -> tuple[list[str], dict[str, int]]:
    """The path of each clip as it is written in a list, and the number of each class from 0.

    Args:
        dataset: The clips.
        path: The list.

    Raises:
        DatasetError: A path has spaces at which readers of such lists part a line, or a class a line end.
    """
    for label in dataset.labels:
        if label.splitlines() != [label] or label != label.strip() or re.match(r"\d+\s", label):
            raise DatasetError(f"{path}: the class {label!r} cannot be a line of the list of classes. Export to jsonl.")
    names = [relative_path(item.path, path.parent) for item in dataset.examples]
    for name, item in zip(names, dataset.examples, strict=True):
        if name.split() != [name]:
            raise DatasetError(
                f"{describe(item)}: its path has spaces, which separate the fields of this list. Rename it."
            )
    return names, {label: number for number, label in enumerate(dataset.labels)}


def whole_clip(item: Example) -> Example:
    """The clip, if it is a whole video.

    Raises:
        DatasetError: It has a range.
    """
    if item.start_seconds is not None or item.end_seconds is not None:
        raise DatasetError(
            f"{describe(item)} has a time range, which a list of whole videos cannot represent. Export to csv."
        )
    return item


def numbered(names: Sequence[str], number: int, where: str, first: int) -> str:
    """The name of a class by its number.

    Args:
        names: The names; without any, the number is the name.
        number: In the list.
        where: The line, for messages.
        first: The number of the first class, 0 or 1.

    Raises:
        DatasetError: There is no such class.
    """
    if not names:
        return str(number)
    if not first <= number < len(names) + first:
        raise DatasetError(
            f"{where}: the class number is {number}, but the list of classes has {first} to {len(names) - 1 + first}"
        )
    return names[number - first]
