"""`cliplab clips extend`: a clip that gets longer or shorter at either side, from its source or what was kept of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import ConfigError, MediaError, MissingExtraError
from adapters.media import is_live, probe
from adapters.system import file_fingerprint
from cliplab.clips import ClipManager, existing_clips
from cliplab.detect.highlights.candidates import Candidate, Kind, read_report
from cliplab.detect.highlights.cutting_clips import cut_clip
from cliplab.detect.highlights.generating import clip_name, write_thumbnail

if TYPE_CHECKING:
    from cliplab.clips import Clip

_MOST_SECONDS, _LEAST_SECONDS = 600.0, 0.5


@dataclass(frozen=True)
class ExtendedClip:
    """A clip with new edges.

    Attributes:
        clip_id: Its number, which stays.
        path: The new file.
        old_path: The file before, which stays on the disk.
        start: Where it begins in its source, in seconds.
        end: Where it ends there.
        notes: What could not be done, in sentences.
    """

    clip_id: int
    path: str
    old_path: str
    start: float
    end: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "notes": list(self.notes)}


@dataclass(frozen=True)
class _Source:
    """A file that has a clip's surroundings: where it begins in the clip's seconds, and what of them it has."""

    path: str
    offset: float
    start: float
    end: float
    mark: str | None


def clips_extend(
    clip: int,
    before_seconds: float = 0.0,
    after_seconds: float = 0.0,
    database: str | Path = "clips.db",
    dry_run: bool = False,
) -> ExtendedClip:
    """Make a clip longer or shorter at either side.

    Its number, ratings, tags and comparisons stay, and so does the old file.

    Args:
        clip: The clip's number.
        before_seconds: Seconds that are added before it; below 0: taken away. -600 to 600.
        after_seconds: The same after it.
        database: A clip database.
        dry_run: Say what would be cut, and change nothing.

    Returns:
        The clip, whose edges end with its source at the latest; a note says so.

    Raises:
        ConfigError: A number is not allowed, or nothing would change.
        ClipError: There is no such clip.
        MediaError: The source is gone or has changed, and nothing of it was kept.
        StorageError: The clip or the database cannot be written.
    """
    for name, value in (("before_seconds", before_seconds), ("after_seconds", after_seconds)):
        if isinstance(value, bool) or not math.isfinite(value) or abs(value) > _MOST_SECONDS:
            raise ConfigError(f"{name} must be from -{_MOST_SECONDS:g} to {_MOST_SECONDS:g} seconds, got {value!r:.40}")
    with existing_clips(database) as manager:
        known = manager.get_clip(clip)
        source = _find_source(manager, known)
        wanted = known.start_time - before_seconds, known.end_time + after_seconds
        start, end = max(wanted[0], source.start), min(wanted[1], source.end)
        notes = []
        if start > wanted[0] + 0.01 or end < wanted[1] - 0.01:
            notes.append(f"the source has {source.start:.1f} to {source.end:.1f} s for this clip, not more")
        if end - start < _LEAST_SECONDS:
            raise ConfigError(f"clip {clip} would last {end - start:.2f} s; at least {_LEAST_SECONDS:g} s are required")
        if abs(start - known.start_time) < 0.01 and abs(end - known.end_time) < 0.01:
            raise ConfigError(
                f"clip {clip} would not change. {' '.join(notes) or 'Give --before-seconds or --after-seconds'}"
            )
        return _cut(manager, known, source, (start, end), notes, dry_run)


def _cut(
    manager: ClipManager,
    known: Clip,
    source: _Source,
    edges: tuple[float, float],
    notes: list[str],
    dry_run: bool,
) -> ExtendedClip:
    from cliplab.clips import clip_features, move_clip

    start, end = round(edges[0], 3), round(edges[1], 3)
    kind: Kind = "audio" if known.clip_type == "audio" else "video"
    named = Candidate(start, end, (start + end) / 2, kind, "motion", known.score, {}, known.score)
    old = Path(known.filepath)
    target = old.with_name(clip_name(known.source_url or source.path, named, source.mark, old.suffix))
    found = ExtendedClip(known.id, str(target), str(old), start, end, tuple(notes))
    if dry_run:
        return found
    if not target.exists():
        notes += cut_clip(source.path, start - source.offset, end - source.offset, target)
    features: dict[str, Any] = {}
    try:
        features = clip_features(target)
    except MissingExtraError as error:
        notes.append(f"its features are those of before, since {error.package} is not installed")
    if target.suffix == ".mp4":
        write_thumbnail(target, (end - start) / 2)
    move_clip(manager, known.id, target.absolute(), start, end, features)
    return ExtendedClip(known.id, str(target), str(old), start, end, tuple(notes))


def _find_source(manager: ClipManager, known: Clip) -> _Source:
    """The source itself, or what was kept of a stream around the clip."""
    from cliplab.clips import clip_source

    facts, name = clip_source(manager, known.id), known.source_url
    kept = Path(known.filepath).parent / "sources" / f"{Path(known.filepath).stem}.json"
    if kept.is_file():
        report = read_report(kept)
        if report.candidates and Path(report.source).is_file():
            offset = known.start_time - report.candidates[0].start
            mark = Path(known.filepath).stem.rsplit("_", 3)[-3][-8:] if known.filepath.count("_") >= 3 else None
            return _Source(report.source, offset, offset, offset + report.duration_seconds, mark)
    if name is None or is_live(name):
        raise MediaError(
            f"clip {known.id}: its stream has ended, and nothing around it was kept. cliplab generate --keep-around S "
            "keeps S seconds before and after each clip"
        )
    if not Path(name).is_file():
        raise MediaError(f"{name}: the source of clip {known.id} is gone. Put it back, or keep the clip as it is")
    fingerprint = file_fingerprint(Path(name))
    if facts.fingerprint is not None and facts.fingerprint != fingerprint:
        raise MediaError(f"{name}: has changed since clip {known.id} was cut from it. Put the old one back")
    end = probe(name).duration_seconds if facts.end is None else facts.end
    return _Source(name, 0.0, facts.start or 0.0, end or known.end_time, fingerprint)
