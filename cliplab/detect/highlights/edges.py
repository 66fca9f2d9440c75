"""Where a clip of a peak begins and ends: more before or after it by what it is, moved to a silence or a cut nearby."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cliplab.detect.highlights.candidates import Candidate
from cliplab.detect.highlights.cells import CELL_SECONDS, ROWS, Cells
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.proposing import Peak

_QUIET_DB = 8.0  # a pause is at least this much below the median of the clip
_PAUSE_CELLS = 2


def planned(peak: Peak, options: HighlightOptions) -> tuple[float, float]:
    """Where a clip would begin and end without silences, cuts and the ends of the source, in seconds.

    Args:
        peak: The peak.
        options: Lengths and shares.
    """
    before = options.clip_seconds * options.before_share(peak.event)
    return peak.seconds - before, peak.seconds - before + options.clip_seconds


def with_edges(
    peak: Peak, cells: Cells, cuts: Sequence[float], options: HighlightOptions, end_seconds: float | None
) -> Candidate:
    """The candidate of a peak.

    Args:
        peak: The peak.
        cells: The measures around it.
        cuts: When shots begin, in seconds, in order.
        options: Lengths, shares and how far edges may move.
        end_seconds: Where the source ends; None: not known yet.
    """
    start, end = planned(peak, options)
    if start < 0:
        start, end = 0.0, options.clip_seconds
    if end_seconds is not None and end > end_seconds:
        start, end = max(start - (end - end_seconds), 0.0), end_seconds
    reach = min(options.snap_seconds, (end - start) / 4)
    if reach > 0:
        if start > 0:
            start = _snapped(start, cells, cuts, reach, peak.seconds, end)
        if end_seconds is None or end < end_seconds:
            end = _snapped(end, cells, cuts, reach, start, None)
    if end_seconds is not None:
        end = min(end, end_seconds)
    return Candidate(
        round(max(start, 0.0), 3), round(end, 3), peak.seconds, peak.kind, peak.event, peak.score, peak.cues, peak.score
    )


def _snapped(
    edge: float, cells: Cells, cuts: Sequence[float], reach: float, bound: float, until: float | None
) -> float:
    """The nearest cut, or the deepest pause, within reach of an edge; the edge itself where neither is there."""
    near = [cut for cut in cuts if abs(cut - edge) <= reach]
    if near:
        return min(near, key=lambda cut: abs(cut - edge))
    first, last = round((edge - reach) / CELL_SECONDS), round((edge + reach) / CELL_SECONDS)
    level = cells.rows(first, last + 1)[:, ROWS.index("level")]
    low, high = sorted((edge, bound if until is None else until))
    inside = cells.rows(round(low / CELL_SECONDS), round(high / CELL_SECONDS))[:, ROWS.index("level")]
    known = inside[np.isfinite(inside)]
    if not len(known) or not np.isfinite(level).any():
        return edge
    quiet = np.where(np.isfinite(level), level, np.inf)
    # Both cells of a pause are quiet: between two words is not a place for an edge.
    pair = np.maximum(quiet[:-1], quiet[1:])
    place = int(np.argmin(pair))
    if not np.isfinite(pair[place]) or pair[place] > float(np.median(known)) - _QUIET_DB:
        return edge
    return (first + place + _PAUSE_CELLS / 2) * CELL_SECONDS
