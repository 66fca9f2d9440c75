"""Which file a row of a dataset means: its path, in another normal form too, or the id of a video in a folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from adapters.errors import DatasetError
from adapters.media import VIDEO_SUFFIXES, VideoFile, videos_below
from adapters.system import in_own_form, is_url

# Kinetics and others name a clip that was cut from a video by its seconds there: ID_000012_000022.mp4.
_CUT = re.compile(r"(.+)_(\d{6})_(\d{6})")
_MAX_FILES = 1_000_000


@lru_cache(maxsize=4096)
def cut_from(stem: str) -> tuple[str, int, int] | None:
    """The id of the video that a clip was cut from, and its seconds there, if the clip's name says so.

    Args:
        stem: The name of the clip's file without its suffix.
    """
    found = _CUT.fullmatch(stem)
    return (found[1], int(found[2]), int(found[3])) if found else None


@dataclass
class VideoFinder:
    """Finds the videos of the rows of one file.

    Attributes:
        root: The folder to which paths are relative, absolute.
    """

    root: Path
    _by_stem: dict[str, list[Path]] | None = field(default=None, repr=False)
    _named: dict[str, Path] = field(default_factory=dict, repr=False)  # rows of one video share its path
    _absent: dict[str, Path] = field(default_factory=dict, repr=False)  # names of no file, which may be ids

    def __post_init__(self) -> None:
        self._root = str(self.root)

    def find(self, given: str, where: str, seconds: tuple[object, object], hints: tuple[str, ...] = ()) -> Path:
        """The file that a row means; where there is none, the path as it is written.

        A name that has no suffix of a video and does not name a file is an id: the video of that name anywhere below
        the root, or a clip ``ID_000012_000022.mp4`` that was cut at the row's seconds.

        Args:
            given: The path or id in the row.
            where: The row, for messages.
            seconds: The start and end in the row.
            hints: Folders, such as the label and split, that decide between files of the same name.

        Raises:
            DatasetError: It is a URL, or several files have that name.
        """
        if (known := self._named.get(given)) is not None:
            return known
        if (path_of_id := self._absent.get(given)) is not None:
            return self._by_id(given, where, seconds, hints) or path_of_id
        if "://" in given and is_url(given):
            raise DatasetError(
                f"{where}: {given!r} is a URL; a dataset refers to local files. Download the video and give the path "
                "of its file."
            )
        path = self._on_disk(given)
        if os.path.splitext(given)[1].lower() in VIDEO_SUFFIXES or os.path.lexists(path):
            found = self._named[given] = Path(in_own_form(path))
            return found
        path = in_own_form(path)
        if os.path.lexists(path) or os.path.isabs(given):
            return Path(path)
        kept = self._named if not self._stems() else self._absent
        kept[given] = Path(path)
        return self._by_id(given, where, seconds, hints) or kept[given]

    def _on_disk(self, given: str) -> str:
        """The path of a row; without spaces around it, or with slashes for backslashes, where only that is there."""
        path = os.path.normpath(os.path.join(self._root, given))
        for meant in (given.strip(), given.strip().replace("\\", "/")):
            if meant and meant != given and not os.path.lexists(path):
                other = os.path.normpath(os.path.join(self._root, meant))
                path = other if os.path.lexists(in_own_form(other)) else path
        return path

    def _by_id(self, given: str, where: str, seconds: tuple[object, object], hints: tuple[str, ...]) -> Path | None:
        stems, name = self._stems(), os.path.basename(given)
        start, end = seconds
        candidates = list(stems.get(name, stems.get(f"v_{name}", [])))  # ActivityNet's own files have a v_ in front
        if isinstance(start, (int, float)) and isinstance(end, (int, float)):
            candidates = stems.get(f"{name}_{int(start):06d}_{int(end):06d}", []) or candidates
        if len(candidates) > 1:
            closer = [path for path in candidates if set(hints) & set(path.relative_to(self.root).parts[:-1])]
            candidates = closer if len(closer) == 1 else candidates
        if len(candidates) > 1:
            raise DatasetError(
                f"{where}: {given!r} may be {candidates[0]} or {candidates[1]}. Give the path of the file."
            )
        return candidates[0] if candidates else None

    def _stems(self) -> dict[str, list[Path]]:
        if self._by_stem is None:
            self._by_stem = {}
            for item in islice(videos_below(self.root), _MAX_FILES):
                if isinstance(item, VideoFile):
                    path = Path(item.path)
                    self._by_stem.setdefault(path.stem, []).append(path)
        return self._by_stem
