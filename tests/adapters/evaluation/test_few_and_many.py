"""Figures at their edges: breaks that compete for one, few groups, unknown labels, defaults of votes and folds."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.errors import DatasetError
from adapters.evaluation import evaluate, match_breaks
from adapters.evaluation.intervals import percentile_interval, resampled_interval
from adapters.evaluation.thresholds import figure_text, threshold_notes
from adapters.models.ensemble.voting import vote
from adapters.training.calibration import clip_probabilities, fit_temperature
from adapters.training.clip_features import LabelledFeatures
from adapters.training.fold_division import group_folds


def test_a_break_is_paired_once_and_with_the_one_that_agrees_best() -> None:
    whole, most, half = (0.0, 10.0), (0.0, 9.0), (0.0, 6.0)
    assert match_breaks([whole], [half, most]) == [(0, 1)]
    assert match_breaks([half, most], [whole]) == [(1, 0)]
    assert match_breaks([whole, whole], [whole]) == [(0, 0)], "of equal ones the first"
    assert match_breaks([whole], [whole, whole]) == [(0, 0)]
    apart = (20.0, 30.0)
    assert match_breaks([whole, apart], [half, apart]) == [(0, 0), (1, 1)], "in the order of those found"
    assert match_breaks([apart, whole], [whole, apart]) == [(0, 1), (1, 0)]
    assert match_breaks([(0.0, 5.0)], [whole]) == [(0, 0)], "half of it is enough"
    assert match_breaks([(0.0, 4.9)], [whole]) == []
    assert match_breaks([(0.0, 4.9)], [whole], 0.4) == [(0, 0)]


def test_few_groups_have_the_interval_of_as_many_trials() -> None:
    drawn = np.linspace(0.3, 0.7, 2000)
    few, enough = (resampled_interval(0.5, drawn, groups, 1000) for groups in (4, 5))
    # Wilson's of 2 in 4 is 0.150 to 0.850; with five groups the resamples decide.
    assert few == pytest.approx((0.15, 0.85), abs=1e-3)
    assert enough[0] > 0.2
    assert percentile_interval(drawn, 1) is None
    assert percentile_interval(np.full(9, np.nan), 5) is None
    assert percentile_interval(np.array([np.nan, 3.0, 3.0]), 2) == (3.0, 3.0)


def test_thresholds_are_of_labels_that_there_are() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    with pytest.raises(DatasetError, match=r"thresholds: 'c' is not one of the labels a, b"):
        evaluate(scores, np.array([0, 1]), ("a", "b"), thresholds={"a": 0.5, "c": 0.5})
    found = evaluate(scores, np.array([0, 1]), ("a", "b"), thresholds={"b": 0.5}).thresholds
    assert [(item.label, item.threshold, item.predicted) for item in found] == [("b", 0.5, 1)]


@pytest.mark.parametrize(("classes", "lines"), [(10, 10), (11, 11)])
def test_ten_thresholds_are_named_and_more_are_counted(classes: int, lines: int) -> None:
    figures = dict.fromkeys(("f1", "precision", "recall"), 0.5)
    entry = {**figures, "intervals": {name: [0.25, 0.75] for name in figures}, "threshold": 0.5, "held_out": True,
             "support": 2, "groups": 2, "reached": True, "value": 0.5}  # fmt: skip
    notes = threshold_notes(
        {"optimize": "f1", "clips": 9, "groups": 3, "classes": {f"c{number}": entry for number in range(classes)}}
    )
    assert len(notes) == lines
    assert notes[-1].startswith("thresholds of 11 classes are stored") is (classes > 10)


def test_a_figure_without_an_interval_is_undefined() -> None:
    assert figure_text("recall", None, [0.1, 0.2]) == figure_text("recall", 0.5, None) == "recall undefined"
    assert figure_text("recall", 0.5, (0.25, 0.75)) == "recall 0.50 (95% interval 0.25 to 0.75)"


def test_labels_of_a_vote_exclude_each_other_unless_it_is_said() -> None:
    scores = np.array([[0.7, 0.3], [0.1, 0.9]], np.float32)
    np.testing.assert_allclose(vote(scores, "max"), [0.7 / 1.6, 0.9 / 1.6], rtol=1e-6)
    np.testing.assert_allclose(vote(scores, "max", exclusive=False), [0.7, 0.9], rtol=1e-6)
    np.testing.assert_allclose(vote(scores, "majority"), [0.5, 0.5])
    np.testing.assert_allclose(vote(scores, "mean", weights=[9, 1]), [0.4, 0.6], rtol=1e-6)


@pytest.mark.parametrize(("clips", "folds"), [(3, 0), (4, 2), (399, 10), (400, 3)])
def test_large_sets_are_divided_into_fewer_folds_and_three_clips_into_none(clips: int, folds: int) -> None:
    targets = np.eye(2)[np.arange(clips) % 2]
    found = group_folds(np.arange(clips), targets, 0)
    assert len(found) == folds
    for learn, judge in found:
        assert sorted([*learn.tolist(), *judge.tolist()]) == list(range(clips))


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_loss_of_a_temperature_is_that_of_its_kind_of_scores(exclusive: bool) -> None:
    draw = np.random.default_rng(3)
    logits = draw.normal(size=(30, 2, 3)) * 4
    targets = np.eye(3, dtype=np.float32)[draw.integers(0, 3, 30)]
    weights = np.linspace(0.5, 2, 30).astype(np.float32)
    logits[4] = np.nan
    data = LabelledFeatures(np.zeros((30, 2, 1), np.float32), targets, weights, np.arange(30), exclusive)
    temperature, loss = fit_temperature(logits, data)
    assert np.exp(-4.6) <= temperature <= np.exp(4.6)
    kept = np.arange(30) != 4
    wrong = 1 / 31
    wanted = targets[kept] * (1 - wrong) + wrong * (1 / 3 if exclusive else 0.5)
    share = weights[kept].astype(np.float64) / weights[kept].sum(dtype=np.float64)

    def expected(at: float) -> float:
        scores = clip_probabilities(logits[kept], at, exclusive)
        if exclusive:
            losses = -(wanted * np.log(scores)).sum(axis=1)
        else:
            losses = -(wanted * np.log(scores) + (1 - wanted) * np.log(1 - scores)).mean(axis=1)
        return float(share @ losses + np.log(at) ** 2 / (2 * 29))

    assert loss == pytest.approx(expected(temperature), abs=1e-5)
    assert loss <= min(expected(temperature * 1.2), expected(temperature / 1.2))
    assert fit_temperature(np.full((2, 1, 3), np.nan), data.take(np.arange(2))) == (1.0, float("inf"))
