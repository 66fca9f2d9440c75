"""Breaks as marks in the files of players and editors, also where another tool has left marks already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapters.data import Interval, format_of_suffix, read_intervals, write_intervals
from adapters.errors import ConfigError
from cliplab.detect.break_decoder import AdBreak

AD = "ad"
MERGE_RULES = ("theirs", "ours", "union")
# Labels of other tools that mean that something is left out; others (mute, scene, chapters) are kept as they are.
_BREAK_LABELS = frozenset({"ad", "ads", "advert", "commercial", "commercials", "commercial break", "cut", "sponsor"})


def marks_of(breaks: Sequence[AdBreak]) -> list[Interval]:
    """Breaks as intervals: their confidence is the score, and why they are marked the note.

    Args:
        breaks: Of one recording.
    """
    return [
        Interval(AD, one.start_seconds, one.end_seconds, round(min(one.confidence, 1.0), 4), " ".join(one.why) or None)
        for one in breaks
    ]


def merge_marks(ours: Sequence[Interval], theirs: Sequence[Interval], rule: str) -> list[Interval]:
    """Our marks and those of another tool in one list.

    Their marks that are not breaks (mute, scene) are always kept. Of breaks that overlap, "theirs" keeps the other
    tool's, "ours" keeps ours, and "union" makes one of both, from the earlier beginning to the later end.

    Args:
        ours: Our breaks.
        theirs: The marks that the file has.
        rule: One of MERGE_RULES.

    Returns:
        The marks in order of time.

    Raises:
        ConfigError: There is no such rule.
    """
    require_rule(rule)
    others = [mark for mark in theirs if mark.label.lower() not in _BREAK_LABELS]
    breaks = [mark for mark in theirs if mark.label.lower() in _BREAK_LABELS]
    if rule == "union":
        kept = _union([*breaks, *ours])
    else:
        first, second = (breaks, ours) if rule == "theirs" else (ours, breaks)
        kept = [*first, *(mark for mark in second if not any(_overlap(mark, other) for other in first))]
    return sorted([*others, *kept], key=lambda mark: (mark.start_seconds, mark.end_seconds))


def require_rule(rule: str) -> None:
    """Check a rule of merging.

    Args:
        rule: Its name.

    Raises:
        ConfigError: There is no such rule.
    """
    if rule not in MERGE_RULES:
        raise ConfigError(f"merge must be one of {', '.join(MERGE_RULES)}, got {rule!r}")


def write_marks(
    path: str | Path,
    breaks: Sequence[AdBreak],
    *,
    video: str | Path,
    duration_seconds: float,
    frame_rate: float | None,
    merge: str | None = None,
) -> list[str]:
    """Write the breaks of one recording in the format of the file's suffix.

    In an EDL they have the action 3, "commercial break", which a player skips once and can play again.

    Args:
        path: The file to make or replace.
        breaks: The breaks.
        video: The recording.
        duration_seconds: Its length.
        frame_rate: Its frames per second; None: unknown.
        merge: How to keep the marks that the file has (one of MERGE_RULES); None replaces them.

    Returns:
        Notes on what was merged.

    Raises:
        DatasetError: No format has this suffix, or the file that exists cannot be read as one.
        StorageError: The file cannot be written.
    """
    marks, notes = marks_of(breaks), list[str]()
    if merge is not None and Path(path).exists():
        theirs = read_intervals(path, frame_rate=frame_rate, duration_seconds=duration_seconds, video=video).intervals
        merged = merge_marks(marks, theirs, merge)
        notes.append(f"{path}: {len(theirs)} existing marks, {len(marks)} new marks, {len(merged)} written")
        marks = merged
    write_intervals(
        path,
        marks,
        video=video,
        duration_seconds=duration_seconds,
        frame_rate=frame_rate,
    )
    return notes


def require_format(path: str | Path) -> None:
    """Check that marks can be written to a file of this name.

    Args:
        path: The file.

    Raises:
        DatasetError: No format has its suffix.
    """
    format_of_suffix(path)


def _overlap(one: Interval, other: Interval) -> bool:
    return min(one.end_seconds, other.end_seconds) > max(one.start_seconds, other.start_seconds)


def _union(marks: Sequence[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for mark in sorted(marks, key=lambda mark: mark.start_seconds):
        last = joined[-1] if joined else None
        if last is None or mark.start_seconds > last.end_seconds:
            joined.append(mark)
            continue
        scores = [one.score for one in (last, mark) if one.score is not None]
        end = max(last.end_seconds, mark.end_seconds)
        joined[-1] = Interval(AD, last.start_seconds, end, max(scores, default=None), last.note or mark.note)
    return joined
