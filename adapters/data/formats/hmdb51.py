"""Split files of HMDB51: ``<class>_test_split1.txt``, a video and 1 (train), 2 (test) or 0 (neither) per line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from adapters.data.examples import Dataset, describe
from adapters.data.formats.clip_lists import whole_clip
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.text import read_text
from adapters.errors import DatasetError
from adapters.system import write_text_atomic

_FILE = re.compile(r"(.+)_test_split([123])\.txt")
_LINE = re.compile(r"([^/]*[^/\s])\s+([012])")
_SPLITS = {"1": "train", "2": "test"}


def import_hmdb51(path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS) -> Dataset:
    """Read the file of one class, or those of split 1 of a folder. Videos of neither part are left out.

    Args:
        path: A file, or the folder of the files.
        labels: The order of the classes; None: by name.
        options: Where the videos are, in a folder for each class or in one.

    Raises:
        DatasetError: A file cannot be read, or a line is wrong; names it.
    """
    path = Path(path)
    files = sorted(path.glob("*_test_split1.txt")) if path.is_dir() else [path]
    named = [(file, found[1]) for file in files if (found := _FILE.fullmatch(file.name)) is not None]
    if not named:
        raise DatasetError(f"{path}: has no files such as wave_test_split1.txt")
    rows = ForeignRows(named[0][0], options)
    for file, label in named:
        for number, line in enumerate(read_text(file).split("\n"), 1):
            if not line.strip():
                continue
            found, where = _LINE.fullmatch(line.strip()), f"{file.name}, line {number}"
            if found is None:
                raise DatasetError(
                    f"{file}, line {number}: must be a video and 0, 1 or 2, such as a.avi 1; got {line.strip()!r:.80}"
                )
            if found[2] == "0":
                rows.leave_out(where, "videos marked 0, which are not used in this split")
            else:
                rows.add(where, f"{label}/{found[1]}", label, split=_SPLITS[found[2]])
    rows.notes.append(
        f"{len(named)} files: the class is from the file's name, 1 means train and 2 means test, the group is from "
        "the video's name"
    )
    return rows.dataset(labels, [label for _, label in named])


def export_hmdb51(dataset: Dataset, path: str | Path) -> Path:
    """Write a file for each class into a folder.

    Args:
        dataset: Whole videos of the splits train and test, each in a folder of its class.
        path: The folder.

    Returns:
        The folder.

    Raises:
        DatasetError: A clip has a range, another split, or a folder that is not its class.
        StorageError: A file cannot be written.
    """
    root = Path(path)
    lines: dict[str, list[str]] = {label: [] for label in dataset.labels}
    for label in dataset.labels:
        if label.split() != [label] or "/" in label or label.startswith("."):
            raise DatasetError(f"the class {label!r} cannot be in the name of a file of HMDB51. Export to csv.")
    for item in dataset.examples:
        if item.split not in ("train", "test"):
            raise DatasetError(
                f"{describe(item)}: HMDB51 has only the splits train and test, but this clip is in {item.split}"
            )
        label = whole_clip(item).label
        if item.path.parent.name != label or item.path.name.split() != [item.path.name]:
            raise DatasetError(
                f"{describe(item)}: must be in a folder of its class {label!r}, without spaces in its name. Export to "
                "folders first, or to csv."
            )
        lines[label].append(f"{item.path.name} {1 if item.split == 'train' else 2}\n")
    for label, found in lines.items():
        write_text_atomic(root / f"{label}_test_split1.txt", "".join(found))
    return root


def _is_hmdb51(path: Path) -> bool:
    if path.is_dir():
        return next(path.glob("*_test_split1.txt"), None) is not None
    return _FILE.fullmatch(path.name) is not None


FORMAT = Format(
    import_hmdb51,
    export_hmdb51,
    suffixes=(".txt",),
    matches=_is_hmdb51,
    takes_options=True,
    is_folder=True,
    keeps=frozenset({"splits"}),
)
