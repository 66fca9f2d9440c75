"""The true breaks of recordings, as another tool, the studio or a data set has them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from adapters.data import Example, read_dataset, read_intervals
from adapters.errors import DatasetError
from adapters.evaluation import join_extents
from cliplab.library import find_videos

Extent = tuple[float, float]
MARK_SUFFIXES = (".edl", ".txt", ".xml", ".ffmeta", ".csv", ".json")
# "cut" is what Comskip writes by default, and what most tools mean by it is a break.
_BREAK_LABELS = ("ad", "ads", "advert", "commercial", "cut", "break", "sponsor")
_STUDIO, _DATASETS = "labels.db", (".db", ".jsonl")


def is_mark_suffix(path: str | Path) -> bool:
    """Whether what was given for a file of marks is a suffix alone, such as ``.edl``: beside each recording."""
    return re.fullmatch(r"\.[^./\\]+", str(path)) is not None


def breaks_beside(recordings: Sequence[str], marks: str | Path) -> dict[str, tuple[Extent, ...]]:
    """The breaks of recordings from files of marks, or as somebody painted them in the studio.

    Args:
        recordings: The videos.
        marks: A file of marks for one recording; a suffix as ".edl": beside each recording; a folder that has a file
            of each recording's name; or the folder of a studio, or a dataset.jsonl, with intervals of recordings.

    Returns:
        By recording, (start, end) in seconds; no breaks where a file has none.

    Raises:
        DatasetError: A file is missing or cannot be read, or the studio has no label of a recording.
    """
    if (Path(marks) / _STUDIO).is_file() or (Path(marks).suffix.lower() in _DATASETS and Path(marks).is_file()):
        return _breaks_of_dataset(recordings, marks)
    found = {}
    for recording in recordings:
        path = _marks_of(Path(recording), marks, len(recordings))
        videos = read_intervals(path, video=recording).videos
        intervals = [one for each in videos.values() for one in each] if len(videos) < 2 else videos.get(recording, ())
        extents = [(one.start_seconds, one.end_seconds) for one in intervals if one.label.lower() in _BREAK_LABELS]
        found[recording] = tuple(join_extents(extents))
    return found


def require_within(recording: str | Path, extents: Sequence[Extent], duration: float, marks: str | Path) -> None:
    """Refuse breaks that begin after the recording's end: they are another recording's.

    Args:
        recording: The video.
        extents: (start, end) of its breaks in seconds.
        duration: Length of the video in seconds.
        marks: Where they are from.

    Raises:
        DatasetError: A break begins at or after the end.
    """
    late = next(((start, end) for start, end in extents if start >= duration), None)
    if late is not None:
        raise DatasetError(
            f"{recording}: {marks} has a break from {late[0]:.2f} to {late[1]:.2f} s, but the recording ends at "
            f"{duration:.2f} s. Check that the marks belong to it, and correct or remove the break"
        )


def _breaks_of_dataset(recordings: Sequence[str], data: str | Path) -> dict[str, tuple[Extent, ...]]:
    """The intervals of recordings in a studio or a data set. One that is labelled, but never as an ad, has no break."""
    rows: dict[str, list[Example]] = defaultdict(list)
    for example in read_dataset(data).examples:
        rows[os.path.realpath(example.path)].append(example)
    found = {}
    for recording in recordings:
        labelled = rows.get(os.path.realpath(recording))
        if labelled is None:
            raise DatasetError(
                f"{recording}: its breaks are unknown: {data} has no label of it. Label it there, or leave it out; "
                "one without ads needs an interval of another class"
            )
        breaks = [
            (each.start_seconds, each.end_seconds)
            for each in labelled
            if any(name.lower() in _BREAK_LABELS for name in each.labels)
        ]
        if any(start is None or end is None for start, end in breaks):
            raise DatasetError(
                f"{recording}: is labelled as an ad from start to end in {data}. Label its breaks as intervals"
            )
        found[recording] = tuple(join_extents([(start, end) for start, end in breaks if start is not None and end]))
    return found


def _marks_of(recording: Path, marks: str | Path, recordings: int) -> Path:
    text, folder = str(marks), Path(marks)
    if is_mark_suffix(text):
        options = [recording.with_suffix(text)]
    elif folder.is_dir():
        options = [folder / f"{recording.stem}{suffix}" for suffix in MARK_SUFFIXES]
    elif recordings == 1:
        options = [folder]
    else:
        raise DatasetError(
            f"{marks}: holds the marks of one recording, but there are {recordings}. Give a folder of marks, or a "
            "suffix such as .edl for the file beside each recording"
        )
    for path in options:
        if path.is_file():
            return path
    raise DatasetError(
        f"{recording}: its breaks are unknown: {options[0]} does not exist. Create it, even if it is empty"
    )


def labelled_breaks(data: str | Path, label: str) -> dict[str, tuple[Extent, ...]]:
    """The breaks of recordings from a data set, or from the files of marks beside the videos of a folder.

    Args:
        data: A folder of recordings, a recording, or a data set whose rows are stretches of recordings.
        label: The label of ads in the data set.

    Returns:
        By recording, (start, end) in seconds.

    Raises:
        DatasetError: A recording has no marks, or the data set no row with a time.
    """
    path = Path(data)
    videos = find_videos([str(data)]) if path.is_dir() else []
    if videos:
        found: dict[str, tuple[Extent, ...]] = {}
        for video in videos:
            suffix = next((each for each in MARK_SUFFIXES if Path(video).with_suffix(each).is_file()), ".edl")
            found |= breaks_beside([video], suffix)
        return found
    rows: dict[str, list[Extent]] = defaultdict(list)
    for example in read_dataset(data).examples:
        here = rows[str(example.path)]
        if label in example.labels and example.start_seconds is not None and example.end_seconds is not None:
            here.append((example.start_seconds, example.end_seconds))
    if not any(rows.values()):
        raise DatasetError(
            f"{data}: has no time range of {label!r} with a start and an end. Give time ranges in recordings, or a "
            "folder of recordings with a file of marks (.edl) beside each"
        )
    return {video: tuple(join_extents(extents)) for video, extents in rows.items()}
