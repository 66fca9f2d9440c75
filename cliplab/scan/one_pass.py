"""One pass of a scan: walk the library, score what the store does not know, write highlights.json from the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from adapters.base import BaseModelAdapter
from adapters.errors import MediaError
from adapters.media import UnreadablePath, VideoFile
from cliplab.library import SettleFilter, fingerprint, is_remote, printable, walk
from cliplab.models import PrecisionChoice
from cliplab.scan.report import HighlightCriteria, all_failures, write_highlights
from cliplab.scan.sampling import Sampling
from cliplab.scan.scoring import ScoredVideo, ScoringJob, what_changed
from cliplab.scan.store import Store

Engine = Callable[[BaseModelAdapter, Iterable[ScoringJob], Sampling, int | None], Iterator[ScoredVideo]]
# Failures that a report holds itself; highlights.json lists all.
LISTED_FAILURES = 20
_WALK_CHUNK = 500


@dataclass
class ScanProgress:
    """The progress of a scan, updated in place.

    Attributes:
        videos: Videos found until now.
        to_score: Videos that are new or changed, without those whose content is known under another name; None while
            the library is being listed.
        done: Videos of to_score that the engine has returned.
        failed: Videos of to_score that could not be read.
        video_seconds: Length of the videos that are done.
        size_bytes: Size of the videos of to_score.
        done_bytes: Size of the videos that are done.
        began: When scoring began, by ``time.monotonic``.
    """

    videos: int = 0
    to_score: int | None = None
    done: int = 0
    failed: int = 0
    video_seconds: float = 0.0
    size_bytes: int = 0
    done_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since scoring began."""
        return time.monotonic() - self.began

    @property
    def videos_per_second(self) -> float:
        """Rate since scoring began."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the videos and the bytes, half each, as long videos need longer; None before the first."""
        if not self.done or not self.to_score:
            return None
        part = (self.done / self.to_score + self.done_bytes / max(self.size_bytes, 1)) / 2
        return self.seconds * max(1 / part - 1, 0.0)


@dataclass(frozen=True)
class ScanReport:
    """The result of a scan.

    Attributes:
        output: The highlights.json.
        store: The file that keeps all scores.
        label: The label whose score counts.
        min_score: Least score, 0..1, of a highlight.
        videos: Videos in the library.
        highlights: Videos with at least min_score.
        failed: Videos and folders that could not be read.
        scored: Videos decoded by this scan; the scores of the others were known.
        seconds: Time for scoring.
        videos_per_second: Rate of scoring.
        video_hours: Length of the videos that were decoded.
        failures: Path and reason of the first failures; highlights.json lists all.
        precision: Precision of the program that scored.
        precision_reason: Why it is this one.
    """

    output: str
    store: str
    label: str
    min_score: float
    videos: int
    highlights: int
    failed: int
    scored: int
    seconds: float
    videos_per_second: float
    video_hours: float
    failures: tuple[tuple[str, str], ...]
    precision: str = "float32"
    precision_reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object, each failure as "path" and "error"."""
        return asdict(self) | {"failures": [{"path": path, "error": error} for path, error in self.failures]}


OnProgress = Callable[[ScanProgress], object]
OnNote = Callable[[str], object]
OnReport = Callable[[ScanReport], object]


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """What every pass of a scan shares.

    Attributes:
        library: The library's absolute path or address.
        adapter: The model.
        engine: What scores the videos.
        workers: Videos decoded at the same time; None is one per core.
        sampling: Which moments of each video are scored.
        criteria: How scores become highlights.
        run: Number of the run (model, precision and sampling) in the store.
        retry_failed: Whether videos that could not be decoded are scored again.
        precision: Of the program that scores, and why.
        output: The highlights.json.
        head: The first keys of highlights.json.
        on_progress: Called with the progress for each video.
        on_note: Called with a sentence for each unusual event.
    """

    library: str
    adapter: BaseModelAdapter
    engine: Engine
    workers: int | None
    sampling: Sampling
    criteria: HighlightCriteria
    run: int
    retry_failed: bool
    precision: PrecisionChoice
    output: Path
    head: dict[str, Any]
    on_progress: OnProgress
    on_note: OnNote


class NoVideosError(MediaError):
    """The library contains no video."""


def scan_once(
    plan: ScanPlan, store: Store, ready: Callable[[VideoFile], bool], before: tuple[int, int] | None
) -> tuple[ScanReport | None, tuple[int, int]]:
    """Make one pass: list the library, score what is new, write highlights.json.

    Args:
        plan: What every pass shares.
        store: The open store.
        ready: Whether a file may be scored now.
        before: What the pass before returned; None for the first pass.

    Returns:
        The report, or None where nothing changed since the pass before and highlights.json stays as it is; and how many
        videos there are with a hash of the problems, for the next pass.

    Raises:
        NoVideosError: The library contains no video.
    """
    progress = ScanProgress()
    _record_files(plan, store, ready, progress)
    if not progress.videos:
        raise NoVideosError(
            f"{plan.library}: no video was found in this folder, so nothing was written. Check the path, and that "
            "the disk is mounted."
        )
    _, pending, progress.size_bytes = store.count(plan.run, plan.retry_failed)
    progress.to_score = pending
    progress.began = time.monotonic()
    plan.on_progress(progress)
    for scored in plan.engine(plan.adapter, _jobs(plan, store, progress), plan.sampling, plan.workers):
        _store_result(plan, store, scored, progress)
    store.commit()
    seconds, rate = progress.seconds, progress.videos_per_second
    now = progress.videos, hash(tuple(store.problems()))
    if before == now and not pending and not store.count_vanished():
        return None, now
    counts = write_highlights(plan.output, store, plan.run, plan.criteria, plan.head, progress.videos)
    report = ScanReport(
        output=str(plan.output),
        store=store.path,
        label=plan.criteria.label,
        min_score=plan.criteria.min_score,
        videos=counts.videos,
        highlights=counts.highlights,
        failed=counts.failed,
        scored=progress.done,
        seconds=round(seconds, 3),
        videos_per_second=round(rate, 2),
        video_hours=round(progress.video_seconds / 3600, 3),
        failures=tuple(islice(all_failures(store, plan.run), LISTED_FAILURES)),
        precision=plan.precision.precision,
        precision_reason=plan.precision.reason,
    )
    return report, now


def _record_files(plan: ScanPlan, store: Store, ready: Callable[[VideoFile], bool], progress: ScanProgress) -> None:
    """List the library into the store."""
    store.begin_scan()
    # Whether a file is ready is asked as soon as it is found: on a slow disk many others take a while.
    found = (item for item in walk(plan.library) if isinstance(item, UnreadablePath) or ready(item))
    while chunk := list(islice(found, _WALK_CHUNK)):
        files = [item for item in chunk if isinstance(item, VideoFile)]
        store.record_files(files)
        for item in chunk:
            if isinstance(item, UnreadablePath):
                store.add_problem(item.path, item.error)
        store.commit()
        progress.videos += len(files)
        plan.on_progress(progress)


def _jobs(plan: ScanPlan, store: Store, progress: ScanProgress) -> Iterator[ScoringJob]:
    """The videos to decode: those whose content the run has not scored under any name."""
    for file, content in store.pending(plan.run, plan.retry_failed):
        if content is None:
            try:
                content = fingerprint(file.path, file.size_bytes)
                # A remote file is checked once it is scored: one request per video here would be too slow.
                changed = None if is_remote(file.path) else what_changed(file)
            except OSError as error:
                changed = what_changed(file) or f"cannot be read ({error.strerror}). Check its permissions."
            if content is None or changed is not None:
                store.add_problem(file.path, str(changed))
                store.commit()
                progress.failed += 1
                continue
            store.identify(file.path, content)
        if store.knows(content, plan.run, plan.retry_failed):  # under another name
            progress.to_score = (progress.to_score or 1) - 1
            progress.size_bytes -= file.size_bytes
            continue
        yield ScoringJob(file, content)


def _store_result(plan: ScanPlan, store: Store, scored: ScoredVideo, progress: ScanProgress) -> None:
    """Store one video's result at once."""
    file = scored.job.file
    if scored.changed is not None:
        store.identify(file.path, None)
        store.add_problem(file.path, scored.changed)
    else:
        store.keep(scored.job.content, plan.run, scored.scores)
    store.commit()
    reason = scored.changed or scored.scores.error
    if reason is not None:
        progress.failed += 1
        plan.on_note(f"skipped: {printable(file.path)}: {reason}")
    progress.done += 1
    progress.done_bytes += file.size_bytes
    progress.video_seconds += scored.scores.duration or 0.0
    plan.on_progress(progress)


def watch(plan: ScanPlan, store: Store, settle_seconds: float, on_report: OnReport) -> NoReturn:
    """Repeat passes until interrupted; only the first pass scores again what could not be decoded.

    Args:
        plan: What every pass shares.
        store: The open store.
        settle_seconds: How long a file must stay unchanged before it is scored, and the time between passes.
        on_report: Called with the report of each pass that found something new.
    """
    settle_filter = SettleFilter(settle_seconds)
    before: tuple[int, int] | None = None
    last_note = ""
    while True:
        try:
            report, before = scan_once(plan, store, settle_filter.ready, before)
            last_note = ""
            if report is not None:
                on_report(report)
        except NoVideosError as error:  # a new folder, or a disk that is away: what was written stays
            if last_note != str(error):
                last_note = str(error)
                plan.on_note(last_note)
        plan = replace(plan, retry_failed=False)
        time.sleep(settle_seconds)
