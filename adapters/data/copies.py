"""Videos that are copies of each other, or links to one file: under two labels or in two splits they mislead."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, Example, clips_with_video, describe, describe_labels, list_entries
from adapters.system import BLOCK_BYTES, blocks_fingerprint, file_digest

_log = logging.getLogger(__name__)
_MOST_PAIRS = 100_000  # of clips that are compared for one content


@dataclass(frozen=True)
class CopyReport:
    """What copies among the videos of a dataset mean for it.

    Attributes:
        groups: The videos that are the same, those of each content in one tuple of two or more.
        problems: A sentence for copies under two labels, and one for copies in two splits.
        notes: A sentence for copies that do no harm.
    """

    groups: tuple[tuple[Path, ...], ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check_copies(dataset: Dataset, single_label: bool = True) -> CopyReport:
    """Find the videos of a dataset that have the same content, and say what is wrong with them.

    Only files of equal size are read: first three blocks of each, then the whole of those that agree. Files that cannot
    be read are skipped.

    Args:
        dataset: The clips.
        single_label: Whether a clip has one label, so that the same footage under two is a contradiction.
    """
    groups = same_content([path for path, _ in clips_with_video(dataset)])
    by_path = dict(clips_with_video(dataset))
    labels: list[str] = []
    splits: list[str] = []
    harmless: list[str] = []
    for group in groups:
        parted = {item.split: item for path in group for item in by_path[path] if item.split is not None}
        clash = _clash([by_path[path] for path in group]) if single_label else None
        if clash is not None:
            one, other = clash
            labels.append(
                f"{describe(one)} is {describe_labels(one)} and {describe(other)} is {describe_labels(other)}"
            )
        if len(parted) > 1:
            splits.append(" and ".join(f"{item.path} in {split}" for split, item in parted.items()))
        if clash is None and len(parted) < 2:
            harmless.append(" = ".join(map(str, group[:3])))
    problems = []
    if labels:
        problems.append(f"identical files have different labels: {list_entries(labels)}. Keep the right label of each.")
    if splits:
        problems.append(
            f"identical files are in two splits, so the model would be measured on footage that it was trained on: "
            f"{list_entries(splits)}. Keep them in one split."
        )
    notes = [f"identical files count as separate clips: {list_entries(harmless)}."] if harmless else []
    return CopyReport(groups, tuple(problems), tuple(notes))


def join_copies(dataset: Dataset, single_label: bool = True) -> Dataset:
    """The dataset with copies of one video in one group, so that splitting keeps them on one side.

    What ``check_copies`` finds wrong is logged as a warning. Groups that already have different splits stay apart.

    Args:
        dataset: The clips.
        single_label: As for ``check_copies``.
    """
    report = check_copies(dataset, single_label)
    for problem in report.problems:
        _log.warning("%s: %s", dataset.root, problem)
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    split_of: dict[str, Any] = {}
    for item in dataset.examples:
        split_of[item.group] = split_of.get(item.group) or item.split
    by_path = dict(clips_with_video(dataset))
    for paths in report.groups:
        names = list(dict.fromkeys(item.group for path in paths for item in by_path[path]))
        for name in names[1:]:
            one, other = find(names[0]), find(name)
            if (one != other and None in (split_of[one], split_of[other])) or split_of[one] == split_of[other]:
                parent[other] = one
                split_of[one] = split_of[one] or split_of[other]
    if not parent:
        return dataset
    return replace(dataset, examples=tuple(replace(item, group=find(item.group)) for item in dataset.examples))


def same_content(paths: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """The files that have the same bytes, hard and symbolic links among them.

    Args:
        paths: Files, which may be missing. Empty files are not compared.

    Returns:
        The paths of each content that two or more have, in the given order.
    """
    files: dict[tuple[int, int], list[Path]] = {}
    sizes: dict[int, list[tuple[int, int]]] = {}
    for path in dict.fromkeys(paths):
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size:
            key = (status.st_dev, status.st_ino)
            if key not in files:
                sizes.setdefault(status.st_size, []).append(key)
            files.setdefault(key, []).append(path)
    found = []
    for size, keys in sizes.items():
        for group in _alike(keys, lambda key: _blocks(files[key][0])):
            whole = _alike(group, lambda key: file_digest(files[key][0])) if size > 3 * BLOCK_BYTES else [group]
            found += [[path for key in same for path in files[key]] for same in whole]
    order = {path: number for number, path in enumerate(paths)}
    groups = [tuple(sorted(group, key=order.__getitem__)) for group in found if len(group) > 1]
    return tuple(sorted(groups, key=lambda group: order[group[0]]))


def _alike(keys: Sequence[Any], digest: Callable[[Any], object]) -> list[list[Any]]:
    """The keys in groups of equal digests. One key alone is not read, and one that cannot be read is alone."""
    if len(keys) == 1:
        return [[keys[0]]]
    groups: dict[object, list[Any]] = {}
    for key in keys:
        try:
            groups.setdefault(digest(key), []).append(key)
        except OSError:
            groups[key] = [key]
    return list(groups.values())


def _blocks(path: Path) -> bytes:
    with path.open("rb") as file:

        def read(start: int, end: int) -> bytes:
            file.seek(start)
            return file.read(end - start)

        return blocks_fingerprint(os.fstat(file.fileno()).st_size, read)


def _clash(videos: Sequence[Sequence[Example]]) -> tuple[Example, Example] | None:
    """Two clips of different copies of one video that overlap and have different labels."""
    pairs = ((one, other) for a, b in combinations(videos, 2) for one, other in product(a, b))
    for one, other in islice(pairs, _MOST_PAIRS):
        if _overlap(one, other) and set(one.labels) != set(other.labels):
            return one, other
    return None


def _overlap(one: Example, other: Example) -> bool:
    def end(item: Example) -> float:
        return float("inf") if item.end_seconds is None else item.end_seconds

    return (one.start_seconds or 0.0) < end(other) and (other.start_seconds or 0.0) < end(one)
