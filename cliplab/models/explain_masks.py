"""Masks over a clip, and what they do to a score: stretches of time and parts of the picture are hidden in turn.

The method is occlusion sensitivity (Zeiler and Fergus 2014, arXiv:1311.2901, section 4.2): hide a part of the input,
run the model again, and see how far the score falls. It asks nothing of a model but its scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from adapters.records import Clip, Float64Array, UInt8Array

Box = tuple[float, float, float, float]  # left, top, right and bottom as shares of a picture's sides, in 0..1
# A mask hides this many cells of the grid along each side, or stretches of time, and moves by one: masks overlap, as in
# the paper, so that what lies on the border of two of them is found.
MASK_CELLS = 2
MOST_STRETCHES = 10


@dataclass(frozen=True)
class Patch:
    """A part of the picture that is hidden.

    Attributes:
        rows: The first row of the grid under it, and the row after the last.
        columns: The same for columns.
        box: Where it lies in the picture.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    box: Box


def mean_color(clip: Clip, seen: Box) -> UInt8Array:
    """The mean colour of what the model sees of a clip: uint8 [3] RGB.

    Args:
        clip: The clip.
        seen: The part of the picture that the model sees.
    """
    left, top, right, bottom = _pixels(clip, seen)
    means = clip.frames[:, top:bottom, left:right].mean(axis=(0, 1, 2), dtype=np.float64)
    return np.asarray(np.rint(means), np.uint8)


@dataclass(frozen=True)
class FrameRange:
    """Frames of a clip in a row.

    Attributes:
        first: The first, from 0.
        after: The one after the last.
    """

    first: int
    after: int


def stretches(frames: int) -> list[FrameRange]:
    """A clip's frames in at most ``MOST_STRETCHES`` stretches of nearly the same length.

    Args:
        frames: How many frames the clip has.

    Returns:
        In order of time; none for a clip of one frame, which has no time.
    """
    if frames < 2:
        return []
    length = math.ceil(frames / MOST_STRETCHES)
    edges = np.linspace(0, frames, math.ceil(frames / length) + 1).round().astype(int).tolist()
    return [FrameRange(first, after) for first, after in pairwise(edges)]


def time_masks(parts: Sequence[FrameRange]) -> list[tuple[int, int]]:
    """Which stretches are hidden together: the first, and the one after the last. No mask hides the whole clip.

    Args:
        parts: The stretches of a clip.
    """
    if len(parts) <= MASK_CELLS:
        return [(place, place + 1) for place in range(len(parts))]
    return _spans(len(parts))


def with_blank_time(clip: Clip, hidden: FrameRange, color: UInt8Array) -> Clip:
    """The clip with some of its frames filled with one colour.

    Args:
        clip: The clip.
        hidden: The frames.
        color: uint8 [3] RGB.
    """
    frames = clip.frames.copy()
    frames[hidden.first : hidden.after] = color
    return replace(clip, frames=frames)


def with_bridged_time(clip: Clip, hidden: FrameRange) -> Clip:
    """The clip with some of its frames replaced by a cross-fade from the frame before them to the frame after them.

    What happens in between is gone, and unlike a plain colour or a held frame the cross-fade is not a sudden change,
    which a model that sees motion would take for one. At the clip's start and end the one neighbour is held.

    Args:
        clip: The clip.
        hidden: The frames; not all of the clip's.
    """
    frames, count = clip.frames.copy(), len(clip.frames)
    before = clip.frames[hidden.first - 1 if hidden.first > 0 else hidden.after].astype(np.float32)
    after = clip.frames[hidden.after if hidden.after < count else hidden.first - 1].astype(np.float32)
    for place in range(hidden.first, hidden.after):
        share = np.float32((place - hidden.first + 1) / (hidden.after - hidden.first + 1))
        frames[place] = np.rint(before + (after - before) * share)
    return replace(clip, frames=frames)


def with_held_end(clip: Clip, shown: int) -> Clip:
    """The clip as if it had stopped: from one frame on, that frame is repeated.

    Args:
        clip: The clip.
        shown: How many frames are left as they are, at least 1.
    """
    return replace(clip, frames=clip.frames[np.minimum(np.arange(len(clip.frames)), shown - 1)])


def with_blank_part(clip: Clip, box: Box, color: UInt8Array) -> Clip:
    """The clip with a part of the picture filled with one colour in all frames.

    Args:
        clip: The clip.
        box: The part.
        color: uint8 [3] RGB.
    """
    left, top, right, bottom = _pixels(clip, box)
    frames = clip.frames.copy()
    frames[:, top:bottom, left:right] = color
    return replace(clip, frames=frames)


def patches(clip: Clip, seen: Box, grid: int) -> tuple[list[Patch], tuple[int, int]]:
    """The patches over a grid on the part of the picture that a model sees.

    Args:
        clip: The clip; a grid has at most as many cells along a side as there are pixels.
        seen: The part of the picture that the model sees.
        grid: Cells along each side.

    Returns:
        The patches from the upper left to the lower right, and the rows and columns of the grid.
    """
    left, top, right, bottom = _pixels(clip, seen)
    rows, columns = min(grid, bottom - top), min(grid, right - left)
    x = np.linspace(seen[0], seen[2], columns + 1).tolist()
    y = np.linspace(seen[1], seen[3], rows + 1).tolist()
    found = [
        Patch(down, across, (x[across[0]], y[down[0]], x[across[1]], y[down[1]]))
        for down in _spans(rows)
        for across in _spans(columns)
    ]
    return found, (rows, columns)


def _spans(cells: int) -> list[tuple[int, int]]:
    """Every place of a mask along one side: all of one size, so that their changes can be compared."""
    size = min(MASK_CELLS, cells)
    return [(first, first + size) for first in range(cells - size + 1)]


def cell_means(found: Sequence[Patch], values: Sequence[float], shape: tuple[int, int]) -> Float64Array:
    """For each cell of a grid the mean of the patches over it.

    Args:
        found: The patches.
        values: A number for each.
        shape: Rows and columns of the grid.

    Returns:
        float64 [rows, columns].
    """
    total, count = np.zeros(shape), np.zeros(shape)
    for patch, value in zip(found, values, strict=True):
        at = slice(*patch.rows), slice(*patch.columns)
        total[at] += value
        count[at] += 1
    return np.asarray(total / np.maximum(count, 1))


def stretch_means(spans: Sequence[tuple[int, int]], values: Sequence[float], count: int) -> list[float]:
    """For each stretch of time the mean of the masks over it.

    Args:
        spans: What ``time_masks`` returned.
        values: A number for each.
        count: How many stretches there are.
    """
    over = [[v for (first, after), v in zip(spans, values, strict=True) if first <= n < after] for n in range(count)]
    return [float(np.mean(own)) for own in over]


def _pixels(clip: Clip, box: Box) -> tuple[int, int, int, int]:
    """A box in the pixels of the clip's frames, never empty."""
    height, width = clip.frames.shape[1:3]
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)
