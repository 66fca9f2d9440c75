"""Typed prompts, the score from which a label counts, and matches of segments: each bound, one value on either side."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters.errors import ConfigError
from adapters.inference.prompts import NEUTRAL_PROMPTS, parse_prompts, prompt_config
from adapters.inference.segments import match_segments, scores_to_segments, timeline
from adapters.inference.stored_thresholds import min_score_of, min_scores_of, parse_min_score
from adapters.records import Prediction, Segment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sunset; dive", ("sunset", "dive")),
        (" a   fast\tturn ;; ", ("a fast turn",)),
        (";".join(f"p{n}" for n in range(64)), tuple(f"p{n}" for n in range(64))),
        ("x" * 300, ("x" * 300,)),
    ],
)
def test_prompts_as_typed(text: str, expected: tuple[str, ...]) -> None:
    assert parse_prompts(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "goal has no words"),
        (" ; ;", "goal has no words"),
        (";".join(f"p{n}" for n in range(65)), "lists 65 prompts; at most 64"),
        ("x" * 301, r"has 301 characters; at most 300"),
        ("a\x07b", "has characters that cannot be printed"),
        ("a; b; a", "lists 'a' twice"),
    ],
)
def test_other_prompts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_prompts(text, "goal")


def test_the_config_of_prompts() -> None:
    config = prompt_config(("a", "b"), "folder")
    assert (config["pair"], config["prompts"], config["neutral_prompts"]) == (
        "folder",
        ["a", "b"],
        list(NEUTRAL_PROMPTS),
    )
    assert config["name"] == "prompts: a; b"
    assert prompt_config(("a",), "folder", ())["neutral_prompts"] == []
    assert len(prompt_config(("x" * 300,), "folder")["name"]) == 200
    with pytest.raises(ConfigError, match="a prompt needs a folder"):
        prompt_config(("a",), None)


@pytest.mark.parametrize(("given", "expected"), [(0, 0.0), (1, 1.0), ("0.25", 0.25), ("best", None), (0.5, 0.5)])
def test_a_score_or_best(given: Any, expected: float | None) -> None:
    assert parse_min_score(given) == expected


@pytest.mark.parametrize("given", [-0.01, 1.01, "much", "", None, "nan", float("inf")])
def test_no_score(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be a score in 0\.\.1, or best"):
        parse_min_score(given)


def _adapter(thresholds: dict[str, float], votes: bool = False) -> Any:
    return SimpleNamespace(config={"best_thresholds": thresholds}, votes=votes, labels=("a", "b"))


def test_the_score_of_each_label() -> None:
    chosen = _adapter({"b": 0.25})
    assert min_score_of(chosen, "best", "b") == 0.25
    assert min_score_of(chosen, 0.75, "b") == 0.75
    assert min_scores_of(chosen, "best") == {"a": 0.0, "b": 0.25}
    assert min_scores_of(chosen, "0.5") == {"a": 0.5, "b": 0.5}
    assert min_scores_of(_adapter({}), 1) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (_adapter({}), "this model has no chosen thresholds. Train it with --optimize"),
        (_adapter({}, votes=True), "an ensemble has no chosen thresholds"),
    ],
)
def test_no_thresholds(adapter: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        min_score_of(adapter, "best", "a")
    with pytest.raises(ConfigError, match=message):
        min_scores_of(adapter, "best")


def test_no_threshold_of_one_label() -> None:
    with pytest.raises(ConfigError, match="no chosen threshold for 'a'"):
        min_score_of(_adapter({"b": 0.25}, votes=True), "best", "a")


# Segments -------------------------------------------------------------------------------------------------------------


def _window(start: float, end: float, score: float, frames: list[float] | None = None) -> Prediction:
    scores = np.array([score, 1 - score], np.float32)
    by_frame = None if frames is None else np.array([[value, 1 - value] for value in frames], np.float32)
    return Prediction(scores, ("yes", "no"), start, end, "v", by_frame)


_STEPS = [_window(0, 2, 0.9), _window(2, 4, 0.1), _window(4, 6, 0.9), _window(6, 7, 0.1), _window(7, 8, 0.9)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(0, 2), (4, 6), (7, 8)]),
        ({"merge_gap_seconds": 1}, [(0, 2), (4, 8)]),
        ({"merge_gap_seconds": 0.9}, [(0, 2), (4, 6), (7, 8)]),
        ({"merge_gap_seconds": 2}, [(0, 8)]),
        ({"min_segment_seconds": 2}, [(0, 2), (4, 6)]),
        ({"min_segment_seconds": 2.1}, []),
        ({"min_segment_seconds": 4, "merge_gap_seconds": 1}, [(4, 8)]),
        ({"threshold": 0.9}, [(0, 2), (4, 6), (7, 8)]),
        ({"threshold": 0.91}, []),
        ({"threshold": 0.1}, [(0, 8)]),
    ],
)
def test_stretches_of_a_score(options: dict[str, float], expected: list[tuple[float, float]]) -> None:
    found = scores_to_segments(_STEPS, "yes", step_seconds=0.5, **options)
    assert [(item.start, item.end) for item in found] == expected
    assert all(item.label == "yes" for item in found)


def test_the_score_of_a_segment_is_the_mean_over_it() -> None:
    (whole,) = scores_to_segments(_STEPS, "yes", 0.0, step_seconds=0.5)
    assert whole.score == pytest.approx((5 * 0.9 + 3 * 0.1) / 8, abs=1e-6)
    (other,) = scores_to_segments([_window(0, 1, 0.25)], "no", 0.5)
    assert (other.start, other.end, other.score) == (0, 1, 0.75)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing_seconds": -1}, "smoothing_seconds must be seconds >= 0"),
        ({"min_segment_seconds": -0.1}, "min_segment_seconds must be"),
        ({"merge_gap_seconds": float("inf")}, "merge_gap_seconds must be"),
        ({"threshold": -0.1}, "threshold must be a score"),
        ({"threshold": 1.1}, "threshold must be a score"),
        ({"step_seconds": 0}, "step_seconds must be above 0"),
        ({"step_seconds": float("inf")}, "step_seconds must be above 0"),
        ({"step_seconds": 3.9e-6}, "use a larger step"),
    ],
)
def test_values_that_segments_do_not_have(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores_to_segments(_STEPS, "yes", **options)


def test_the_label_and_the_windows_that_a_timeline_needs() -> None:
    with pytest.raises(ValueError, match="'maybe' is not a label of these predictions: yes, no"):
        timeline(_STEPS, "maybe")
    with pytest.raises(ValueError, match="at least one prediction"):
        timeline([], "yes")
    assert scores_to_segments([], "yes") == []


def test_a_timeline_of_frames_of_gaps_and_of_overlaps() -> None:
    times, scores = timeline([_window(0, 4, 0.5, [0.1, 0.2, 0.3, 0.4])], "yes", 1)
    np.testing.assert_allclose(times, [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(scores, [0.1, 0.2, 0.3, 0.4], atol=1e-6)
    # The last cell ends with the video.
    times, scores = timeline([_window(0, 2.5, 0.5)], "yes", 1)
    np.testing.assert_allclose(times, [0.5, 1.5, 2.25])
    # A gap of a stride is bridged, a longer one is not known.
    spaced = [_window(0, 1, 0.0), _window(2, 3, 1.0), _window(4, 5, 0.0), _window(8, 9, 1.0)]
    times, scores = timeline(spaced, "yes", 1)
    np.testing.assert_allclose(scores[:5], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    assert np.isnan(scores[5:8]).all()
    assert scores[8] == 1
    # Half overlapping windows are interpolated between their middles.
    times, scores = timeline([_window(0, 4, 0.0), _window(2, 6, 1.0)], "yes", 1)
    np.testing.assert_allclose(scores, [0, 0, 0.25, 0.75, 1, 1], atol=1e-6)


def test_a_moving_average_takes_half_its_length_on_either_side() -> None:
    peak = [_window(n, n + 1, 1.0 if n == 3 else 0.0) for n in range(7)]

    def found(seconds: float, threshold: float) -> list[tuple[float, float]]:
        segments = scores_to_segments(peak, "yes", threshold, smoothing_seconds=seconds, step_seconds=1)
        return [(item.start, item.end) for item in segments]

    assert found(0, 0.9) == [(3, 4)]
    assert found(2, 0.3) == [(2, 5)]
    assert found(2, 0.34) == []
    assert found(4, 0.2) == [(1, 6)]


def _segment(start: float, end: float, label: str = "a") -> Segment:
    return Segment(label, start, end, 0.5)


def test_a_match_of_segments() -> None:
    truth = [_segment(0, 10), _segment(20, 30), _segment(50, 60)]
    found = [_segment(19, 31), _segment(1, 10), _segment(8, 11), _segment(70, 80), _segment(50, 60, "b")]
    match = match_segments(found, truth, 1.0)
    assert [(pair.truth.start, pair.found.start) for pair in match.pairs] == [(0, 1), (20, 19)]
    first, second = match.pairs
    assert (first.start_error, first.end_error, first.iou) == (1, 0, 0.9)
    assert (second.start_error, second.end_error) == (-1, 1)
    assert [item.start for item in match.missed] == [50]
    assert [(item.start, item.label) for item in match.spurious] == [(8, "a"), (70, "a"), (50, "b")]
    assert (match.within_tolerance, match.precision, match.recall) == (False, 2 / 5, 2 / 3)
    assert match.max_boundary_error == 1
    # Of a both have 1-10 and 20-30, either has 0-11, 19-31, 50-60 and 70-80; of b one has 50-60.
    assert match.iou == pytest.approx((9 + 10) / (11 + 12 + 10 + 10 + 10))
    assert match.to_json()["tolerance_seconds"] == 1.0


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([], [], (True, None, None, None, None)),
        ([(0, 1)], [], (False, 0.0, None, 0.0, None)),
        ([], [(0, 1)], (False, None, 0.0, 0.0, None)),
        ([(0, 1)], [(0, 1)], (True, 1.0, 1.0, 1.0, 0.0)),
        ([(0, 1)], [(1, 2)], (False, 0.0, 0.0, 0.0, None)),
        ([(0, 1.5)], [(0, 1)], (True, 1.0, 1.0, 2 / 3, 0.5)),
        ([(0, 1.6)], [(0, 1)], (False, 0.0, 0.0, 1 / 1.6, 0.6)),
    ],
)
def test_few_segments(found: Any, truth: Any, expected: tuple[Any, ...]) -> None:
    match = match_segments([_segment(*one) for one in found], [_segment(*one) for one in truth], 0.5)
    values = (match.within_tolerance, match.precision, match.recall, match.iou, match.max_boundary_error)
    assert values == tuple(pytest.approx(value) if isinstance(value, float) else value for value in expected)
