"""The dataset as a folder for each class, and copying or linking videos for every format that is a folder."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from adapters.data.examples import SPLITS, Dataset, Example, describe
from adapters.data.formats.format import Format
from adapters.data.rows import make_dataset, relative_path
from adapters.data.split_names import is_split_name, normal_split
from adapters.errors import DatasetError
from adapters.media import UnreadablePath, is_hidden, is_video_name, videos_below
from adapters.system import storage_error

Placement = Literal["copy", "link"]
_log = logging.getLogger(__name__)
_FOLD = re.compile(r"(?:fold|cv|cv_?fold|kfold)[ _.-]?\d{1,3}|\d{1,3}[ _-]?fold", re.IGNORECASE)
# Of macOS archives, Synology, Windows and ext4.
_LEFT_BEHIND = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})


def import_folders(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read a folder for each class: ``<class>/clip.mp4``, or ``train/<class>/clip.mp4`` and so on for each split.

    A folder within a class is a group: ``ad/film_a/1.mp4`` and ``content/film_a/2.mp4`` are both of group film_a; one
    that is named like a split is the split: ``ad/train/1.mp4``. Folders named like splits are never classes. Hidden
    files and files without a video's suffix are skipped.

    Args:
        path: The folder of the classes or splits.
        labels: The order of the classes; None: that of the folders' names.

    Raises:
        DatasetError: There are no class folders with videos, a folder cannot be read, or one that is named like a split
            cannot be used as one.
    """
    root = Path(path)
    rows: list[tuple[str, Mapping[str, Any]]] = []
    classes: dict[str, None] = {}
    for split, top in _split_tops(root, frozenset(labels or ())):
        for folder in _folders(top):
            found = videos_in(folder)
            if not found and _holds_files(folder):
                _log.warning("%s: contains no videos, so it is not used as a class", folder)
                continue
            classes[folder.name] = None
            rows += [(str(file), _row(file, folder, root, split)) for file in found]
    if not rows:
        raise DatasetError(
            f"{root}: no class folder with videos in it, nor a dataset.jsonl, labels.json, dataset.csv or Dataloop "
            "export (items/ and json/). Put the videos of each class into a folder of that name."
        )
    if len(classes) == 1 and next(iter(classes)) not in (labels or ()):
        _check_outer(root / next(iter(classes)), [row for _, row in rows])
    return make_dataset(rows, root, labels, listed=sorted(classes))


def _check_outer(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse the only folder of a dataset if it may be one around those of the classes, as archives often have it."""
    inner = list(dict.fromkeys(row["group"].partition("/")[0] for row in rows if "group" in row))
    if len(inner) > 1 and all("group" in row for row in rows):
        split = next((row["split"] for row in rows if row["split"]), None)
        raise DatasetError(
            f"{folder}: is the only folder here, so {', '.join(inner[:3])} in it may be classes or groups of one "
            f"class. To read them as classes, give {folder}; if all clips are of the class {folder.name!r}"
            f"{', with splits in it' if split else ''}, name it as a label (--label, labels=)."
        )


def _holds_files(folder: Path) -> bool:
    """Whether there are files below a folder, other than hidden ones: an empty folder is a class without clips."""
    return any(not is_hidden(name) for _, _, names in os.walk(folder) for name in names)


def _row(file: Path, folder: Path, root: Path, split: str | None) -> dict[str, Any]:
    """The row of a video in a class folder. Folders within it are the group, or the split where they are named so."""
    within = list(file.relative_to(folder).parent.parts)
    named = [part for part in within if is_split_name(part)]
    if named and split is None and normal_split(within[0]) in SPLITS and len(named) == 1:
        split = normal_split(within.pop(0))
    elif named:
        raise DatasetError(
            f"{folder / Path(*within)}: {named[-1]!r} is the name of a split, in the folder of class {folder.name!r}"
            f"{f' of split {split!r}' if split else ''}. Put splits above or directly below the classes, or rename it."
        )
    row = {"path": str(file.relative_to(root)), "label": folder.name, "split": split}
    return {**row, "group": "/".join(within)} if within else row


_WAY_OUT = (
    "Give each split a folder for each class, name labels and splits in a CSV or dataset.jsonl, or move other folders "
    "away. If it is a class, rename the folder or name it as a label (--label, labels=)."
)


def _split_tops(root: Path, classes: frozenset[str]) -> list[tuple[str | None, Path]]:
    """The folders of the splits, or the root itself without a split.

    Args:
        root: The folder of a dataset.
        classes: Names that the caller says are classes, also where they are those of a split.

    Raises:
        DatasetError: Folders that are named like splits cannot be used as such; names them and what is beside them.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    folders = _folders(root)
    splits = [folder for folder in folders if is_split_name(folder.name) and folder.name not in classes]
    _check_folds(root, [folder for folder in folders if folder.name not in classes])
    if not splits:
        _note_loose(root)
        return [(None, root)]
    for folder in splits:
        _check_split(folder)
    beside = [folder for folder in folders if folder not in splits]
    for folder in beside:
        if videos_in(folder):
            raise DatasetError(
                f"{folder}: contains videos and is beside folders that are named like splits, "
                f"{', '.join(split.name for split in splits)}. {_WAY_OUT}"
            )
        _log.warning("%s: contains no videos; ignored beside the splits", folder)
    by_split: dict[str, Path] = {}
    for folder in splits:
        other = by_split.setdefault(normal_split(folder.name), folder)
        if other != folder:
            raise DatasetError(
                f"{root}: {other.name} and {folder.name} both mean the split {normal_split(folder.name)}. Keep only "
                "one of them here."
            )
    return list(by_split.items())


def _check_folds(root: Path, folders: Sequence[Path]) -> None:
    """Refuse folders of a cross-validation, each with the classes in it, which would be taken for the classes."""
    folds = [folder for folder in folders if _FOLD.fullmatch(folder.name)]
    if len(folds) > 1 and len(folds) == len(folders) and all(_folders(folder) for folder in folds):
        raise DatasetError(
            f"{root}: {folds[0].name} and {folds[1].name} are named like folds of a cross-validation and hold folders, "
            f"so they are not classes. {_WAY_OUT}"
        )


def _note_loose(root: Path) -> None:
    """Name videos beside the folders of classes, which have no label."""
    loose = sorted(entry.name for entry in root.iterdir() if is_video_name(entry.name) and not entry.is_dir())
    if loose:
        others = f" and {len(loose) - 1} others" if len(loose) > 1 else ""
        _log.warning(
            "%s: %s%s: left out, since videos beside the folders of the classes have no label", root, loose[0], others
        )


def _check_split(folder: Path) -> None:
    """Refuse a folder that is named like a split and holds no class folders, or videos outside of them."""
    if normal_split(folder.name) not in SPLITS:
        raise DatasetError(f"{folder}: matches the names of several splits, and it is not a class. {_WAY_OUT}")
    loose = sorted(entry.name for entry in folder.iterdir() if is_video_name(entry.name) and not entry.is_dir())
    if loose:
        raise DatasetError(
            f"{folder}: is named like a split, but it contains videos outside class folders, such as {loose[0]}, whose "
            f"labels are unknown. {_WAY_OUT}"
        )
    if not _folders(folder):
        raise DatasetError(f"{folder}: is named like a split, but it has no class folders. {_WAY_OUT}")


def export_folders(dataset: Dataset, path: str | Path, media: Placement = "copy") -> Path:
    """Put each video into a folder of its class (under one of its split, where clips have splits).

    Files that exist with the same size and time are left alone, so an interrupted export can be run again to resume.

    Args:
        dataset: The clips.
        path: The folder to write.
        media: ``copy`` the videos or ``link`` them (symbolic links).

    Returns:
        The path.

    Raises:
        DatasetError: Folders cannot express a clip (a time range, several labels or none, a split only for some
            clips), or a video is missing; names the first.
        StorageError: A file cannot be written.
    """
    root = Path(path)
    splits = {item.split for item in dataset.examples}
    if None in splits and len(splits) > 1:
        raise DatasetError(
            f"{dataset.root}: some clips have a split and others do not. Split the dataset first: cliplab dataset split"
        )
    shared = _shared_groups(dataset)
    taken: set[Path] = set()
    for item in dataset.examples:
        if len(item.labels) != 1 or item.start_seconds is not None or item.end_seconds is not None:
            raise DatasetError(
                f"{describe(item)} has a time range or not exactly one label, which folders cannot represent. "
                "Export to jsonl, csv, labels_json, coco or dataloop."
            )
        parts = [
            item.split,
            item.label,
            *([] if item.group not in shared and _is_own(item, dataset.root) else item.group.split("/")),
        ]
        folder = root.joinpath(*(_folder_name(part, item) for part in parts if part))
        place_video(item.path, free_name(folder / item.path.name, taken), media)
    for label in dataset.labels:
        for split in splits:
            _make_folder(root.joinpath(*(part for part in (split, label) if part)))
    return root


def split_folders(root: Path, marker: str) -> list[tuple[str | None, Path]]:
    """The folders that hold a folder of a name, the root among them, each with the split that it is named after.

    Args:
        root: The folder of a dataset.
        marker: The name of the folder that each must hold.

    Returns:
        Each split, or None, and its folder.

    Raises:
        DatasetError: The root is not a folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    tops = [root, *_folders(root)]
    return [(None if top == root else _split_name(top.name), top) for top in tops if (top / marker).is_dir()]


def _split_name(name: str) -> str | None:
    return normal_split(name) if normal_split(name) in SPLITS else None


def _folders(root: Path) -> list[Path]:
    """The folders in a folder, without hidden ones and those that systems leave behind."""
    entries = (entry for entry in root.iterdir() if entry.is_dir())
    return sorted(entry for entry in entries if not is_hidden(entry.name) and entry.name.lower() not in _LEFT_BEHIND)


def videos_in(folder: Path) -> list[Path]:
    """The videos below a folder, also those that cannot be read, so that they are reported like missing ones.

    Raises:
        DatasetError: A subfolder cannot be read, so that its clips would be missing from the dataset unnoticed.
    """
    files, base = [], os.path.abspath(folder)
    for item in videos_below(folder):
        if isinstance(item, UnreadablePath) and not is_video_name(os.path.basename(item.path)):
            raise DatasetError(f"{item.path}: {item.error}")
        files.append(folder / os.path.relpath(item.path, base))
    return files


def _shared_groups(dataset: Dataset) -> set[str]:
    """Groups of more than one video: they must be written, or the videos could part in a later split."""
    paths: dict[str, set[Path]] = {}
    for item in dataset.examples:
        paths.setdefault(item.group, set()).add(item.path)
    return {group for group, files in paths.items() if len(files) > 1}


def _is_own(item: Example, root: Path) -> bool:
    """Whether the group is only the clip's own path, which reading the folders restores."""
    return item.group in (item.source, str(item.path), relative_path(item.path, root))


def _folder_name(part: str, item: Example) -> str:
    if part in ("", ".", "..") or part.startswith(".") or "/" in part or "\\" in part or "\0" in part:
        raise DatasetError(
            f"{describe(item)}: {part!r} of its label or group cannot be the name of a folder. Export to csv"
        )
    return part


def free_name(target: Path, taken: set[Path]) -> Path:
    """A name that this export has not used: the target, or with _2, _3, ... before its suffix.

    Args:
        target: The preferred name.
        taken: The names used so far; the returned one is added.
    """
    candidate, number = target, 1
    while candidate in taken:
        number += 1
        candidate = target.with_stem(f"{target.stem}_{number}")
    taken.add(candidate)
    return candidate


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error


def place_video(file: Path, target: Path, media: Placement) -> None:
    """Copy or link a video to ``target``, whole or not at all. A target of the same size and time is left alone.

    Args:
        file: The video.
        target: Its new path; missing folders are made.
        media: ``copy`` or ``link`` (a symbolic link).

    Raises:
        DatasetError: The video is missing, or ``media`` is neither of the two.
        StorageError: The target cannot be written.
    """
    if media not in ("copy", "link"):
        raise DatasetError(f"media must be copy or link, got {media!r}")
    if not os.path.isfile(file):
        raise DatasetError(f"{file}: no such file, so it cannot be exported. Correct its row, or leave it out.")
    _make_folder(target.parent)
    if target.exists() and (target.samefile(file) or _same(file, target)):
        return
    # Not atomic_path: a link of an export before is itself replaced, never the video that it leads to.
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.tmp")
    try:
        if media == "link":
            temporary.symlink_to(file)
        else:
            shutil.copy2(file, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise storage_error(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _same(file: Path, target: Path) -> bool:
    one, other = file.stat(), target.stat()
    return (one.st_size, int(one.st_mtime)) == (other.st_size, int(other.st_mtime))


FORMAT = Format(import_folders, export_folders, holds_videos=True, keeps=frozenset({"splits", "groups"}))
