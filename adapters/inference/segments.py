"""Scores over time to segments: pure functions of stored predictions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array, Float64Array, Prediction, Segment

_CELLS_A_PIECE = 8
_MAX_CELLS = 2_000_000
_NEAR = 1e-9
_WINDOWS_PER_CHECK = 64


def timeline(
    predictions: Sequence[Prediction],
    label: str,
    step_seconds: float | None = None,
    check: Callable[[], object] = lambda: None,
) -> tuple[Float64Array, Float32Array]:
    """The score of one label over time, from the windows of one video (in any order, overlapping or not).

    A window's score counts for its whole length, or, with frame scores, the i-th of T for the i-th of T equal parts.
    Overlapping windows are averaged, weighted by a triangle that is 1 at the window's middle and 0 at its ends. Why a
    triangle: a window's score belongs to the window's middle, so with a stride of half a window the triangles are
    exactly linear interpolation between middles; with more overlap they blur half as far as a plain average would, so
    stretches shorter than a window keep more of their height. Both put the edge of a long stretch at the same place,
    because they are symmetric.

    A gap between windows no longer than the usual stride (a stride above the window) is bridged linearly; a longer one
    stays unknown.

    Args:
        predictions: The windows of one video.
        label: The label whose score counts.
        step_seconds: The length of a cell; None: an eighth of the shortest of window, stride and frame spacing.
        check: Called now and then; what it raises ends the work.

    Returns:
        Times float64 [N] in seconds, the middles of even cells from the first window's start to the last one's end, and
        scores float32 [N] in 0..1, NaN where nothing is known.

    Raises:
        ValueError: There are no predictions, the label is unknown to them, or the step is not above 0 or far too small.
    """
    windows = _windows(predictions, label)
    start, end = min(item.start for item in predictions), max(item.end for item in predictions)
    step = _step(windows, end - start) if step_seconds is None else step_seconds
    if not 0 < step < math.inf:
        raise ValueError(f"step_seconds must be above 0, got {step_seconds!r}")
    if (end - start) / step > _MAX_CELLS:
        raise ValueError(
            f"step_seconds {step:g} would divide {end - start:g} s into more than {_MAX_CELLS:,} steps; use a larger "
            "step"
        )
    count = max(1, math.ceil((end - start) / step - _NEAR))
    times: Float64Array = (start + (np.arange(count) + 0.5) * step).astype(np.float64)
    # The last cell may be cut by the end: its middle is that of what is left.
    times[-1] = (start + (count - 1) * step + end) / 2
    total, weight = np.zeros(count), np.zeros(count)
    for number, (window_start, window_end, scores) in enumerate(windows):
        if number % _WINDOWS_PER_CHECK == 0:
            check()
        first, last = np.searchsorted(times, (window_start - _NEAR, window_end + _NEAR))
        if first == last:
            continue
        at = (times[first:last] - window_start) / max(window_end - window_start, _NEAR)
        piece = np.clip((at * len(scores)).astype(np.int64), 0, len(scores) - 1)
        triangle = np.maximum(1 - np.abs(2 * at - 1), 1e-6)
        total[first:last] += triangle * scores[piece]
        weight[first:last] += triangle
    known = weight > 0
    values = np.full(count, np.nan)
    values[known] = total[known] / weight[known]
    _bridge(times, values, _usual_stride(windows))
    return times, np.asarray(np.clip(values, 0, 1), dtype=np.float32)


def scores_to_segments(
    predictions: Sequence[Prediction],
    label: str,
    threshold: float = 0.5,
    smoothing_seconds: float = 0.0,
    min_segment_seconds: float = 0.0,
    merge_gap_seconds: float = 0.0,
    step_seconds: float | None = None,
    check: Callable[[], object] = lambda: None,
) -> list[Segment]:
    """The stretches of one video where a label's score is at or above a threshold.

    A higher threshold never covers a moment that a lower one does not.

    Args:
        predictions: The windows of one video, as predict returns them; no windows make no segments.
        label: The label whose score counts.
        threshold: A score in 0..1.
        smoothing_seconds: The length of a centred moving average over the timeline; 0 for none.
        min_segment_seconds: Shorter segments are dropped.
        merge_gap_seconds: Segments that are no further apart than this become one, before short ones are dropped.
        step_seconds: The length of a cell of the ``timeline``.
        check: Called now and then; what it raises ends the work.

    Returns:
        Segments in time order that do not overlap and lie within the windows. A segment's score is the mean of the
        timeline over it, before smoothing.

    Raises:
        ValueError: A value is out of range, or the label is unknown to the predictions.
    """
    for name, value in (
        ("smoothing_seconds", smoothing_seconds),
        ("min_segment_seconds", min_segment_seconds),
        ("merge_gap_seconds", merge_gap_seconds),
    ):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be seconds >= 0, got {value!r}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a score in 0..1, got {threshold!r}")
    if not predictions:
        return []
    times, scores = timeline(predictions, label, step_seconds, check)
    edges = _edges(times, min(item.start for item in predictions), max(item.end for item in predictions))
    smooth = _smooth(scores.astype(np.float64), edges, smoothing_seconds)
    # float32 scores against a float threshold: 0.7 as float32 must reach a threshold of 0.7.
    runs = _runs(np.nan_to_num(smooth, nan=-1.0) >= threshold - 1e-6)
    merged: list[tuple[int, int]] = []
    for first, last in runs:
        if merged and edges[first] - edges[merged[-1][1]] <= merge_gap_seconds + _NEAR:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return [
        Segment(label, float(edges[first]), float(edges[last]), _mean(scores, edges, first, last))
        for first, last in merged
        if edges[last] - edges[first] >= min_segment_seconds - _NEAR and edges[last] > edges[first]
    ]


@dataclass(frozen=True)
class SegmentPair:
    """A true segment and the found one that overlaps it most.

    Attributes:
        truth: The true segment.
        found: The found segment.
        start_error: Found minus true start, in seconds.
        end_error: Found minus true end, in seconds.
        iou: Seconds in both over seconds in either, 0..1.
    """

    truth: Segment
    found: Segment
    start_error: float
    end_error: float
    iou: float


@dataclass(frozen=True)
class SegmentMatch:
    """Found segments against true ones.

    Attributes:
        pairs: Each true segment that was found, with its found segment.
        missed: True segments without a found one.
        spurious: Found segments without a true one.
        tolerance_seconds: How far off a boundary may be.
        within_tolerance: Whether every true segment is found, nothing else is, and no boundary is further off.
        precision: The share of the found segments with both boundaries within tolerance; None if nothing was found.
        recall: The share of the true segments with both boundaries within tolerance; None if there are none.
        iou: Seconds in both over seconds in either, over all labels; None where both are empty.
        max_boundary_error: The largest error over the pairs, in seconds; None without a pair.
    """

    pairs: tuple[SegmentPair, ...]
    missed: tuple[Segment, ...]
    spurious: tuple[Segment, ...]
    tolerance_seconds: float
    within_tolerance: bool
    precision: float | None
    recall: float | None
    iou: float | None
    max_boundary_error: float | None

    def to_json(self) -> dict[str, Any]:
        """Every field as plain JSON."""
        return asdict(self)


def match_segments(found: Sequence[Segment], truth: Sequence[Segment], tolerance_seconds: float) -> SegmentMatch:
    """Pair each true segment with at most one found segment of its label, those that overlap most first.

    Args:
        found: The found segments.
        truth: The true segments.
        tolerance_seconds: How far off a boundary may be.
    """
    candidates = sorted(
        ((_iou(a, b), i, j) for i, a in enumerate(truth) for j, b in enumerate(found) if a.label == b.label),
        key=lambda entry: (-entry[0], entry[1], entry[2]),
    )
    partner: dict[int, tuple[int, float]] = {}
    used: set[int] = set()
    for overlap, i, j in candidates:
        if overlap > 0 and i not in partner and j not in used:
            partner[i] = (j, overlap)
            used.add(j)
    pairs = tuple(
        SegmentPair(truth[i], found[j], found[j].start - truth[i].start, found[j].end - truth[i].end, overlap)
        for i, (j, overlap) in sorted(partner.items())
    )
    errors = [max(abs(pair.start_error), abs(pair.end_error)) for pair in pairs]
    good = sum(error <= tolerance_seconds for error in errors)
    both, either = _overlap_seconds(found, truth)
    return SegmentMatch(
        pairs=pairs,
        missed=tuple(item for i, item in enumerate(truth) if i not in partner),
        spurious=tuple(item for j, item in enumerate(found) if j not in used),
        tolerance_seconds=tolerance_seconds,
        within_tolerance=good == len(truth) == len(found),
        precision=good / len(found) if found else None,
        recall=good / len(truth) if truth else None,
        iou=both / either if either else None,
        max_boundary_error=max(errors, default=None),
    )


def _windows(predictions: Sequence[Prediction], label: str) -> list[tuple[float, float, Float64Array]]:
    """Start, end and the scores [T] of one label of each window; T is 1 without frame scores."""
    if not predictions:
        raise ValueError("a timeline needs at least one prediction, got none")
    windows = []
    for item in predictions:
        if label not in item.labels:
            raise ValueError(f"{label!r} is not a label of these predictions: {', '.join(item.labels[:20])}")
        column = item.labels.index(label)
        frames = item.frame_scores
        scores = item.scores[column : column + 1] if frames is None or not len(frames) else frames[:, column]
        windows.append((item.start, item.end, scores.astype(np.float64)))
    return sorted(windows, key=lambda entry: entry[:2])


def _usual_stride(windows: Sequence[tuple[float, float, Float64Array]]) -> float:
    strides = np.diff([start for start, _, _ in windows])
    strides = strides[strides > _NEAR]
    return float(np.median(strides)) if len(strides) else 0.0


def _step(windows: Sequence[tuple[float, float, Float64Array]], length: float) -> float:
    lengths = np.array([(end - start) / len(scores) for start, end, scores in windows if end > start])
    # The median: one window cut short by the video's end must not make the whole grid fine.
    shortest = float(np.median(lengths)) if len(lengths) else 0.0
    stride = _usual_stride(windows)
    shortest = min(shortest, stride) if stride > 0 else shortest
    return max(shortest / _CELLS_A_PIECE, length / _MAX_CELLS * 2) or 1.0


def _bridge(times: Float64Array, values: npt.NDArray[np.float64], longest: float) -> None:
    """Fill, in place, unknown stretches no longer than ``longest`` seconds by a line between their neighbours."""
    known = ~np.isnan(values)
    for first, last in _runs(~known):
        if first > 0 and last < len(values) and times[last] - times[first - 1] <= longest + _NEAR:
            at = times[first:last]
            values[first:last] = np.interp(at, times[[first - 1, last]], values[[first - 1, last]])


def _edges(times: Float64Array, start: float, end: float) -> Float64Array:
    """The N + 1 boundaries of the cells whose middles are times."""
    step = 2 * (times[0] - start)
    return np.append(start + np.arange(len(times)) * step, end)


def _smooth(scores: Float64Array, edges: Float64Array, seconds: float) -> Float64Array:
    """A centred moving average in time over what is known; unknown cells stay unknown."""
    if seconds <= 0 or len(scores) < 2:
        return scores
    half = round(float(seconds / (edges[1] - edges[0]) / 2))
    known = ~np.isnan(scores)
    sums = np.append(0.0, np.cumsum(np.where(known, scores, 0.0)))
    counts = np.append(0, np.cumsum(known))
    index = np.arange(len(scores))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(scores))
    smooth = (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)
    return np.where(known, smooth, np.nan)


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches of True as (first, one past the last)."""
    change = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(change[::2], change[1::2], strict=True)]


def _mean(scores: Float32Array, edges: Float64Array, first: int, last: int) -> float:
    values, lengths = scores[first:last].astype(np.float64), np.diff(edges[first : last + 1])
    known = ~np.isnan(values)
    return float(np.clip(np.average(values[known], weights=lengths[known]), 0, 1))


def _iou(one: Segment, other: Segment) -> float:
    both = min(one.end, other.end) - max(one.start, other.start)
    either = max(one.end, other.end) - min(one.start, other.start)
    return both / either if both > 0 else 0.0


def _overlap_seconds(found: Sequence[Segment], truth: Sequence[Segment]) -> tuple[float, float]:
    """Seconds that lie in both and seconds that lie in either, label by label; overlaps within a side count once."""
    both = either = 0.0
    for label in {item.label for item in (*found, *truth)}:
        sides = [[item for item in side if item.label == label] for side in (found, truth)]
        marks = sorted({mark for side in sides for item in side for mark in (item.start, item.end)})
        for a, b in itertools.pairwise(marks):
            inside = [any(item.start <= a and b <= item.end for item in side) for side in sides]
            both += (b - a) * all(inside)
            either += (b - a) * any(inside)
    return both, either
