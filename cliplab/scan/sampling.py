"""Which moments of each video a scan scores, and the scores of many rows as one of the video and its best windows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, MediaError
from adapters.records import Clip, Float32Array, Float64Array, InputSpec

if TYPE_CHECKING:
    from adapters.media import Video

DEFAULT_FPS = 1.0
# Of each video this many windows are listed at most.
BEST_WINDOWS = 3


@dataclass(frozen=True)
class Sampling:
    """Which moments of a video are scored.

    Attributes:
        mode: "fps" for the frame shown every 1 / fps seconds, "keyframes" for key frames only, "frames" for a number of
            frames evenly over the video, "clips" for the windows of a model of clips.
        fps: Frames per second; with "keyframes", at most this many.
        frames: With "frames": how many.
        window_seconds: With "clips": length of a window; None for both is one clip of the whole video.
        stride_seconds: With "clips": seconds from one window's start to the next.
        tolerance_seconds: Most seconds between a moment and the frame that is scored for it; None: 0. See
            ``InputSpec.sampling_tolerance_seconds``.
    """

    mode: Literal["fps", "keyframes", "frames", "clips"]
    fps: float | None = None
    frames: int | None = None
    window_seconds: float | None = None
    stride_seconds: float | None = None
    tolerance_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The attributes that are set, as a JSON object."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def choose_sampling(
    adapter: BaseModelAdapter, sample_fps: float | None, keyframes: bool, frames: int | None
) -> Sampling:
    """The sampling that the options ask for.

    Args:
        adapter: The model.
        sample_fps: For a model of frames: frames per second; None is 1.
        keyframes: For a model of frames: key frames only.
        frames: For a model of frames: how many frames of each video.

    Raises:
        ConfigError: The options contradict each other or the model.
    """
    if sample_fps is not None and not 0 < sample_fps < math.inf:
        raise ConfigError(f"sample_fps is {sample_fps!r} and must be frames per second, above 0")
    if frames is not None and not (isinstance(frames, int) and frames >= 1):
        raise ConfigError(f"frames is {frames!r} and must be a whole number of at least 1")
    if frames is not None and (keyframes or sample_fps is not None):
        other = "keyframes" if keyframes else "sample_fps"
        raise ConfigError(f"frames and {other} are two ways to choose frames. Give only one of them")
    tolerance = adapter.input_spec.sampling_tolerance_seconds or None
    if adapter.scores_frames:
        if frames is not None:
            return Sampling("frames", frames=frames, tolerance_seconds=tolerance)
        if keyframes:
            return Sampling("keyframes", fps=sample_fps or DEFAULT_FPS)
        return Sampling("fps", fps=sample_fps or DEFAULT_FPS, tolerance_seconds=tolerance)
    if keyframes or sample_fps is not None or frames is not None:
        raise ConfigError(
            "sample_fps, keyframes and frames choose single frames, but this model uses clips of "
            f"{adapter.input_spec.n_frames} frames. Remove them: the model's config decides which frames"
        )
    return _clip_sampling(adapter)


def _clip_sampling(adapter: BaseModelAdapter) -> Sampling:
    """The config's windows, or windows as long as the model's n_frames at its rate, one after the other."""
    spec = adapter.input_spec
    window, stride = spec.window_seconds, spec.stride_seconds
    fps = adapter.fps
    if window is None and stride is None and fps is not None:
        stride = spec.n_frames / fps
        window = stride if spec.sampling == "spread" else None
    tolerance = spec.sampling_tolerance_seconds or None
    return Sampling("clips", window_seconds=window, stride_seconds=stride, tolerance_seconds=tolerance)


def read_rows(video: Video, spec: InputSpec, sampling: Sampling) -> Iterator[Clip]:
    """What is to be scored of a video.

    Args:
        video: The open video.
        spec: The model's input.
        sampling: Which moments are scored.

    Returns:
        An iterator over clips in order of time, one per row of scores.

    Raises:
        MediaError: The sampling needs the video's duration, which is unknown.
    """
    spec = replace(spec, sampling_tolerance_seconds=sampling.tolerance_seconds or 0.0)
    one = replace(spec, n_frames=1, window_seconds=None, stride_seconds=None, parts=())
    if sampling.mode == "clips":
        return video.clips(spec.with_windows(sampling.window_seconds, sampling.stride_seconds))
    if sampling.mode == "frames":
        duration = video.info.duration_seconds
        if duration is None or sampling.frames is None:
            raise MediaError(f"{video.info.path}: its duration is unknown. Scan it with sample_fps or keyframes.")
        part = duration / sampling.frames
        return video.clips(replace(one, sampling="spread", window_seconds=part, stride_seconds=part))
    assert sampling.fps is not None
    if sampling.mode == "keyframes":
        return video.key_frames(one, 1 / sampling.fps)
    return video.clips(replace(one, sampling="rate", fps=sampling.fps, stride_seconds=1 / sampling.fps))


def best_windows(
    spans: Float64Array, scores: Float32Array, window_seconds: float, most: int = BEST_WINDOWS
) -> list[tuple[float, float, float]]:
    """The stretches of a video with the highest mean score, best first, without overlap.

    Each moment has the score of the row whose middle is nearest. The mean over a sliding window has its maxima where
    one end of the window is at a border between rows, so only these positions are compared; of equal ones the earliest
    is taken.

    Args:
        spans: float64 [N, 2], start and end of each row in seconds, in order of time.
        scores: float32 [N] in 0..1.
        window_seconds: Length of a window; a shorter video is one window.
        most: Maximum number of windows to return.

    Returns:
        (start, end, score) of each window, in seconds and 0..1.
    """
    middles = spans.mean(axis=1)
    edges = np.concatenate([[spans[0, 0]], (middles[1:] + middles[:-1]) / 2, [spans[:, 1].max()]])
    length = min(window_seconds, edges[-1] - edges[0])
    if length <= 0:
        return [(float(edges[0]), float(edges[-1]), float(scores[0]))]
    sums = np.concatenate([[0.0], np.cumsum(np.diff(edges) * scores.astype(np.float64))])
    starts = np.unique(np.clip(np.concatenate([edges, edges - length]), edges[0], edges[-1] - length))
    means = (np.interp(starts + length, edges, sums) - np.interp(starts, edges, sums)) / length
    found: list[tuple[float, float, float]] = []
    # Rounded, so that of stretches that are equal but for the last bits the earliest is first.
    for place in np.argsort(-np.round(means, 9), kind="stable"):
        start, end = float(starts[place]), float(starts[place] + length)
        if all(end <= other[0] + 1e-9 or start >= other[1] - 1e-9 for other in found):
            found.append((start, end, float(means[place])))
            if len(found) == most:
                break
    return found
