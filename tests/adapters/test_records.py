"""The values that pass between the parts: what they refuse, and what is computed of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adapters.records import (
    Clip,
    InputSpec,
    LabelScore,
    Prediction,
    Segment,
    VideoResult,
    aggregate,
    expand_binary,
    take_evenly,
)

SPEC = InputSpec(48, 64, 4, fps=5.0, window_seconds=2.0, stride_seconds=1.0)
LABELS = ("a", "b", "c", "d")
LEVELS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, word",
    [
        *(({name: 0}, name) for name in ("height", "width", "n_frames")),
        *(({name: 2.0}, name) for name in ("height", "width", "n_frames")),
        *(
            ({name: value}, name)
            for name in ("fps", "window_seconds", "stride_seconds")
            for value in (0, -1, math.inf, math.nan)
        ),
        ({"aspect": "fit"}, "aspect"),
        ({"sampling": "all"}, "sampling"),
        ({"short_clip": "loop"}, "short_clip"),
        ({"sampling": "rate", "fps": None}, "fps"),
        ({"sampling": "every", "fps": None}, "fps"),
        ({"crop_fraction": 0}, "crop_fraction"),
        ({"crop_fraction": 1.01}, "crop_fraction"),
    ],
)
def test_a_spec_that_cannot_be(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        replace(SPEC, **changes)


def test_the_least_spec() -> None:
    spec = InputSpec(1, 1, 1)
    assert (spec.aspect, spec.sampling, spec.short_clip, spec.crop_fraction) == ("crop", "spread", "repeat_last", 1.0)
    assert (spec.fps, spec.window_seconds, spec.stride_seconds, spec.parts) == (None, None, None, ())


@pytest.mark.parametrize(
    "given, expected",
    [((None, None), (2.0, 1.0)), ((3.0, None), (3.0, 1.0)), ((None, 0.5), (2.0, 0.5)), ((4.0, 2.5), (4.0, 2.5))],
)
def test_other_windows_keep_what_is_not_given(given: tuple[Any, Any], expected: tuple[float, float]) -> None:
    found = SPEC.with_windows(*given)
    assert (found.window_seconds, found.stride_seconds) == expected
    assert replace(found, window_seconds=2.0, stride_seconds=1.0) == SPEC


FRAMES, TIMES = np.zeros((2, 4, 6, 3), np.uint8), np.array([0.0, 0.5])


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"frames": FRAMES.astype(np.float32)}, "uint8 array of 4 dimensions, got float32"),
        ({"frames": FRAMES[0]}, "4 dimensions"),
        ({"frames": np.zeros((2, 4, 6, 4), np.uint8)}, "RGB"),
        ({"frames": FRAMES[:0], "times": TIMES[:0]}, "empty"),
        ({"times": TIMES.astype(np.float32)}, "float64"),
        ({"times": TIMES[:1]}, "1 times for 2 frames"),
        ({"start": -0.1}, "start and end"),
        ({"start": 2.0}, "start and end"),
        ({"end": math.inf}, "start and end"),
        ({"start": math.nan}, "start and end"),
    ],
)
def test_a_clip_that_cannot_be(changes: dict[str, Any], word: str) -> None:
    good: dict[str, Any] = {"frames": FRAMES, "times": TIMES, "source": "v.mp4", "start": 0.0, "end": 1.0}
    Clip(**good)
    Clip(**{**good, "start": 1.0})  # a single moment
    with pytest.raises(ValueError, match=word):
        Clip(**{**good, **changes})


SCORES = np.array([0.1, 0.5, 0.5, 0.2], np.float32)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"scores": SCORES.astype(np.float64)}, "float32"),
        ({"scores": SCORES[None]}, "1 dimension"),
        ({"scores": SCORES[:3]}, "3 scores for 4 labels"),
        ({"scores": np.array([0, 0, 0, np.nan], np.float32)}, "finite"),
        ({"scores": np.array([0, 0, 0, np.inf], np.float32)}, "finite"),
        ({"start": 3.0}, "start and end"),
        ({"frame_scores": SCORES}, "2 dimensions"),
        ({"frame_scores": np.zeros((2, 3), np.float32)}, "4 labels"),
    ],
)
def test_a_prediction_that_cannot_be(changes: dict[str, Any], word: str) -> None:
    good: dict[str, Any] = {"scores": SCORES, "labels": LABELS, "start": 0.0, "end": 1.0}
    Prediction(**good, frame_scores=np.zeros((9, 4), np.float32))
    with pytest.raises(ValueError, match=word):
        Prediction(**{**good, **changes})


def test_a_segment_ends_after_it_begins() -> None:
    Segment("a", 1.0, 1.0, 0.5)
    with pytest.raises(ValueError, match="start and end"):
        Segment("a", 1.0, 0.5, 0.5)


# What is computed -----------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.float32, st.integers(1, 9), elements=LEVELS), st.integers(-1, 12))
def test_the_best_come_first_and_equals_keep_their_order(scores: Any, count: int) -> None:
    labels = tuple(f"label {number}" for number in range(len(scores)))
    found = Prediction(scores, labels, 0.0, 1.0).top_k(count)
    order = sorted(range(len(scores)), key=lambda number: (-scores[number], number))[: max(count, 0)]
    assert found == [LabelScore(labels[number], float(scores[number])) for number in order]


def test_a_score_by_its_label() -> None:
    prediction = Prediction(SCORES, LABELS, 0.0, 1.0)
    assert [prediction.score_of(label) for label in LABELS] == pytest.approx([0.1, 0.5, 0.5, 0.2])
    with pytest.raises(KeyError, match="a, b, c, d"):
        prediction.score_of("e")
    assert "b 0.500, c 0.500" in repr(prediction)
    assert "0.00-1.00 s" in repr(prediction)


FRAME_SCORES = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=LEVELS)


@given(FRAME_SCORES, st.sampled_from([0.01, 0.25, 0.3, 0.5, 1.0]))
def test_a_clips_scores_are_a_mean_a_maximum_or_the_mean_of_the_best(scores: Any, share: float) -> None:
    columns = [sorted(column, reverse=True) for column in scores.T.tolist()]
    count = max(1, math.ceil(len(scores) * share))
    expected = {
        "mean": [sum(column) / len(column) for column in columns],
        "max": [column[0] for column in columns],
        "top_mean": [sum(column[:count]) / count for column in columns],
    }
    for how, values in expected.items():
        found = aggregate(scores, how, share)  # type: ignore[arg-type]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=1e-6)


def test_the_best_are_a_quarter_where_nothing_is_said_and_other_ways_are_refused() -> None:
    scores = np.array([[1], [0], [0.5], [0], [0], [0], [0], [0]], np.float32)
    np.testing.assert_allclose(aggregate(scores, "top_mean"), [0.75])
    with pytest.raises(ValueError, match="median"):
        aggregate(scores, "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32"):
        aggregate(scores.astype(np.float64), "mean")


@given(st.integers(0, 40), st.integers(1, 12))
def test_a_selection_is_spread_evenly_over_the_whole(total: int, count: int) -> None:
    found = take_evenly(list(range(total)), count)
    assert len(found) == min(total, count)
    assert found == sorted(set(found))
    if total > count:
        assert found[0] == 0
        steps = np.diff([*found, total])
        assert steps.max() - steps.min() <= 1
        assert set(steps) <= {total // count, -(-total // count)}


@pytest.mark.parametrize("place", [0, 1])
def test_a_sigmoid_becomes_two_scores(place: int) -> None:
    probabilities = np.array([[[0.25], [1.0]], [[0.5], [0.0]]], np.float32)
    found = expand_binary(probabilities, place)
    assert (found.shape, found.dtype) == ((2, 2, 2), np.float32)
    np.testing.assert_allclose(found[..., place], probabilities[..., 0])
    np.testing.assert_allclose(found.sum(axis=-1), 1)


def test_the_row_of_a_video() -> None:
    predictions = tuple(Prediction(SCORES, LABELS, float(start), start + 2.0) for start in (0, 2))
    assert VideoResult("v.mp4", predictions).to_json(1) == {
        "path": "v.mp4",
        "predictions": [
            {"start": 0.0, "end": 2.0, "labels": [{"label": "b", "score": 0.5}]},
            {"start": 2.0, "end": 4.0, "labels": [{"label": "b", "score": 0.5}]},
        ],
        "error": None,
    }
    failed = VideoResult("v.mp4", error="broken", warnings=("one", "two"))
    assert failed.to_json(5) == {"path": "v.mp4", "predictions": [], "error": "broken", "warnings": ["one", "two"]}
