"""Scores of clips and key frames, brought to seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cliplab.detect.gathering import HOLD_SECONDS, grid_scores

TIMES = np.arange(30, dtype=np.float64)


def test_nothing_scored_is_unknown_everywhere() -> None:
    found = grid_scores(TIMES, [])
    assert found.dtype == np.float32
    assert found.shape == (30,)
    assert np.isnan(found).all()


def test_key_frames_are_held_until_the_next_and_averaged_within_a_second() -> None:
    found = grid_scores(TIMES, [(3.0, 3.0, 0.5), (3.5, 3.5, 0.25), (6.0, 6.0, 1.0)])
    assert found[3:6].tolist() == [0.375, 0.25, 0.25]
    assert found[:3].tolist() == [0.5, 0.5, 0.5], "before the first its own value"
    last = 6 + int(HOLD_SECONDS)
    assert found[6 : last + 1].tolist() == [1.0] * (last - 5)
    assert np.isnan(found[last + 1 :]).all()


def test_the_order_of_clips_does_not_matter() -> None:
    given = [(float(start), start + 4.0, start / 20) for start in range(0, 20, 2)]
    np.testing.assert_array_equal(grid_scores(TIMES, given), grid_scores(TIMES, given[::-1]))


def test_windows_that_overlap_count_at_their_middle_and_change_evenly() -> None:
    given = [(float(start), start + 4.0, start / 16) for start in range(0, 20, 2)]
    found = grid_scores(TIMES[:20], given)
    # The middle of a second s is s + 0.5, and the window with that middle would begin at s - 1.5.
    expected = [min(max((second - 1.5) / 16, 0), 18 / 16) for second in range(20)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        [(0.0, 4.0, 0.0), (4.0, 8.0, 1.0), (8.0, 12.0, 0.0)],  # that follow one another
        [(0.0, 4.0, 0.0), (2.0, 6.0, 1.0)],  # too few to know
        [(0.0, 1.5, 0.0), (1.0, 2.5, 1.0), (2.0, 3.5, 0.0)],  # not longer than a second and a half
        [(0.0, 20.0, 0.0), (12.0, 32.0, 1.0), (24.0, 44.0, 0.0)],  # too far apart
    ],
)
def test_other_windows_count_from_their_start(given: list[tuple[float, float, float]]) -> None:
    found = grid_scores(TIMES, given)
    for start, _, score in given:
        assert found[int(start)] == score
    assert set(found[np.isfinite(found)].tolist()) == {0.0, 1.0}, "no values between"


def test_a_clip_that_could_not_be_scored_leaves_the_others() -> None:
    found = grid_scores(TIMES[:6], [(0.0, 0.0, 0.5), (2.0, 2.0, math.nan), (4.0, 4.0, 1.0)])
    assert found.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert np.isnan(grid_scores(TIMES, [(1.0, 1.0, math.nan)])).all()
