"""Measures of breaks: worked by hand, against arithmetic on a grid, and properties for any breaks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.evaluation import (
    RecordingBreaks,
    iou,
    join_extents,
    match_breaks,
    measure_breaks,
    total_seconds,
    without,
)

EXTENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=6)


def covered(extents: list[tuple[int, int]], second: int) -> bool:
    return any(start <= second < end for start, end in extents)


def test_by_hand() -> None:
    report = measure_breaks(
        [
            RecordingBreaks(((100, 200), (500, 520)), ((98, 201), (800, 900)), 3600.0),
            RecordingBreaks((), (), 3600.0),
        ]
    )
    assert (report.predicted, report.truth, report.matched, report.hours) == (2, 2, 1, 2.0)
    assert (report.precision, report.recall, report.f1) == (0.5, 0.5, 0.5)
    assert (report.edge_error_median, report.edge_error_p95) == (1.5, pytest.approx(1.95))
    assert report.programme_lost_per_hour == 10.0
    assert report.ads_seen_per_hour == pytest.approx(51.5)
    assert report.second_accuracy == pytest.approx(1 - 123 / 7200)
    for name in ("precision", "recall", "f1", "second_accuracy", "programme_lost_per_hour", "ads_seen_per_hour"):
        low, high = report.intervals[name] or (1, 0)
        assert low < high, name
    # Of two recordings only one has edges, so that no resample differs.
    assert report.intervals["edge_error_median"] == (1.5, 1.5)
    assert report.intervals["programme_lost_per_hour"] == (0.0, 20.0)


def test_what_is_undefined_is_none() -> None:
    nothing = measure_breaks([RecordingBreaks((), (), 60.0)])
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.edge_error_median) == (None, None, None, None)
    assert nothing.second_accuracy == 1.0
    assert nothing.intervals["f1"] is None
    assert measure_breaks([]).programme_lost_per_hour is None
    assert measure_breaks([]).to_json()["recordings"] == 0


def test_intervals_of_seconds_cover_the_recordings() -> None:
    """Ten recordings whose edges are 0.1 to 1.0 s late: the intervals lie within what single recordings have."""
    recordings = [RecordingBreaks(((100.0, 200 + late / 10),), ((100.0, 200.0),), 3600.0) for late in range(1, 11)]
    report = measure_breaks(recordings)
    assert set(report.intervals) == {
        "precision", "recall", "f1", "edge_error_median", "edge_error_p95", "programme_lost_per_hour",
        "ads_seen_per_hour", "second_accuracy",
    }  # fmt: skip
    for name in ("edge_error_median", "edge_error_p95", "programme_lost_per_hour"):
        low, high = report.intervals[name] or (1, 0)
        assert 0.0 <= low <= getattr(report, name) + 1e-6, name
        assert getattr(report, name) - 1e-6 <= high <= 1.0, name
    assert report.intervals["edge_error_p95"][1] > 0.9  # type: ignore[index]
    assert report.intervals["ads_seen_per_hour"] == (0.0, 0.0)
    assert measure_breaks(recordings[:1]).intervals["edge_error_p95"] is None


def test_what_is_ignored_counts_neither_way() -> None:
    recording = RecordingBreaks(((0, 50),), (), 100.0, ignored=((0, 60),))
    report = measure_breaks([recording])
    assert (report.predicted, report.second_accuracy, report.hours) == (0, 1.0, 40 / 3600)


@pytest.mark.parametrize("wrong", [0.0, 1.5, float("nan")])
def test_limits_are_checked(wrong: float) -> None:
    with pytest.raises(ValueError, match="min_iou"):
        measure_breaks([], wrong)
    with pytest.raises(ValueError, match="length"):
        measure_breaks([RecordingBreaks((), (), 0.0)])


@given(EXTENTS, EXTENTS)
def test_stretches_agree_with_a_grid(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    seconds = range(60)
    assert total_seconds(first) == sum(covered(first, at) for at in seconds)
    rest = without(first, second)
    assert total_seconds(rest) == sum(covered(first, at) and not covered(second, at) for at in seconds)
    joined = join_extents(first)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    report = measure_breaks([RecordingBreaks(tuple(first), tuple(second), 60.0)])
    wrong = sum(covered(first, at) != covered(second, at) for at in seconds)
    assert report.second_accuracy == pytest.approx(1 - wrong / 60)
    assert report.programme_lost_per_hour == pytest.approx(60 * total_seconds(rest))


@given(EXTENTS, EXTENTS)
def test_pairs_are_symmetric_and_one_to_one(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    a, b = join_extents(first), join_extents(second)
    pairs = match_breaks(a, b)
    assert sorted((y, x) for x, y in pairs) == sorted(match_breaks(b, a))
    assert len({x for x, _ in pairs}) == len({y for _, y in pairs}) == len(pairs)
    assert all(iou(a[x], b[y]) >= 0.5 for x, y in pairs)
    forward = measure_breaks([RecordingBreaks(tuple(a), tuple(b), 60.0)])
    backward = measure_breaks([RecordingBreaks(tuple(b), tuple(a), 60.0)])
    assert (forward.precision, forward.recall, forward.f1) == (backward.recall, backward.precision, backward.f1)
    assert forward.edge_error_p95 == backward.edge_error_p95


@given(EXTENTS)
def test_the_truth_itself_is_perfect(extents: list[tuple[int, int]]) -> None:
    report = measure_breaks([RecordingBreaks(tuple(extents), tuple(extents), 60.0)])
    assert report.f1 in (1.0, None)
    assert (report.programme_lost_per_hour, report.ads_seen_per_hour) == (0, 0)


@given(EXTENTS, st.integers(1, 1000))
def test_measures_do_not_depend_on_the_clock(extents: list[tuple[int, int]], shift: int) -> None:
    moved = [(start + shift, end + shift) for start, end in join_extents(extents)]
    assert [end - start for start, end in moved] == [end - start for start, end in join_extents(extents)]
    assert match_breaks(moved, moved) == [(place, place) for place in range(len(moved))]
