"""Candidates to clips: files with thumbnails and features, entered in the clip database. ``cliplab generate``."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.errors import AdapterError, ConfigError, MediaError, MissingExtraError, StorageError, describe_failure
from adapters.media import is_live, open_video, probe
from adapters.system import file_fingerprint, storage_error, write_bytes_atomic
from cliplab.detect.highlights.candidates import Candidate, HighlightReport, read_report, write_report
from cliplab.detect.highlights.cutting_clips import clip_suffix, cut_clip
from cliplab.detect.highlights.finding import OnProgress, find_highlights
from cliplab.detect.highlights.live import ReadyClip, follow_highlights
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.pages import stream_address
from cliplab.detect.highlights.rating_order import RatingOrder, candidate_features
from cliplab.detect.highlights.stage2 import Judge

if TYPE_CHECKING:
    from cliplab.clips import ClipManager

DEFAULT_OUTPUT = Path("output_clips")
KEEP_AROUND_SECONDS, _MOST_AROUND_SECONDS = 30.0, 600.0
_THUMBNAIL_HEIGHT = 360
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class GeneratedClip:
    """One clip.

    Attributes:
        path: Its file.
        start: Where it begins in its source, in seconds.
        end: Where it ends there.
        kind: "audio" or "video".
        score: Of the candidate.
        thumbnail: Its picture; None where there is none.
        clip_id: Its number in the database; None: not entered.
        state: "made", "kept" where it was already there, "planned" in a dry run, or "failed".
        notes: What was encoded again or left out.
        error: Why it failed.
    """

    path: str
    start: float
    end: float
    kind: str
    score: float
    thumbnail: str | None = None
    clip_id: int | None = None
    state: str = "made"
    notes: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "notes": list(self.notes)}


@dataclass(frozen=True)
class GenerateReport:
    """The clips of one source.

    Attributes:
        source: The source.
        output: The folder of the clips.
        database: Where they are entered; None: nowhere.
        clips: In the order of time.
        notes: What detection said.
    """

    source: str
    output: str
    database: str | None
    clips: tuple[GeneratedClip, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> int:
        """How many clips could not be made."""
        return sum(one.state == "failed" for one in self.clips)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "clips": [one.to_json() for one in self.clips], "notes": list(self.notes)}


def generate_clips(
    source: str | Path | HighlightReport,
    output: str | Path = DEFAULT_OUTPUT,
    *,
    database: str | Path | ClipManager | None = "clips.db",
    options: HighlightOptions | None = None,
    candidates: Sequence[Candidate] | None = None,
    stage2: Judge | None = None,
    ratings: RatingOrder | None = None,
    chat: str | Path | None = None,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
    on_clip: Callable[[GeneratedClip], object] | None = None,
    on_note: Callable[[str], object] | None = None,
    check_url: Callable[[str], object] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    keep_around_seconds: float = KEEP_AROUND_SECONDS,
) -> GenerateReport:
    """Write the highlights of a source as clips. Run it again to resume: clips that are there are kept.

    Args:
        source: A recording or an HLS stream, in which highlights are looked for first; a file of candidates (.json);
            or a report. Clips of a stream are written while it runs.
        output: The folder of the clips, which is made.
        database: A clip database, or an open one, in which they are entered; None: none.
        options: How highlights are looked for; None: the defaults.
        candidates: Those to write, such as after a page changed their edges; None: those of the report.
        stage2: A model that drops candidates and orders them; None: none.
        ratings: Rating models that label candidates and order them; None: none.
        chat: A log of the chat beside a recording, in JSON lines.
        dry_run: Say what would be written, and write nothing.
        on_progress: As for ``find_highlights``, and with "clips" while clips are written.
        on_clip: Called with each clip when it is done.
        on_note: Called with a sentence about a stream: stalls, damage, lost segments.
        check_url: As for ``follow_highlights``.
        is_stopped: Ends the following of a stream when it returns True.
        keep_around_seconds: How much of a stream before and after each of its clips is kept, 0 to 600 s, in
            ``output/sources`` with a file of candidates: so a clip can be made longer when the stream has ended.

    Returns:
        Each clip, also those that could not be made.

    Raises:
        ConfigError: An option is not allowed, or the source is a live stream.
        DatasetError: The file of candidates is not one.
        MediaError: The source cannot be read.
        StorageError: The disk is full, or the folder or database cannot be written. What is written stays.
    """
    if not 0 <= keep_around_seconds <= _MOST_AROUND_SECONDS:
        raise ConfigError(
            f"keep_around_seconds must be from 0 to {_MOST_AROUND_SECONDS:g} seconds, got {keep_around_seconds!r:.40}"
        )
    found = stream_address(source, on_note) if isinstance(source, str) else None
    if found is not None:
        with ExitStack() as stack:
            manager = None if dry_run else _manager(database, stack)
            sink = _StreamSink(str(source), Path(output), manager, dry_run, on_clip)
            report = follow_highlights(
                found,
                options,
                stage2=stage2,
                ratings=ratings,
                check_url=check_url,
                on_ready=sink.take,
                around_seconds=keep_around_seconds,
                on_around=sink.keep if keep_around_seconds and not dry_run else None,
                on_progress=on_progress,
                on_note=on_note,
                is_stopped=is_stopped,
            )
        return GenerateReport(str(source), str(output), _database_name(database), tuple(sink.done), report.notes)
    report = _report(source, options, stage2, ratings, chat, on_progress)
    path = _source_file(report.source)
    fingerprint = file_fingerprint(Path(path))
    if report.fingerprint is not None and report.fingerprint != fingerprint:
        raise MediaError(f"{path}: has changed since its candidates were found. Find them again: cliplab detect {path}")
    chosen = report.candidates if candidates is None else tuple(candidates)
    folder, done = Path(output), list[GeneratedClip]()
    with ExitStack() as stack:
        manager = None if dry_run else _manager(database, stack)
        suffix = clip_suffix(path) if chosen else ".mp4"
        if not dry_run and chosen:
            _make(folder)
        duration = report.duration_seconds or probe(path).duration_seconds or 0.0
        for number, candidate in enumerate(sorted(chosen, key=lambda one: one.start)):
            target = folder / clip_name(report.source, candidate, fingerprint, suffix)
            made = _one(path, candidate, target, dry_run)
            if manager is not None and made.state != "failed":
                kept = (0.0, max(duration, candidate.end))
                made = _enter(manager, made, candidate, report.model, str(Path(path).absolute()), fingerprint, kept)
            done.append(made)
            if on_clip is not None:
                on_clip(made)
            if on_progress is not None:
                on_progress("clips", number + 1, len(chosen))
    return GenerateReport(report.source, str(folder), _database_name(database), tuple(done), report.notes)


def _database_name(database: str | Path | ClipManager | None) -> str | None:
    return None if database is None else str(database if isinstance(database, (str, Path)) else database.database.name)


@dataclass(eq=False)
class _StreamSink:
    """Cuts the clips of a stream as they become ready."""

    source: str
    folder: Path
    manager: ClipManager | None
    dry_run: bool
    on_clip: Callable[[GeneratedClip], object] | None
    done: list[GeneratedClip] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A stream has no digest to name its clips by, and its seconds restart each time it is followed: use the time.
        self.mark = f"{time.time_ns() // 1_000_000_000:08x}"

    def take(self, ready: ReadyClip) -> None:
        one = ready.candidate
        target = self.folder / clip_name(self.source, one, self.mark, clip_suffix(ready.path))
        if not self.dry_run:
            _make(self.folder)
        made = _one(str(ready.path), one, target, self.dry_run, ready.offset)
        if self.manager is not None and made.state != "failed":
            made = _enter(self.manager, made, one, None, self.source, None, ready.kept)
        self.done.append(made)
        if self.on_clip is not None:
            self.on_clip(made)

    def keep(self, ready: ReadyClip) -> None:
        """Keep what surrounds a clip, and candidates of it whose edges can be changed."""
        one, (start, end) = ready.candidate, ready.kept
        target = self.folder / clip_name(self.source, one, self.mark, ready.path.suffix)
        if not target.with_suffix(".mp4").exists() and not target.with_suffix(".m4a").exists():
            return  # its clip failed
        target = target.parent / "sources" / target.name
        _make(target.parent)
        try:
            shutil.copyfile(ready.path, target)
        except OSError as error:
            raise storage_error(target, error) from error
        moved = replace(
            one, start=one.start - ready.offset, end=one.end - ready.offset, peak=max(one.peak - ready.offset, 0.0)
        )
        said = (
            f"{self.source}: from {start:.1f} to {end:.1f} s, kept for the clip from {one.start:.1f} to {one.end:.1f} s"
        )
        report = HighlightReport(
            str(target.absolute()), end - ready.offset, (moved,), (said,), fingerprint=file_fingerprint(target)
        )
        write_report(target.with_suffix(".json"), report)


def clip_name(source: str, candidate: Candidate, fingerprint: str | None, suffix: str) -> str:
    """The file name of a clip: of its source, its times and a mark of the source's content. It is safe on any disk.

    Args:
        source: The source's path or URL.
        candidate: The stretch.
        fingerprint: Of the source's content; None: unknown.
        suffix: Of the file.
    """
    stem = _FOREIGN.sub("_", Path(source.split("?")[0]).stem).strip("._-")[:60] or "clip"
    mark = "" if fingerprint is None else f"_{_FOREIGN.sub('', fingerprint)[-8:]}"
    return (
        f"{stem}{mark}_{round(candidate.start * 1000):09d}-{round(candidate.end * 1000):09d}_{candidate.kind}{suffix}"
    )


def _report(
    source: str | Path | HighlightReport,
    options: HighlightOptions | None,
    stage2: Judge | None,
    ratings: RatingOrder | None,
    chat: str | Path | None,
    on_progress: OnProgress | None,
) -> HighlightReport:
    if isinstance(source, HighlightReport):
        return source
    if Path(source).suffix.lower() == ".json":
        return read_report(source)
    _source_file(str(source))
    return find_highlights(source, options, stage2=stage2, ratings=ratings, chat=chat, on_progress=on_progress)


def _source_file(source: str) -> str:
    if is_live(source):
        raise ConfigError(
            f"{source}: is a stream that clips cannot be cut from. Give the address of an HLS playlist (.m3u8), or "
            "record it to a file first"
        )
    return source


def _manager(database: str | Path | ClipManager | None, stack: ExitStack) -> ClipManager | None:
    if database is None or not isinstance(database, (str, Path)):
        return database
    from cliplab.clips import ClipManager

    return stack.enter_context(ClipManager(database))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be created ({error.strerror}). Give another folder with --output"
        ) from None


def _one(source: str, candidate: Candidate, target: Path, dry_run: bool, offset: float = 0.0) -> GeneratedClip:
    """Cut one clip and its picture, or keep what is there; what is wrong with it does not end the others."""
    found = GeneratedClip(str(target), candidate.start, candidate.end, candidate.kind, candidate.score)
    found = replace(found, state="kept" if target.exists() else "planned" if dry_run else "made")
    if dry_run:
        return found
    try:
        if found.state == "made":
            found = replace(
                found, notes=tuple(cut_clip(source, candidate.start - offset, candidate.end - offset, target))
            )
        if target.suffix == ".mp4":
            found = replace(found, thumbnail=str(write_thumbnail(target, candidate.peak - candidate.start)))
    except StorageError:  # the next one would fail as well
        raise
    except AdapterError as error:
        return replace(found, state="failed", error=str(error))
    except Exception as error:
        return replace(found, state="failed", error=describe_failure(target, error))
    return found


def write_thumbnail(clip: Path, seconds: float) -> Path:
    """Write the picture of a clip beside it; one that is there stays.

    Args:
        clip: The clip's file.
        seconds: The moment, from its beginning.

    Returns:
        The picture's file.
    """
    import cv2

    target = clip.with_suffix(".jpg")
    if target.exists():
        return target
    with open_video(clip) as video:
        length = video.info.duration_seconds or 0.0
        moment = min(max(seconds, 0.0), max(length - 0.1, 0.0))
        _, picture = next(iter(video.frames(start_seconds=moment)))
    height, width = picture.shape[:2]
    if height > _THUMBNAIL_HEIGHT:
        size = (max(round(width * _THUMBNAIL_HEIGHT / height), 1), _THUMBNAIL_HEIGHT)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    stored, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if stored:
        write_bytes_atomic(target, data.tobytes())
    return target


def _enter(
    manager: ClipManager,
    made: GeneratedClip,
    candidate: Candidate,
    model: str | None,
    source: str,
    fingerprint: str | None,
    kept: tuple[float, float],
) -> GeneratedClip:
    """Enter a clip in the database with where it is from, so that it can be extended both ways later."""
    from cliplab.clips import clip_features

    path = str(Path(made.path).absolute())
    known = manager.find_clip(path, candidate.start, candidate.end) if made.state == "kept" else None
    if known is not None:
        return replace(made, clip_id=known.id)
    features = candidate_features(candidate)
    notes = list(made.notes)
    try:
        features |= clip_features(path)
    except MissingExtraError as error:
        notes.append(f"its features are not measured, since {error.package} is not installed")
    except MediaError as error:
        notes.append(f"its features could not be measured ({error})")
    clip_id = manager.register_clip(
        path,
        candidate.start,
        candidate.end,
        candidate.score,
        candidate.kind,
        features,
        source,
        fingerprint=fingerprint,
        source_start=kept[0],
        source_end=kept[1],
        model_version=model,
    )
    return replace(made, clip_id=clip_id, notes=tuple(notes))
