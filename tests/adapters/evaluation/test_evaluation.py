"""Measures against hand-worked figures, what is undefined, gates, and the files of a report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from places import ROOT

from adapters.data import Example
from adapters.errors import ConfigError, DatasetError, StorageError, install_command
from adapters.evaluation import GATES, EvaluationReport, check_gates, evaluate, write_report

BINARY = ("content", "ad")


def binary(ad: list[float]) -> np.ndarray:
    column = np.array(ad, dtype=np.float32)
    return np.stack([1 - column, column], axis=1)


def example_report(**more: Any) -> EvaluationReport:
    """Four ads, four contents: three ads found, one content taken for an ad."""
    scores = binary([0.9, 0.8, 0.7, 0.2, 0.6, 0.4, 0.3, 0.1])
    return evaluate(scores, [1, 1, 1, 1, 0, 0, 0, 0], BINARY, positive_label="ad", **more)


# Measures


def test_a_worked_binary_example() -> None:
    report = example_report()
    assert (report.task, report.average, report.clips, report.threshold) == ("single_label", "positive", 8, 0.5)
    assert report.precision == report.recall == report.f1 == report.accuracy == 0.75
    assert report.confusion_matrix == [[3, 1], [1, 3]]
    # Of 16 pairs of an ad and a content, the ad scores higher in 4 + 4 + 4 + 1.
    assert report.roc_auc == pytest.approx(13 / 16)
    # Precision at the ads, best first: 1/1, 2/2, 3/3, 4/7.
    assert report.average_precision == pytest.approx((1 + 1 + 1 + 4 / 7) / 4)
    losses = [-math.log(p) for p in (0.9, 0.8, 0.7, 0.2, 0.4, 0.6, 0.7, 0.9)]
    assert report.log_loss == pytest.approx(sum(losses) / 8, rel=1e-5)
    # Every score in a bin of its own: |0 or 1 - score|.
    gaps = [0.1, 0.2, 0.3, 0.8, 0.6, 0.4, 0.3, 0.1]
    assert report.calibration_error == pytest.approx(sum(gaps) / 8, rel=1e-5)


def test_the_threshold_moves_the_decision_and_not_the_ranking() -> None:
    strict = example_report(threshold=0.65)
    assert (strict.precision, strict.recall) == (1.0, 0.75)
    assert strict.roc_auc == example_report().roc_auc
    assert example_report(threshold=0.7).recall == 0.75, "a float32 score of 0.7 reaches a threshold of 0.7"


def test_the_positive_label_may_be_the_first() -> None:
    scores = binary([0.9, 0.8, 0.7, 0.2, 0.6, 0.4, 0.3, 0.1])[:, ::-1]
    report = evaluate(scores, [0, 0, 0, 0, 1, 1, 1, 1], BINARY[::-1], positive_label="ad", threshold=0.65)
    assert (report.precision, report.recall) == (1.0, 0.75)
    assert report.confusion_matrix == [[3, 1], [0, 4]]


def test_macro_averages_over_three_classes() -> None:
    scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3]], dtype=np.float32)
    report = evaluate(scores, [0, 1, 1, 2], ("a", "b", "c"))
    assert (report.average, report.threshold, report.accuracy) == ("macro", None, 0.75)
    assert report.precision == pytest.approx((0.5 + 1 + 0) / 3), "c was never predicted: 0"
    assert report.recall == pytest.approx((1 + 1 + 0) / 3)
    assert report.f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    by_label = {item.label: item for item in report.per_class}
    assert (by_label["c"].precision, by_label["c"].recall, by_label["c"].predicted) == (None, 0.0, 0)
    # Of the best scores: 0.8 right, 0.7 right, 0.8 right, 0.5 wrong.
    assert report.calibration_error == pytest.approx((2 * 0.2 + 0.3 + 0.5) / 4, rel=1e-5)


def test_multi_label() -> None:
    scores = np.array([[0.9, 0.2], [0.6, 0.7], [0.1, 0.4]], dtype=np.float32)
    truth = np.array([[True, False], [False, True], [False, True]])
    report = evaluate(scores, truth, ("a", "b"))
    assert report.task == "multi_label"
    assert report.accuracy == pytest.approx(1 / 3), "every class must be right"
    assert report.confusion_matrix == [[[1, 1], [0, 1]], [[1, 0], [1, 1]]]
    assert (report.per_class[0].precision, report.per_class[1].recall) == (0.5, 0.5)
    losses = [[0.9, 0.4, 0.9], [0.8, 0.7, 0.4]]
    assert report.log_loss == pytest.approx(np.mean([-math.log(p) for row in losses for p in row]), rel=1e-5)
    worst = report.mistakes[0]
    assert (worst.path, worst.truth, worst.predicted) == ("clip 1", ("b",), ("a", "b"))


def test_one_class_in_truth_leaves_ranking_undefined_and_never_nan() -> None:
    report = evaluate(binary([0.9, 0.2]), [1, 1], BINARY, positive_label="ad")
    assert (report.roc_auc, report.average_precision, report.recall) == (None, None, 0.5)
    none = evaluate(binary([0.1, 0.2]), [0, 0], BINARY, positive_label="ad")
    assert (none.precision, none.recall, none.f1, none.accuracy) == (None, None, None, 1.0)
    json.dumps(report.to_json(), allow_nan=False)


def test_scores_of_exactly_0_and_1_have_a_finite_loss() -> None:
    report = evaluate(binary([0.0, 1.0]), [1, 1], BINARY)
    assert report.log_loss == pytest.approx(-math.log(np.finfo(np.float32).eps) / 2, rel=1e-3)


def test_a_calibrated_model_has_a_small_error_and_a_sure_wrong_one_a_large() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(20_000)
    truth = (rng.random(20_000) < chance).astype(int)
    assert evaluate(binary(list(chance)), truth, BINARY, positive_label="ad").calibration_error < 0.02
    sure = evaluate(binary(list(np.where(truth == 1, 0.01, 0.99))), truth, BINARY, positive_label="ad")
    assert sure.calibration_error > 0.95


score_arrays = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 30), st.integers(2, 5)), elements=st.floats(0, 1, width=32)
)


def test_of_several_classes_the_answer_that_is_given_is_calibrated() -> None:
    truth = np.arange(30) % 3
    for answer, error in ((truth, 0.1), ((truth + 1) % 3, 0.9), (np.where(np.arange(30) < 15, truth, 0), 0.9 - 2 / 3)):
        scores = np.where(np.arange(3) == answer[:, None], 0.9, 0.05).astype(np.float32)
        assert evaluate(scores, truth, ("a", "b", "c")).calibration_error == pytest.approx(error, abs=1e-6)


def test_calibration_bins_are_of_equal_width() -> None:
    # 0.601 and 0.66 share the bin from 9/15 to 10/15, 0.67 is in the next; 1.0 is in the last.
    report = evaluate(binary([0.601, 0.66, 0.67, 1.0]), [1, 0, 0, 1], BINARY, positive_label="ad")
    assert report.calibration_error == pytest.approx((2 * abs(0.5 - 0.6305) + 0.67 + 0) / 4, rel=1e-5)
    assert report.curves["reliability"]["clips"] == [2, 1, 1]


@settings(max_examples=60, deadline=None)
@given(score_arrays, st.data())
def test_every_measure_is_in_range_or_undefined(scores: np.ndarray, data: st.DataObject) -> None:
    multi = data.draw(st.booleans())
    count, classes = scores.shape
    if multi:
        truth = data.draw(hnp.arrays(np.bool_, scores.shape))
    else:
        scores = scores + np.float32(1e-3)
        scores = scores / scores.sum(axis=1, keepdims=True)
        truth = data.draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    report = evaluate(scores, truth, [f"c{i}" for i in range(classes)])
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["clips"] == count
    for measure in ("precision", "recall", "f1", "accuracy", "average_precision", "roc_auc", "calibration_error"):
        value = getattr(report, measure)
        assert value is None or 0 <= value <= 1 + 1e-9
    assert report.log_loss >= 0
    assert report.mistake_count == round((1 - report.accuracy) * count)
    if not multi:
        assert np.sum(report.confusion_matrix) == count
        assert np.trace(report.confusion_matrix) == pytest.approx(report.accuracy * count)


# Mistakes


def test_mistakes_name_the_clips_the_surest_first() -> None:
    examples = [Example(Path(f"/v/{i}.mp4"), ("ad",), 1.0 * i, 2.0 * i + 1) for i in range(8)]
    report = example_report(paths=examples)
    assert [(item.path, item.truth, item.predicted) for item in report.mistakes] == [
        ("/v/3.mp4", ("ad",), ("content",)),
        ("/v/4.mp4", ("content",), ("ad",)),
    ]
    assert [item.score for item in report.mistakes] == pytest.approx([0.8, 0.6])
    assert (report.mistakes[0].start, report.mistakes[0].end) == (3.0, 7.0)
    short = example_report(paths=["a.mp4"] * 8, worst=1)
    assert (len(short.mistakes), short.mistake_count, short.mistakes[0].start) == (1, 2, None)


# Packages


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    code = (
        "import sys; import numpy as np\n"
        "from adapters import evaluation\n"
        "import adapters.data.dataset, adapters.evaluation.plots, adapters.inference.segments\n"
        "assert not {'sklearn', 'matplotlib', 'tensorflow'} & set(sys.modules), 'imported before it is needed'\n"
        "sys.modules['matplotlib'] = None\n"
        "scores = np.eye(2, dtype=np.float32)\n"
        "try: evaluation.write_report(evaluation.evaluate(scores, [0, 1], ['a', 'b']), sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = python(code, tmp_path)
    assert done.stdout.startswith("MissingExtraError matplotlib is not installed"), done.stderr
    assert install_command("learn") in done.stdout
    assert list(tmp_path.iterdir()) == []


# Input that does not fit


@pytest.mark.parametrize(
    ("scores", "truth", "more", "message"),
    [
        (np.zeros((0, 2)), [], {}, r"at least one clip and a column for each of 2 labels; got \[0, 2\]"),
        (np.ones((2, 3)), [0, 1], {}, r"got \[2, 3\]"),
        (binary([0.5, math.nan]), [0, 1], {}, "scores must be in 0..1, got nan"),
        (np.array([[-3.0, 4.0]]), [0], {}, "scores must be in 0..1, got -3 to 4"),
        (np.zeros((1, 2)), [0], {}, "a score above 0 in every clip"),
        (binary([0.5]), [2], {}, "class indices 0 to 1, got 2"),
        (binary([0.5]), [0.0], {}, r"whole class indices.*got float64 \[1\]"),
        (binary([0.5]), [0, 1], {}, "truth must be 1 whole class indices"),
        (binary([0.5]), [0], {"positive_label": "promo"}, "positive_label 'promo' needs .* two classes"),
        (binary([0.5]), [0], {"threshold": 2}, "threshold must be a score in 0..1"),
        (binary([0.5]), [0], {"paths": ["a", "b"]}, "2 paths for 1 clips"),
    ],
)
def test_input_that_does_not_fit(scores: np.ndarray, truth: list, more: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        evaluate(scores, np.array(truth) if truth else np.zeros(0, int), BINARY, **more)


# Gates


def test_gates_say_which_failed_with_the_figures() -> None:
    report = example_report(latency_ms=60.5, size_bytes=5_000_000)
    gates = {"min_precision": 0.95, "min_recall": 0.75, "max_latency_ms": 50, "max_size_bytes": 5_000_000}
    assert check_gates(report, gates) == [
        "precision 0.75 is below min_precision 0.95.",
        "latency_ms 60.5 is above max_latency_ms 50.",
    ]
    assert check_gates(report, {}) == []


def test_every_gate_can_fail_and_can_pass() -> None:
    report = example_report(latency_ms=10, size_bytes=10)
    for name in GATES:
        low, high = check_gates(report, {name: 0}), check_gates(report, {name: 1e9})
        assert [bool(low), bool(high)] == ([False, True] if name.startswith("min") else [True, False])


def test_undefined_and_unmeasured_figures_fail_their_gates() -> None:
    report = evaluate(binary([0.9]), [1], BINARY, positive_label="ad")
    assert check_gates(report, {"min_roc_auc": 0.0, "max_latency_ms": 50}) == [
        "roc_auc is undefined on these clips; min_roc_auc requires 0.",
        "latency_ms was not measured; max_latency_ms requires 50.",
    ]


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"min_precison": 0.9}, 'gates: "min_precison" is not a gate. Did you mean "min_precision"?'),
        ({"min_f1": "0.9"}, "gates: min_f1 must be a number, got '0.9'"),
        ({"min_f1": True}, "must be a number, got True"),
        ({"min_f1": math.nan}, "must be a number, got nan"),
    ],
)
def test_gates_that_are_none(gates: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_gates(example_report(), gates)
    assert message in str(caught.value)


# Files


def test_the_report_is_written_with_its_plots(tmp_path: Path) -> None:
    report = example_report(latency_ms=1.5)
    written = write_report(report, tmp_path / "out")
    assert [path.name for path in written] == [
        "confusion_matrix.png",
        "precision_recall.png",
        "roc.png",
        "reliability.png",
        "evaluation.json",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[:-1])
    content = json.loads(written[-1].read_text())
    assert content["precision"] == 0.75
    assert content["per_class"][1]["label"] == "ad"
    assert content["mistakes"][0]["predicted"] == ["content"]
    assert content == json.loads(json.dumps(report.to_json()))


def test_no_old_plot_stands_beside_new_figures(tmp_path: Path) -> None:
    write_report(example_report(), tmp_path)
    write_report(evaluate(binary([0.9, 0.8]), [1, 1], BINARY, positive_label="ad"), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "confusion_matrix.png",
        "evaluation.json",
        "reliability.png",
    ]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file/out"):
        write_report(example_report(), tmp_path / "file" / "out")


def test_the_docs_name_every_gate_and_measure() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in (*GATES, *(measure for measure, _ in GATES.values())))


def test_the_example_in_the_docs_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0].replace('"evaluation/"', repr(str(tmp_path)))
    exec(code, {})
    assert capsys.readouterr().out == "precision 0.5 is below min_precision 0.95.\n"


def test_a_class_without_clips_counts_and_passes_no_gate() -> None:
    scores = np.array([[0.9, 0.1, 0], [0.8, 0.1, 0.1], [0.1, 0.9, 0]], np.float32)
    report = evaluate(scores, [0, 0, 1], ("a", "b", "c"))
    assert report.labels_without_clips == ("c",)
    assert (report.f1, report.precision, report.recall, report.roc_auc) == pytest.approx((2 / 3,) * 4)
    (failure,) = check_gates(report, {"min_f1": 0.1})
    assert "'c'" in failure
    assert len(check_gates(report, dict.fromkeys(GATES, 0.5))) == len(GATES)
    whole = evaluate(scores, [0, 2, 1], ("a", "b", "c"))
    assert whole.labels_without_clips == ()
    assert check_gates(whole, {"min_f1": 0.1}) == []


def test_the_gates_of_a_positive_label_need_clips_of_the_other_class_too() -> None:
    report = evaluate(binary([0.9, 0.8]), [1, 1], BINARY, positive_label="ad")
    assert report.f1 == 1
    (failure,) = check_gates(report, {"min_f1": 0.5})
    assert "'content'" in failure
