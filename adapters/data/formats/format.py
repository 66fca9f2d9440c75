"""What a module of a dataset format declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.data.examples import Dataset


def _any(path: Path) -> bool:
    return True


@dataclass(frozen=True)
class Format:
    """How a dataset format is read, written and detected.

    read: ``(path, labels)`` to a Dataset. write: ``(dataset, path, **options)`` to the path that was written.
    suffixes: of the format's files, in lower case; empty for a format that is a folder.
    file_name: the file that ``read_dataset`` looks for in a folder; None for none.
    matches: for two formats with the same suffix, and for folders: whether the contents are in this format.
    holds_videos: whether ``write`` puts the videos beside the labels, and takes ``media``.
    """

    read: Callable[..., Dataset]
    write: Callable[..., Path]
    suffixes: tuple[str, ...] = ()
    file_name: str | None = None
    matches: Callable[[Path], bool] = _any
    holds_videos: bool = False

    def detects(self, path: Path) -> bool:
        """Whether a file, or a folder that exists, is in this format."""
        fits = not self.suffixes if path.is_dir() else path.suffix.lower() in self.suffixes
        return fits and self.matches(path)
