"""Intervals of a video, and how a format of intervals is declared."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from adapters.data.formats.text import read_head, read_text
from adapters.data.frame_times import FrameTimes
from adapters.data.time_values import Frames, TimeRange
from adapters.errors import DatasetError

COMMERCIAL = "ad"  # the label of a commercial break where a format names none
_MAX_INTERVALS = 500_000
_MAX_LINES = 1_000_000
_MAX_NOTES = 20
_MAX_LABEL = 1000


@dataclass(frozen=True)
class Interval:
    """What is seen from when to when. A value that is not allowed is a DatasetError when it is made.

    Attributes:
        label: What it is, not empty.
        start_seconds: From the video's first frame, at least 0.
        end_seconds: In the same seconds, at or after the start.
        score: How sure its source is, in 0..1; None where it does not say.
        note: What else its source says, for people.
    """

    label: str
    start_seconds: float
    end_seconds: float
    score: float | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not self.label.strip() or len(self.label) > _MAX_LABEL:
            raise DatasetError(
                f"label must be a non-empty string of at most {_MAX_LABEL} characters, got {self.label!r:.80}"
            )
        for name in ("start_seconds", "end_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise DatasetError(f"{name} must be seconds >= 0, got {value!r:.60}")
        if self.end_seconds < self.start_seconds:
            raise DatasetError(
                f"the interval ends at {self.end_seconds:g} s, before it starts at {self.start_seconds:g} s. "
                "Correct or remove it."
            )
        if self.score is not None and not 0 <= self.score <= 1:
            raise DatasetError(f"score must be in 0..1, got {self.score!r:.60}")


@dataclass(frozen=True)
class IntervalFile:
    """The intervals of a file.

    Attributes:
        videos: The intervals of each video by its name, in order of time; where the file names no video, by the name
            that was given, or that of the file without its suffix.
        format: The format that the file is in.
        notes: What was taken for what, and what was left out and why, in sentences.
        left_out: How many entries were left out.
        frame_rate: Frames per second that the file or the caller gives; None where neither does.
    """

    videos: Mapping[str, tuple[Interval, ...]]
    format: str
    notes: tuple[str, ...] = ()
    left_out: int = 0
    frame_rate: float | None = None

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Those of every video, one video after the other."""
        return tuple(item for items in self.videos.values() for item in items)


@dataclass
class IntervalSource:
    """A file of intervals while it is read: what the caller knows about it, and what was found in it.

    Attributes:
        path: The file.
        frame_rate: Frames per second, for formats that count frames; None: the file's, otherwise the video's.
        duration_seconds: Of the video; None where it is not known.
        video: The video of the intervals: its name, or the path of the file.
        notes: Sentences about what was taken for what.
    """

    path: Path
    frame_rate: float | None = None
    duration_seconds: float | None = None
    video: str | Path | None = None
    notes: list[str] = field(default_factory=list)
    _found: dict[str, list[Interval]] = field(default_factory=dict)
    _left_out: dict[str, list[str]] = field(default_factory=dict)
    _count: int = 0
    _times: FrameTimes = field(default_factory=FrameTimes)

    @cached_property
    def text(self) -> str:
        """The text of the file. DatasetError: It is not UTF-8, or too large."""
        return read_text(self.path)

    @cached_property
    def head(self) -> str:
        """The first 64 KiB of the text, by which formats tell whether a file is theirs."""
        return read_head(self.path)

    def lines(self) -> list[str]:
        """The lines of the text. Only line ends separate them, so that a title may hold other separators.

        Raises:
            DatasetError: There are more than a file of intervals has.
        """
        if (count := self.text.count("\n")) > _MAX_LINES:
            raise DatasetError(f"{self.path}: has {count:,} lines; at most {_MAX_LINES:,} are allowed. Split the file.")
        return [line.removesuffix("\r") for line in self.text.split("\n")]

    def add(
        self,
        where: str,
        label: str,
        start: float,
        end: float,
        *,
        score: float | None = None,
        note: str | None = None,
        video: str | None = None,
    ) -> None:
        """Keep an interval; one of no length, or after the end of the video, is left out and counted.

        Args:
            where: Its place in the file, such as "line 3".
            label: Not empty.
            start: In seconds.
            end: In seconds.
            score: In 0..1, where the file gives one.
            note: What else the file says.
            video: The video that the file names; None: the one of the caller, or of the file's name.

        Raises:
            DatasetError: A value is not allowed, or the interval ends before it starts.
        """
        self._count += 1
        if self._count > _MAX_INTERVALS:
            raise DatasetError(f"{self.path}: has more than {_MAX_INTERVALS:,} intervals. Split the file.")
        try:
            item = Interval(label, float(start), float(end), score, note)
        except (DatasetError, OverflowError) as error:
            raise DatasetError(f"{self.path}, {where}: {error}") from None
        limit = self.duration_seconds
        if item.end_seconds == item.start_seconds:
            self.leave_out(where, "have no length")
        elif limit is not None and item.start_seconds >= limit:
            self.leave_out(where, f"start at or after the end of the video, which lasts {limit:g} s")
        else:
            if limit is not None and item.end_seconds > limit:
                self._note_once(f"{where}: ends after the end of the video ({limit:g} s) and was shortened to it")
                item = Interval(item.label, item.start_seconds, limit, item.score, item.note)
            self._found.setdefault(self.own_name if video is None else video, []).append(item)

    def leave_out(self, where: str, why: str) -> None:
        """Count an entry that is not kept.

        Args:
            where: Its place in the file.
            why: A predicate in the plural, such as "have no length".
        """
        self._left_out.setdefault(why, []).append(where)

    def seconds_of_frames(self, start: int, end: int, where: str) -> tuple[float, float]:
        """Two frame numbers, counted from 0, as seconds: by the rate, or by the times of the frames of the video.

        Args:
            start: The first frame of the interval.
            end: The first frame after it.
            where: Their place in the file.

        Raises:
            DatasetError: Neither a rate nor a video that can be opened is known, or the video has no such frame.
        """
        path, place = self._video_file(), f"{self.path}, {where}"
        if self.frame_rate is None and path is None:
            raise DatasetError(
                f"{place}: is in frames, but the frame rate is unknown. Give the frame rate (--frame-rate), or the "
                "video."
            )
        span = TimeRange(Frames(max(start, 0), "start"), Frames(max(end, 0), "end"))
        first, last = self._times.resolve(span, path or Path("video"), self.frame_rate, place)
        if last is None:  # the end of the video's last frame, which has no frame after it
            last = self.duration_seconds if self.duration_seconds is not None else first
        return float(first or 0.0), float(last or 0.0)

    @property
    def own_name(self) -> str:
        """The name for intervals of which the file names no video."""
        return str(self.video) if self.video is not None else self.path.stem

    def finish(self, format: str) -> IntervalFile:
        """What was read, in order of time."""
        notes = list(self.notes)
        for why, places in self._left_out.items():
            one = len(places) == 1
            notes.append(
                f"left out: {len(places)} {'entry that' if one else 'entries that'} {_singular(why) if one else why} "
                f"({places[0]}{'' if one else ' first'})"
            )
        videos = {
            name: tuple(sorted(items, key=lambda item: (item.start_seconds, item.end_seconds)))
            for name, items in self._found.items()
        }
        return IntervalFile(videos, format, tuple(notes), sum(map(len, self._left_out.values())), self.frame_rate)

    def _note_once(self, sentence: str) -> None:
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(sentence)
        elif len(self.notes) == _MAX_NOTES:
            self.notes.append("more intervals were changed in the same way")

    def _video_file(self) -> Path | None:
        return Path(os.path.abspath(self.video)) if self.video is not None and os.path.isfile(self.video) else None


def _singular(predicate: str) -> str:
    verb, _, rest = predicate.partition(" ")
    return f"{ {'have': 'has', 'are': 'is'}.get(verb, verb + 's') } {rest}"


@dataclass(frozen=True)
class IntervalOutput:
    """What is written, and what the caller knows about the video.

    Attributes:
        path: The file to write.
        videos: Intervals by the name of their video, in order of time.
        duration_seconds: Of the video; None where it is not known.
        frame_rate: Frames per second; None where it is not known.
        actions: The action of a label, by label, for EDL.
        default_action: The action of any other label, for EDL.
        video: The one video, where its frames are counted one by one; None: by ``frame_rate``.
    """

    path: Path
    videos: Mapping[str, Sequence[Interval]]
    duration_seconds: float | None = None
    frame_rate: float | None = None
    actions: Mapping[str, int] = field(default_factory=dict)
    default_action: int = 3
    video: Path | None = None
    _times: FrameTimes = field(default_factory=FrameTimes)

    def frame(self, seconds: float) -> int:
        """The number of the frame that begins nearest to a time, from 0, as ``IntervalSource`` reads it."""
        return self._times.number(seconds, self.video or self.path, None if self.video else self.rate())

    @property
    def intervals(self) -> list[Interval]:
        """Those of the one video. DatasetError: There are several, which the format cannot hold."""
        if len(self.videos) > 1:
            raise DatasetError(
                f"{self.path}: this format holds one video, but there are {len(self.videos)}. Write one file per "
                "video, or use json or csv, which hold several."
            )
        return [item for items in self.videos.values() for item in items]

    def rate(self) -> float:
        """The frame rate. DatasetError: It is not known."""
        if self.frame_rate is None or not 0 < self.frame_rate <= 10_000:
            raise DatasetError(
                f"{self.path}: this format counts frames and needs a frame_rate (frames per second, above 0); "
                f"got {self.frame_rate!r}. Give it (--frame-rate), or the video."
            )
        return self.frame_rate


@dataclass(frozen=True)
class IntervalFormat:
    """How a format of intervals is read, written and detected.

    Attributes:
        read: Adds the intervals of a source.
        write: The text of a file; None for a format that is read only.
        suffixes: The suffixes of its files, in lower case. The first is the usual one.
        matches: Whether a source with such a suffix is in this format by its contents.
        keeps: Which of "labels" (of any name), "scores", "notes" and "videos" (several in a file) are written.
        labels: The only labels that the format can tell apart, where it does not keep any.
        step_seconds: How exactly times are written; None: to the frame.
    """

    read: Callable[[IntervalSource], None]
    write: Callable[[IntervalOutput], str] | None
    suffixes: tuple[str, ...]
    matches: Callable[[IntervalSource], bool]
    keeps: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    step_seconds: float | None = 0.0
