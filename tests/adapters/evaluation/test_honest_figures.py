"""Each figure with its interval over groups, what it does not show in words, and no digits that mean nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from adapters.data import Example
from adapters.errors import ConfigError, DatasetError
from adapters.evaluation import EvaluationReport, evaluate
from adapters.reports import rounded


def scores_of(best: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.where(np.arange(classes) == best[:, None], 0.8, 0.2 / (classes - 1)).astype(np.float32)


def test_every_figure_has_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, size=90)
    best = np.where(rng.uniform(size=90) < 0.8, truth, rng.integers(0, 3, size=90))
    report = evaluate(scores_of(best), truth, ("a", "b", "c"), groups=np.arange(90) // 6)
    assert (report.clips, report.groups) == (90, 15)
    items = [report, *report.per_class]
    for item in items:
        for name in ("precision", "recall", "f1"):
            low, high = item.intervals[name] or (1.0, 0.0)
            assert 0 <= low <= getattr(item, name) <= high <= 1
            assert low < high
    low, high = report.intervals["accuracy"] or (1.0, 0.0)
    assert low <= report.accuracy <= high
    assert report.notes == ()


def test_clips_of_few_groups_have_wider_intervals() -> None:
    truth = np.arange(60) % 2
    best = np.where(np.arange(60) < 42, truth, 1 - truth)
    few, many = (
        evaluate(scores_of(best, 2), truth, ("a", "b"), groups=np.arange(60) // size).intervals["accuracy"]
        for size in (10, 1)
    )
    assert few is not None
    assert many is not None
    assert few[1] - few[0] > 1.5 * (many[1] - many[0])


def test_groups_are_those_of_the_examples_and_must_fit() -> None:
    clips = [Example(Path(f"/v/{n}.mp4"), ("a",), group=f"g{n // 2}") for n in range(4)]
    truth = [0, 1, 0, 1]
    assert evaluate(scores_of(np.array(truth), 2), truth, ("a", "b"), paths=clips).groups == 2
    with pytest.raises(DatasetError, match="3 groups for 4 clips"):
        evaluate(scores_of(np.array(truth), 2), truth, ("a", "b"), groups=["x"] * 3)


def test_answers_at_random_are_said_to_be() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, size=60)
    notes = " ".join(evaluate(scores_of(rng.integers(0, 3, size=60)), truth, ("a", "b", "c")).notes)
    assert "not shown to be better than chance" in notes
    assert "always answering the largest class" in notes


def test_the_largest_class_alone_is_no_skill() -> None:
    truth = np.array([0] * 18 + [1] * 2)
    report = evaluate(scores_of(np.zeros(20, int), 2), truth, ("a", "b"))
    assert report.accuracy == 0.9
    assert report.largest_class == {"labels": ["a"], "share": 0.9}
    assert any("the largest class, 'a' (90% of the clips)" in note for note in report.notes)


def test_one_group_one_recording_and_one_clip_are_said() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1])
    one = evaluate(scores_of(truth, 2), truth, ("a", "b"), groups=["x"] * 6)
    assert any("all clips are of one group" in note for note in one.notes)
    assert one.intervals["accuracy"] == pytest.approx([0.2065, 1.0], abs=1e-3), "Wilson's interval of 1 of 1"
    recording = evaluate(scores_of(truth, 2), truth, ("a", "b"), groups=["x", "x", "x", "1", "2", "3"])
    assert any("all clips of 'a' are of one group" in note for note in recording.notes)
    single = evaluate(scores_of(np.array([0, 1]), 2), [0, 1], ("a", "b"))
    assert any("only one clip of 'a', 'b'" in note for note in single.notes)


def test_no_figure_has_digits_that_mean_nothing() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2, 2])
    report = evaluate(scores_of(np.array([0, 0, 1, 1, 1, 2, 0])), truth, ("a", "b", "c"), groups=[0, 0, 1, 1, 2, 2, 3])
    text = json.dumps(report.to_json(), allow_nan=False)
    assert not re.search(r"\d\.\d{10,}", text)
    assert rounded({"x": (0.1 + 0.2, 0.9999999999999999, 1e-7 / 3, 3, "0.1000000000")}) == {
        "x": [0.3, 1.0, 3.33333e-08, 3, "0.1000000000"]
    }


def test_a_kept_report_is_read_again_and_a_foreign_one_refused() -> None:
    truth = np.array([0, 1, 1, 0])
    report = evaluate(scores_of(truth, 2), truth, ("a", "b"), positive_label="b", thresholds={"b": 0.5})
    content = json.loads(json.dumps(report.to_json()))
    assert EvaluationReport.from_json(content).to_json() == report.to_json()
    other = {"per_class": [{**content["per_class"][0], "gini": 1.0}]}
    for foreign in ({"labels": ["a"]}, content | other, content | {"per_class": None}, {"per_class": []}):
        with pytest.raises(ConfigError, match="not a report"):
            EvaluationReport.from_json(foreign)


def test_many_classes_with_two_clips_each() -> None:
    truth = np.arange(160) % 80
    report = evaluate(scores_of(truth, 80), truth, [f"c{n}" for n in range(80)], groups=np.arange(160) // 4)
    assert len(report.per_class) == 80
    assert all(item.intervals["recall"] is not None for item in report.per_class)
