"""Labels of single frames to clips: frames in a row with one label are one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def usual_gap(frames: Sequence[int], step: int = 1) -> int:
    """The number of frames from one labelled frame to the next: the smallest that occurs, at least ``step``.

    Args:
        frames: Numbers of frames, in any order.
        step: What the file says.
    """
    ordered = sorted(set(frames))
    gaps = Counter(second - first for first, second in pairwise(ordered))
    return max(step, min(gaps, default=step))


def frames_in_a_row(frames: Sequence[tuple[int, str]], gap: int) -> list[tuple[int, int, str]]:
    """The first and last frame of each run, and the place of its first.

    Args:
        frames: Numbers and places, in order.
        gap: From one frame of a run to the next, at most.
    """
    found: list[tuple[int, int, str]] = []
    for frame, where in frames:
        if found and frame - found[-1][1] <= gap:
            found[-1] = (found[-1][0], frame, found[-1][2])
        else:
            found.append((frame, frame, where))
    return found
