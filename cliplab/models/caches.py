"""The cache: what it holds, how much of the disk it takes, and how it is cleared."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.system import cache_dir, did_you_mean

# Folder of the cache -> what it holds. All of it can be made or downloaded again.
KINDS = {
    "programs": "LiteRT programs made from weights",
    "tried_programs": "which programs ran here without a crash",
    "features": "features of training clips",
    "comparisons": "measurements of cliplab compare",
    "weights": "downloaded weights",
    "movinet": "weights of MoViNet as read from their files",
    "tfhub_modules": "downloads of TensorFlow Hub",
    "models": "models that cluster scans copied here",
    "storage": "blocks of files from remote storage",
    "observations": "analyses of recordings, for ad breaks",
    "webdataset": "clips unpacked from shards",
    "studio": "pictures and sound of the studio's pages",
    "studio_scores": "scores that a studio has not stored yet",
}
# Not cache: digests that were trusted at the first download, and what a studio has not stored yet.
KEPT = ("first_use.json", "studio_scores")
_DAY_SECONDS = 86400.0


@dataclass(frozen=True, kw_only=True)
class CacheFolder:
    """One folder of the cache.

    Attributes:
        name: Its name, as ``cache clear`` takes it.
        holds: What it holds, in words.
        files: How many files.
        bytes: Their size together.
    """

    name: str
    holds: str
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The folder for machines."""
        return dict(vars(self))


def cache_show() -> tuple[CacheFolder, ...]:
    """The cache's folders, the largest first; empty where there is no cache yet."""
    root = cache_dir()
    folders = [path for path in root.iterdir() if _is_own(path)] if root.is_dir() else []
    found = []
    for folder in folders:
        sizes = [size for _, size, _ in _files(folder)]
        holds = KINDS.get(folder.name, "unknown: not made by this version")
        found.append(CacheFolder(name=folder.name, holds=holds, files=len(sizes), bytes=sum(sizes)))
    return tuple(sorted(found, key=lambda one: -one.bytes))


def cache_clear(
    names: tuple[str, ...] = (), *, older_than_days: float | None = None, dry_run: bool = False
) -> tuple[CacheFolder, ...]:
    """Remove what can be made or downloaded again.

    Programs that run keep the files that they have open. What a studio has not stored yet, and the digests that were
    trusted at a first download, are kept.

    Args:
        names: Which folders of the cache; empty: all that this version knows.
        older_than_days: Only files that were neither written nor read for that many days; None: all.
        dry_run: Only say what would be removed.

    Returns:
        What was removed of each folder.

    Raises:
        ConfigError: A name is not a folder of the cache, or is one that is kept; or the number of days is below 0.
    """
    allowed = [name for name in KINDS if name not in KEPT]
    for name in names:
        if name not in allowed:
            raise ConfigError(
                f"{name!r} cannot be cleared. Folders of the cache: {', '.join(allowed)}.{did_you_mean(name, allowed)}"
            )
    if older_than_days is not None and not older_than_days >= 0:
        raise ConfigError(f"--older-than-days must be 0 or more, got {older_than_days:g}")
    before = None if older_than_days is None else time.time() - older_than_days * _DAY_SECONDS
    return tuple(_clear(name, before, dry_run) for name in names or allowed if _is_own(cache_dir() / name))


def _is_own(folder: Path) -> bool:
    """Whether it is a folder of the cache itself: a link may lead to files that are not a cache."""
    return folder.is_dir() and not folder.is_symlink()


def _clear(name: str, before: float | None, dry_run: bool) -> CacheFolder:
    folder = cache_dir() / name
    removed = [(path, size) for path, size, used in _files(folder) if before is None or used < before]
    if not dry_run:
        for path, _ in removed:
            path.unlink(missing_ok=True)
        _remove_empty(folder)
    return CacheFolder(name=name, holds=KINDS[name], files=len(removed), bytes=sum(size for _, size in removed))


def _files(folder: Path) -> list[tuple[Path, int, float]]:
    """(path, bytes on the disk, last use in seconds since the epoch) of each file; links are not followed."""
    found = []
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            try:
                state = path.lstat()
            except OSError:  # another process has just removed it
                continue
            found.append((path, state.st_size, max(state.st_mtime, state.st_atime)))
    return found


def _remove_empty(folder: Path) -> None:
    """Remove the folders that are empty now, from the deepest up, the folder itself among them."""
    for top, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(top)
        except OSError:  # not empty
            continue
