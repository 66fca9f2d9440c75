"""The declaration of a dataset format, which each module of a format makes."""

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

    Attributes:
        read: ``(path, labels)`` to a Dataset; labels are the order of the classes, or None for the file's.
        write: ``(dataset, path, **options)`` to the path that was written; None for a format that is read only.
        suffixes: The suffixes of its files, in lower case; empty for a format that is a folder.
        file_name: The file that ``read_dataset`` looks for in a folder; None: it looks for none.
        matches: Whether a file with such a suffix, or a folder, is in this format by its contents. Needed for folders
            and where another format has the same suffix.
        holds_videos: Whether ``write`` puts the videos beside the labels and accepts ``media``, "copy" or "link".
    """

    read: Callable[..., Dataset]
    write: Callable[..., Path] | None = None
    suffixes: tuple[str, ...] = ()
    file_name: str | None = None
    matches: Callable[[Path], bool] = _any
    holds_videos: bool = False

    def detects(self, path: Path) -> bool:
        """Whether a file, or a folder that exists, is in this format."""
        fits = not self.suffixes if path.is_dir() else path.suffix.lower() in self.suffixes
        return fits and self.matches(path)
