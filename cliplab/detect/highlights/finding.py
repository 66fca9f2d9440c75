"""Highlights of a source: ``cliplab detect``. Stage 1 proposes in one pass; later stages drop and order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, MediaError
from adapters.media import open_container, open_video, video_streams
from adapters.system import file_fingerprint
from cliplab.detect.highlights.candidates import Candidate, HighlightReport
from cliplab.detect.highlights.cells import Cells
from cliplab.detect.highlights.edges import with_edges
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.proposing import Peak, Proposer, keep_apart
from cliplab.detect.highlights.reading import Pass, read_container

OnProgress = Callable[[str, float, float], object]
OnCandidate = Callable[[Candidate], object]
_REPORT_SECONDS = 2.0  # of the source, between two reports of progress


def find_highlights(
    source: str | Path,
    options: HighlightOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
    on_candidate: OnCandidate | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> HighlightReport:
    """Find the highlights of a recording in one pass, in memory that does not grow with its length.

    Args:
        source: A video, a recording of sound, or a URL.
        options: Lengths, gaps and edges; None: the defaults.
        on_progress: Called with "watch", the seconds done and the seconds in all (infinite where unknown).
        on_candidate: Called with each candidate as soon as it is known; a better one nearby may take its place in
            the report.
        check_stop: Called now and then; raises where the search has to end.

    Returns:
        The candidates in the order of time.

    Raises:
        ConfigError: An option does not suit the source.
        MediaError: It cannot be opened, or has neither picture nor sound.
    """
    options = options or HighlightOptions()
    found, candidates = _watch_file(source, options, on_progress, on_candidate, check_stop)
    return HighlightReport(
        str(source),
        found.end_seconds,
        tuple(candidates),
        tuple(found.notes),
        fingerprint=file_fingerprint(Path(source)),
        options=options.to_json(),
    )


def _watch_file(
    source: str | Path,
    options: HighlightOptions,
    on_progress: OnProgress | None,
    on_candidate: OnCandidate | None,
    check_stop: Callable[[], None],
) -> tuple[Pass, list[Candidate]]:
    cells = Cells()
    found, proposer = Pass(cells, options), Proposer(cells, options.min_score)
    kept, provisional = dict[float, tuple[Peak, Candidate]](), _Latest(options.min_gap_seconds, on_candidate)

    def propose(at_end: bool = False) -> None:
        end = found.end_seconds if at_end else None
        for peak in proposer.peaks(at_end):
            kept[peak.seconds] = peak, with_edges(peak, cells, found.cuts, options, end)
            provisional.add(kept[peak.seconds][1])

    with open_container(source) as container:
        origin, declared = _begin(source, container)
        reported = 0.0
        for seconds in read_container(container, found, origin=origin, source=str(source)):
            if seconds - reported >= _REPORT_SECONDS:
                reported = seconds
                check_stop()
                propose()
                if on_progress is not None:
                    on_progress("watch", min(seconds, declared), declared)
    if not found.seen and not found.heard:
        raise MediaError(f"{source}: no picture and no sound could be decoded. Copy the file again, or convert it.")
    propose(at_end=True)
    chosen = [
        kept[peak.seconds][1] for peak in keep_apart([peak for peak, _ in kept.values()], options.min_gap_seconds)
    ]
    return found, limited([_inside(one, found.end_seconds) for one in chosen], options)


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


def _begin(source: str | Path, container: Any) -> tuple[float | None, float]:
    """The source time of the first frame, None where there is no picture; and the declared length in seconds."""
    declared = container.duration / 1_000_000 if container.duration else math.inf
    if any(stream.codec_context is not None for stream in video_streams(container)):
        with open_video(source) as video:
            return video.info.start_seconds, video.info.duration_seconds or declared
    return None, declared


def require_named(source: Any) -> str:
    """The name of a source as text.

    Args:
        source: A path or URL.

    Raises:
        ConfigError: It is empty.
    """
    text = str(source)
    if not text.strip():
        raise ConfigError("no source is named. Give a video, a folder or a URL")
    return text
