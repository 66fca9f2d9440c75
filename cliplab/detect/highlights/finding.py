"""Highlights of a source: ``cliplab detect``. Stage 1 proposes in one pass; later stages drop and order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import ConfigError, MediaError
from adapters.media import is_live, open_container, open_video, require_footage, video_streams
from adapters.system import file_fingerprint
from cliplab.detect.highlights.candidates import Candidate, HighlightReport
from cliplab.detect.highlights.cells import Cells
from cliplab.detect.highlights.chat import ChatFeed, read_chat
from cliplab.detect.highlights.edges import with_edges
from cliplab.detect.highlights.live import follow_highlights
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.pages import stream_address
from cliplab.detect.highlights.prompts import add_proposals
from cliplab.detect.highlights.proposing import Peak, Proposer, keep_apart
from cliplab.detect.highlights.rating_order import RatingOrder
from cliplab.detect.highlights.reading import ContainerReader, Pass
from cliplab.detect.highlights.stage2 import Judge
from cliplab.detect.highlights.stretch_features import StretchFeatures
from cliplab.detect.highlights.web_video import WebVideo

if TYPE_CHECKING:
    from adapters.media import Source

OnProgress = Callable[[str, float, float], object]
OnCandidate = Callable[[Candidate], object]
_REPORT_SECONDS = 2.0  # of the source, between two reports of progress


def find_highlights(
    source: str | Path,
    options: HighlightOptions | None = None,
    *,
    stage2: Judge | None = None,
    ratings: RatingOrder | None = None,
    chat: str | Path | None = None,
    on_progress: OnProgress | None = None,
    on_candidate: OnCandidate | None = None,
    on_note: Callable[[str], object] | None = None,
    check_url: Callable[[str], object] | None = None,
    check_stop: Callable[[], None] = lambda: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> HighlightReport:
    """Find the highlights of a recording in one pass, in memory that does not grow with its length.

    Args:
        source: A video, a recording of sound, an HLS stream (the URL of its playlist), or a page of a streaming site.
        options: Lengths, gaps and edges; None: the defaults.
        stage2: A model that drops candidates and orders them; None: none.
        ratings: Rating models that label candidates and order them where one serves; None: none.
        chat: A log of the chat beside the recording, in JSON lines; None: there is none.
        on_progress: Called with "watch", the seconds done and the seconds in all (infinite where unknown).
        on_candidate: Called with each candidate as soon as it is known; a better one nearby may take its place in
            the report.
        on_note: Called with a sentence about a stream: stalls, damage, lost segments.
        check_url: As for ``follow_highlights``.
        check_stop: Called now and then; raises where the search has to end.
        is_stopped: Ends the following of a stream when it returns True; what was found until then is returned.

    Returns:
        The candidates in the order of time.

    Raises:
        ConfigError: An option does not suit the source.
        MediaError: It cannot be opened, or has neither picture nor sound.
        DatasetError: The chat log is not one.
    """
    options = options or HighlightOptions()
    stream = stream_address(str(source), on_note)
    if stream is not None:
        if chat is not None:
            raise ConfigError("chat can only be used with a recording, not with a live stream. Remove --chat")
        return follow_highlights(
            stream,
            options,
            stage2=stage2,
            ratings=ratings,
            check_url=check_url,
            on_ready=None if on_candidate is None else lambda ready: on_candidate(ready.candidate),
            on_progress=on_progress,
            on_note=on_note,
            is_stopped=is_stopped,
        )
    messages, notes = ([], []) if chat is None else read_chat(chat)
    with _opened(source, options, check_url, is_stopped) as opened:
        found, candidates = _watch_file(opened, options, messages, on_progress, on_candidate, check_stop)
    if on_progress is not None and stage2 is not None:
        on_progress("stage 2", 0, 1)
    if stage2 is not None and found.seen:
        proposed = stage2.propose(source, options, found.end_seconds)
        candidates = add_proposals(candidates, proposed, options.min_gap_seconds)
    candidates, model, rating_model, said = judge(source, candidates, stage2, ratings)
    return HighlightReport(
        str(source),
        found.end_seconds,
        tuple(limited(candidates, options)),
        (*found.notes, *notes, *said),
        model,
        rating_model,
        fingerprint=None if is_live(str(source)) else file_fingerprint(Path(source)),
        options=options.to_json(),
    )


@contextmanager
def _opened(
    source: str | Path,
    options: HighlightOptions,
    check_url: Callable[[str], object] | None,
    is_stopped: Callable[[], bool],
) -> Iterator[Source]:
    """The source as it may be opened: FFmpeg asks addresses and follows redirects without a check."""
    if check_url is None or not is_live(str(source)):
        yield source
        return
    video = WebVideo(str(source), options.headers, check_url, is_stopped)
    try:
        yield video
    finally:
        video.close()


def _watch_file(
    source: Source,
    options: HighlightOptions,
    messages: Sequence[tuple[float, float]],
    on_progress: OnProgress | None,
    on_candidate: OnCandidate | None,
    check_stop: Callable[[], None],
) -> tuple[Pass, list[Candidate]]:
    cells = Cells()
    found, proposer = Pass(cells, options), Proposer(cells, options.min_score)
    kept, provisional = dict[float, tuple[Peak, Candidate]](), _Latest(options.min_gap_seconds, on_candidate)

    chat = ChatFeed(messages) if messages else None

    def propose(at_end: bool = False) -> None:
        if chat is not None:
            chat.feed(cells, cells.end)
        end = found.end_seconds if at_end else None
        for peak in proposer.peaks(at_end):
            kept[peak.seconds] = peak, with_edges(peak, cells, found.cuts, options, end)
            provisional.add(kept[peak.seconds][1])

    with open_container(source, allow_url=is_live(str(source))) as container:
        origin, declared = _begin(source, container)
        reported = 0.0
        for seconds in ContainerReader(container, found, origin=origin, source=str(source)).read():
            if seconds - reported >= _REPORT_SECONDS:
                reported = seconds
                check_stop()
                if not is_live(str(source)):
                    require_footage(str(source), seconds)
                propose()
                if on_progress is not None:
                    on_progress("watch", min(seconds, declared), declared)
    if not found.seen and not found.heard:
        raise MediaError(f"{source}: no picture and no sound could be decoded. Copy the file again, or convert it.")
    propose(at_end=True)
    chosen = [
        kept[peak.seconds][1] for peak in keep_apart([peak for peak, _ in kept.values()], options.min_gap_seconds)
    ]
    return found, [_inside(one, found.end_seconds) for one in chosen]


def judge(
    source: str | Path,
    candidates: list[Candidate],
    stage2: Judge | None,
    ratings: RatingOrder | None,
    offset: float = 0.0,
) -> tuple[list[Candidate], str | None, str | None, list[str]]:
    """What later stages make of candidates.

    Args:
        source: The file that they are of.
        candidates: Those of stage 1.
        stage2: A model that drops and orders; None: none.
        ratings: Rating models; None: none.
        offset: Where the file begins in the source of the candidates, in seconds.

    Returns:
        The candidates that are left; the model of stage 2; the rating models that served; and notes.
    """
    model, served, notes = None, None, list[str]()
    if stage2 is not None:
        before = len(candidates)
        candidates, model, notes = stage2.apply(source, candidates, offset)
        if len(candidates) < before:
            notes.append(f"stage 2 dropped {before - len(candidates)} of {before} candidates")
    if ratings is not None:
        stretches = None if is_live(str(source)) else StretchFeatures(source, offset)
        measure = None if stretches is None else stretches.measure
        candidates, served = ratings.apply(candidates, str(source), measure)
        notes += [] if stretches is None else stretches.notes
    return candidates, model, served, notes


class _Latest:
    """Reports candidates as they come, without those that a better one nearby has replaced already."""

    def __init__(self, gap: float, report: OnCandidate | None) -> None:
        self._gap, self._report, self._last = gap, report, None

    _last: Candidate | None

    def add(self, candidate: Candidate) -> None:
        last = self._last
        if last is not None and candidate.peak - last.peak < self._gap and candidate.score <= last.score:
            return
        self._last = candidate
        if self._report is not None:
            self._report(candidate)


def limited(candidates: list[Candidate], options: HighlightOptions) -> list[Candidate]:
    """The best candidates, in the order of time.

    Args:
        candidates: All of them.
        options: Whose ``most`` counts.
    """
    best = sorted(candidates, key=lambda one: (-one.score, one.start))[: options.most]
    return sorted(best, key=lambda one: one.start)


def _inside(candidate: Candidate, end_seconds: float) -> Candidate:
    """A candidate that ends with the source at the latest."""
    if candidate.end <= end_seconds:
        return candidate
    length = candidate.end - candidate.start
    return replace(candidate, start=round(max(end_seconds - length, 0.0), 3), end=round(end_seconds, 3))


def _begin(source: Source, container: Any) -> tuple[float | None, float]:
    """The source time of the first frame, None where there is no picture; and the declared length in seconds."""
    declared = container.duration / 1_000_000 if container.duration else math.inf
    if any(stream.codec_context is not None for stream in video_streams(container)):
        with open_video(source, allow_url=is_live(str(source))) as video:
            return video.info.start_seconds, video.info.duration_seconds or declared
    return None, declared
