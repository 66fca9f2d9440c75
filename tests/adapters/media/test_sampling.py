"""Which moments are taken: properties that hold for every range, window and stride."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import ConfigError, MediaError
from adapters.media import Window, fill_clip, plan_clip, window_seconds
from adapters.media.sampling import MAX_WINDOWS, check_window_count, merged_moments, plan_windows
from adapters.records import InputSpec

seconds = st.floats(0.05, 30.0)
counts = st.integers(1, 40)
NEAR = 1e-5


def spread(n_frames: int, window: float | None = None, stride: float | None = None, **more: str) -> InputSpec:
    return InputSpec(8, 8, n_frames, window_seconds=window, stride_seconds=stride, **more)  # type: ignore[arg-type]


def rate(n_frames: int, fps: float, stride: float | None = None, **more: str) -> InputSpec:
    return InputSpec(8, 8, n_frames, sampling="rate", fps=fps, stride_seconds=stride, **more)  # type: ignore[arg-type]


@settings(deadline=None)
@given(start=st.floats(0, 100), length=seconds, window=seconds, share=st.floats(0.05, 1.0), n_frames=counts)
def test_windows_leave_no_part_of_the_range_out(
    start: float, length: float, window: float, share: float, n_frames: int
) -> None:
    end = start + length
    windows = list(plan_windows(spread(n_frames, window, window * share), start, end))
    assert windows[0].start == start
    assert windows[-1].end == pytest.approx(end, abs=NEAR)
    for before, after in pairwise(windows):
        assert before.start < after.start <= before.end + NEAR  # in order, and without a gap
    for item in windows:
        assert start - NEAR <= item.start < item.end <= end + NEAR
        assert item.end - item.start <= window + NEAR


@settings(deadline=None)  # thousands of windows where the stride is short
@given(length=seconds, window=seconds, factor=st.floats(0.05, 3.0))
def test_a_partial_window_is_at_least_half_and_only_the_last_is_partial(
    length: float, window: float, factor: float
) -> None:
    windows = list(plan_windows(spread(4, window, window * factor), 0.0, length))
    lengths = [item.end - item.start for item in windows]
    assert all(value == pytest.approx(window, abs=NEAR) for value in lengths[:-1])
    if length > window + NEAR:
        assert lengths[-1] >= window / 2 - NEAR
    else:
        assert len(windows) == 1


@given(start=st.floats(0, 100), length=seconds, n_frames=counts)
def test_spread_takes_the_centres_of_equal_parts(start: float, length: float, n_frames: int) -> None:
    times = plan_clip(spread(n_frames), start, start + length).times
    parts = np.linspace(start, start + length, n_frames + 1)
    np.testing.assert_allclose(times, (parts[:-1] + parts[1:]) / 2, rtol=0, atol=1e-9)


@given(start=st.floats(0, 100), length=seconds, n_frames=counts, fps=st.floats(0.5, 60))
def test_rate_takes_every_interval_and_stops_at_the_end(start: float, length: float, n_frames: int, fps: float) -> None:
    window = plan_clip(rate(n_frames, fps), start, start + length)
    assert window.end == pytest.approx(min(start + length, start + n_frames / fps))
    np.testing.assert_allclose(np.diff(window.times), 1 / fps, atol=1e-9)
    assert window.times[0] == start
    assert len(window.times) == 1 or window.times[-1] < window.end
    assert len(window.times) == n_frames or window.times[-1] + 1 / fps >= start + length - NEAR


def test_windows_of_ten_seconds_by_three_and_two() -> None:
    spans = [(w.start, w.end) for w in plan_windows(spread(2, 3.0, 2.0), 0.0, 10.0)]
    # 8-10 is a partial window of more than half.
    assert spans == [(0, 3), (2, 5), (4, 7), (6, 9), (8, 10)]
    # A rest of less than half a window: a whole window moved back.
    assert [(w.start, w.end) for w in plan_windows(spread(2, 3.0), 0.0, 10.0)] == [(0, 3), (3, 6), (6, 9), (7, 10)]
    # A stride longer than the window leaves gaps on purpose.
    assert [(w.start, w.end) for w in plan_windows(spread(2, 1.0, 4.0), 0.0, 10.0)] == [(0, 1), (4, 5), (8, 9)]


def test_an_hour_of_windows_is_planned_lazily() -> None:
    windows = plan_windows(spread(16, 2.0, 0.001), 0.0, 1e9)
    assert next(windows).start == 0.0
    assert next(windows).start == pytest.approx(0.001)


def test_rate_windows_last_n_frames_over_fps_and_another_length_is_refused() -> None:
    assert window_seconds(rate(16, 5)) == pytest.approx(3.2)
    with pytest.raises(ConfigError, match=r"window_seconds is 5 .* n_frames / fps = 16 / 5 = 3.2"):
        list(plan_windows(rate(16, 5).with_windows(5.0, None), 0.0, 20.0))
    with pytest.raises(ConfigError, match=r"stride_seconds is 1.0 .* no window_seconds"):
        list(plan_windows(spread(4, None, 1.0), 0.0, 20.0))


@given(available=st.integers(1, 12), n_frames=st.integers(1, 30), policy=st.sampled_from(["repeat_last", "wrap"]))
def test_a_short_rate_window_is_filled_to_n_frames_in_order(available: int, n_frames: int, policy: str) -> None:
    spec = rate(n_frames, 10, short_clip=policy)
    window = plan_clip(spec, 0.0, available / 10)
    indices, times = fill_clip(spec, window, list(window.times), 10, "v")
    found = len(window.times)
    assert len(indices) == len(times) == n_frames
    assert indices[:found] == list(range(found))
    assert (np.diff(times) >= 0).all()
    rest = indices[found:]
    assert rest == ([found - 1] * len(rest) if policy == "repeat_last" else [i % found for i in range(found, n_frames)])


def test_short_spread_window_by_policy() -> None:
    shown = [0.0, 0.0, 0.1, 0.1, 0.2, 0.2]  # three frames at 10 a second, six asked for

    def fill(policy: str) -> tuple[list[int], list[float]]:
        spec = spread(6, short_clip=policy)
        indices, times = fill_clip(spec, plan_clip(spec, 0.0, 0.3), shown, 10, "v.mp4")
        return indices, [round(float(t), 3) for t in times]

    assert fill("repeat_last") == ([0, 1, 2, 3, 4, 5], shown)
    assert fill("wrap") == ([0, 2, 4, 0, 2, 4], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(MediaError, match=r"v.mp4: 0.00-0.30 s has 3 frames; 6 are required"):
        fill("error")


def test_a_still_in_a_video_with_enough_frames_is_not_short() -> None:
    spec = spread(4, short_clip="error")
    window = Window(0.0, 4.0, np.array([0.5, 1.5, 2.5, 3.5]))
    indices, _ = fill_clip(spec, window, [0.4, 1.0, 1.0, 3.4], 25, "v")
    assert indices == [0, 1, 2, 3]


def test_unknown_rate_counts_what_was_found() -> None:
    spec = spread(2, short_clip="error")
    assert not math.isnan(plan_clip(spec, 0, 1).times[0])
    with pytest.raises(MediaError, match="1 frames; 2 are required"):
        fill_clip(spec, plan_clip(spec, 0.0, 1.0), [0.0, 0.0], None, "v")


@settings(deadline=None)
@given(start=st.floats(0, 100), length=seconds, fps=st.floats(0.2, 30.0), n_frames=counts)
def test_pieces_of_every_hold_each_moment_once(start: float, length: float, fps: float, n_frames: int) -> None:
    spec = InputSpec(8, 8, n_frames, sampling="every", fps=fps)
    pieces = list(plan_windows(spec, start, start + length))
    times = np.concatenate([piece.times for piece in pieces])
    np.testing.assert_allclose(times, start + np.arange(len(times)) / fps, atol=NEAR)
    assert len(times) == 1 or times[-1] < start + length
    assert times[-1] + 1 / fps >= start + length - NEAR
    assert all(len(piece.times) == n_frames for piece in pieces[:-1])
    assert [pieces[0].start, pieces[-1].end] == [start, start + length]
    for before, after in pairwise(pieces):
        assert before.end == pytest.approx(after.start)
    assert len(plan_clip(spec, start, start + length).times) == n_frames


@settings(deadline=None)
@given(length=seconds, n_frames=counts, other=counts, fps=st.floats(0.2, 30.0))
def test_a_window_of_several_parts_has_the_moments_of_each(
    length: float, n_frames: int, other: int, fps: float
) -> None:
    parts = spread(n_frames), rate(other, fps), InputSpec(8, 8, 1, sampling="every", fps=fps)
    times = plan_clip(InputSpec(8, 8, 1, parts=parts), 0.0, length).times
    assert (np.diff(times) > 0).all()
    own = [plan_clip(part, 0.0, length).times for part in parts[:2]]
    for moments in own:
        assert set(moments) <= set(times)
    assert len(times) <= sum(len(moments) for moments in own) + max(1, math.ceil(length * fps))


def test_a_short_clip_that_wraps_at_a_rate_keeps_the_moments_that_repeat_a_frame() -> None:
    """A slow source shows one frame at two moments; each moment counts, so that time keeps its pace."""
    spec = rate(6, 10, short_clip="wrap")
    indices, times = fill_clip(spec, plan_clip(spec, 0.0, 0.4), [0.0, 0.0, 0.2, 0.2], 5, "v")
    assert indices == [0, 1, 2, 3, 0, 1]
    np.testing.assert_allclose(times, [0.0, 0.0, 0.2, 0.2, 0.4, 0.4])


def test_times_of_a_wrapped_clip_go_on_by_the_length_of_the_window() -> None:
    spec = spread(5, short_clip="wrap")
    window = Window(2.0, 2.5, plan_clip(spec, 2.0, 2.5).times)
    indices, times = fill_clip(spec, window, [2.0, 2.0, 2.0, 2.3, 2.3], 4, "v")
    assert indices == [0, 3, 0, 3, 0]
    np.testing.assert_allclose(times, [2.0, 2.3, 2.5, 2.8, 3.0])
    # The frame shown at the window's start may have begun long before: times stay in order all the same.
    _, times = fill_clip(spec, window, [0.5, 0.5, 0.5, 2.4, 2.4], 4, "v")
    np.testing.assert_allclose(times, [0.5, 2.4, 2.4, 2.9, 2.9])


@pytest.mark.parametrize(
    ("fps", "short"),
    [(6.0, True), (6.9, True), (7.0, False), (7.9, False), (25.0, False), (None, True)],
)
def test_a_spread_window_is_short_by_the_average_rate(fps: float | None, short: bool) -> None:
    """Four frames wanted of half a second; one was found twice. Half a frame is allowed for."""
    spec = spread(4, short_clip="error")
    window = plan_clip(spec, 0.0, 0.5)
    shown = [0.0, 0.1, 0.1, 0.4]
    if short:
        with pytest.raises(MediaError, match="3 frames"):
            fill_clip(spec, window, shown, fps, "v")
    else:
        assert fill_clip(spec, window, shown, fps, "v")[0] == [0, 1, 2, 3]
    assert fill_clip(spec, window, [0.0, 0.1, 0.2, 0.4], fps, "v")[0] == [0, 1, 2, 3]


def test_a_rate_window_with_all_its_moments_is_never_short() -> None:
    """However few frames the source has: the moments are what was asked for."""
    spec = rate(4, 20, short_clip="error")
    indices, times = fill_clip(spec, plan_clip(spec, 0.0, 9.0), [0.0, 0.0, 0.1, 0.1], 10, "v")
    assert (indices, times.tolist()) == ([0, 1, 2, 3], [0.0, 0.0, 0.1, 0.1])


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "error"])
def test_a_piece_of_every_moment_is_never_filled_up(policy: str) -> None:
    spec = InputSpec(8, 8, 5, sampling="every", fps=10.0, short_clip=policy)  # type: ignore[arg-type]
    window = Window(0.0, 0.3, np.array([0.0, 0.1, 0.2]))
    indices, times = fill_clip(spec, window, [0.0, 0.0, 0.2], 5, "v")
    assert (indices, times.tolist()) == ([0, 1, 2], [0.0, 0.0, 0.2])


def test_a_part_that_may_not_be_short_is_judged_by_its_own_moments() -> None:
    strict = spread(2, short_clip="error")  # at 0.25 and 0.75
    spec = InputSpec(8, 8, 1, parts=(rate(10, 10), strict))
    window = plan_clip(spec, 0.0, 1.0)
    halves = [0.5 if time >= 0.5 else 0.0 for time in window.times]
    indices, _ = fill_clip(spec, window, halves, None, "v")
    assert indices == list(range(12))
    with pytest.raises(MediaError, match="1 frames; 2 are required"):
        fill_clip(spec, window, [0.0] * len(window.times), None, "v")
    lenient = InputSpec(8, 8, 1, parts=(rate(10, 10), spread(2)))
    assert fill_clip(lenient, window, [0.0] * 12, None, "v")[0] == list(range(12))
    # The video ended early: of the part's moments only those that were found count.
    with pytest.raises(MediaError, match="1 frames; 2 are required"):
        fill_clip(spec, window, halves[:5], 25, "v")


def test_moments_that_two_parts_share_are_taken_once() -> None:
    times = plan_clip(InputSpec(8, 8, 1, parts=(rate(4, 4), rate(2, 2), spread(1))), 0.0, 1.0).times
    assert times.tolist() == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("length", [0.0, 1e-9, 1e-7])
def test_a_range_of_no_length_has_one_moment(length: float) -> None:
    for spec in (rate(4, 10), InputSpec(8, 8, 4, sampling="every", fps=10.0)):
        (window,) = plan_windows(spec, 3.0, 3.0 + length)
        assert window.times.tolist() == [3.0]


@pytest.mark.parametrize("sampling", ["rate", "every"])
@pytest.mark.parametrize(("end", "count"), [(0.3, 3), (0.3 + 5e-7, 3), (0.3 - 5e-7, 3), (0.31, 4), (0.29, 3)])
def test_a_moment_at_the_end_is_outside_also_after_rounding(sampling: str, end: float, count: int) -> None:
    spec = InputSpec(8, 8, 9, sampling=sampling, fps=10.0)  # type: ignore[arg-type]
    (window,) = plan_windows(spec, 0.0, end)
    np.testing.assert_allclose(window.times, np.arange(count) / 10, atol=1e-9)
    assert window.end == end


def test_windows_of_every_moment() -> None:
    spec = InputSpec(8, 8, 2, sampling="every", fps=2.0, window_seconds=1.5, stride_seconds=1.0)
    assert window_seconds(spec) == 1.5
    windows = list(plan_windows(spec, 10.0, 12.5))
    assert [(w.start, w.end, w.times.tolist()) for w in windows] == [
        (10.0, 11.5, [10.0, 10.5, 11.0]),
        (11.0, 12.5, [11.0, 11.5, 12.0]),
    ]


def test_a_window_length_near_that_of_the_rate_is_taken_for_it() -> None:
    assert window_seconds(rate(16, 5).with_windows(3.35, None)) == pytest.approx(3.2)
    for length in (2.9, 3.5):
        with pytest.raises(ConfigError, match="window_seconds"):
            window_seconds(rate(16, 5).with_windows(length, None))


def test_windows_at_a_rate_have_their_moments_and_a_stride_of_their_own() -> None:
    windows = list(plan_windows(rate(4, 4.0, stride=0.5), 1.0, 2.75))
    assert [(w.start, w.end) for w in windows] == [(1.0, 2.0), (1.5, 2.5), (2.0, 2.75)]
    assert [w.times.tolist() for w in windows] == [
        [1.0, 1.25, 1.5, 1.75],
        [1.5, 1.75, 2.0, 2.25],
        [2.0, 2.25, 2.5],
    ]


@pytest.mark.parametrize(
    ("length", "last"),
    [
        (8.0, (4.0, 8.0)),  # fits exactly
        (8.0 + 5e-7, (4.0, 8.0)),  # but for rounding
        (10.0, (8.0, 10.0)),  # half a window remains
        (9.9, (5.9, 9.9)),  # less: a whole window moved back
        (11.0, (8.0, 11.0)),
        (4.0 + 5e-7, (0.0, 4.0 + 5e-7)),
    ],
)
def test_the_last_window_of_four_seconds(length: float, last: tuple[float, float]) -> None:
    windows = list(plan_windows(spread(2, 4.0), 0.0, length))
    assert (windows[-1].start, windows[-1].end) == pytest.approx(last, abs=1e-9)


# How many -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(length=st.floats(0.05, 30.0), window=st.floats(0.05, 10.0), share=st.floats(0.1, 2.0), most=st.integers(1, 300))
def test_no_more_windows_are_planned_than_are_allowed(length: float, window: float, share: float, most: int) -> None:
    spec = spread(1, window, window * share)
    count = len(list(plan_windows(spec, 0.0, length)))
    try:
        check_window_count(spec, 0.0, length, "clip.mp4", most)
    except MediaError:
        assert count + 2 > most  # the estimate is above the number by two at most
    else:
        assert count <= most


def test_a_day_with_a_window_each_second_is_allowed_and_a_window_each_hundredth_is_not() -> None:
    day = 86_400.0
    check_window_count(spread(16, 10.0, 1.0), 0.0, day, "day.mp4")
    check_window_count(rate(16, 5.0, 0.5), 0.0, day, "day.mp4")
    check_window_count(InputSpec(8, 8, 1, sampling="every", fps=240.0), 0.0, day, "day.mp4")
    words = rf"day\.mp4: .*8,640,\d+ windows; at most {MAX_WINDOWS:,} are allowed.*stride_seconds \(0\.432 or more\)"
    with pytest.raises(MediaError, match=words):
        check_window_count(spread(16, 0.01), 0.0, day, "day.mp4")
    with pytest.raises(MediaError, match="at most 100 are allowed"):
        check_window_count(spread(16, 10.0, 1.0), 0.0, day, "day.mp4", 100)
    with pytest.raises(MediaError, match="2,592,000 pieces"):
        check_window_count(InputSpec(8, 8, 8, sampling="every", fps=240.0), 0.0, day, "day.mp4", 10_000)


def test_a_range_shorter_than_a_window_is_one_window_whatever_is_allowed() -> None:
    check_window_count(spread(4, 10.0, 1.0), 3.0, 3.5, "clip.mp4", 1)
    check_window_count(spread(4), 0.0, 1e9, "clip.mp4", 1)


def test_a_stride_without_a_length_is_refused_where_windows_are_planned() -> None:
    check_window_count(spread(4, None, 1.0), 0.0, 1e9, "clip.mp4", 1)
    with pytest.raises(ConfigError, match=r"stride_seconds is 1\.0 but .* window_seconds"):
        list(plan_windows(spread(4, None, 1.0), 0.0, 9.0))


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 12), st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True)), max_size=8
    )
)
def test_moments_of_all_windows_come_once_each_in_order_of_time(rows: list[tuple[int, list[int]]]) -> None:
    windows = [
        Window(float(start), start + 21.0, start + np.array(sorted(steps), np.float64))
        for start, steps in sorted(rows, key=lambda row: row[0] + min(row[1]))
    ]
    found = list(merged_moments(iter(windows)))
    expected = sorted((time, number) for number, window in enumerate(windows) for time in window.times.tolist())
    assert [(moment, number) for moment, number, _ in found] == expected, "of equal moments the earlier window first"
    assert all(window is windows[number] for _, number, window in found)


def test_windows_are_taken_only_as_their_moments_come() -> None:
    taken: list[int] = []

    def windows() -> Iterator[Window]:
        for number in range(100):
            taken.append(number)
            yield Window(float(number), number + 3.0, number + np.arange(3.0))

    moments = merged_moments(windows())
    for _ in range(7):
        next(moments)
    assert len(taken) <= 6
