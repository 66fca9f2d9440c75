"""A library's highlights to one video: choose the best windows, bring them to one format, join them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, DatasetError, MediaError
from adapters.system import write_bytes_atomic
from cliplab.library import read_highlights
from cliplab.outputs import require_new
from cliplab.reel.export import check_export, cut_list, export_path
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

# What is done at present, how much of it, and of how much.
OnReelProgress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class ReelReport:
    """What a reel is made of. written: False for a dry run. skipped: passed over on the way to the clips in it.

    notes: sound that could not be had, scores that the scan did not write. cut_list: the exported file.
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
        return float((self.timeline[-1].first + self.timeline[-1].frames) / self.format.fps)

    @property
    def failed(self) -> int:
        """Sources that were missing, changed or damaged."""
        return sum(source.failed for source in self.skipped)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times in seconds, ``at`` of the reel, ``start`` and ``end`` of the source."""
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
    min_score: float = 0.85,
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

    highlights: highlights.json of :func:`cliplab.scan.scan`. top: at most so many clips, of videos scored at least
    min_score (0..1); duration: at most so many seconds. transitions: crossfades of half a second. per_clip_seconds:
    longer windows are cut to this, around their middle. order: "score", best first, or "time", as recorded. audio:
    "keep", "none", or a file to lay under the pictures. export: "otio", "edl" or "fcpxml", a cut list for an editor
    beside the output.

    A source that is missing, changed since the scan, or damaged in its window is set aside, and the next best takes its
    place. Raises ConfigError for options, DatasetError for highlights of which no reel can be made, MediaError for an
    audio file without sound, StorageError for the output, MissingExtraError for an export whose package is not there.
    """
    source, target = Path(highlights), Path(output)
    check_options(top, min_score, duration, per_clip_seconds, order)
    check_export(export)
    scan = read_highlights(source)
    _check_output(target, scan, audio, force or dry_run)
    list_path = export_path(target, export)
    require_new(list_path, force or dry_run)
    _check_audio(audio)
    rows = _rows_above(source, scan, min_score)
    report_progress = on_progress or (lambda stage, done, total: None)
    limits = ReelLimits(top, duration, TRANSITION_SECONDS if transitions else 0.0)
    candidates = _Candidates(rows, per_clip_seconds, os.stat(source).st_mtime, min(top, len(rows)), report_progress)
    while True:
        skipped: list[SkippedSource] = []
        chosen = choose_clips(candidates.best_first(), limits, skipped)
        if not chosen:
            raise DatasetError(f"{source}: none of its {len(rows)} videos can be shown. {skipped[0].reason}")
        reel_format = common_format(chosen)
        ordered = sorted(chosen, key=lambda clip: clip.shot_at) if order == "time" else chosen
        timeline = place_clips(ordered, reel_format, limits)
        notes = _scan_notes(scan, min_score)
        edit_list = cut_list(timeline, reel_format, target.stem, export, audio == "keep", notes) if export else b""
        if not dry_run:
            try:
                notes += render(
                    timeline, reel_format, target, audio, lambda done, total: report_progress("rendering", done, total)
                )
            except SourceFailed as failure:
                # Only known now: once more, with the next best in its place.
                candidates.mark_failed(failure)
                continue
            if list_path is not None:
                write_bytes_atomic(list_path, edit_list)
        written = None if dry_run or list_path is None else str(list_path)
        return ReelReport(str(target), not dry_run, reel_format, tuple(timeline), tuple(skipped), tuple(notes), written)


class _Candidates:
    """The videos of a scan, best first, each looked at once."""

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
        self._known: dict[str, SourceClip | SkippedSource] = {}
        self._whole: set[str] | None = None  # what was decoded from end to end; None: nothing needs to be

    def best_first(self) -> Iterator[SourceClip | SkippedSource]:
        """As many as are asked for and no more."""
        for number, row in enumerate(self._rows):
            path = str(row["path"])
            if path not in self._known:
                self._on_progress("looking at sources", number, max(self._expected, number))
                self._known[path] = self._inspect(row)
            found = self._known[path]
            if self._whole is not None and path not in self._whole and isinstance(found, SourceClip):
                self._on_progress("checking sources", number, max(self._expected, number))
                self._known[path] = found = self._checked(found)
                self._whole.add(path)
            yield found

    def mark_failed(self, failure: SourceFailed) -> None:
        """One that failed while it was rendered. Each such costs a rendering, so the others are decoded first now."""
        self._known[failure.clip.path] = SkippedSource(failure.clip.path, failure.reason, True)
        self._whole = self._whole or set()

    def _inspect(self, row: dict[str, Any]) -> SourceClip | SkippedSource:
        try:
            return inspect_source(row, self._per_clip, self._scanned_at)
        except (MediaError, OSError) as error:
            return SkippedSource(str(row["path"]), str(error), True)

    def _checked(self, clip: SourceClip) -> SourceClip | SkippedSource:
        try:
            require_whole(clip)
        except (MediaError, OSError) as error:
            return SkippedSource(clip.path, str(error), True)
        return clip


def _rows_above(source: Path, scan: dict[str, Any], min_score: float) -> list[dict[str, Any]]:
    rows = scan["highlights"]
    if not rows:
        raise DatasetError(f"{source}: holds no highlight. Scan with a lower --min-score than {scan['min_score']:g}.")
    good = [row for row in rows if row["score"] >= min_score]
    if not good:
        raise DatasetError(
            f"{source}: no video has a score of at least {min_score:g}; the best has {rows[0]['score']:g}. "
            "Give a lower --min-score."
        )
    return good


def _scan_notes(scan: dict[str, Any], min_score: float) -> list[str]:
    if min_score >= scan["min_score"]:
        return []
    return [
        f"the scan wrote only videos with a score of at least {scan['min_score']:g}; scan again with --min-score "
        f"{min_score:g} for the others, which decodes nothing anew"
    ]


def _check_output(target: Path, scan: dict[str, Any], audio: str, replace: bool) -> None:
    if target.suffix.lower() != ".mp4":
        raise ConfigError(f"{target}: a reel is an MP4. Name a file that ends in .mp4")
    if target.is_dir():
        raise ConfigError(f"{target}: is a folder. Name a file in it")
    require_new(target, replace)
    # A reel goes through what it is made of while it is written, and --force must not cost anybody's footage.
    if target.exists():
        used = next((path for path in _sources(scan, audio) if _is_same(target, path)), None)
        if used is not None:
            raise ConfigError(f"{target}: is one of the videos that the reel is made of. Name another file")


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
        raise ConfigError(f"--audio must be keep, none or a file with sound, got {audio!r}, which is no file")
    require_sound(audio)
