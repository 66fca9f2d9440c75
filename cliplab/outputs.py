"""Where results go: refuse to overwrite before work begins, and find the videos that an argument means."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from adapters.errors import StorageError


def require_new(path: str | Path | None, force: bool) -> None:
    """StorageError where path already holds something and force is False, or cannot be written; None is no output.

    Asked before long work, so that nobody trains for an hour to learn that the result has no place.
    """
    if path is None:
        return
    target = Path(path)
    filled = any(target.iterdir()) if target.is_dir() else target.exists()
    if filled and not force:
        raise StorageError(f"{path}: is there already. Give --force (force=True) to replace it, or name another path")
    parent = target if target.is_dir() else target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise StorageError(f"{path}: cannot be written, because {parent} is a file. Name another path")
    if not os.access(parent, os.W_OK):
        raise StorageError(f"{path}: cannot be written, because {parent} is read-only. Name another path")


def find_videos(arguments: Iterable[str | Path]) -> list[str]:
    """Files that arguments mean: a folder is every video below it, a pattern what it matches; sorted within each.

    An argument that finds nothing stays as it is, so that it is reported like a file that is missing.
    """
    found: list[str] = []
    for argument in map(str, arguments):
        path = Path(argument)
        if path.is_dir():
            from adapters.data import VIDEO_SUFFIXES

            inside = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        elif not path.exists() and glob.has_magic(argument):
            inside = sorted(p for p in glob.glob(argument, recursive=True) if os.path.isfile(p))
        else:
            inside = []
        found += inside or [argument]
    return found
