"""Intervals of a video in the files of other tools: read and write, with the format detected.

docs/formats.md says what each format holds. A new one is a module with a FORMAT and a line here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from adapters.data.formats.interval_records import (
    Interval,
    IntervalFile,
    IntervalFormat,
    IntervalOutput,
    IntervalSource,
)
from adapters.data.formats.json_file import json_kept
from adapters.errors import DatasetError
from adapters.system import check_regular_file, quoted_list, write_text_atomic

# By name, the module. Of formats that share a suffix, detection asks the first line first, and the first that writes is
# the default for the suffix.
_MODULES = {
    "edl": "edl",
    "ffmetadata": "ffmetadata",
    "comskip": "comskip",
    "mythtv": "mythtv",
    "matroska_chapters": "matroska_chapters",
    "sponsorblock": "sponsorblock",
    "hls": "hls_cues",
    "scte35": "scte35",
    "interval_csv": "interval_csv",
    "interval_json": "interval_json",
}
INTERVAL_FORMATS = tuple(_MODULES)
# Where a suffix is that of several formats: what is written unless a format is named.
_WRITTEN = {".txt": "comskip", ".json": "interval_json", ".xml": "matroska_chapters"}
_DEFAULT_ACTIONS = {"cut": 0, "mute": 1, "scene": 2}


def find_interval_format(name: str) -> IntervalFormat:
    """The format of a name in INTERVAL_FORMATS.

    Args:
        name: The name.

    Raises:
        DatasetError: There is no such format; the message lists them.
    """
    if name not in _MODULES:
        raise DatasetError(f"{name!r:.60} is not a format of intervals; allowed: {', '.join(INTERVAL_FORMATS)}")
    found: IntervalFormat = import_module(f"adapters.data.formats.{_MODULES[name]}").FORMAT
    return found


def read_intervals(
    path: str | Path,
    *,
    format: str | None = None,
    frame_rate: float | None = None,
    duration_seconds: float | None = None,
    video: str | Path | None = None,
) -> IntervalFile:
    """Read what is seen from when to when in a file of any of INTERVAL_FORMATS.

    An interval that ends after the video is cut to its end; one without length, or that starts after the video, is left
    out. Both are said in the notes.

    Args:
        path: The file.
        format: One of INTERVAL_FORMATS; None decides by the suffix and the content.
        frame_rate: Frames per second, above 0, for formats that count frames; None: that of the file, otherwise of the
            video.
        duration_seconds: Of the video, above 0; None: that of the file, where it has one.
        video: The video that the intervals are of, a path or only a name; None: the file names it, or has its name.

    Raises:
        DatasetError: The file cannot be read, is in no known format, or an entry is wrong; names its place.
        MediaError: The frames of the video are needed, and it cannot be opened.
    """
    path = Path(path)
    for name, value in (("frame_rate", frame_rate), ("duration_seconds", duration_seconds)):
        if value is not None and not 0 < value < 1e9:
            raise DatasetError(f"{name} must be above 0, got {value!r}")
    try:
        check_regular_file(path, DatasetError)
    except OSError as error:
        raise DatasetError(f"{path}: could not be read ({error.strerror or error})") from None
    source = IntervalSource(path, frame_rate, duration_seconds, video)
    with json_kept():
        found = format if format is not None else _detect(source)
        find_interval_format(found).read(source)
    return source.finish(found)


def is_interval_file(path: str | Path) -> bool:
    """Whether a file is in one of INTERVAL_FORMATS, by its suffix and content.

    Args:
        path: A file that exists.
    """
    try:
        _detect(IntervalSource(Path(path)))
    except DatasetError:
        return False
    return True


def _detect(source: IntervalSource) -> str:
    suffix = source.path.suffix.lower()
    fitting = [name for name in INTERVAL_FORMATS if suffix in find_interval_format(name).suffixes]
    found = next((name for name in fitting if find_interval_format(name).matches(source)), None)
    if found is None:
        suffixes = dict.fromkeys(end for name in INTERVAL_FORMATS for end in find_interval_format(name).suffixes)
        reason = (
            f"its content does not match {' or '.join(fitting)}"
            if fitting
            else f"its name does not end in {', '.join(suffixes)}"
        )
        raise DatasetError(f"{source.path}: is not in a known interval format: {reason}. Give the format (--format).")
    return found


def write_intervals(
    path: str | Path,
    intervals: Sequence[Interval] | Mapping[str, Sequence[Interval]],
    *,
    format: str | None = None,
    video: str | Path | None = None,
    duration_seconds: float | None = None,
    frame_rate: float | None = None,
    label_actions: Mapping[str, int] | None = None,
    default_action: int = 3,
) -> Path:
    """Write intervals atomically. ``lost_in`` says what the format cannot hold.

    Args:
        path: The file. Its suffix decides the format: ``.txt`` is Comskip's, ``.xml`` Matroska's chapters, ``.json``
            our own.
        intervals: Those of one video, or of several by their names; any order.
        format: One of INTERVAL_FORMATS that is written; None decides by the suffix.
        video: The name or path of the one video, for formats that name it.
        duration_seconds: Of the video, for formats that say it.
        frame_rate: Frames per second, for formats that count frames; None: that of the video where it can be opened.
        label_actions: For EDL, the action of each label, 0 to 3; others have ``default_action``. None: "cut" is 0,
            "mute" 1 and "scene" 2.
        default_action: For EDL, of labels that are not in ``label_actions``: 3 is a commercial break.

    Returns:
        The path.

    Raises:
        DatasetError: The format is read only or not known, holds one video only, or needs a frame rate.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    name = format if format is not None else format_of_suffix(path)
    known = find_interval_format(name)
    if known.write is None:
        raise DatasetError(
            f"{path}: {name} can be read but not written; formats that can be written: {', '.join(written_formats())}"
        )
    actions = dict(_DEFAULT_ACTIONS if label_actions is None else label_actions)
    wrong = next((value for value in (*actions.values(), default_action) if value not in (0, 1, 2, 3)), None)
    if wrong is not None:
        raise DatasetError(f"an action of EDL must be 0 to 3, got {wrong!r}")
    own = str(video) if video is not None else path.stem
    videos = dict(intervals) if isinstance(intervals, Mapping) else {own: intervals}
    ordered = {
        key: sorted(items, key=lambda item: (item.start_seconds, item.end_seconds)) for key, items in videos.items()
    }
    counted = None
    if known.step_seconds is None and frame_rate is None:
        frame_rate = _rate_of(video)
        counted = Path(os.path.abspath(video)) if video is not None and frame_rate is not None else None
    output = IntervalOutput(path, ordered, duration_seconds, frame_rate, actions, default_action, counted)
    write_text_atomic(path, known.write(output))
    return path


def _rate_of(video: str | Path | None) -> float | None:
    from adapters.media import probe

    return probe(Path(video)).fps if video is not None and os.path.isfile(video) else None


def written_formats() -> tuple[str, ...]:
    """Those of INTERVAL_FORMATS that are written as well as read."""
    return tuple(name for name in INTERVAL_FORMATS if find_interval_format(name).write is not None)


def format_of_suffix(path: str | Path) -> str:
    """The format that ``write_intervals`` writes for a file's suffix.

    Args:
        path: The file.

    Raises:
        DatasetError: No format that is written has such a suffix.
    """
    suffix = Path(path).suffix.lower()
    fitting = [name for name in written_formats() if suffix in find_interval_format(name).suffixes]
    if not fitting:
        known = dict.fromkeys(end for name in written_formats() for end in find_interval_format(name).suffixes)
        raise DatasetError(
            f"{path}: intervals can be written to {', '.join(known)}. Use one of these names, or give a format."
        )
    return _WRITTEN.get(suffix, fitting[0])


def lost_in(
    format: str,
    intervals: Sequence[Interval] | Mapping[str, Sequence[Interval]],
    label_actions: Mapping[str, int] | None = None,
) -> list[str]:
    """What a format cannot hold of these intervals, in sentences.

    Args:
        format: One of INTERVAL_FORMATS.
        intervals: As for ``write_intervals``.
        label_actions: As for ``write_intervals``.
    """
    known = find_interval_format(format)
    items = [item for found in intervals.values() for item in found] if isinstance(intervals, Mapping) else intervals
    kept = {*known.labels, *(label_actions or ())} if format == "edl" else known.labels
    names = list(dict.fromkeys(item.label for item in items if item.label not in kept))
    lost = []
    if "labels" not in known.keeps and names:
        lost.append(f"the labels {quoted_list(names)}: {format} can only store {quoted_list(sorted(known.labels))}")
    if "scores" not in known.keeps and (count := sum(item.score is not None for item in items)):
        lost.append(f"the scores of {count} intervals")
    if "notes" not in known.keeps and (count := sum(item.note is not None for item in items)):
        lost.append(f"the notes of {count} intervals")
    if known.step_seconds is None and items:
        lost.append("times between frames, which are rounded to the nearest frame")
    return lost
