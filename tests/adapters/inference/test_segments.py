"""Segments from windows: where the edges fall, what smoothing, gaps and lengths do, and what always holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.inference import match_segments, scores_to_segments, timeline
from adapters.records import Prediction, Segment

LABELS = ("content", "ad")


def prediction(start: float, end: float, score: float, frames: Sequence[float] | None = None) -> Prediction:
    def columns(ad: object) -> np.ndarray:
        return np.stack([1 - np.asarray(ad), np.asarray(ad)], axis=-1).astype(np.float32)

    return Prediction(
        columns(score), LABELS, start, end, "video.mp4", None if frames is None else columns(np.array(frames))
    )


def windows(breaks: Sequence[tuple[float, float]], total: float, window: float, stride: float, frames: int = 0) -> list:
    """What a perfect model gives: a window's score is the share of it that lies in a break."""
    found = []
    for start in np.arange(0, total - 1e-9, stride):
        end = min(start + window, total)
        share = sum(max(0.0, min(end, b) - max(start, a)) for a, b in breaks) / (end - start)
        middles = start + (np.arange(frames) + 0.5) * (end - start) / max(frames, 1)
        inside = [float(any(a <= moment < b for a, b in breaks)) for moment in middles]
        found.append(prediction(float(start), float(end), share, inside if frames else None))
    return found


@pytest.mark.parametrize(
    ("window", "stride", "frames", "within"),
    [
        (2.0, 2.0, 0, 1.0),  # side by side: half a window
        (2.0, 1.0, 0, 0.1),  # overlapping: the triangle finds the edge between windows
        (4.0, 1.0, 0, 0.1),
        (2.0, 0.5, 0, 0.1),
        (1.0, 3.0, 0, 1.55),  # sparse: half a stride, and a cell
        (2.0, 2.0, 8, 0.15),  # frame scores: half a frame's spacing
        (3.2, 1.6, 16, 0.15),
    ],
)
def test_edges_lie_where_the_break_is(window: float, stride: float, frames: int, within: float) -> None:
    for shift in np.arange(0, 2, 0.13):
        truth = [Segment("ad", 20 + shift, 35.37 + shift, 1.0)]
        found = scores_to_segments(windows([(20 + shift, 35.37 + shift)], 60, window, stride, frames), "ad")
        match = match_segments(found, truth, within)
        assert match.within_tolerance, (shift, found)


def test_a_break_shorter_than_a_window_keeps_more_height_than_a_plain_average_leaves() -> None:
    _, scores = timeline(windows([(20, 23)], 40, 4, 1), "ad")
    # A window can hold 3/4 of it; the mean of the four windows over its middle is 0.5 at most.
    assert 0.6 < scores.max() <= 0.75


def test_a_break_at_either_end_of_the_video() -> None:
    found = scores_to_segments(windows([(0, 5), (25, 30)], 30, 2, 1), "ad")
    assert (found[0].start, round(found[0].end)) == (0.0, 5)
    assert (round(found[1].start), found[1].end) == (25, 30.0)


def test_one_window_is_the_whole_video() -> None:
    assert scores_to_segments([prediction(0, 7.5, 0.8)], "ad") == [Segment("ad", 0.0, 7.5, pytest.approx(0.8))]
    assert scores_to_segments([prediction(0, 7.5, 0.2)], "ad") == []
    assert scores_to_segments([], "ad") == []


def test_a_score_equal_to_the_threshold_counts() -> None:
    assert len(scores_to_segments([prediction(0, 1, 0.7)], "ad", threshold=0.7)) == 1


def test_order_of_the_windows_does_not_matter() -> None:
    items = windows([(3, 9)], 20, 2, 1)
    assert scores_to_segments(items[::-1], "ad") == scores_to_segments(items, "ad")


def test_short_flickers_are_smoothed_dropped_or_merged() -> None:
    items = windows([(2, 10), (11, 20), (30, 31)], 40, 1, 1)
    plain = scores_to_segments(items, "ad")
    assert [(item.start, item.end) for item in plain] == [(2, 10), (11, 20), (30, 31)]
    merged = scores_to_segments(items, "ad", merge_gap_seconds=1)
    assert [(item.start, item.end) for item in merged] == [(2, 20), (30, 31)]
    assert merged[0].score == pytest.approx(17 / 18)
    long = scores_to_segments(items, "ad", merge_gap_seconds=1, min_segment_seconds=2)
    assert [(item.start, item.end) for item in long] == [(2, 20)]
    smooth = scores_to_segments(items, "ad", smoothing_seconds=4)
    assert [(round(item.start), round(item.end)) for item in smooth] == [(2, 20)]


def test_what_no_window_covers_is_unknown_and_never_found() -> None:
    items = [*windows([(0, 10)], 10, 1, 1), prediction(50, 51, 1.0)]
    times, scores = timeline(items, "ad")
    assert np.isnan(scores[(times > 10) & (times < 50)]).all()
    found = scores_to_segments(items, "ad", smoothing_seconds=3)
    assert [(item.start, item.end) for item in found] == [(0, 10), (50, 51)]


def test_sparse_windows_are_joined_across_the_stride() -> None:
    items = [prediction(5.0 * i, 5.0 * i + 1, float(2 <= i <= 4)) for i in range(8)]
    (found,) = scores_to_segments(items, "ad")
    assert found.start == pytest.approx(8.5, abs=2.5)
    assert found.end == pytest.approx(23, abs=2.5)


def test_timeline_grid() -> None:
    times, scores = timeline([prediction(1, 3, 0.25), prediction(3, 4.5, 0.75)], "ad", step_seconds=1)
    assert times.dtype == np.float64
    assert scores.dtype == np.float32
    np.testing.assert_allclose(times, [1.5, 2.5, 3.5, 4.25])
    np.testing.assert_allclose(scores, [0.25, 0.25, 0.75, 0.75])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "promo"}, "'promo' is not a label of these predictions: content, ad"),
        ({"threshold": 1.5}, "threshold must be a score in 0..1, got 1.5"),
        ({"smoothing_seconds": -1}, "smoothing_seconds must be seconds >= 0"),
        ({"min_segment_seconds": float("nan")}, "min_segment_seconds must be seconds"),
        ({"step_seconds": 0}, "step_seconds must be above 0"),
        ({"step_seconds": 1e-9}, "more than 2,000,000 steps"),
    ],
)
def test_values_that_are_not_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores_to_segments([prediction(0, 1, 0.5)], **{"label": "ad", **arguments})


def test_a_timeline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one prediction"):
        timeline([], "ad")


# What always holds

scores_in = st.floats(0, 1, width=32)
moments = st.floats(0, 50).map(lambda value: round(value, 2))


@st.composite
def any_windows(draw: st.DrawFn) -> list[Prediction]:
    """Regular or wild windows, some with frame scores, some of no length."""
    found = []
    for start in draw(st.lists(moments, min_size=1, max_size=25)):
        length = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.7]))
        frames = draw(st.none() | st.lists(scores_in, min_size=1, max_size=5))
        found.append(prediction(start, start + length, draw(scores_in), frames))
    return found


settings_in = st.fixed_dictionaries(
    {
        "smoothing_seconds": st.sampled_from([0.0, 0.3, 2.0]),
        "min_segment_seconds": st.sampled_from([0.0, 0.7, 2.0]),
        "merge_gap_seconds": st.sampled_from([0.0, 0.4, 5.0]),
    }
)


@settings(max_examples=60, deadline=None)
@given(any_windows(), st.floats(0, 1), settings_in)
def test_segments_are_sorted_disjoint_in_range_and_long_enough(
    items: list[Prediction], threshold: float, options: dict[str, float]
) -> None:
    found = scores_to_segments(items, "ad", threshold, **options)
    for one, following in pairwise(found):
        assert following.start - one.end > options["merge_gap_seconds"] - 1e-6
    for item in found:
        assert min(p.start for p in items) <= item.start < item.end <= max(p.end for p in items) + 1e-9
        assert item.end - item.start >= options["min_segment_seconds"] - 1e-6
        assert 0 <= item.score <= 1


@settings(max_examples=60, deadline=None)
@given(any_windows(), st.floats(0, 1), st.floats(0, 1), settings_in)
def test_a_higher_threshold_covers_no_new_moment(
    items: list[Prediction], one: float, other: float, options: dict[str, float]
) -> None:
    low = scores_to_segments(items, "ad", min(one, other), **options)
    high = scores_to_segments(items, "ad", max(one, other), **options)
    for item in high:
        assert any(wide.start <= item.start and item.end <= wide.end for wide in low)


@settings(max_examples=60, deadline=None)
@given(any_windows())
def test_a_timeline_stays_within_the_scores(items: list[Prediction]) -> None:
    times, scores = timeline(items, "ad")
    assert len(times) == len(scores)
    assert (np.diff(times) > 0).all()
    known = scores[~np.isnan(scores)]
    given_scores = [p.scores[1:] if p.frame_scores is None else p.frame_scores[:, 1] for p in items]
    lowest, highest = np.concatenate(given_scores).min(), np.concatenate(given_scores).max()
    assert ((known >= lowest - 1e-6) & (known <= highest + 1e-6)).all()


# Matching


def test_pairs_go_by_overlap_and_the_rest_is_missed_or_spurious() -> None:
    truth = [Segment("ad", 0, 10, 1), Segment("ad", 20, 30, 1), Segment("promo", 40, 50, 1)]
    found = [Segment("ad", 9, 12, 0.9), Segment("ad", 0.5, 9, 0.9), Segment("ad", 21, 30.5, 0.8)]
    match = match_segments(found, truth, tolerance_seconds=1)
    assert [(pair.start_error, pair.end_error) for pair in match.pairs] == [(0.5, -1), (1, 0.5)]
    assert match.missed == (truth[2],)
    assert match.spurious == (found[0],)
    assert not match.within_tolerance
    assert (match.precision, match.recall) == (2 / 3, 2 / 3)
    assert match.max_boundary_error == 1
    # 0.5-10 and 21-30 in both; 0-12, 20-30.5 and 40-50 in either.
    assert match.iou == pytest.approx((9.5 + 9) / (12 + 10.5 + 10))


def test_nothing_against_nothing_is_right() -> None:
    match = match_segments([], [], 1)
    assert match.within_tolerance
    assert (match.precision, match.recall, match.iou, match.max_boundary_error) == (None, None, None, None)
    assert match_segments([Segment("ad", 0, 1, 1)], [], 1).recall is None
    assert match_segments([], [Segment("ad", 0, 1, 1)], 1).recall == 0
    assert match.to_json()["pairs"] == ()


# Exact figures


def staircase(scores: Sequence[float], length: float = 1.0) -> list[Prediction]:
    """Windows side by side, each of one score."""
    return [prediction(length * i, length * (i + 1), score) for i, score in enumerate(scores)]


def spans(found: Sequence[Segment]) -> list[tuple[float, float]]:
    return [(item.start, item.end) for item in found]


def test_runs_are_merged_before_the_short_ones_are_dropped() -> None:
    """Two short runs with a small gap are one that is long enough."""
    items = staircase([0, 1, 0, 1, 0, 0, 0, 1, 0])
    assert spans(scores_to_segments(items, "ad", merge_gap_seconds=1, min_segment_seconds=3)) == [(1, 4)]
    assert spans(scores_to_segments(items, "ad", min_segment_seconds=1)) == [(1, 2), (3, 4), (7, 8)]
    assert scores_to_segments(items, "ad", min_segment_seconds=1.01) == []


def test_a_gap_or_length_equal_to_the_limit_counts_also_after_rounding() -> None:
    items = staircase([0, 1, 0, 1, 0], length=0.1)
    assert len(scores_to_segments(items, "ad", merge_gap_seconds=0.1)) == 1
    assert len(scores_to_segments(items, "ad", merge_gap_seconds=0.09)) == 2
    assert len(scores_to_segments(items, "ad", min_segment_seconds=0.1)) == 2
    assert len(scores_to_segments(items, "ad", min_segment_seconds=0.11)) == 0


def test_a_score_is_the_mean_over_the_segment_before_smoothing() -> None:
    items = staircase([0, 0, 0, 0.6, 1.0, 0.8, 0, 0, 0])
    (plain,) = scores_to_segments(items, "ad", 0.35, step_seconds=0.5)
    (smooth,) = scores_to_segments(items, "ad", 0.35, step_seconds=0.5, smoothing_seconds=1)
    assert spans([plain]) == spans([smooth]) == [(3, 6)]
    assert plain.score == smooth.score == pytest.approx(0.8)


def test_the_last_cell_counts_by_its_length() -> None:
    items = [prediction(0, 2, 0.6), prediction(2, 2.5, 0.9)]
    (found,) = scores_to_segments(items, "ad", step_seconds=1)
    assert spans([found]) == [(0, 2.5)]
    assert found.score == pytest.approx((2 * 0.6 + 0.5 * 0.9) / 2.5)


def test_smoothing_is_a_centred_mean_of_the_length_that_was_asked_for() -> None:
    """Four seconds over cells of one: the cell and two at either side; at the ends fewer. 0.2 is a fifth."""
    items = staircase([0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    options = {"step_seconds": 1, "smoothing_seconds": 4}
    assert spans(scores_to_segments(items, "ad", 0.2, **options)) == [(2, 10)]
    assert spans(scores_to_segments(items, "ad", 0.21, **options)) == [(8, 10)], "the last two: 1/4 and 1/3"
    assert spans(scores_to_segments(items, "ad", 0.3, **options)) == [(9, 10)]
    assert scores_to_segments(items, "ad", 0.34, **options) == []
    unknown = [*staircase([1, 1]), prediction(6, 7, 0.0)]
    assert spans(scores_to_segments(unknown, "ad", 0.6, step_seconds=1, smoothing_seconds=2)) == [(0, 2)]


def test_overlapping_windows_weigh_by_the_distance_from_their_middles() -> None:
    _, scores = timeline([prediction(0, 4, 0.0), prediction(2, 6, 1.0)], "ad", step_seconds=1)
    np.testing.assert_allclose(scores, [0, 0, 0.25, 0.75, 1, 1], atol=1e-6)


@pytest.mark.parametrize(("gap", "bridged"), [(3.0, True), (3.5, True), (4.5, False), (6.0, False)])
def test_a_gap_no_longer_than_the_usual_stride_is_bridged_by_a_line(gap: float, bridged: bool) -> None:
    """Windows of a second, three apart; then one that comes after a gap of its own."""
    items = [prediction(3.0 * i, 3.0 * i + 1, 0.2) for i in range(6)]
    items.append(prediction(15 + gap, 16 + gap, 0.8))
    times, scores = timeline(items, "ad", step_seconds=0.5)
    inside = scores[(times > 16) & (times < 15 + gap)]
    if not bridged:
        assert np.isnan(inside).all()
        return
    at = times[(times > 16) & (times < 15 + gap)]
    known = ~np.isnan(scores)
    ends = times[times < 16].max(), times[times > 15 + gap].min()
    np.testing.assert_allclose(inside, 0.2 + 0.6 * (at - ends[0]) / (ends[1] - ends[0]), atol=1e-5)
    assert known.all()


def test_the_cells_are_an_eighth_of_the_shortest_of_window_stride_and_frame() -> None:
    def step(items: list[Prediction]) -> float:
        times, _ = timeline(items, "ad")
        return float(times[1] - times[0])

    assert step([prediction(2.0 * i, 2.0 * i + 2, 0.5) for i in range(4)]) == pytest.approx(0.25)
    assert step([prediction(1.0 * i, 1.0 * i + 2, 0.5) for i in range(4)]) == pytest.approx(0.125)
    assert step([prediction(2.0 * i, 2.0 * i + 2, 0.5, [0.5] * 4) for i in range(4)]) == pytest.approx(0.0625)
    # One that the video's end cut short, or a stride of its own, does not count.
    rest = [prediction(8, 8.1, 0.5)]
    assert step([prediction(2.0 * i, 2.0 * i + 2, 0.5) for i in range(4)] + rest) == pytest.approx(0.25)


def test_a_range_of_whole_cells_has_no_cell_more() -> None:
    for count in (3, 7, 30, 70):
        times, _ = timeline([prediction(0, 0.1 * count, 0.5)], "ad", step_seconds=0.1)
        assert len(times) == count


def test_as_many_cells_as_are_allowed_and_no_more() -> None:
    assert len(timeline([prediction(0, 2000, 0.5)], "ad", step_seconds=0.001)[0]) == 2_000_000
    with pytest.raises(ValueError, match="2,000,000"):
        timeline([prediction(0, 2000, 0.5)], "ad", step_seconds=0.00099)


def test_frame_scores_stand_in_their_parts_of_the_window() -> None:
    times, scores = timeline([prediction(10, 14, 0.0, [0.1, 0.9, 0.3, 0.5])], "ad", step_seconds=0.5)
    np.testing.assert_allclose(times, 10.25 + 0.5 * np.arange(8))
    np.testing.assert_allclose(scores, np.repeat([0.1, 0.9, 0.3, 0.5], 2), atol=1e-6)


@pytest.mark.parametrize("name", ["smoothing_seconds", "min_segment_seconds", "merge_gap_seconds"])
@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_seconds_that_are_none(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        scores_to_segments(staircase([1, 0]), "ad", **{name: value})


def test_thresholds_at_both_ends() -> None:
    items = staircase([0.0, 1.0, 0.5])
    assert spans(scores_to_segments(items, "ad", 0.0)) == [(0, 3)]
    assert spans(scores_to_segments(items, "ad", 1.0, step_seconds=1)) == [(1, 2)]
    with pytest.raises(ValueError, match="threshold"):
        scores_to_segments(items, "ad", -0.1)


def test_pairs_are_of_one_label_that_overlap_and_the_best_come_first() -> None:
    truth = [Segment("ad", 0, 10, 1), Segment("ad", 10, 20, 1)]
    # Touches the first and overlaps nothing of another label.
    match = match_segments([Segment("ad", 20, 25, 1), Segment("promo", 0, 10, 1)], truth, 100)
    assert (match.pairs, match.missed, match.precision) == ((), tuple(truth), 0)
    # One found segment over both: the one that it overlaps most has it, also where it comes second.
    wide = Segment("ad", 4, 20, 1)
    match = match_segments([wide], truth, 6)
    assert [(pair.truth, pair.iou) for pair in match.pairs] == [(truth[1], pytest.approx(10 / 16))]
    assert (match.pairs[0].start_error, match.pairs[0].end_error) == (-6, 0)
    assert (match.precision, match.recall, match.missed) == (1, 0.5, (truth[0],))
    assert match_segments([wide], truth, 5.99).precision == 0


def test_all_is_within_tolerance_only_where_nothing_is_missed_or_spurious() -> None:
    one, other = Segment("ad", 0, 10, 1), Segment("ad", 20, 30, 1)
    near = Segment("ad", 1, 10, 0.5)
    assert match_segments([near, other], [one, other], 1).within_tolerance, "an error equal to the tolerance is within"
    assert not match_segments([near, other], [one, other], 0.99).within_tolerance
    assert not match_segments([near, other], [one], 1).within_tolerance
    assert not match_segments([near], [one, other], 1).within_tolerance
    assert match_segments([near], [one], 0.5).precision == 0, "a pair beyond the tolerance is not a hit"
    assert match_segments([near], [one], 0.5).recall == 0


def test_shared_seconds_are_of_each_label_and_count_once() -> None:
    found = [Segment("ad", 0, 4, 1), Segment("ad", 2, 6, 1), Segment("promo", 0, 1, 1)]
    match = match_segments(found, [Segment("ad", 0, 6, 1)], 1)
    assert match.iou == pytest.approx(6 / 7)
    (pair,) = match_segments([Segment("ad", 0, 0.25, 1)], [Segment("ad", 0, 0.5, 1)], 1).pairs
    assert pair.iou == 0.5


def test_segments_without_length_match_nothing() -> None:
    point = [Segment("ad", 1.0, 1.0, 0.9)]
    match = match_segments(point, point, 0.5)
    assert (match.pairs, match.iou) == ((), None)
    assert match.missed == match.spurious == tuple(point)
