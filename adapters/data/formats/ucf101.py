"""Split files of UCF101: ``trainlist01.txt`` and ``testlist01.txt``, with the classes in ``classInd.txt``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from adapters.data.examples import Dataset, describe
from adapters.data.formats.clip_lists import class_names, whole_clip
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.text import read_text
from adapters.errors import DatasetError
from adapters.system import write_text_atomic

_FILE = re.compile(r"(train|test)list(\d{2})\.txt")
_LINE = re.compile(r"(?:.*/)?([^/]+)/([^/]*?[^/\s])(?:\s+(\d{1,9}))?")


def import_ucf101(path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS) -> Dataset:
    """Read one list, or both lists of split 1 of a folder. The class is the folder of a video; groups are in its name.

    ``v_Archery_g01_c02.avi`` is of group ``v_Archery_g01``: clips of one group were cut from one video.

    Args:
        path: A list, or the folder of the lists.
        labels: The order of the classes; None: that of ``classInd.txt``.
        options: Where the videos are.

    Raises:
        DatasetError: A file cannot be read, or a line is wrong; names it.
    """
    path = Path(path)
    files = sorted(path.glob("*list01.txt"), reverse=True) if path.is_dir() else [path]
    files = [file for file in files if _FILE.fullmatch(file.name)]
    if not files:
        raise DatasetError(f"{path}: has no trainlist01.txt and testlist01.txt")
    names, _ = class_names(files[0])
    rows = ForeignRows(files[0], options)
    for file in files:
        _read(file, names, rows)
    rows.notes.append(
        f"{' and '.join(file.name for file in files)}: the class is from the folder, the group from the name, the "
        "split from the file"
    )
    if path.is_dir() and len(list(path.glob("*list0[123].txt"))) > len(files):
        rows.notes.append("split 1 was read; to read another split, give its list")
    return rows.dataset(labels, names or None)


def _read(file: Path, names: list[str], rows: ForeignRows) -> None:
    split = "train" if file.name.startswith("train") else "test"
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        where, found = f"{file.name}, line {number}", _LINE.fullmatch(line.strip())
        if found is None:
            raise DatasetError(
                f"{rows.path.parent / where}: must be a class folder and a video, such as "
                f"Archery/v_Archery_g01_c01.avi 3; got {line.strip()!r:.80}"
            )
        if names and found[1] not in names:
            raise DatasetError(f"{rows.path.parent / where}: the class {found[1]!r:.80} is not in classInd.txt")
        if names and found[3] and names.index(found[1]) + 1 != int(found[3]):
            raise DatasetError(
                f"{rows.path.parent / where}: class {found[1]!r:.80} is number {names.index(found[1]) + 1} in "
                f"classInd.txt, and {found[3]} here"
            )
        rows.add(where, f"{found[1]}/{found[2]}", found[1], split=split)


def export_ucf101(dataset: Dataset, path: str | Path) -> Path:
    """Write ``classInd.txt``, ``trainlist01.txt`` and ``testlist01.txt`` into a folder.

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
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for label in dataset.labels:
        if label.split() != [label] or "/" in label:
            raise DatasetError(f"the class {label!r} cannot be a folder in a list of UCF101. Export to csv.")
    number = {label: place for place, label in enumerate(dataset.labels, 1)}
    for item in dataset.examples:
        split, label = item.split, whole_clip(item).label
        if split is None or split not in lines:
            raise DatasetError(f"{describe(item)}: UCF101 has the splits train and test, and this clip is of {split}")
        if item.path.parent.name != label or item.path.name.split() != [item.path.name]:
            raise DatasetError(
                f"{describe(item)}: must be in a folder of its class {label!r}, without spaces in its name. Export to "
                "folders first, or to csv."
            )
        name = f"{label}/{item.path.name}"
        lines[split].append(f"{name} {number[label]}\n" if split == "train" else f"{name}\n")
    write_text_atomic(root / "classInd.txt", "".join(f"{place} {label}\n" for label, place in number.items()))
    for part, found in lines.items():
        write_text_atomic(root / f"{part}list01.txt", "".join(found))
    return root


def _is_ucf101(path: Path) -> bool:
    if path.is_dir():
        return (path / "classInd.txt").is_file() and any(
            _FILE.fullmatch(file.name) for file in path.glob("*list01.txt")
        )
    return _FILE.fullmatch(path.name) is not None


FORMAT = Format(
    import_ucf101,
    export_ucf101,
    suffixes=(".txt",),
    matches=_is_ucf101,
    takes_options=True,
    is_folder=True,
    keeps=frozenset({"splits"}),
)
