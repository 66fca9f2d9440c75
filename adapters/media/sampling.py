"""Which moments of a video a model sees: pure arithmetic on seconds, no decoding.

The rules, for a range ``[s, e)`` in seconds since the first frame:

* The frame at time t is the one being shown then: the last whose timestamp is at or before t.
* ``spread``: n_frames moments at the centres of n_frames equal parts, ``s + (i + 0.5) * (e - s) / n_frames``.
* ``rate``: ``s + i / fps`` for i in 0..n_frames-1; a window lasts ``n_frames / fps``.
* ``every``: ``s + i / fps`` for every i that lies inside the window. Without windows the range is cut into pieces of
  n_frames moments, the last one shorter, so that memory stays the same however long a video is; a piece is never filled
  up. One clip of a range, as in training, has n_frames moments like ``spread``.
* Where several models share a decoding (``parts`` of the spec) a window has the moments of all of them.
* Windows begin at ``s, s + stride, ...`` as long as they fit. What then remains of the range becomes one last window,
  which ends at e: it begins at the next place of the grid where that leaves at least half a window, otherwise it is a
  whole window moved back to end at e. So with a stride of at most a window every moment of the range is in a window.
  A range shorter than a window is one window.
* A window is short where it has fewer moments (``rate``) or fewer frames (``spread``) than n_frames; ``short_clip``
  then says what is done, see :func:`fill_clip`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from adapters.errors import ConfigError, MediaError
from adapters.records import Float64Array, InputSpec

# Two times closer than this are one: far under any frame interval, far over the rounding of float64 seconds.
EPSILON_SECONDS = 1e-6
# The most windows of a video: two days of it with a window every second. The predictions of all of them lie in memory.
MAX_WINDOWS = 200_000


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of a video and the moments to look at.

    Attributes:
        start: In seconds since the first frame.
        end: In the same seconds.
        times: float64 [T], the moments in the same seconds, ascending, ``start <= t < end``.
    """

    start: float
    end: float
    times: Float64Array


def window_seconds(spec: InputSpec) -> float | None:
    """How long a window of this spec lasts, in seconds; None: the whole range (``spread`` without windows).

    Raises:
        ConfigError: With ``rate``, window_seconds differs from n_frames / fps by more than one interval.
    """
    if spec.sampling in ("spread", "every"):
        return spec.window_seconds
    assert spec.fps is not None  # InputSpec requires it
    length = spec.n_frames / spec.fps
    if spec.window_seconds is not None and abs(spec.window_seconds - length) > 1 / spec.fps:
        raise ConfigError(
            f'window_seconds is {spec.window_seconds:g} but sampling "rate" looks at n_frames / fps = '
            f"{spec.n_frames} / {spec.fps:g} = {length:g} seconds. Leave window_seconds out and set stride_seconds, or "
            f'change n_frames or fps, or use sampling "spread".'
        )
    return length


def sample_times(spec: InputSpec, start: float, end: float) -> Float64Array:
    """The moments of one window ``[start, end)``, by the rules at the top of this module.

    Args:
        spec: What the model needs.
        start: In seconds since the first frame.
        end: In the same seconds.

    Returns:
        float64 [T] in seconds, ascending: at least one, and at most n_frames except with ``every``.
    """
    if spec.parts:
        return np.unique(np.concatenate([sample_times(part, start, end) for part in spec.parts]))
    if spec.sampling == "every":
        assert spec.fps is not None
        return start + np.arange(_every_count(spec.fps, end - start)) / spec.fps
    steps = np.arange(spec.n_frames, dtype=np.float64)
    if spec.sampling == "spread":
        return start + (steps + 0.5) * ((end - start) / spec.n_frames)
    assert spec.fps is not None
    times = start + steps / spec.fps
    inside = int(np.searchsorted(times, end - EPSILON_SECONDS))
    return times[: max(inside, 1)]


def one_clip_spec(spec: InputSpec) -> InputSpec:
    """The spec by which one clip of a whole range is sampled, as in training: n_frames of it whatever its length."""
    return replace(spec, sampling="spread") if spec.sampling == "every" else spec


def plan_clip(spec: InputSpec, start: float, end: float) -> Window:
    """One window for the whole range. With ``rate`` it has n_frames at fps from the start, and ends where they end.

    Args:
        spec: What the model needs; windows in it are ignored.
        start: In seconds since the first frame.
        end: In the same seconds.
    """
    spec = one_clip_spec(spec)
    if spec.sampling == "rate":
        assert spec.fps is not None
        end = min(end, start + spec.n_frames / spec.fps)
    return Window(start, end, sample_times(spec, start, end))


def check_window_count(spec: InputSpec, start: float, end: float, source: str, most: int | None = None) -> None:
    """Refuse a range that would be cut into too many windows or pieces.

    Args:
        spec: What the model needs.
        start: In seconds since the first frame.
        end: In the same seconds.
        source: The video, for the message.
        most: Maximum number of windows or pieces; None: ``MAX_WINDOWS`` windows, and any number of pieces.

    Raises:
        MediaError: There are more.
        ConfigError: The windows of the spec contradict each other.
    """
    if spec.window_seconds is None and spec.stride_seconds is None:
        if spec.sampling == "every" and most is not None and spec.fps is not None:
            pieces = math.ceil(_every_count(spec.fps, end - start) / spec.n_frames)
            if pieces > most:
                raise MediaError(
                    f"{source}: {end - start:.2f} s at {spec.fps:g} frames per second make {pieces:,} pieces of "
                    f"{spec.n_frames} frames; at most {most:,} are allowed. Use a shorter video or a lower fps."
                )
        return
    length = window_seconds(spec)
    step = length if spec.stride_seconds is None else spec.stride_seconds
    if length is None or step is None:
        return  # plan_windows says what is wrong
    count = max(1.0, math.floor((end - start - length) / step) + 2.0)
    allowed = MAX_WINDOWS if most is None else most
    if count > allowed:
        raise MediaError(
            f"{source}: {end - start:.2f} s with a window every {step:g} s makes about {count:,.0f} windows; at "
            f"most {allowed:,} are allowed. Use a larger stride_seconds ({(end - start) / allowed:.3g} or more) or a "
            "shorter range."
        )


def plan_windows(spec: InputSpec, start: float, end: float) -> Iterator[Window]:
    """The windows of the range ``[start, end)``, by the rules at the top of this module, planned as they are consumed.

    Args:
        spec: What the model needs.
        start: In seconds since the first frame.
        end: In the same seconds.

    Yields:
        Windows in order. Without window_seconds and stride_seconds it is the one window of :func:`plan_clip`.

    Raises:
        ConfigError: The windows of the spec contradict each other.
    """
    if spec.window_seconds is None and spec.stride_seconds is None:
        yield from _pieces(spec, start, end) if spec.sampling == "every" else [plan_clip(spec, start, end)]
        return
    for window_start, window_end in _spans(start, end, window_seconds(spec), spec.stride_seconds):
        yield Window(window_start, window_end, sample_times(spec, window_start, window_end))


def _every_count(fps: float, seconds: float) -> int:
    """How many moments ``i / fps`` lie in ``[0, seconds)``; the first always does."""
    return max(1, math.ceil((seconds - EPSILON_SECONDS) * fps))


def _pieces(spec: InputSpec, start: float, end: float) -> Iterator[Window]:
    assert spec.fps is not None
    count = _every_count(spec.fps, end - start)
    for first in range(0, count, spec.n_frames):
        last = min(first + spec.n_frames, count)
        times = start + np.arange(first, last) / spec.fps
        yield Window(float(times[0]), end if last == count else start + last / spec.fps, times)


def _spans(start: float, end: float, length: float | None, stride: float | None) -> Iterator[tuple[float, float]]:
    if length is None:
        raise ConfigError(
            f'stride_seconds is {stride} but sampling "spread" has no window_seconds for this stride. Set it too.'
        )
    if end - start <= length + EPSILON_SECONDS:
        yield start, end
        return
    step = length if stride is None else stride
    whole = math.floor((end - start - length + EPSILON_SECONDS) / step) + 1
    for index in range(whole):
        yield start + index * step, start + index * step + length
    covered, following = start + (whole - 1) * step + length, start + whole * step
    if covered >= end - EPSILON_SECONDS or following >= end - EPSILON_SECONDS:
        return
    yield (following, end) if end - following >= length / 2 else (end - length, end)


def merged_moments(windows: Iterator[Window]) -> Iterator[tuple[float, int, Window]]:
    """The moments of windows that may overlap, in order of time.

    Args:
        windows: In order of their start; consumed as they are needed.

    Yields:
        The moment in seconds, the number of its window from 0, and the window.
    """
    heap: list[tuple[float, int, int, Window]] = []
    upcoming, number = next(windows, None), 0
    while heap or upcoming is not None:
        while upcoming is not None and (not heap or upcoming.times[0] <= heap[0][0]):
            heapq.heappush(heap, (float(upcoming.times[0]), number, 0, upcoming))
            upcoming, number = next(windows, None), number + 1
        moment, owner, place, window = heapq.heappop(heap)
        yield moment, owner, window
        if place + 1 < len(window.times):
            heapq.heappush(heap, (float(window.times[place + 1]), owner, place + 1, window))


def fill_clip(
    spec: InputSpec, window: Window, shown: Sequence[float], fps: float | None, source: str
) -> tuple[list[int], Float64Array]:
    """Choose exactly n_frames of the frames that a window showed.

    A ``rate`` window is short when its range ends before n_frames moments. A ``spread`` window is short when the same
    frame was found twice and, by the average rate, the window has fewer than n_frames frames: a still that is shown for
    long in a video with enough frames does not make it short. A short window is filled by ``spec.short_clip``:

    * ``repeat_last``: the last frame continues to be shown. In a ``spread`` window each moment keeps the frame that is
      being shown then, so that frames repeat in their places and time runs evenly.
    * ``wrap``: the distinct frames in order, again from the first; times continue to grow, by the window's length.
    * ``error``: a MediaError.

    A window of ``every``, or of several parts, is never filled: it has as many frames as moments. A part that is short
    and whose spec says ``error`` is an error here too.

    Args:
        spec: What the model needs.
        window: The window.
        shown: When the frame that is shown at each of the window's times began, in seconds, never decreasing; fewer
            than the window has times where the video ended.
        fps: The video's average frames per second; None where unknown.
        source: The video, for messages.

    Returns:
        n_frames indices into ``shown``, and their times: float64 [n_frames] in seconds, never decreasing.

    Raises:
        MediaError: The window is short, and ``spec.short_clip`` is ``error``.
    """
    found = len(shown)
    starts = np.asarray(shown, dtype=np.float64)
    if spec.sampling == "every" or spec.parts:
        for part in spec.parts:
            own = np.intersect1d(sample_times(part, window.start, window.end), window.times[:found])
            if part.short_clip == "error":
                fill_clip(part, window, starts[np.searchsorted(window.times, own)].tolist(), fps, source)
        return list(range(found)), starts
    distinct = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(starts) > 0))]
    expected = math.inf if fps is None else (window.end - window.start) * fps
    sparse = len(distinct) < spec.n_frames and (fps is None or expected < spec.n_frames - 0.5)
    short = found < spec.n_frames or (spec.sampling == "spread" and sparse)
    if not short:
        return list(range(found)), starts
    if spec.short_clip == "error":
        raise MediaError(
            f"{source}: {window.start:.2f}-{window.end:.2f} s has {len(distinct)} frames; {spec.n_frames} "
            f'are required. Use a longer range, lower n_frames, or set short_clip to "repeat_last" or "wrap".'
        )
    if spec.short_clip == "repeat_last":
        indices = [*range(found), *[found - 1] * (spec.n_frames - found)]
        return indices, starts[indices]
    base = list(range(found)) if spec.sampling == "rate" else distinct
    turns = [divmod(i, len(base)) for i in range(spec.n_frames)]
    indices = [base[place] for _, place in turns]
    times = starts[indices] + np.array([turn for turn, _ in turns]) * (window.end - window.start)
    return indices, np.maximum.accumulate(times)
