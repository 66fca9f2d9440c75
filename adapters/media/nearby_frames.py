"""Sparse sampling: which frame may be taken in place of the one that is shown at a moment.

Where moments are at least ``SPARSE_SECONDS`` apart, a moment at which a frame is shown that no other depends on has the
nearest reference frame, if that is within the tolerance; its own time is reported. All other moments, and all of denser
sampling, have the frame that is shown then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from adapters.media.sampling import EPSILON_SECONDS, one_clip_spec, window_seconds
from adapters.records import InputSpec

# Moments that are closer together show motion, which uneven steps would distort.
SPARSE_SECONDS = 0.5


@dataclass(frozen=True)
class NearbyFrames:
    """Which frame may be taken in place of the one that is shown at a moment.

    Attributes:
        tolerance: Most seconds between a moment and the reference frame that is taken for it, at least 0; 0: none is.
        start: No earlier frame is taken so, in source seconds.
        end: Nor one at this time or later.
        gap: Seconds between two moments of a window, or from one window to the next, whichever is less.
    """

    tolerance: float = 0.0
    start: float = -math.inf
    end: float = math.inf
    gap: float = math.inf


def nearby_frames(spec: InputSpec, start: float, end: float, origin: float, one_clip: bool) -> NearbyFrames:
    """What a spec allows in a range.

    Args:
        spec: What the model needs.
        start: Where the range begins, in seconds since the first frame.
        end: Where it ends, in the same seconds.
        origin: Source time of the first frame, in seconds.
        one_clip: Whether the range is one clip, whatever windows the spec has.

    Returns:
        The tolerance, never more than half the time between two moments, within the range in source time.
    """
    gap = min(_gap(one_clip_spec(part) if one_clip else part, start, end, one_clip) for part in spec.parts or (spec,))
    # Several models that share a decoding find their frames by the moments.
    sparse = gap >= SPARSE_SECONDS - EPSILON_SECONDS and not spec.parts
    tolerance = min(spec.sampling_tolerance_seconds, gap / 2) if sparse else 0.0
    return NearbyFrames(tolerance, origin + start, origin + end, gap)


def _gap(spec: InputSpec, start: float, end: float, one_clip: bool) -> float:
    if spec.sampling != "spread":
        assert spec.fps is not None  # InputSpec requires it
        gap = 1 / spec.fps
    elif one_clip or spec.window_seconds is None:
        gap = (end - start) / spec.n_frames
    else:
        gap = _shortest_window(spec, start, end) / spec.n_frames
    return gap if spec.stride_seconds is None or one_clip else min(gap, spec.stride_seconds)


def _shortest_window(spec: InputSpec, start: float, end: float) -> float:
    """The length of the shortest window: that of the last one, by the rules of ``adapters.media.sampling``."""
    length = window_seconds(spec) or end - start
    if end - start <= length:
        return end - start
    step = spec.stride_seconds or length
    whole = math.floor((end - start - length + EPSILON_SECONDS) / step) + 1
    rest = end - start - whole * step
    return rest if length / 2 <= rest < length else length
