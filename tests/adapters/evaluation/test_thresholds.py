"""Thresholds chosen by a figure: what is chosen, what it reaches on other groups, and what cannot be reached."""

from __future__ import annotations

import json

import numpy as np
import pytest

from adapters.config import parse_objective
from adapters.errors import ConfigError, DatasetError
from adapters.evaluation import choose_thresholds, evaluate, threshold_notes
from adapters.reports import rounded

LABELS = ("ad", "content")


def scores_of(ad: list[float]) -> np.ndarray:
    column = np.array(ad)
    return np.stack([column, 1 - column], axis=1)


def onehot(truth: list[int]) -> np.ndarray:
    return np.arange(2) == np.array(truth)[:, None]


def chosen(objective: str, ad: list[float], truth: list[int], groups: list[int] | None = None) -> dict:
    found = choose_thresholds(
        scores_of(ad), onehot(truth), LABELS, groups or list(range(len(ad))), parse_objective(objective)
    )
    json.dumps(found, allow_nan=False)
    return found


# Best first: three ads, one content, an ad, three contents. 0 is "ad".
AD = [0.95, 0.9, 0.8, 0.7, 0.6, 0.3, 0.2, 0.1]
TRUTH = [0, 0, 0, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("objective", "low", "high", "value"),
    [
        ("precision@0.95", 0.7, 0.8, 1.0),  # the most ads without a content
        ("precision@0.8", 0.3, 0.6, 0.8),  # 4 of 5
        ("recall@0.9", 0.3, 0.6, 1.0),  # all ads
        ("recall@0.5", 0.7, 0.8, 0.75),  # at least half of them, as precise as can be
        ("f1", 0.3, 0.6, 8 / 9),
        ("accuracy", 0.3, 0.8, 7 / 8),
    ],
)
def test_a_threshold_lies_between_the_scores_that_it_parts(
    objective: str, low: float, high: float, value: float
) -> None:
    entry = chosen(objective, AD, TRUTH)["classes"]["ad"]
    assert low < entry["threshold"] <= high
    assert entry["value"] == pytest.approx(value)
    assert entry["reached"]


@pytest.mark.parametrize("low, high", [(0.7, 0.71), (0.999999, 0.99999994), (1e-9, 2e-9), (0.1, 0.11)])
def test_a_threshold_parts_scores_that_are_equal_to_it_but_for_float32(low: float, high: float) -> None:
    scores = np.array([[low], [high]], np.float32).astype(np.float64)
    truth = np.array([[False], [True]])
    chosen = choose_thresholds(scores, truth, ["a"], ["g", "h"], parse_objective("f1"))["classes"]["a"]["threshold"]
    assert (scores.astype(np.float32) >= np.float32(chosen)).tolist() == truth.tolist()
    assert (scores >= chosen).tolist() == truth.tolist()
    assert rounded({"classes": {"a": {"threshold": chosen}}})["classes"]["a"]["threshold"] == chosen


def test_a_precision_that_cannot_be_reached_is_said_with_the_highest() -> None:
    found = chosen("precision@0.95", [0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    entry = found["classes"]["ad"]
    assert not entry["reached"]
    assert entry["value"] == 0.5
    notes = threshold_notes(found)
    assert any("precision@0.95 cannot be reached for 'ad'" in note and "0.500" in note for note in notes)


def test_figures_are_of_groups_that_the_choice_did_not_see() -> None:
    """Scores at random: the best threshold of these clips looks better on them than on the other groups."""
    rng = np.random.default_rng(0)
    ad, truth = rng.uniform(size=60).round(4).tolist(), rng.integers(0, 2, size=60).tolist()
    entry = chosen("accuracy", ad, truth)["classes"]["ad"]
    assert entry["held_out"]
    assert entry["accuracy"] < entry["value"]
    low, high = entry["intervals"]["accuracy"]
    assert low <= entry["accuracy"] <= high
    assert high - low > 0.2


def test_a_class_of_one_recording_is_measured_on_the_clips_it_was_chosen_on() -> None:
    found = chosen("f1", AD, TRUTH, [7 if truth == 0 else row for row, truth in enumerate(TRUTH)])
    assert not found["classes"]["ad"]["held_out"]
    assert found["classes"]["content"]["held_out"]
    assert any("on the clips that it was chosen on" in note for note in threshold_notes(found))


def test_a_class_without_clips_has_no_threshold() -> None:
    assert set(chosen("f1", AD, [0] * 8)["classes"]) == set()


def test_equal_scores_and_scores_of_1_have_a_threshold_that_they_reach() -> None:
    found = chosen("f1", [1.0, 1.0, 1.0, 1.0], [0, 0, 1, 0])
    assert found["classes"]["ad"]["recall"] == 1.0
    close = chosen("precision@1", [0.5000003, 0.5000001, 0.2], [0, 1, 1])["classes"]["ad"]
    assert close["value"] == 1.0


@pytest.mark.parametrize("text", ["f2", "precision", "precision@0", "precision@1.5", "recall@x", "f1@0.5", "", "nan"])
def test_an_unknown_objective_names_the_allowed_ones(text: str) -> None:
    with pytest.raises(ConfigError, match=r"f1, accuracy, precision@P, recall@R"):
        parse_objective(text)


def test_a_report_says_what_thresholds_reach() -> None:
    report = evaluate(scores_of(AD).astype(np.float32), TRUTH, LABELS, thresholds={"ad": 0.75})
    (entry,) = report.thresholds
    assert (entry.label, entry.support, entry.predicted, entry.precision, entry.recall) == ("ad", 4, 3, 1.0, 0.75)
    assert entry.intervals["precision"] is not None
    with pytest.raises(DatasetError, match="'nobody' is not one of the labels"):
        evaluate(scores_of(AD).astype(np.float32), TRUTH, LABELS, thresholds={"nobody": 0.5})
