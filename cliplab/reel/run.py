"""A library's highlights to one video: choose the best windows, bring them to one format, join them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.config import OBJECTIVES
from adapters.errors import ConfigError, DatasetError, describe_failure
from adapters.inference import MinScore, map_ahead, parse_min_score
from adapters.litert import available_cores
from adapters.system import write_bytes_atomic
from cliplab.outputs import require_new
from cliplab.reel.export import check_export, cut_list, export_path
from cliplab.reel.listing import read_listing
from cliplab.reel.pictures import SourceFailed
from cliplab.reel.plan import (
    TRANSITION_SECONDS,
    PlacedClip,
    ReelFormat,
    ReelLimits,
    check_options,
    choose_clips,
    common_format,
    place_clips,
)
from cliplab.reel.render import render
from cliplab.reel.sound import require_sound
from cliplab.reel.sources import SkippedSource, SourceClip, inspect_source, require_whole

# Receives the name of the present stage, the amount done, and the total.
OnReelProgress = Callable[[str, float, float], None]
# Sources inspected at the same time. Inspecting more is wasted work if the reel is full before they are needed.
_MOST_TOGETHER = 8


@dataclass(frozen=True)
class ReelReport:
    """The content of a reel.

    Attributes:
        output: The MP4.
        written: False for a dry run.
        format: Size and rate of the reel.
        timeline: The clips in the order of the reel.
        skipped: Sources that were passed over on the way to these clips.
        notes: Sound that could not be decoded, scores that the scan did not write, what the cut list cannot express.
        cut_list: The exported file; None where none was written.
    """

    output: str
    written: bool
    format: ReelFormat
    timeline: tuple[PlacedClip, ...]
    skipped: tuple[SkippedSource, ...]
    notes: tuple[str, ...]
    cut_list: str | None

    @property
    def seconds(self) -> float:
        """Length of the reel in seconds."""
        return float((self.timeline[-1].first + self.timeline[-1].frames) / self.format.fps)

    @property
    def failed(self) -> int:
        """Sources that were missing, changed or damaged."""
        return sum(source.failed for source in self.skipped)

    def to_json(self) -> dict[str, Any]:
        """A JSON object. Times are in seconds: "at" of the reel, "start" and "end" of the source."""
        fps = self.format.fps
        clips = [
            {"at": round(float(placed.first / fps), 3), "crossfade": round(float(placed.overlap / fps), 3)}
            | placed.clip.to_json()
            for placed in self.timeline
        ]
        return {
            "output": self.output,
            "written": self.written,
            **self.format.to_json(),
            "seconds": round(self.seconds, 3),
            "clips": clips,
            "set_aside": [source.to_json() for source in self.skipped],
            "notes": list(self.notes),
            "cut_list": self.cut_list,
        }


def reel(
    highlights: str | Path,
    output: str | Path,
    *,
    top: int = 50,
    min_score: MinScore | None = None,
    label: str | None = None,
    duration: float | None = None,
    transitions: bool = False,
    per_clip_seconds: float | None = None,
    order: str = "score",
    audio: str = "keep",
    export: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    on_progress: OnReelProgress | None = None,
) -> ReelReport:
    """Join the best window of each of the best videos of a scan into one MP4 (H.264, AAC) that a browser plays.

    A source that is missing, changed since the scan, or damaged in its window is skipped, and the next best takes its
    place.

    Args:
        highlights: The highlights.json of :func:`cliplab.scan.scan`, or the candidates of ``cliplab detect -o``, whose
            windows are all of one video.
        output: The MP4 to write.
        top: Maximum number of clips.
        min_score: Least score, 0..1, of a video; or "best" for the threshold that training chose for the scan's model,
            which the scan wrote down. None: 0.85 of a scan, and 0 of candidates.
        label: Whose score counts, of a scan or detection with several prompts; None for the best of them.
        duration: Maximum length in seconds; None is no limit.
        transitions: Crossfade clips for half a second.
        per_clip_seconds: Longer windows are cut to this length, around their middle.
        order: "score" for best first, or "time" as recorded.
        audio: "keep" for the clips' own sound, "none", or a file whose sound is laid under the pictures.
        export: "otio", "edl" or "fcpxml": also write a cut list for an editor, beside the output.
        dry_run: Choose the clips and write nothing.
        force: Replace output if it exists.
        on_progress: Called with the stage's name, how much of it is done, and how much there is.

    Returns:
        The clips, the skipped sources, and notes.

    Raises:
        ConfigError: An option is wrong.
        DatasetError: The highlights are not those of a scan, or none of them can be shown.
        MediaError: The audio file has no sound that can be decoded.
        StorageError: The output exists, or cannot be written.
        MissingExtraError: The package for the export is not installed.
    """
    source, target = Path(highlights), Path(output)
    check_options(top, 0.0 if min_score is None else min_score, duration, per_clip_seconds, order)
    check_export(export)
    listing = read_listing(source, label)
    return reel_of(
        listing,
        target,
        source=source,
        top=top,
        min_score=listing["usual_min_score"] if min_score is None else min_score,
        duration=duration,
        transitions=transitions,
        per_clip_seconds=per_clip_seconds,
        order=order,
        audio=audio,
        export=export,
        dry_run=dry_run,
        force=force,
        on_progress=on_progress,
    )


def reel_of(
    scan: dict[str, Any],
    target: Path,
    *,
    source: Path,
    top: int = 50,
    min_score: MinScore = 0.0,
    duration: float | None = None,
    transitions: bool = False,
    per_clip_seconds: float | None = None,
    order: str = "score",
    audio: str = "keep",
    export: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    on_progress: OnReelProgress | None = None,
) -> ReelReport:
    """Join windows into one MP4, as ``reel`` does.

    Args:
        scan: Of ``read_listing`` or ``listing_of``.
        target: The MP4 to write.
        source: What messages call the listing, and when it was written.
        top: As for ``reel``.
        min_score: As for ``reel``.
        duration: As for ``reel``.
        transitions: As for ``reel``.
        per_clip_seconds: As for ``reel``.
        order: As for ``reel``.
        audio: As for ``reel``.
        export: As for ``reel``.
        dry_run: As for ``reel``.
        force: As for ``reel``.
        on_progress: As for ``reel``.

    Returns:
        As ``reel``.
    """
    least = _min_score_of(source, scan, min_score)
    _check_output(target, scan, audio, force or dry_run)
    list_path = export_path(target, export)
    require_new(list_path, force or dry_run)
    _check_audio(audio)
    rows = _rows_above(source, scan, least)
    report_progress = on_progress or (lambda stage, done, total: None)
    limits = ReelLimits(top, duration, TRANSITION_SECONDS if transitions else 0.0, scan.get("listed", False))
    written_at = os.stat(source).st_mtime if source.is_file() else time.time()
    candidates = _Candidates(rows, per_clip_seconds, written_at, min(top, len(rows)), report_progress)
    while True:
        skipped: list[SkippedSource] = []
        chosen = choose_clips(candidates.best_first(), limits, skipped)
        if not chosen:
            raise DatasetError(f"{source}: none of its {len(rows)} videos can be shown. {skipped[0].reason}")
        reel_format = common_format(chosen)
        ordered = sorted(chosen, key=lambda clip: clip.shot_at) if order == "time" else chosen
        timeline = place_clips(ordered, reel_format, limits)
        notes = _scan_notes(scan, least)
        edit_list = cut_list(timeline, reel_format, target.stem, export, audio == "keep", notes) if export else b""
        if not dry_run:
            try:
                notes += render(
                    timeline, reel_format, target, audio, lambda done, total: report_progress("rendering", done, total)
                )
            except SourceFailed as failure:
                # Rendering revealed the damage: render again with the next best clip instead.
                candidates.mark_failed(failure)
                continue
            if list_path is not None:
                write_bytes_atomic(list_path, edit_list)
        written = None if dry_run or list_path is None else str(list_path)
        return ReelReport(str(target), not dry_run, reel_format, tuple(timeline), tuple(skipped), tuple(notes), written)


class _Candidates:
    """The videos of a scan, best first, each inspected once, some ahead in threads."""

    def __init__(
        self,
        rows: list[dict[str, Any]],
        per_clip_seconds: float | None,
        scanned_at: float,
        expected: int,
        on_progress: OnReelProgress,
    ) -> None:
        self._rows, self._per_clip, self._scanned_at = rows, per_clip_seconds, scanned_at
        self._expected, self._on_progress = expected, on_progress
        cores = available_cores()
        self._together = max(1, min(cores, _MOST_TOGETHER, len(rows)))
        # Several decoders of one thread cost less than one decoder of several.
        self._decoder_threads = max(1, cores // self._together)
        self._known: dict[int, SourceClip | SkippedSource] = {}
        self._whole: set[int] | None = None  # what was decoded from end to end; None: nothing needs to be

    def best_first(self) -> Iterator[SourceClip | SkippedSource]:
        """The clip of each row, or why it is skipped; inspected only when asked for, or a few ahead."""
        threads = self._together
        unknown = [number for number in range(len(self._rows)) if number not in self._known]
        waiting = set(unknown)
        with closing(map_ahead(unknown, self._inspect, threads=threads, ahead=threads, name="reel-look")) as inspected:
            for number in range(len(self._rows)):
                if number in waiting:
                    self._on_progress("looking at sources", number, max(self._expected, number))
                    next(inspected)
                found = self._known[number]
                if self._whole is not None and number not in self._whole and isinstance(found, SourceClip):
                    self._on_progress("checking sources", number, max(self._expected, number))
                    self._known[number] = found = self._checked(found)
                    self._whole.add(number)
                yield found

    def mark_failed(self, failure: SourceFailed) -> None:
        """Skip a source whose rendering failed. As each such failure costs a rendering, others are decoded first."""
        bad = failure.clip
        for number, found in list(self._known.items()):  # copy: other threads add sources
            # A clip may have been shortened since it was inspected.
            if isinstance(found, SourceClip) and found.path == bad.path and found.start <= bad.start < found.end:
                self._known[number] = SkippedSource(bad.path, failure.reason, True)
        self._whole = self._whole or set()

    def _inspect(self, number: int) -> None:
        # Store the result immediately, so that the next attempt does not inspect the source again.
        row = self._rows[number]
        path = str(row["path"])
        try:
            found = inspect_source(row, self._per_clip, self._scanned_at, self._decoder_threads)
        except Exception as error:
            self._known[number] = SkippedSource(path, describe_failure(row["path"], error), True)
        else:
            self._known[number] = found

    def _checked(self, clip: SourceClip) -> SourceClip | SkippedSource:
        try:
            require_whole(clip)
        except Exception as error:
            return SkippedSource(clip.path, describe_failure(clip.path, error), True)
        return clip


def _min_score_of(source: Path, scan: dict[str, Any], min_score: MinScore) -> float:
    score = parse_min_score(min_score)
    if score is None and "best_min_score" not in scan:
        raise ConfigError(
            f"{source}: --min-score is best, but the scan's model has no chosen threshold for {scan['label']!r}. Train "
            f"it with --optimize ({', '.join(OBJECTIVES)}) and scan again, or give a score in 0..1"
        )
    return float(scan["best_min_score"]) if score is None else score


def _rows_above(source: Path, scan: dict[str, Any], min_score: float) -> list[dict[str, Any]]:
    rows = scan["highlights"]
    if not rows:
        raise DatasetError(
            f"{source}: contains no highlight. Scan with a lower --min-score than {scan['min_score']:g}."
        )
    good = [row for row in rows if row["score"] >= min_score]
    if not good:
        raise DatasetError(
            f"{source}: no video has a score of at least {min_score:g}; the highest is {rows[0]['score']:g}. "
            "Give a lower --min-score."
        )
    return good


def _scan_notes(scan: dict[str, Any], min_score: float) -> list[str]:
    if min_score >= scan["min_score"]:
        return []
    return [
        f"the scan wrote only videos with a score of at least {scan['min_score']:g}; scan again with --min-score "
        f"{min_score:g} for the others, which decodes nothing again"
    ]


def _check_output(target: Path, scan: dict[str, Any], audio: str, replace: bool) -> None:
    if target.suffix.lower() != ".mp4":
        raise ConfigError(f"{target}: a reel is an MP4. Use a name that ends in .mp4")
    if target.is_dir():
        raise ConfigError(f"{target}: is a folder. Give a file in it")
    require_new(target, replace)
    # The sources are read while the reel is written, and --force must never overwrite the user's footage.
    if target.exists():
        used = next((path for path in _sources(scan, audio) if _is_same(target, path)), None)
        if used is not None:
            raise ConfigError(f"{target}: is one of the videos that the reel is made from. Use another file")


def _sources(scan: dict[str, Any], audio: str) -> Iterator[str]:
    yield audio
    yield from (str(row["path"]) for row in scan["highlights"])


def _is_same(target: Path, path: str) -> bool:
    try:
        return os.path.samefile(target, path)
    except (OSError, ValueError):
        return False


def _check_audio(audio: str) -> None:
    if audio in ("keep", "none"):
        return
    if not os.path.isfile(audio):
        raise ConfigError(f"--audio must be keep, none or a file with sound, got {audio!r}, which is not a file")
    require_sound(audio)
