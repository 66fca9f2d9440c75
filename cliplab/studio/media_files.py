"""The file of an item as it is now: found, unchanged since it was added, and a picture or a video."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.errors import MediaError
from adapters.media import is_hidden, is_video_name
from cliplab.library import fingerprint

_MOST_LISTED = 200


class Item(Protocol):
    """What the frame service needs of an item of the store."""

    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def start_seconds(self) -> float | None: ...
    @property
    def end_seconds(self) -> float | None: ...


class FileGoneError(MediaError):
    """The file of an item is missing or cannot be read."""


class FileReplacedError(MediaError):
    """The file of an item has other content than the one that was labelled."""


@dataclass(frozen=True)
class MediaFile:
    """A file as it was when it was looked at.

    Attributes:
        path: Where it is.
        size_bytes: Its size.
        identity: Changes with the file's content.
    """

    path: Path
    size_bytes: int
    identity: str


# A fingerprint that was compared; a file is looked at again when its size or time of change differs.
_compared: dict[tuple[str, int, int, int, str], bool] = {}
_MOST_COMPARED = 100_000


def find_file(item: Item, path: Path) -> MediaFile:
    """Look at the file of an item.

    Args:
        item: The item.
        path: Its file.

    Raises:
        FileGoneError: There is no such file, or it cannot be read.
        FileReplacedError: Its content is not that which the item was made of.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise FileGoneError(f"{path}: is no longer a file. Restore the file at this path.")
        if not os.access(path, os.R_OK):
            raise FileGoneError(f"{path}: no permission to read the file. Change its permissions, then reload.")
        seen = (str(path), found.st_size, found.st_mtime_ns, found.st_ino, item.fingerprint)
        if seen not in _compared:
            if len(_compared) >= _MOST_COMPARED:
                _compared.clear()
            _compared[seen] = not item.fingerprint or fingerprint(str(path), found.st_size).hex() == item.fingerprint
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileGoneError(
            f"{path}: cannot be read ({reason}). Its labels are kept: restore the file, then reload."
        ) from None
    if not _compared[seen]:
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.st_mtime))
        raise FileReplacedError(
            f"{path}: has other content than the file that was labelled (changed {changed}). The labels are kept: "
            "restore the earlier file, or give the new one another name."
        )
    return MediaFile(path, found.st_size, f"{item.fingerprint}-{found.st_size}-{found.st_mtime_ns}")


def folder_videos(folder: Path) -> list[str]:
    """Videos of a folder and the folders in it, relative to it, of every format that is read; at most 200.

    Args:
        folder: The folder.
    """
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        inner = os.path.relpath(place, folder)
        folders[:] = sorted(name for name in folders if inner == os.curdir and not is_hidden(name))
        found += [os.path.normpath(os.path.join(inner, name)) for name in files if is_video_name(name)]
        if len(found) >= _MOST_LISTED:
            break
    return sorted(found)[:_MOST_LISTED]
