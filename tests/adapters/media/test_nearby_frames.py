"""How far from a moment a frame may be taken: at most half the time between two moments, however they are sampled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.nearby_frames import SPARSE_SECONDS, nearby_frames
from adapters.media.sampling import plan_clip, plan_windows
from adapters.records import InputSpec

SPEC = InputSpec(32, 32, 4, sampling_tolerance_seconds=100.0)
TENTHS = st.integers(1, 400).map(lambda number: number / 10)


@given(
    frames=st.integers(1, 6), window=TENTHS, stride=st.none() | TENTHS, start=st.sampled_from([0.0, 2.5]), length=TENTHS
)
def test_the_gap_is_the_least_time_between_moments_of_the_windows(
    frames: int, window: float, stride: float | None, start: float, length: float
) -> None:
    spec = replace(SPEC, n_frames=frames, window_seconds=window, stride_seconds=stride)
    windows = list(plan_windows(spec, start, start + length))
    shortest = min(one.end - one.start for one in windows) / frames
    found = nearby_frames(spec, start, start + length, 10.0, one_clip=False).gap
    least = shortest if stride is None else min(shortest, stride)
    assert found <= least + 1e-6
    reaches = windows[-1].start == start + (len(windows) - 1) * (stride or window) or len(windows) == 1
    ends = abs(windows[-1].end - windows[-1].start - window) < 1e-6
    if not (reaches and ends):  # a window that ends with the range by itself may count as a shorter one
        assert found == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("one_clip", [False, True])
@pytest.mark.parametrize(("sampling", "fps"), [("rate", 2.0), ("rate", 0.5), ("every", 1.0)])
def test_at_a_rate_the_gap_is_its_period(sampling: str, fps: float, one_clip: bool) -> None:
    spec = replace(SPEC, sampling=sampling, fps=fps)  # type: ignore[arg-type]
    expected = 20.0 / 4 if sampling == "every" and one_clip else 1 / fps
    assert nearby_frames(spec, 0.0, 20.0, 0.0, one_clip).gap == pytest.approx(expected)
    strided = replace(spec, stride_seconds=0.25)
    assert nearby_frames(strided, 0.0, 20.0, 0.0, one_clip).gap == pytest.approx(expected if one_clip else 0.25)


@pytest.mark.parametrize(("length", "window"), [(20.0, None), (20.0, 4.0), (7.0, 8.0)])
def test_one_clip_is_the_whole_range_whatever_the_windows(length: float, window: float | None) -> None:
    spec = replace(SPEC, window_seconds=window)
    clip = plan_clip(spec, 3.0, 3.0 + length)
    found = nearby_frames(spec, 3.0, 3.0 + length, 0.0, one_clip=True)
    assert found.gap == pytest.approx(length / 4)
    assert found.gap == pytest.approx(clip.times[1] - clip.times[0])


def test_the_tolerance_is_what_is_allowed_and_at_most_half_the_gap() -> None:
    for allowed, expected in ((0.0, 0.0), (0.4, 0.4), (2.4, 2.4), (2.6, 2.5), (100.0, 2.5)):
        spec = replace(SPEC, sampling_tolerance_seconds=allowed)
        assert nearby_frames(spec, 0.0, 20.0, 0.0, one_clip=False).tolerance == pytest.approx(expected)


def test_only_moments_that_are_far_apart_have_a_tolerance() -> None:
    for length, sparse in ((4 * SPARSE_SECONDS, True), (4 * SPARSE_SECONDS - 0.01, False)):
        found = nearby_frames(SPEC, 1.0, 1.0 + length, 0.0, one_clip=False)
        assert (found.tolerance > 0) == sparse


def test_frames_lie_within_the_range_in_source_time() -> None:
    found = nearby_frames(SPEC, 3.0, 43.0, 100.0, one_clip=False)
    assert (found.start, found.end) == (103.0, 143.0)


def test_models_that_share_a_decoding_have_the_densest_gap_and_no_tolerance() -> None:
    parts = (replace(SPEC, n_frames=2), replace(SPEC, n_frames=8))
    found = nearby_frames(replace(SPEC, parts=parts), 0.0, 40.0, 0.0, one_clip=False)
    assert (found.gap, found.tolerance) == (5.0, 0.0)
