"""The clips of a reel and their positions: drop near-duplicates, keep to the limits, count in frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from adapters.errors import ConfigError
from adapters.inference import MinScore, parse_min_score
from cliplab.reel.sources import SHORTEST_SECONDS, SkippedSource, SourceClip

TRANSITION_SECONDS = 0.5
# The usual rates; a reel has the one nearest to what most of its clips have.
RATES = tuple(
    Fraction(*rate)
    for rate in (
        (12, 1), (15, 1), (20, 1), (24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1),
        (60000, 1001), (60, 1),
    )
)  # fmt: skip
_LONG_SIDE, _SHORT_SIDE = 1920, 1080


@dataclass(frozen=True)
class ReelLimits:
    """Limits of a reel.

    Attributes:
        top: Maximum number of clips.
        duration: Maximum length in seconds; None is no limit.
        overlap: Length of a crossfade in seconds; 0 for hard cuts.
        keeps_alike: Whether clips that look the same are all kept, as where each was chosen by a person.
    """

    top: int
    duration: float | None
    overlap: float
    keeps_alike: bool = False


@dataclass(frozen=True)
class ReelFormat:
    """Size and rate of a reel.

    Attributes:
        width: Even, in square pixels.
        height: Even, in square pixels.
        fps: Frames per second.
    """

    width: int
    height: int
    fps: Fraction

    def to_json(self) -> dict[str, Any]:
        """Width, height, and the rate rounded to 3 places."""
        return {"width": self.width, "height": self.height, "fps": round(float(self.fps), 3)}


@dataclass(frozen=True)
class PlacedClip:
    """A clip and its position in the reel, in frames of the reel.

    Attributes:
        clip: The stretch of a source.
        first: Its first frame.
        frames: How many frames it has.
        overlap: How many of them it shares with the clip before.
    """

    clip: SourceClip
    first: int
    frames: int
    overlap: int


def choose_clips(
    candidates: Iterable[SourceClip | SkippedSource], limits: ReelLimits, skipped: list[SkippedSource]
) -> list[SourceClip]:
    """The best clips that look different, best first; the last one is shortened to the duration.

    Args:
        candidates: Best first; only as many are pulled as are needed.
        limits: How many clips and seconds.
        skipped: The sources that were passed over are appended to it.
    """
    chosen: list[SourceClip] = []
    total = 0.0
    for clip in candidates:
        if isinstance(clip, SkippedSource):
            skipped.append(clip)
            continue
        twin = None if limits.keeps_alike else next((other for other in chosen if _is_twin(clip, other)), None)
        if twin is not None:
            skipped.append(SkippedSource(clip.path, f"looks the same as {twin.path}", False))
            continue
        shared = min(limits.overlap, clip.seconds / 2, chosen[-1].seconds / 2) if chosen else 0.0
        if limits.duration is not None:
            left = limits.duration - total + shared
            if left < min(1.0, clip.seconds, limits.duration):
                break  # too little of it would be seen
            if clip.seconds > left:
                middle = (clip.start + clip.end) / 2
                clip = replace(clip, start=middle - left / 2, end=middle + left / 2)
        total += clip.seconds - shared
        chosen.append(clip)
        if len(chosen) == limits.top or (limits.duration is not None and total >= limits.duration - 1e-6):
            break
    return chosen


def _is_twin(clip: SourceClip, other: SourceClip) -> bool:
    """Whether both are the same footage. What a fixed camera shows at other times of one recording is not."""
    if clip.path == other.path:
        return clip.start < other.end and other.start < clip.end
    return clip.perceptual_hash.matches(other.perceptual_hash)


def common_format(clips: Sequence[SourceClip]) -> ReelFormat:
    """The size and rate that most clips have (the first of equals), at most 1920x1080 or 1080x1920, 60 per second.

    Args:
        clips: At least one clip.
    """
    width, height = Counter((clip.width, clip.height) for clip in clips).most_common(1)[0][0]
    box = (_LONG_SIDE, _SHORT_SIDE) if width >= height else (_SHORT_SIDE, _LONG_SIDE)
    scale = min(1.0, box[0] / width, box[1] / height)
    even = [max(16, round(side * scale / 2) * 2) for side in (width, height)]
    fps = Counter(min(RATES, key=lambda rate: abs(float(rate) - clip.fps)) for clip in clips).most_common(1)[0][0]
    return ReelFormat(even[0], even[1], fps)


def place_clips(clips: Sequence[SourceClip], reel_format: ReelFormat, limits: ReelLimits) -> list[PlacedClip]:
    """Positions in whole frames, so that pictures and sound are counted on one scale and cannot drift apart.

    Args:
        clips: In the order of the reel, at least one.
        reel_format: Size and rate of the reel.
        limits: Its overlap and duration.
    """
    timeline: list[PlacedClip] = []
    for clip in clips:
        frames = max(1, round(clip.seconds * reel_format.fps))
        overlap = 0
        if limits.overlap and timeline:
            # No more than half of either clip: a clip in the middle has two of them.
            overlap = min(round(limits.overlap * reel_format.fps), frames // 2, timeline[-1].frames // 2)
        first = timeline[-1].first + timeline[-1].frames - overlap if timeline else 0
        timeline.append(PlacedClip(clip, first, frames, overlap))
    if limits.duration is not None:
        # Rounded to frames, many clips may come out a little longer than asked; the last gives that up.
        last = timeline[-1]
        over = last.first + last.frames - math.floor(limits.duration * reel_format.fps + 1e-6)
        if over > 0:
            timeline[-1] = replace(last, frames=max(last.frames - over, last.overlap + 1))
    return timeline


def check_options(top: int, min_score: MinScore, duration: float | None, per_clip: float | None, order: str) -> None:
    """Check the options of ``reel``.

    Args:
        top: Maximum number of clips.
        min_score: Least score, or "best".
        duration: Maximum length in seconds.
        per_clip: Maximum length of one clip, in seconds.
        order: "score" or "time".

    Raises:
        ConfigError: A number or word is not allowed.
    """
    if top < 1:
        raise ConfigError(f"--top must be at least 1, got {top}")
    parse_min_score(min_score)
    for name, value in (("--duration", duration), ("--per-clip-seconds", per_clip)):
        if value is not None and not SHORTEST_SECONDS <= value < 1e6:
            raise ConfigError(f"{name} must be at least {SHORTEST_SECONDS:g} seconds, got {value:g}")
    if order not in ("score", "time"):
        raise ConfigError(f"--order must be score or time, got {order!r}")
