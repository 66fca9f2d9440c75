"""Highlights of an HLS stream while it runs, or of one that was recorded: each clip soon after its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.errors import MediaError
from adapters.media import open_container
from cliplab.detect.highlights.candidates import Candidate, HighlightReport
from cliplab.detect.highlights.cells import Cells
from cliplab.detect.highlights.edges import planned, with_edges
from cliplab.detect.highlights.hls import Fetcher, SegmentList, new_segments
from cliplab.detect.highlights.hls_joining import Joiner, SeparateSound
from cliplab.detect.highlights.hls_playlist import Segment
from cliplab.detect.highlights.options import BEFORE_SHARES, HighlightOptions
from cliplab.detect.highlights.proposing import LiveChoice, Peak, Proposer, live_waits
from cliplab.detect.highlights.rating_order import RatingOrder
from cliplab.detect.highlights.reading import ContainerReader, Pass
from cliplab.detect.highlights.recording import KEPT_SECONDS, Kept, Recording
from cliplab.detect.highlights.stage2 import Judge
from cliplab.detect.highlights.stretch_features import StretchFeatures

STALL_SECONDS = 60.0
# A segment that begins so far from the end of the one before has another clock.
_LEAP_SECONDS, _MOST_LOST = 10.0, 1000
_MICROSECONDS = 1_000_000  # FFmpeg's unit for the time of a container
_EDGE_SECONDS = 0.3  # beyond an edge, of what an edge is moved by


@dataclass(frozen=True)
class ReadyClip:
    """A candidate of a stream whose pictures are all there.

    Attributes:
        candidate: The candidate, in seconds since the stream's first picture.
        path: A file with its stretch, which is removed when the callback returns.
        offset: When that file's first picture is shown, in the stream's seconds.
        kept: The stretch of the stream that is kept now: (start, end).
    """

    candidate: Candidate
    path: Path
    offset: float
    kept: tuple[float, float]


def follow_highlights(
    url: str,
    options: HighlightOptions | None = None,
    *,
    folder: str | Path | None = None,
    kept_seconds: float = KEPT_SECONDS,
    stall_seconds: float = STALL_SECONDS,
    stage2: Judge | None = None,
    ratings: RatingOrder | None = None,
    check_url: Callable[[str], object] | None = None,
    on_ready: Callable[[ReadyClip], object] | None = None,
    around_seconds: float = 0.0,
    on_around: Callable[[ReadyClip], object] | None = None,
    on_progress: Callable[[str, float, float], object] | None = None,
    on_note: Callable[[str], object] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> HighlightReport:
    """Follow an HLS stream to its end.

    Args:
        url: Of its playlist; of several qualities the best is taken.
        options: Lengths, gaps, edges and HTTP headers; None: the defaults.
        folder: Where the last segments are kept; None: a temporary folder.
        kept_seconds: How much of the stream is kept.
        stall_seconds: How long no segment may come before the stream is treated as ended.
        stage2: A model that drops candidates; None: none.
        ratings: Rating models; None: none.
        check_url: Called with each address before it is asked, those in playlists and redirects too; raises where it
            must not be.
        on_ready: Called with each candidate when it can be cut.
        around_seconds: How much before and after each candidate ``on_around`` gets.
        on_around: Called with each candidate again when what follows it was received: with a file of its stretch and
            its surroundings, whose times are in ``kept``.
        on_progress: Called with "follow", the seconds done, and infinity.
        on_note: Called with a sentence about stalls, damage and lost segments.
        is_stopped: Asked between segments; True ends the following.

    Returns:
        The candidates in the order of time. ``notes`` has how many segments were read and how many were lost.

    Raises:
        MediaError: The playlist cannot be read, or no segment could be decoded.
        StorageError: The disk is full.
    """
    options = options or HighlightOptions()
    with tempfile.TemporaryDirectory(prefix="cliplab-stream-") as temporary:
        home = Path(temporary) if folder is None else Path(folder)
        follower = _Follower(url, options, home, kept_seconds, stage2, ratings, on_ready, on_note)
        if on_around is not None:
            follower.around_seconds, follower.on_around = around_seconds, on_around
        fetcher = Fetcher(options.headers, check_url)
        try:
            segments = follower.begin(fetcher)
            for segment in new_segments(
                segments, stall_seconds=stall_seconds, on_note=follower.note, is_stopped=is_stopped
            ):
                follower.take(segment, fetcher, is_stopped)
                if on_progress is not None:
                    on_progress("follow", follower.found.end_seconds, float("inf"))
                if is_stopped():
                    break
            return follower.finish()
        finally:
            follower.close()


@dataclass(eq=False)
class _Follower:
    url: str
    options: HighlightOptions
    folder: Path
    kept_seconds: float
    stage2: Judge | None
    ratings: RatingOrder | None
    on_ready: Callable[[ReadyClip], object] | None
    on_note: Callable[[str], object] | None
    read: int = 0
    lost: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    waiting: list[Peak] = field(default_factory=list)
    around_seconds: float = 0.0
    on_around: Callable[[ReadyClip], object] | None = None
    unfinished: list[Candidate] = field(default_factory=list)
    model: str | None = None
    served: str | None = None

    def __post_init__(self) -> None:
        self.cells = Cells()
        self.found = Pass(self.cells, self.options, live=True)
        self.recording = Recording(self.folder, self.kept_seconds)
        after = self.options.clip_seconds * (1 - max(map(self.options.before_share, BEFORE_SHARES)))
        ahead, patience = live_waits(after)
        self.proposer = Proposer(self.cells, self.options.min_score, ahead)
        self.choice = LiveChoice(self.options.min_gap_seconds, patience)
        self._origin: float | None = None
        self._sequence: int | None = None
        self._offset = 0.0
        self._signature: tuple[Any, ...] = ()
        self.joiner = Joiner(None, self.note)
        self.sound: SeparateSound | None = None

    def begin(self, fetcher: Fetcher) -> SegmentList:
        """Choose the quality and the sound."""
        playlist, media, sound = fetcher.choose(self.url, self.options.quality, self.options.audio_stream)
        if sound is not None:
            self.sound = SeparateSound(fetcher, sound, self.folder, self.note_loss, self.count_loss)
            self.joiner = Joiner(self.sound, self.note)
            self.found.options = replace(self.options, audio_stream=None)  # each segment has this one sound
        return SegmentList(fetcher, media, playlist, self.note_loss)

    def count_loss(self) -> None:
        self.lost += 1

    def close(self) -> None:
        self.recording.close()
        if self.sound is not None:
            self.sound.close()

    def note_loss(self, text: str) -> None:
        """A note of the playlist; counts what it says is lost."""
        if text.endswith("were gone before they could be read"):
            self.lost += int(text.removeprefix("sound: ").split()[0])
        self.note(text)

    def note(self, text: str) -> None:
        self.found.note(text)
        if self.on_note is not None:
            self.on_note(text)

    def take(self, segment: Segment, fetcher: Fetcher, is_stopped: Callable[[], bool]) -> None:
        """Read, store and measure one segment; one that is damaged does not end the stream."""
        try:
            data = fetcher.segment(segment, is_stopped)
        except MediaError as error:
            self.lost += 1
            self.note(f"a segment is lost: {error}")
            return
        path = self.recording.store(self.read, segment, data)
        self.read += 1
        try:
            path = self.joiner.joined(path, segment, is_stopped)
            header = data.find(b"moof") - 4 if path.suffix == ".mp4" else 0
            self._measure(path, segment, max(header, 0))
        except MediaError as error:
            path.unlink(missing_ok=True)
            self.note(f"a segment could not be decoded: {error}")
            return
        self._propose(at_end=False)

    def _measure(self, path: Path, segment: Segment, header: int) -> None:
        before = self.found.end_seconds
        with open_container(path) as container:
            leaps = self._leaps(container, segment)
            if leaps and not segment.discontinuity:
                self.note("the stream's timestamps jump without a discontinuity tag; its times continue without a gap")
            if leaps or segment.discontinuity:
                self._origin, self._offset = None, before
            reader = ContainerReader(
                container, self.found, offset=self._offset, origin=self._origin, source=segment.url
            )
            if self._signature and reader.signature != self._signature:
                self.note("the stream changes its size, codec or sound; clips end at that point")
            self._signature = reader.signature
            for _ in reader.read():
                pass
        if reader.first_seconds is None:
            raise MediaError(f"{segment.url}: has no picture and no sound that can be decoded.")
        if self._origin is None:
            self._origin = reader.origin
        end = max(self.found.end_seconds, reader.first_seconds + segment.seconds)
        self.recording.add(Kept(path, segment.sequence, reader.first_seconds, end, header, reader.signature))

    def _leaps(self, container: Any, segment: Segment) -> bool:
        """Whether a segment begins at a time that cannot follow the last one, segments lost between them included."""
        lost = 0 if self._sequence is None else max(segment.sequence - self._sequence - 1, 0)
        self._sequence = segment.sequence
        if self._origin is None or container.start_time is None:
            return False
        begins = container.start_time / _MICROSECONDS - self._origin + self._offset
        allowed = _LEAP_SECONDS + min(lost, _MOST_LOST) * 2 * max(segment.seconds, 1.0)
        return not -_LEAP_SECONDS <= begins - self.found.end_seconds <= allowed

    def _propose(self, at_end: bool) -> None:
        peaks = list(self.proposer.peaks(at_end))
        self.waiting += self.choice.add(peaks, self.proposer.known_seconds, at_end)
        later = list[Peak]()
        for peak in self.waiting:
            until = planned(peak, self.options)[1] + self.options.snap_seconds + _EDGE_SECONDS
            if at_end or self.found.end_seconds >= until:
                self._ready(peak, self.found.end_seconds if at_end else None)
            else:
                later.append(peak)
        self.waiting = later
        self._keep_around(at_end)

    def _keep_around(self, at_end: bool) -> None:
        """Hand over what surrounds candidates, once it was received, so that their clips can be made longer later."""
        if self.on_around is None:
            return
        later = list[Candidate]()
        for one in self.unfinished:
            if not at_end and self.found.end_seconds < one.end + self.around_seconds:
                later.append(one)
                continue
            joined = self.folder / f"around{self.recording.suffix}"
            start, end = max(one.start - self.around_seconds, 0.0), one.end + self.around_seconds
            try:
                offset, start, end = self.recording.join(start, end, one.peak, joined)
                self.on_around(ReadyClip(one, joined, offset, (start, end)))
            except MediaError as error:
                self.note(f"the video around the clip at {one.peak:.1f} s is not kept: {error}")
            finally:
                joined.unlink(missing_ok=True)
        self.unfinished = later

    def _ready(self, peak: Peak, end_seconds: float | None) -> None:
        candidate = with_edges(peak, self.cells, self.found.cuts, self.options, end_seconds)
        joined = self.folder / f"joined{self.recording.suffix}"
        try:
            offset, start, end = self.recording.join(candidate.start, candidate.end, candidate.peak, joined)
            candidate = replace(candidate, start=round(start, 3), end=round(end, 3))
            kept = [candidate]
            if self.stage2 is not None:
                kept, self.model, notes = self.stage2.apply(joined, kept, offset)
                for note in notes:
                    self.note(note)
            if self.ratings is not None:
                stretches = StretchFeatures(joined, offset)
                kept, self.served = self.ratings.apply(kept, self.url, stretches.measure)
                for note in stretches.notes:
                    self.note(note)
            for one in kept:
                self.candidates.append(one)
                self.unfinished.append(one)
                if self.on_ready is not None:
                    self.on_ready(ReadyClip(one, joined, offset, (self.recording.start, self.recording.end)))
        except MediaError as error:
            self.note(f"the clip at {candidate.peak:.1f} s is left out: {error}")
        finally:
            joined.unlink(missing_ok=True)

    def finish(self) -> HighlightReport:
        if not self.found.seen and not self.found.heard:
            raise MediaError(f"{self.url}: no segment could be decoded. {' '.join(self.found.notes[:2])}".strip())
        self._propose(at_end=True)
        count = f"{self.read} segments were read, {self.lost} were lost"
        best = sorted(self.candidates, key=lambda one: (-one.score, one.start))[: self.options.most]
        return HighlightReport(
            self.url,
            self.found.end_seconds,
            tuple(sorted(best, key=lambda one: one.start)),
            (count, *self.found.notes),
            self.model,
            self.served,
            options=self.options.to_json(),
        )
