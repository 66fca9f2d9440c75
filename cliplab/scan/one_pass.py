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
from adapters.media import Found, Unreadable
from cliplab.library import SettleFilter, fingerprint, is_remote, printable, walk
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
    """How far a scan has come.

    videos: found so far; to_score: those that are new or changed, None while the library is looked through; one that
    turns out to be known under another name is taken out. done, failed: of to_score. video_seconds: length of those
    done. seconds: since scoring began. size_bytes, done_bytes: of to_score, for the time left.
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
        return time.monotonic() - self.began

    @property
    def videos_per_second(self) -> float:
        return self.done / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """By videos and by bytes, half each, since long videos take longer; None before the first."""
        if not self.done or not self.to_score:
            return None
        part = (self.done / self.to_score + self.done_bytes / max(self.size_bytes, 1)) / 2
        return self.seconds * max(1 / part - 1, 0.0)


@dataclass(frozen=True)
class ScanReport:
    """What a scan did. scored: videos decoded now; the others were known. failures: the first ones, path and reason.

    seconds: scoring alone. video_hours: length of the videos scored now.
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"failures": [{"path": path, "error": error} for path, error in self.failures]}


OnProgress = Callable[[ScanProgress], object]
OnNote = Callable[[str], object]
OnReport = Callable[[ScanReport], object]


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """What every pass of a scan shares."""

    library: str
    adapter: BaseModelAdapter
    engine: Engine
    workers: int | None
    sampling: Sampling
    criteria: HighlightCriteria
    run: int
    retry_failed: bool
    output: Path
    head: dict[str, Any]
    on_progress: OnProgress
    on_note: OnNote


class NoVideosError(MediaError):
    """A library without any video."""


def scan_once(
    plan: ScanPlan, store: Store, ready: Callable[[Found], bool], before: tuple[int, int] | None
) -> tuple[ScanReport | None, tuple[int, int]]:
    """Walk, score what is not known, write highlights.json. ready: which files to take.

    before: how many videos the pass before had, and a hash of its problems: where nothing is new its file stays, and
    there is no report. None: there was no such pass. Returns these of this pass too. NoVideosError where there is none.
    """
    progress = ScanProgress()
    _record_files(plan, store, ready, progress)
    if not progress.videos:
        raise NoVideosError(
            f"{plan.library}: no video was found below this folder, so nothing was written. Check the path, and that "
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
    )
    return report, now


def _record_files(plan: ScanPlan, store: Store, ready: Callable[[Found], bool], progress: ScanProgress) -> None:
    """Tell the store what the library holds."""
    store.begin_scan()
    # Whether a file is ready is asked as soon as it is found: on a slow disk many others take a while.
    found = (item for item in walk(plan.library) if isinstance(item, Unreadable) or ready(item))
    while chunk := list(islice(found, _WALK_CHUNK)):
        files = [item for item in chunk if isinstance(item, Found)]
        store.record_files(files)
        for item in chunk:
            if isinstance(item, Unreadable):
                store.add_problem(item.path, item.error)
        store.commit()
        progress.videos += len(files)
        plan.on_progress(progress)


def _jobs(plan: ScanPlan, store: Store, progress: ScanProgress) -> Iterator[ScoringJob]:
    """What is to be decoded: videos whose content the run has not scored, under this name or another."""
    for file, content in store.pending(plan.run, plan.retry_failed):
        if content is None:
            try:
                content = fingerprint(file.path, file.size_bytes)
                # Of a remote one that is asked once it is scored: a request a video is much for one machine.
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
    """One video's outcome into the store, at once and for good."""
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
        plan.on_note(f"set aside: {printable(file.path)}: {reason}")
    progress.done += 1
    progress.done_bytes += file.size_bytes
    progress.video_seconds += scored.scores.duration or 0.0
    plan.on_progress(progress)


def watch(plan: ScanPlan, store: Store, settle_seconds: float, on_report: OnReport) -> NoReturn:
    """Passes until interrupted; what could not be decoded is tried again in the first alone."""
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
