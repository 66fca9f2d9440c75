"""Curves and figures over scores: the same values as scikit-learn's, whose import they save."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from places import ROOT

from adapters.evaluation import evaluate
from adapters.evaluation.ranking import (
    average_precision,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)

CLIPS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40)


@settings(deadline=None)
@given(clips=CLIPS)
def test_curves_and_areas_are_those_of_scikit_learn(clips: list[tuple[bool, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, scores = np.array([right for right, _ in clips]), np.array([score / 8 for _, score in clips])
    assume(truth.any() and not truth.all())
    for found, expected in (
        (precision_recall_curve(truth, scores), metrics.precision_recall_curve(truth, scores)[:2]),
        (roc_curve(truth, scores), metrics.roc_curve(truth, scores)[:2]),
    ):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
    assert average_precision(truth, scores) == pytest.approx(metrics.average_precision_score(truth, scores))
    assert roc_auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 5), sharp=st.sampled_from([1, 30]))
def test_the_loss_and_the_matrix_are_those_of_scikit_learn(seed: int, classes: int, sharp: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, 20)
    scores = np.exp(sharp * rng.normal(size=(20, classes)))
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    expected = metrics.log_loss(truth, scores, labels=np.arange(classes))
    assert log_loss(scores, np.eye(classes, dtype=bool)[truth]) == pytest.approx(expected, rel=1e-5)
    matrix = metrics.confusion_matrix(truth, scores.argmax(axis=1), labels=np.arange(classes))
    np.testing.assert_array_equal(confusion_matrix(truth, scores.argmax(axis=1), classes), matrix)


def test_a_score_of_0_for_the_right_class_has_a_finite_loss() -> None:
    report = evaluate(np.eye(2, dtype=np.float32)[[0, 1]], [1, 1], ["a", "b"])
    assert report.log_loss == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2, abs=1e-3)


def test_an_evaluation_and_folds_need_no_scikit_learn() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None; import numpy as np\n"
        "from adapters.evaluation import evaluate\n"
        "from adapters.training import group_folds\n"
        "report = evaluate(np.array([[.9, .1], [.6, .4], [.2, .8]], np.float32), [0, 1, 1], ['a', 'b'])\n"
        "print(report.per_class[0].roc_auc, report.confusion_matrix)\n"
        "print(len(group_folds(np.arange(8) // 2, np.eye(2)[np.arange(8) % 2], 0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.split("\n")[:2] == ["1.0 [[1, 0], [1, 1]]", "4"], done.stderr
