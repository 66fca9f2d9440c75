"""Shot changes, found in small pictures of a stretch of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adapters.media import EPSILON_SECONDS
from adapters.records import Float32Array

if TYPE_CHECKING:
    from adapters.media import ChildVideo

# Cuts are found and kept block by block. A block begins a little early, to see what comes before its first frame.
BLOCK_SECONDS, _EARLIER_SECONDS = 30.0, 1.0
GRID = (32, 18)
# A frame begins a shot where it differs from the one before by this much, of 255 on average over all pixels and
# colours, and by this many times what frames nearby do: motion and camera shake differ from frame to frame too. Chosen
# on rendered footage; compare "content" and "adaptive" of PySceneDetect's detectors.
_LEAST_CHANGE, _TIMES_NEARBY, _NEARBY = 14.0, 3.0, 4


def cuts_of(video: ChildVideo, number: int, grid: tuple[int, int] = GRID) -> list[float] | None:
    """Times of the first frames of new shots in a block of a video.

    Args:
        video: The open video; it is used up.
        number: Number of the block, from 0.
        grid: Width and height of the pictures that are compared.

    Returns:
        Seconds since the first frame; None where the block is after the end.
    """
    begin, end = number * BLOCK_SECONDS, (number + 1) * BLOCK_SECONDS
    length = video.info.duration_seconds
    if length is not None and begin >= length:
        return None
    frames = video.frames(
        width=grid[0],
        height=grid[1],
        aspect="stretch",
        start_seconds=max(0.0, begin - _EARLIER_SECONDS),
        end_seconds=end + _EARLIER_SECONDS,
    )
    times, changes, before = [], [], None
    for seconds, picture in frames:
        small = picture.astype(np.float32)
        changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
        times.append(seconds)
        before = small
    if not times or times[-1] < begin - EPSILON_SECONDS:
        return None
    return [
        times[place]
        for place in cut_places(np.array(changes, np.float32))
        if begin - EPSILON_SECONDS <= times[place] < end - EPSILON_SECONDS
    ]


def cut_places(changes: Float32Array) -> list[int]:
    """Places at which a new shot begins.

    Args:
        changes: float32 [N], how much each frame differs from the one before, 0 to 255.
    """
    found = []
    for place in np.flatnonzero(changes >= _LEAST_CHANGE):
        near = np.concatenate([changes[max(0, place - _NEARBY) : place], changes[place + 1 : place + 1 + _NEARBY]])
        if not len(near) or changes[place] >= _TIMES_NEARBY * float(np.median(near)) + 1:
            found.append(int(place))
    return found
