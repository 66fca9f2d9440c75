"""Which files below a folder are videos or pictures: one set of rules for every command that takes a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_EXTENSIONS = (
    "264 265 3g2 3gp asf avi dv f4v flv gif h264 h265 hevc ivf m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpeg mpg mts mxf "
    "ogv qt ts vob webm wmv y4m"
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _EXTENSIONS.split())
# What ``decode_picture`` reads.
PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))


@dataclass(frozen=True)
class VideoFile:
    """A video file, or a picture, that was found.

    Attributes:
        path: Absolute, with bytes that are not UTF-8 as surrogates (``os.fsdecode``); or the address of a stored file.
        size_bytes: The size of the file.
        mtime_ns: When the content last changed, in nanoseconds since 1970.
    """

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class UnreadablePath:
    """A folder, or a file in one, that cannot be read.

    Attributes:
        path: As of a ``VideoFile``.
        error: The reason and what to do, in sentences.
    """

    path: str
    error: str


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden: ``.Trash``, ``._DJI.mp4`` (AppleDouble), unfinished files of rsync.

    Args:
        name: Its name, without its folder.
    """
    return name.startswith(".")


def is_video_name(name: str) -> bool:
    """Whether a name is that of a video: by its suffix in lower or upper case, and not hidden.

    Args:
        name: The file's name, without its folder.
    """
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not is_hidden(name)


def is_picture_name(name: str) -> bool:
    """Whether a name is that of a picture: by its suffix in lower or upper case, and not hidden.

    Args:
        name: The file's name, without its folder.
    """
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES and not is_hidden(name)


def videos_below(
    folder: str | Path, accepts: Callable[[str], bool] = is_video_name
) -> Iterator[VideoFile | UnreadablePath]:
    """The videos in a folder and its subfolders, and what cannot be read there.

    Names are judged by ``is_hidden`` (files and folders) and ``accepts``. Links are followed: a link to a place
    inside the folder is skipped, since that place is visited by its own name; a link that leads out is followed, to
    each folder once, so that loops end.

    Args:
        folder: The folder; it need not exist, which is reported as an ``UnreadablePath``.
        accepts: Whether a file of this name, without its folder, is wanted: ``is_video_name``, or for pictures too
            another such function.

    Yields:
        Videos and unreadable paths in the order of the paths, name by name and by their bytes.
    """
    root = os.path.abspath(folder)
    inside = os.path.realpath(root) + os.sep
    visited: set[tuple[int, int]] = set()
    waiting: list[str | os.DirEntry[str]] = [root]  # folders to look into and entries to judge, the next one last
    while waiting:
        place = waiting.pop()
        try:
            if isinstance(place, str):
                waiting += reversed(_entries(place, visited))
            elif _has_own_name(place, inside, accepts):
                pass
            elif place.is_dir():
                waiting.append(place.path)
            elif accepts(place.name):
                yield _file(place)
        except OSError as error:
            if isinstance(place, str):
                yield UnreadablePath(place, f"the folder cannot be read ({error.strerror}). Check its permissions.")
            else:
                yield UnreadablePath(place.path, f"cannot be read ({error.strerror}). Check the file or the link.")


def _entries(folder: str, visited: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What is not hidden in a folder, by name; nothing if the folder was visited before."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in visited:
        return []
    visited.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as listing:
        return sorted((e for e in listing if not is_hidden(e.name)), key=lambda entry: os.fsencode(entry.name))


def _has_own_name(entry: os.DirEntry[str], inside: str, accepts: Callable[[str], bool]) -> bool:
    """Whether an entry is a link to a place inside the folder. A video's link that leads nowhere is a fault instead."""
    if not (entry.is_symlink() and (os.path.realpath(entry.path) + os.sep).startswith(inside)):
        return False
    return os.path.exists(entry.path) or not accepts(entry.name)


def _file(entry: os.DirEntry[str]) -> VideoFile | UnreadablePath:
    status = entry.stat()
    if stat.S_ISREG(status.st_mode):
        return VideoFile(entry.path, status.st_size, status.st_mtime_ns)
    return UnreadablePath(entry.path, "is a device or a pipe, not a file. Rename it or move it away.")
