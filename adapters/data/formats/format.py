"""The declaration of a dataset format, which each module of a format makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.data.examples import Dataset

# What a clip may have that a format may not be able to hold.
FACTS = frozenset({"ranges", "several labels", "no label", "splits", "groups", "sources"})


def _any(path: Path) -> bool:
    return True


@dataclass(frozen=True)
class ReadOptions:
    """What the caller knows about the videos of a file of another tool.

    Attributes:
        videos: The folder that names of videos are relative to; None: that of the file.
        frame_rate: Frames per second, above 0, for formats that count frames; None: that of each video.
        rest: The label of what lies between labelled intervals; None: it is of no label, and left out.
        dry_run: Whether formats whose reading writes videos, such as tar files, write none.
    """

    videos: Path | None = None
    frame_rate: float | None = None
    rest: str | None = None
    dry_run: bool = False


NO_OPTIONS = ReadOptions()


@dataclass(frozen=True)
class Format:
    """How a dataset format is read, written and detected.

    Attributes:
        read: ``(path, labels)`` to a Dataset; labels are the order of the classes, or None for the file's.
        write: ``(dataset, path, **options)`` to the path that was written; None for a format that is read only.
        suffixes: The suffixes of its files, in lower case; empty for a format that is a folder.
        file_name: The file that ``read_dataset`` looks for in a folder; None: it looks for none.
        matches: Whether a file with such a suffix, or a folder, is in this format by its contents. Needed for folders
            and where another format has the same suffix.
        holds_videos: Whether ``write`` puts the videos beside the labels and accepts ``media``, "copy" or "link".
        unpacks: Whether reading writes the videos into a folder, unless ``options.dry_run``.
        takes_options: Whether ``read`` also takes ``options``, ReadOptions.
        counts_frames: Whether ``write`` takes ``frame_rate``.
        is_folder: Whether a folder may be in this format, though its files have suffixes.
        keeps: Which of FACTS it can hold.
        precision: What becomes of times, in words; empty where they are kept in full.
    """

    read: Callable[..., Dataset]
    write: Callable[..., Path] | None = None
    suffixes: tuple[str, ...] = ()
    file_name: str | None = None
    matches: Callable[[Path], bool] = _any
    holds_videos: bool = False
    unpacks: bool = False
    takes_options: bool = False
    counts_frames: bool = False
    is_folder: bool = False
    keeps: frozenset[str] = FACTS
    precision: str = ""

    def detects(self, path: Path) -> bool:
        """Whether a file, or a folder that exists, is in this format."""
        if path.is_dir():
            return (not self.suffixes or self.is_folder) and self.matches(path)
        return path.suffix.lower() in self.suffixes and self.matches(path)
