"""Files of intervals as datasets: each interval is a clip of the video that has the name of the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, Example, describe
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.interval_csv import is_of_one_video
from adapters.data.formats.interval_json import is_own_json
from adapters.data.formats.interval_records import Interval, IntervalSource
from adapters.data.formats.intervals import find_interval_format, read_intervals, write_intervals
from adapters.data.rows import relative_path
from adapters.errors import DatasetError, MediaError
from adapters.media import VIDEO_SUFFIXES, is_video_name


def format_of(name: str) -> Format:
    """The dataset format of a format of intervals.

    Args:
        name: One of INTERVAL_FORMATS.
    """
    known = find_interval_format(name)
    keeps = {"ranges"} if "labels" in known.keeps or known.labels else set()
    return Format(
        partial(_read, name),
        None if known.write is None else partial(_write, name),
        suffixes=tuple(suffix for suffix in known.suffixes if suffix not in VIDEO_SUFFIXES or name == "scte35"),
        matches=partial(_matches, name),
        takes_options=True,
        counts_frames=known.step_seconds is None,
        keeps=frozenset(keeps),
        precision="times are rounded to frames" if known.step_seconds is None else "",
    )


def _matches(name: str, path: Path) -> bool:
    if path.is_dir():
        return False
    source = IntervalSource(path)
    if name == "interval_json":
        return is_own_json(source)
    if name == "interval_csv" and not is_of_one_video(source):
        return False
    return find_interval_format(name).matches(source)


def _read(
    name: str, path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """The intervals of a file as clips, and what lies between them where ``options.rest`` names it."""
    path = Path(path)
    rows = ForeignRows(path, options)
    own = _video_beside(path, rows.root)
    found = read_intervals(path, format=name, frame_rate=options.frame_rate, video=own, duration_seconds=_length(own))
    for video, items in found.videos.items():
        file = video if own is not None and video == str(own) else _named(video, rows.root)
        for number, item in enumerate(items, 1):
            rows.add(f"interval {number}", file, item.label, seconds=(item.start_seconds, item.end_seconds))
        if options.rest is not None:
            length = _length(rows.root / file)
            for start, end in _between(items, length):
                rows.add(f"between the intervals of {file!r:.80}", file, options.rest, seconds=(start, end))
    if options.rest is not None and not found.videos and own is not None:
        rows.add("no interval", own.name, options.rest)  # such as an evening without adverts
    if options.rest is None and len({item.label for item in found.intervals}) == 1:
        rows.notes.append("there is only one label: --rest LABEL also makes clips of the time between the intervals")
    rows.notes += found.notes
    return rows.dataset(labels)


def _video_beside(path: Path, root: Path) -> Path | None:
    """The video of the file's name, as players look for it; None where there is none or are several."""
    if is_video_name(path.name):
        return path
    stems = {path.stem, path.name.split(".")[0]}
    found = [file for stem in stems for suffix in VIDEO_SUFFIXES if (file := root / f"{stem}{suffix}").is_file()]
    return found[0] if len(set(found)) == 1 else None


def _named(video: str, root: Path) -> str:
    """The file of a name that has no suffix."""
    if is_video_name(video):
        return video
    found = [f"{video}{suffix}" for suffix in VIDEO_SUFFIXES if (root / f"{Path(video).name}{suffix}").is_file()]
    return found[0] if len(found) == 1 else video


def _length(video: Path | None) -> float | None:
    from adapters.media import probe

    if video is None or not os.path.isfile(video):
        return None
    try:
        return probe(video).duration_seconds
    except MediaError:
        return None


def _between(items: Sequence[Interval], length: float | None) -> list[tuple[float, float | None]]:
    """What no interval covers; the last part ends with the video."""
    found: list[tuple[float, float | None]] = []
    at = 0.0
    for item in items:
        if item.start_seconds > at:
            found.append((at, item.start_seconds))
        at = max(at, item.end_seconds)
    if length is None or at < length:
        found.append((at, None))
    return found


def _write(name: str, dataset: Dataset, path: str | Path, **options: Any) -> Path:
    """Write the clips of one video, or of several where the format holds them."""
    path = Path(path)
    known = find_interval_format(name)
    videos: dict[str, list[Interval]] = {}
    for item in dataset.examples:
        interval = _interval(item)
        if known.labels and "labels" not in known.keeps and interval.label not in known.labels:
            raise DatasetError(
                f"{describe(item)} has the label {interval.label!r}, but {name} can only store "
                f"{', '.join(sorted(known.labels))}. Leave out the other labels, or rename them."
            )
        videos.setdefault(relative_path(item.path, path.parent), []).append(interval)
    only = next(iter(dataset.examples)).path if len(videos) == 1 else None
    return write_intervals(
        path, videos, format=name, video=only, duration_seconds=_length(only), frame_rate=options.get("frame_rate")
    )


def _interval(item: Example) -> Interval:
    end = item.end_seconds if item.end_seconds is not None else _length(item.path)
    if end is None:
        raise DatasetError(f"{describe(item)} has no end, and the length of its video is unknown. Set its end.")
    return Interval(item.label, item.start_seconds or 0.0, end)
