"""The sources of a reel: each highlight's video inspected as it is now."""

from __future__ import annotations

import datetime
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import MediaError
from adapters.media import VideoInfo, open_container, open_video
from adapters.records import Float32Array, InputSpec
from cliplab.library import openable, written_at

# A source whose length differs from the scan's by more than this is another video by now. How a length is rounded, or
# guessed where a file does not say it, stays below.
_CHANGED_SECONDS = 0.25
# Two windows are the same footage where, on average over three moments, at most this many of the 64 bits of the
# difference hash differ (of unrelated pictures half of them do) and the colours of an 8x8 grid are this near.
_HASH_BITS, _COLOUR_LEVELS = 8.0, 10.0
SHORTEST_SECONDS = 0.1
# A camera without a clock writes 1904 (the epoch of MP4) or 1970.
_FIRST_YEAR = 1971


@dataclass(frozen=True)
class PerceptualHash:
    """The look of a window at three moments, to recognise the same footage.

    Attributes:
        bits: bool [3, 64], a difference hash of each moment.
        colours: float32 [3, 8, 8, 3], RGB in 0..255 of a grid of 8x8.
    """

    bits: npt.NDArray[np.bool_]
    colours: Float32Array

    def matches(self, other: PerceptualHash) -> bool:
        """Whether both are the same footage, also scaled or encoded again."""
        bits = float(np.mean(np.sum(self.bits != other.bits, axis=1)))
        return bits <= _HASH_BITS and float(np.mean(np.abs(self.colours - other.colours))) <= _COLOUR_LEVELS


@dataclass(frozen=True)
class SourceClip:
    """A stretch of a source; it starts with a frame.

    Attributes:
        path: The source.
        start: Seconds since the source's first frame.
        end: Seconds since the source's first frame.
        score: 0..1.
        width: In pixels, as shown.
        height: In pixels, as shown.
        fps: The source's average rate.
        has_audio: Whether the source has sound.
        duration: Length of the source in seconds.
        origin: The source's time of its first frame, in seconds.
        shot_at: When it was recorded, in seconds since 1970; when it was last written, where the file does not say.
        perceptual_hash: Its look.
    """

    path: str
    start: float
    end: float
    score: float
    width: int
    height: int
    fps: float
    has_audio: bool
    duration: float
    origin: float
    shot_at: float
    perceptual_hash: PerceptualHash = field(repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    def to_json(self) -> dict[str, Any]:
        """Path, score, start and end in seconds."""
        return {"path": self.path, "score": self.score, "start": round(self.start, 3), "end": round(self.end, 3)}


@dataclass(frozen=True)
class SkippedSource:
    """A source that is not in the reel.

    Attributes:
        path: The source.
        reason: Why it is not.
        failed: True if it is missing, changed or damaged; False for a near-duplicate.
    """

    path: str
    reason: str
    failed: bool

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def best_window(row: dict[str, Any], per_clip_seconds: float | None) -> tuple[float, float]:
    """A video's best window, cut around its middle where it is longer than per_clip_seconds.

    Args:
        row: The video in highlights.json.
        per_clip_seconds: Maximum length in seconds; None is no limit.

    Returns:
        Start and end in seconds.
    """
    best = max(row["windows"], key=lambda window: float(window["score"]))
    start, end = float(best["start"]), float(best["end"])
    if per_clip_seconds is not None and end - start > per_clip_seconds:
        start = (start + end - per_clip_seconds) / 2
        end = start + per_clip_seconds
    return start, end


def inspect_source(
    row: dict[str, Any], per_clip_seconds: float | None, scanned_at: float, threads: int | None = None
) -> SourceClip:
    """The best window of a source as it is now.

    Args:
        row: The video in highlights.json.
        per_clip_seconds: Maximum length of the clip, in seconds; None is no limit.
        scanned_at: When highlights.json was written, in seconds since 1970.
        threads: Of the decoder; None: FFmpeg's choice.

    Raises:
        MediaError: The source is missing, cannot be decoded, or was changed since the scan.
    """
    path = str(row["path"])
    with open_video(openable(path), threads=threads) as video:
        info = video.info
        then = row["duration"]  # None of clips that no scan measured
        duration = info.duration_seconds or float(then or 0.0) or float(row["windows"][0]["end"])
        _require_unchanged(path, duration, duration if then is None else float(then), scanned_at)
        start, end = best_window(row, per_clip_seconds)
        end = min(end, duration)
        if end - start < SHORTEST_SECONDS:
            raise MediaError(f"{path}: its best window {start:g} to {end:g} s is too short to show. Scan again.")
        # Three moments, the first of them the frame that is shown at start.
        seen = video.clip(
            InputSpec(height=64, width=64, aspect="stretch", n_frames=3, sampling="rate", fps=2.2 / (end - start)),
            start,
            end,
        )
    rate = info.fps or 25.0
    early = start - float(seen.times[0])
    if 0 < early < 1.5 / rate:  # else it is a still, and starts where it was asked to
        start, end = start - early, end - early
    return SourceClip(
        path, start, end, float(row["score"]), info.width, info.height, rate, info.has_audio, duration,
        info.start_seconds, _shot_at(info), _perceptual_hash(seen.frames),
    )  # fmt: skip


def require_whole(clip: SourceClip) -> None:
    """Decode a clip from start to end.

    Args:
        clip: The clip to check.

    Raises:
        MediaError: It is damaged.
    """
    with open_video(openable(clip.path)) as video:
        frames = video.frames(height=16, width=16, aspect="stretch", start_seconds=clip.start, end_seconds=clip.end)
        next(frames, None)
        before = video.warnings
        for _ in frames:
            pass
        if video.warnings != before:
            raise MediaError(f"{clip.path}: is damaged in its best window: {video.warnings[0]}")


def _require_unchanged(path: str, duration: float, then: float, scanned_at: float) -> None:
    if abs(duration - then) > _CHANGED_SECONDS:
        raise MediaError(
            f"{path}: has changed since the scan: {duration:.2f} s long now, {then:.2f} s then. Scan the library again."
        )
    written = written_at(path)
    # A date in the future is a clock set wrong, and says nothing.
    if scanned_at < written <= time.time():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(written))
        raise MediaError(f"{path}: has changed since the scan: it was written to at {when}. Scan the library again.")


def _shot_at(info: VideoInfo) -> float:
    with open_container(openable(info.path)) as container:
        text = container.metadata.get("creation_time", "")
    try:
        shot = datetime.datetime.fromisoformat(text)
        if shot.year >= _FIRST_YEAR:
            return shot.timestamp()
    except ValueError:
        pass
    return written_at(info.path)


def _perceptual_hash(pictures: npt.NDArray[np.uint8]) -> PerceptualHash:
    """Of uint8 [3, 64, 64, 3] RGB. The difference hash compares each pixel of a 9x8 picture with its left neighbour."""
    import cv2

    bits, colours = [], []
    for picture in pictures:
        gray = np.asarray(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA))
        # More than one level: what noise makes of a plain surface is not an edge.
        bits.append((np.diff(gray.astype(np.int16), axis=1) > 1).reshape(-1))
        colours.append(cv2.resize(picture, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32))
    return PerceptualHash(np.stack(bits), np.stack(colours))
