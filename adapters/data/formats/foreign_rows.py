"""Rows from a file of another tool: what is kept and left out, and which video below the root a name means."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats.format import NO_OPTIONS, ReadOptions
from adapters.data.formats.text import type_and_value
from adapters.data.rows import check_count, make_dataset, merge_labels
from adapters.errors import DatasetError
from adapters.system import in_own_form

_UPLOAD = re.compile(r"[0-9a-f]{6,10}-(?=.)")  # Label Studio puts this before the name of an uploaded file
_MAX_NAME = 4096


class NoClipsError(DatasetError):
    """A file in which nothing is wrong holds no clip."""


@dataclass
class ForeignRows:
    """What is gathered from one file.

    Attributes:
        path: The file.
        options: Of the caller.
        notes: Sentences about what was taken for what.
    """

    path: Path
    options: ReadOptions = NO_OPTIONS
    notes: list[str] = field(default_factory=list)
    _rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _left_out: dict[str, list[str]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)  # looking for a file is slow, and rows of one video many

    def __post_init__(self) -> None:
        self.root = Path(os.path.abspath(self.options.videos or self.path.parent))

    def add(
        self,
        where: str,
        video: object,
        label: str | Sequence[str],
        *,
        seconds: tuple[float | None, float | None] | None = None,
        frames: tuple[int, int] | None = None,
        **known: object,
    ) -> None:
        """Keep a clip.

        Args:
            where: Its place in the file, such as "task 3".
            video: The name that the file gives, a path, an address or an id.
            label: One, or several.
            seconds: Its range; None with ``frames`` of None: the whole video.
            frames: Its range in frames, from 0, without the last.
            **known: Its split, group or source, where the file gives them.

        Raises:
            DatasetError: The name of the video is not one, or there are too many clips.
        """
        place = f"{self.path}, {where}"
        span = frames if seconds is None else seconds
        if span is not None and span[0] is not None and span[0] == span[1]:
            self.leave_out(where, "ranges of no length")
            return
        if not isinstance(video, str) or video not in self._names:
            self._names[str(video)] = below(video, self.root, place)
        row: dict[str, Any] = {"path": self._names[str(video)]}
        row["label"] = label if isinstance(label, str) else list(dict.fromkeys(label))
        row |= {key: value for key, value in known.items() if value not in (None, "")}
        if seconds is not None:
            row |= {"start_seconds": seconds[0], "end_seconds": seconds[1]}
        elif frames is not None:
            row |= {"start_frame": frames[0], "end_frame": frames[1]}
            if self.options.frame_rate is not None:
                row["fps"] = self.options.frame_rate
        self._rows.append((place, row))
        check_count(len(self._rows), self.path)

    def leave_out(self, where: str, why: str, count: int = 1) -> None:
        """Count what is not kept.

        Args:
            where: Its place.
            why: What it is, in the plural, such as "boxes and shapes, which are not of a whole frame".
            count: How many.
        """
        self._left_out.setdefault(why, []).extend([where] * count)

    def dataset(self, labels: Sequence[str] | None, listed: Sequence[str] | None = None) -> Dataset:
        """The dataset of the rows, with notes on what was taken and left out.

        Args:
            labels: The order of the classes that the caller gives.
            listed: That of the file.

        Raises:
            NoClipsError: No row was kept.
            DatasetError: A row is wrong.
        """
        left = [f"left out: {len(places)} {why} ({places[0]})" for why, places in self._left_out.items()]
        if not self._rows:
            found = "; ".join(left) or "it has no labels"
            raise NoClipsError(f"{self.path}: contains no usable labels of videos: {found}")
        used = {
            name
            for _, row in self._rows
            for name in ([row["label"]] if isinstance(row["label"], str) else row["label"])
        }
        kept = None if listed is None else [name for name in dict.fromkeys(listed) if name.strip()]
        if kept is not None:
            kept += sorted(used - set(kept))
        made = merge_labels(make_dataset(self._rows, self.root, labels, listed=kept))
        return replace(made, notes=(*made.notes, *(f"{self.path}: {text}" for text in (*self.notes, *left))))


def below(video: object, root: Path, where: str) -> str:
    """The path of a video relative to a root, wherever the file of another tool says that it was.

    Of an address or a path of another computer, the longest end that exists below the root is taken, otherwise the
    file's name. It is never outside the root.

    Args:
        video: A path, an address, or an id.
        root: The folder of the videos, absolute.
        where: The row, for messages.

    Raises:
        DatasetError: It is not a name of a file.
    """
    if not isinstance(video, str) or not video.strip() or "\0" in video or len(video) > _MAX_NAME:
        raise DatasetError(f"{where}: must give the name of a video, got {type_and_value(video)}")
    parts = _parts(video.strip())
    if not parts:
        raise DatasetError(f"{where}: must give the name of a video, got {video!r:.80}")
    ends = [os.path.join(*parts[first:]) for first in range(len(parts))]
    found = next((end for end in (*ends, _UPLOAD.sub("", parts[-1], count=1)) if _exists(root, end)), None)
    return found or (parts[-1] if _is_foreign(video.strip()) else ends[0])


def _exists(root: Path, name: str) -> bool:
    return os.path.lexists(in_own_form(os.path.join(root, name)))


def _is_foreign(video: str) -> bool:
    """Whether a name is an address, or an absolute path, so that its folders are those of another computer."""
    return "://" in video or video.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", video) is not None


def _parts(video: str) -> list[str]:
    """The folders and the name in a path or address, without those that lead up."""
    if "://" in video or video.startswith("/data/local-files/"):
        address = urllib.parse.urlsplit(video)
        query = urllib.parse.parse_qs(address.query)
        video = query["d"][0] if "d" in query else urllib.parse.unquote(address.path)
    if re.match(r"[A-Za-z]:[\\/]|\\\\", video):
        video = video.replace("\\", "/")
    return [part for part in video.split("/") if part not in ("", ".", "..") and not re.fullmatch(r"[A-Za-z]:", part)]


def found_below(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with the videos that are missing looked for below a folder, by the end of their paths.

    Args:
        dataset: As it was read.
        folder: Where videos may be.
    """
    root = Path(os.path.abspath(folder))
    places: dict[Path, Path] = {}
    for item in dataset.examples:
        if item.path not in places:
            found = item.path if os.path.lexists(item.path) else root / below(str(item.path), root, str(item.path))
            places[item.path] = found if os.path.lexists(found) else item.path
    return replace(dataset, examples=tuple(replace(item, path=places[item.path]) for item in dataset.examples))
