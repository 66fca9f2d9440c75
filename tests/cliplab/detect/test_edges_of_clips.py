"""Where a clip of a highlight begins and ends: by its kind, within the source, at a cut or a pause nearby."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cliplab.detect import HighlightOptions
from cliplab.detect.highlights.cells import CELL_SECONDS, Cells
from cliplab.detect.highlights.edges import planned, with_edges
from cliplab.detect.highlights.proposing import Peak

PEAK = Peak(100.0, "audio", "cheer", 0.625, {"level": 0.5})
PLAIN = HighlightOptions(snap_seconds=0.0)


def cells(*pauses: tuple[float, float, float], usual: float = -20.0) -> Cells:
    """Three minutes of sound with pauses: where they begin, how long they last, and their level."""
    found, level = Cells(), np.full(1800, usual, np.float32)
    for begin, length, quiet in pauses:
        level[round(begin / CELL_SECONDS) : round((begin + length) / CELL_SECONDS)] = quiet
    found.put("level", 0, level)
    return found


def edges(
    peak: Peak = PEAK, sound: Cells | None = None, cuts: Any = (), options: HighlightOptions | None = None,
    end: float | None = None,
) -> tuple[float, float]:  # fmt: skip
    found = with_edges(peak, sound or Cells(), cuts, options or HighlightOptions(), end)
    return round(found.start, 6), round(found.end, 6)


@pytest.mark.parametrize(
    ("event", "before"), [("cheer", 21), ("speech", 18), ("bang", 15), ("motion", 15), ("scene", 15), ("chat", 21)]
)
def test_how_much_of_a_clip_is_before_its_peak_follows_from_its_kind(event: str, before: float) -> None:
    peak = Peak(100.0, "video", event, 0.5, {})
    assert planned(peak, PLAIN) == pytest.approx((100 - before, 130 - before))
    shares = HighlightOptions(clip_seconds=10, before_shares={event: 0.25})
    assert planned(peak, shares) == pytest.approx((97.5, 107.5))


def test_a_candidate_is_its_peak_with_edges() -> None:
    found = with_edges(PEAK, Cells(), (), PLAIN, None)
    assert (found.start, found.end, found.peak, found.kind, found.event) == (79.0, 109.0, 100.0, "audio", "cheer")
    assert (found.score, found.stage1, found.cues, found.stage2) == (0.625, 0.625, {"level": 0.5}, None)


@pytest.mark.parametrize(
    ("peak", "end", "expected"),
    [
        (100.0, None, (79, 109)), (10.0, None, (0, 30)), (21.0, None, (0, 30)), (100.0, 109.0, (79, 109)),
        (100.0, 105.0, (75, 105)), (100.0, 100.5, (70.5, 100.5)), (10.0, 20.0, (0, 20)), (20.0, 25.0, (0, 25)),
    ],
)  # fmt: skip
def test_a_clip_lies_within_its_source(peak: float, end: float | None, expected: tuple[float, float]) -> None:
    for options in (PLAIN, HighlightOptions()):
        assert edges(Peak(peak, "audio", "cheer", 0.5, {}), options=options, end=end) == expected


def test_an_edge_moves_to_the_nearest_cut_within_reach() -> None:
    assert edges(cuts=[77.5, 78.0, 80.4, 110.5, 120.0]) == (78.0, 110.5)
    assert edges(cuts=[77.49, 80.51, 107.4, 110.6]) == (79.0, 109.0)
    assert edges(cuts=[76.0, 112.0], options=HighlightOptions(snap_seconds=3.0)) == (76.0, 112.0)
    assert edges(cuts=[76.0, 112.0], options=PLAIN) == (79.0, 109.0)
    # No further than a quarter of the clip.
    short = HighlightOptions(clip_seconds=4.0, snap_seconds=3.0, before_shares={"cheer": 0.5})
    assert edges(cuts=[97.0, 103.0], options=short) == (97.0, 103.0)
    assert edges(cuts=[96.9, 103.1], options=short) == (98.0, 102.0)


def test_an_edge_at_an_end_of_the_source_stays() -> None:
    early, late = Peak(20.0, "audio", "cheer", 0.5, {}), PEAK
    assert edges(early, cuts=[0.5, 1.0, 30.5]) == (0.0, 30.5)
    assert edges(late, cuts=[74.5, 104.5], end=105.0) == (74.5, 105.0)
    assert edges(late, cuts=[110.4], end=110.0) == (79.0, 110.0), "a cut after the end is none"


def test_without_a_cut_an_edge_moves_to_the_deepest_pause() -> None:
    assert edges(sound=cells((78.0, 0.2, -40.0), (110.0, 0.2, -40.0))) == (78.1, 110.1)
    assert edges(sound=cells((78.0, 0.2, -40.0), (79.5, 0.2, -50.0))) == (79.6, 109.0)
    assert edges(sound=cells((78.0, 0.2, -40.0)), cuts=[80.0]) == (80.0, 109.0), "a cut goes before a pause"
    assert edges(sound=cells((77.0, 0.2, -40.0), (111.0, 0.2, -40.0))) == (79.0, 109.0), "out of reach"


@pytest.mark.parametrize(("level", "length", "moves"), [(-28.0, 0.2, True), (-27.9, 0.2, False), (-60.0, 0.1, False)])
def test_a_pause_is_deep_and_lasts_two_tenths_of_a_second(level: float, length: float, moves: bool) -> None:
    assert (edges(sound=cells((78.0, length, level)))[0] == 78.1) == moves
    assert edges(sound=cells((78.0, 0.2, -28.0), usual=-22.0))[0] == 79.0, "below what is usual in the clip"


def test_where_nothing_was_heard_edges_stay() -> None:
    unknown = Cells()
    unknown.put("motion", 0, np.zeros(1800, np.float32))
    assert edges(sound=unknown) == (79.0, 109.0)
