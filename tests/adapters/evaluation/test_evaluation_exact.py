"""Measures against plain arithmetic written here, for any scores; mistakes, curves and gates at their edges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adapters.data import Example
from adapters.errors import DatasetError
from adapters.evaluation import GATES, EvaluationReport, check_gates, evaluate

LABELS = ("a", "b", "c")


def ratio(over: int, under: int) -> float | None:
    return over / under if under else None


def area(y: np.ndarray, x: np.ndarray) -> float:
    """Under the lines between points."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


# Of eighths, so that many scores are equal, and some stand at the threshold.
eighths = st.integers(0, 8).map(lambda value: value / 8)
multi_cases = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        hnp.arrays(np.float32, (count, 3), elements=eighths), hnp.arrays(np.bool_, (count, 3)), eighths
    )
)


def check_classes(report: EvaluationReport, truth: np.ndarray, chosen: np.ndarray) -> None:
    """Each class by counting, and the macro averages over all of them, 0 for what a class does not define."""
    figures: dict[str, list[float]] = {"precision": [], "recall": [], "f1": []}
    for column, item in enumerate(report.per_class):
        hits = int((truth[:, column] & chosen[:, column]).sum())
        support, predicted = int(truth[:, column].sum()), int(chosen[:, column].sum())
        assert (item.label, item.support, item.predicted) == (LABELS[column], support, predicted)
        assert item.precision == (None if not predicted else pytest.approx(hits / predicted))
        assert item.recall == (None if not support else pytest.approx(hits / support))
        f1 = ratio(2 * hits, support + predicted)
        assert item.f1 == (None if f1 is None else pytest.approx(f1))
        figures["precision"].append(ratio(hits, predicted) or 0.0)
        figures["recall"].append(ratio(hits, support) or 0.0)
        figures["f1"].append(f1 or 0.0)
    for name, values in figures.items():
        assert getattr(report, name) == pytest.approx(sum(values) / len(values))
    absent = tuple(item.label for item in report.per_class if not item.support)
    assert report.labels_without_clips == absent
    assert report.accuracy == pytest.approx((truth == chosen).all(axis=1).mean())


@settings(max_examples=20, deadline=None)
@given(multi_cases)
def test_multi_label_measures_are_counts(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    scores, truth, threshold = case
    report = evaluate(scores, truth, LABELS, threshold=threshold)
    chosen = scores >= threshold
    check_classes(report, truth, chosen)
    assert (report.threshold, report.average, report.positive_label) == (threshold, "macro", None)
    for column, matrix in enumerate(report.confusion_matrix):
        pairs = [(bool(a), bool(b)) for a, b in zip(truth[:, column], chosen[:, column], strict=True)]
        assert matrix == [[pairs.count((a, b)) for b in (False, True)] for a in (False, True)]
    mistakes = {int(item.path.removeprefix("clip ")): item for item in report.mistakes}
    assert set(mistakes) == {row for row in range(len(scores)) if (truth[row] != chosen[row]).any()}
    for row, item in mistakes.items():
        wrong = [
            float(score if picked else 1 - score)
            for score, picked, right in zip(scores[row], chosen[row], truth[row], strict=True)
            if picked != right
        ]
        assert item.score == pytest.approx(max(wrong))
        assert item.truth == tuple(label for label, on in zip(LABELS, truth[row], strict=True) if on)
        assert item.predicted == tuple(label for label, on in zip(LABELS, chosen[row], strict=True) if on)
    surety = [item.score for item in report.mistakes]
    assert surety == sorted(surety, reverse=True)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 12))
def test_single_label_measures_are_counts(data: st.DataObject, count: int) -> None:
    scores = data.draw(hnp.arrays(np.float32, (count, 3), elements=st.integers(1, 8).map(lambda value: value / 8)))
    truth = data.draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2)))
    report = evaluate(scores, truth, LABELS)
    best = scores.argmax(axis=1)  # the first of equals
    check_classes(report, np.eye(3, dtype=bool)[truth], np.eye(3, dtype=bool)[best])
    pairs = list(zip(truth.tolist(), best.tolist(), strict=True))
    assert report.confusion_matrix == [[pairs.count((a, b)) for b in range(3)] for a in range(3)]
    shares = scores / scores.sum(axis=1, keepdims=True)
    assert report.log_loss == pytest.approx(-np.log(shares[np.arange(count), truth]).mean(), rel=1e-4)
    sure = [float(shares[row, best[row]]) for row in range(count) if best[row] != truth[row]]
    assert [item.score for item in report.mistakes] == pytest.approx(sorted(sure, reverse=True))
    assert report.mistake_count == len(sure)
    assert (report.threshold, report.positive_label, report.clips) == (None, None, count)


@pytest.mark.parametrize("positive", [0, 1])
@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 12), eighths)
def test_measures_of_the_positive_label_are_counts(
    positive: int, data: st.DataObject, count: int, threshold: float
) -> None:
    column = data.draw(hnp.arrays(np.float32, count, elements=eighths))
    truth = data.draw(hnp.arrays(np.int64, count, elements=st.integers(0, 1)))
    scores = np.stack([column, 1 - column] if positive == 0 else [1 - column, column], axis=1)
    report = evaluate(scores, truth, LABELS[:2], positive_label=LABELS[positive], threshold=threshold)
    chosen, right = column >= threshold, truth == positive
    hits = int((chosen & right).sum())
    assert report.precision == (pytest.approx(hits / chosen.sum()) if chosen.any() else None)
    assert report.recall == (pytest.approx(hits / right.sum()) if right.any() else None)
    assert report.accuracy == pytest.approx((chosen == right).mean())
    picked = np.where(chosen, positive, 1 - positive)
    pairs = list(zip(truth.tolist(), picked.tolist(), strict=True))
    assert report.confusion_matrix == [[pairs.count((a, b)) for b in (0, 1)] for a in (0, 1)]
    if 0 < right.sum() < count:
        wins = [float(a > b) + 0.5 * float(a == b) for a in column[right] for b in column[~right]]
        assert report.roc_auc == pytest.approx(np.mean(wins))
        assert report.per_class[1 - positive].roc_auc == pytest.approx(np.mean(wins)), "of two classes it is the same"
    else:
        assert report.roc_auc is report.average_precision is None
    gaps = []
    bins = np.minimum(column.astype(float) * 15, 14).astype(int)
    for place in set(bins.tolist()):
        held = bins == place
        gaps.append(held.mean() * abs(right[held].mean() - column[held].mean()))
    assert report.calibration_error == pytest.approx(sum(gaps), abs=1e-6)
    assert sum(report.curves["reliability"]["clips"]) == count


def test_scores_that_do_not_sum_to_one_are_weighed_for_loss_and_calibration_only() -> None:
    scores = np.array([[0.2, 0.2], [0.1, 0.3]], np.float32)
    report = evaluate(scores, [0, 1], ("a", "b"))
    assert report.log_loss == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2, rel=1e-5)
    assert report.calibration_error == pytest.approx((0.5 + 0.25) / 2, rel=1e-5)
    positive = evaluate(scores, [0, 1], ("a", "b"), positive_label="b", threshold=0.25)
    assert (positive.recall, positive.precision) == (1, 1), "the threshold is on the score as it is given"


def test_scores_a_rounding_above_one_are_one() -> None:
    scores = np.array([[0.0, 1.0000001], [1.0, 0.0]], np.float32)
    assert evaluate(scores, [1, 0], ("a", "b"), positive_label="b").calibration_error == 0
    with pytest.raises(DatasetError, match="scores"):
        evaluate(scores + np.float32(1e-4), [1, 0], ("a", "b"))


def test_curves_are_of_the_positive_label_or_of_the_ten_classes_with_the_most_clips() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((78, 12)).astype(np.float32)
    truth = np.repeat(np.arange(12), np.arange(1, 13))
    names = [f"class {number}" for number in range(12)]
    for kind in ("roc", "precision_recall"):
        assert list(evaluate(scores, truth, names).curves[kind]) == names[:1:-1]
    report = evaluate(scores[:, :2], truth % 2, ("x", "y"), positive_label="y")
    assert list(report.curves["roc"]) == ["y"]
    both = evaluate(scores[:, :2], truth % 2, ("x", "y"))
    assert sorted(both.curves["roc"]) == ["x", "y"]


def test_a_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 5000)
    column = np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1).astype(np.float32)
    report = evaluate(np.stack([1 - column, column], 1), truth, ("x", "y"), positive_label="y")
    roc, pairs = report.curves["roc"]["y"], report.curves["precision_recall"]["y"]
    for curve in (roc, pairs):
        assert {len(points) for points in curve.values()} == {200}
    false, true = (np.array(roc[name]) for name in ("false_positive_rate", "true_positive_rate"))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert area(true, false) == pytest.approx(report.roc_auc, abs=0.01)
    recall, precision = np.array(pairs["recall"]), np.array(pairs["precision"])
    assert (recall[0], recall[-1], precision[-1]) == (1, 0, 1)
    assert precision[0] == pytest.approx(truth.mean(), abs=1e-6)
    assert -area(precision, recall) == pytest.approx(report.average_precision, abs=0.01)


def test_the_points_of_the_reliability_diagram() -> None:
    column = np.array([0.01, 0.05, 0.5, 0.99, 1.0, 0.95], np.float32)
    report = evaluate(np.stack([1 - column, column], 1), [0, 1, 1, 1, 0, 1], ("x", "y"), positive_label="y")
    diagram = report.curves["reliability"]
    assert diagram["clips"] == [2, 1, 3]
    assert diagram["score"] == pytest.approx([0.03, 0.5, 2.94 / 3])
    assert diagram["share"] == pytest.approx([0.5, 1.0, 2 / 3])
    best = evaluate(np.stack([1 - column, column], 1), [0, 1, 1, 1, 0, 1], ("x", "y")).curves["reliability"]
    assert sum(best["clips"]) == 6
    assert min(best["score"]) >= 0.5


def test_mistakes_are_the_worst_twenty_unless_asked_for() -> None:
    scores = np.tile(np.array([[0.9, 0.1]], np.float32), (30, 1))
    for more, shown in (({}, 20), ({"worst": 30}, 30), ({"worst": 0}, 0), ({"worst": -1}, 0)):
        report = evaluate(scores, [1] * 30, ("x", "y"), **more)  # type: ignore[arg-type]
        assert (len(report.mistakes), report.mistake_count) == (shown, 30)
    first = evaluate(scores, [1] * 30, ("x", "y")).mistakes
    assert [item.path for item in first] == [f"clip {row}" for row in range(20)], "of equals the first"


def test_a_mistake_names_its_clip() -> None:
    clips: list[Any] = [Example(Path("/v/a.mp4"), ("x",), 1.5, 2.5), "b.mp4", Path("/v/c.mp4")]
    report = evaluate(np.array([[0.1, 0.9]] * 3, np.float32), [0, 0, 0], ("x", "y"), paths=clips)
    assert [(item.path, item.start, item.end) for item in report.mistakes] == [
        ("/v/a.mp4", 1.5, 2.5),
        ("b.mp4", None, None),
        ("/v/c.mp4", None, None),
    ]


@pytest.mark.parametrize("name", GATES)
def test_a_figure_at_its_gate_passes_and_one_beyond_fails(name: str) -> None:
    column = np.array([0.9, 0.8, 0.2, 0.6, 0.1], np.float32)
    report = evaluate(
        np.stack([1 - column, column], 1), [1, 1, 1, 0, 0], ("x", "y"), positive_label="y", latency_ms=7.5, size_bytes=9
    )
    measure, sign = name[4:], 1 if name.startswith("min") else -1
    figure = getattr(report, measure)
    assert figure is not None
    assert check_gates(report, {name: figure}) == []
    assert check_gates(report, {name: figure - sign * 1e-3}) == []
    (failure,) = check_gates(report, {name: figure + sign * 1e-3})
    assert measure in failure
    assert name in failure
    assert ("below" if sign > 0 else "above") in failure


def test_what_was_measured_is_in_the_report() -> None:
    report = evaluate(np.eye(2, dtype=np.float32), [0, 1], ("x", "y"), latency_ms=3.5, size_bytes=7)
    assert (report.latency_ms, report.size_bytes) == (3.5, 7)
    content = report.to_json()
    assert (content["latency_ms"], content["size_bytes"], content["clips"]) == (3.5, 7, 2)
    assert set(content) == set(EvaluationReport.__dataclass_fields__)


@pytest.mark.parametrize(
    ("truth", "more"),
    [
        ([0, -1], {}),
        ([0, 2], {}),
        ([[True, False]], {}),
        (np.array([[1, 0], [0, 1]]), {}),
        ([0, 1], {"threshold": -0.01}),
        ([0, 1], {"threshold": 1.01}),
        ([0, 1], {"paths": ["one"]}),
        (np.eye(2, dtype=bool), {"positive_label": "x"}),
    ],
)
def test_truth_and_options_that_do_not_fit(truth: Any, more: dict[str, Any]) -> None:
    with pytest.raises(DatasetError):
        evaluate(np.eye(2, dtype=np.float32), truth, ("x", "y"), **more)
