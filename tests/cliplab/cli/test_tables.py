"""What tables say of a training whose starting model was better than every epoch, and of its held-out clips."""

from __future__ import annotations

from typing import Any

from adapters.reports import EpochLog, TrainReport
from cliplab.cli.model_tables import training


def text_of(**more: Any) -> str:
    log = EpochLog("head", 0, 0.5, 0.9, 0.7, 0.8, 0.1)
    report = TrainReport("out", ("a", "b"), (log,), -1, "finished", {"train": 4}, 4, 1.0, **more)
    return "\n".join(item for item in training(report) if isinstance(item, str))


def test_a_starting_model_that_is_kept_is_no_error() -> None:
    assert "the starting model is kept" in text_of()


def test_figures_have_their_interval_clips_and_groups() -> None:
    metrics = {"accuracy": 0.9, "intervals": {"accuracy": [0.6, 1.0]}, "clips": 20, "groups": 1}
    found = {"accuracy": 0.8, "interval": [0.7, 0.9], "clips": 60, "groups": 12}
    text = text_of(metrics=metrics, cross_validation=found)
    assert "validation accuracy 0.90 (95% interval 0.60 to 1.00; 20 clips in 1 group)" in text
    assert "cross-validation: accuracy 0.80 (95% interval 0.70 to 0.90; 60 clips in 12 groups)" in text


def test_a_cross_validation_before_the_training_is_shown() -> None:
    figures = dict.fromkeys(("accuracy", "precision", "recall", "f1"), 0.8)
    intervals = {key: [0.7, 0.9] for key in figures}
    found = {**figures, "intervals": intervals, "measured_on": "cross-validation, 9 folds of whole groups"}
    text = text_of(cross_validated={**found, "clips": 60, "groups": 12, "notes": []})
    assert "cross-validation, 9 folds of whole groups: accuracy 0.800 (0.70 to 0.90)" in text
    assert "60 clips in 12 groups" in text


def test_thresholds_have_what_they_reach_or_the_highest() -> None:
    entry = {"threshold": 0.6, "precision": 0.7, "recall": 0.5, "f1": None, "reached": False, "value": 0.75}
    entry["intervals"] = {"precision": [0.5, 0.8], "recall": [0.2, 0.7], "f1": None}
    chosen = {"optimize": "precision@0.95", "clips": 9, "groups": 3, "classes": {"a": entry}}
    assert "thresholds chosen on 9 clips in 3 groups" in text_of(thresholds=chosen)


def test_a_table_breaks_no_name_while_another_column_can_give_way() -> None:
    from cliplab.cli.fitting_table import widths

    names = ["key", "fine_tune_learning_rate"]
    text = ["meaning", "a step of the optimiser, which is small " * 3]
    found = widths([names, text], [False, False], 60)
    assert found[0] == len(names[1])
    assert sum(found) == 60
    assert widths([names, text], [False, False], 500) == [len(names[1]), len(text[1])]
    figures = widths([[">f1", "0.900 (0.80 to 1.00)"], text], [True, False], 50)
    assert figures[0] == 20
    assert sum(widths([["a" * 90], ["b" * 30]], [False, False], 60)) == 60
    assert widths([["a" * 9], ["b"]], [False, False], 1) == [1, 1]


def test_tables_fit_80_columns() -> None:
    from rich.console import Console

    from cliplab.cli.tables import table

    rows = [("movinet_a0_stream_with_a_long_name", "92% (80 to 97%)", "12.3", "13.20 MB", "3.40 MB", "too slow, large")]
    made = table(("model", ">accuracy (95%)", ">ms/clip", ">size", ">int8 est.", ""), rows)
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(made)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("movinet_a0_stream_with_a_long_name" in line for line in lines)
