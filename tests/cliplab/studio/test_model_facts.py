"""What the page of a model shows: each figure with its interval, classes, confusion, gates, charts and sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from adapters.errors import ConfigError
from cliplab.studio.model_list import ModelRef
from cliplab.studio.model_pages import (
    FIGURES,
    MOST_CLASSES,
    Figure,
    ModelDetail,
    chart_data,
    class_rows,
    confusion,
    figure_words,
    figures_of,
    gate_rows,
    headline,
    read_detail,
    size_words,
    timeline_window,
)

REF = ModelRef("m", "m.json", "config", Path("m.json"))


def detail(labels: int = 2, metrics: dict[str, Any] | None = None, **validation: Any) -> ModelDetail:
    names = tuple(f"class {number}" for number in range(labels))
    return ModelDetail(REF, {}, {}, None, names, metrics=metrics or {}, validation=validation)


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({"window_seconds": 1.5, "sampling": "rate", "n_frames": 8, "fps": 5}, 1.5),
        ({"window_seconds": None, "sampling": "rate", "n_frames": 16, "fps": 5}, 3.2),
        ({"window_seconds": None, "sampling": "rate", "n_frames": 16, "fps": 5, "model_mode": "stream"}, 2.0),
        ({"window_seconds": None, "sampling": "spread", "n_frames": 16, "fps": None}, 2.0),
        ({}, 2.0),
    ],
)
def test_the_window_that_a_timeline_begins_with_is_one_that_the_model_takes(config: Any, seconds: float) -> None:
    assert timeline_window(ModelDetail(REF, {}, config, None, ())) == seconds


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.924, 0.811, 0.969, "0.92 (95% 0.81 to 0.97)"),
        (0.924, None, None, "0.92"),
        (0.924, 0.811, None, "0.92"),
        (0.924, None, 0.9, "0.92"),
        (9.994, None, None, "9.99"),
        (10.04, 9.0, 11.0, "10 (95% 9.00 to 11.00)"),
        (-123.4, None, None, "-123"),
        (math.nan, 0.1, 0.2, "-"),
        (None, None, None, "-"),
        (True, None, None, "-"),
        ("0.5", None, None, "-"),
    ],
)
def test_a_figure_in_words(value: Any, low: Any, high: Any, words: str) -> None:
    assert figure_words(value, low, high) == words
    if isinstance(value, float):
        assert Figure("f1", "F1", value, low, high).words == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        *((None, "-"), (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_999, "1000.0 kB"), (10**6, "1.0 MB")),
        *((3_900_000, "3.9 MB"), (10**9, "1.0 GB"), (2_340_000_000, "2.3 GB")),
    ],
)
def test_a_size_in_words(size: int | None, words: str) -> None:
    assert size_words(size) == words
    if size is not None:
        assert Figure("size_bytes", "Size", float(size)).words == words


def test_each_figure_has_its_title_and_interval() -> None:
    values = {name: 0.1 + place / 100 for place, name in enumerate(FIGURES)}
    ends = {name: [value - 0.05, value + 0.05] for name, value in values.items()}
    found = figures_of({**values, "intervals": ends, "other": 1.0})
    assert [(one.name, one.title, one.value) for one in found] == [(*item, values[item[0]]) for item in FIGURES.items()]
    assert [(one.low, one.high) for one in found] == [tuple(ends[one.name]) for one in found]
    for broken in (None, [0.1], [0.1, "x"], [0.1, 0.2, 0.3], [math.nan, 1.0], 3):
        (figure,) = figures_of({"f1": 0.5, "intervals": {"f1": broken}})
        assert (figure.low, figure.high) == (None, None), broken
    assert figures_of({"f1": math.inf, "recall": True, "precision": "1", "intervals": 7}) == []


def test_the_headline_is_f1_and_otherwise_accuracy_with_its_clips() -> None:
    found = headline({"validation": {"accuracy": 0.5, "f1": 0.25, "clips": 7}})
    assert found is not None
    assert (found[0].name, found[0].value, found[1]) == ("f1", 0.25, 7)
    found = headline({"validation": {"accuracy": 0.5, "recall": 0.25, "clips": "7"}})
    assert found is not None
    assert (found[0].name, found[1]) == ("accuracy", None)
    found = headline({"f1": 0.75, "clips": 3})  # of a file that has the figures alone
    assert found is not None
    assert (found[0].value, found[1]) == (0.75, None)
    assert headline({"validation": {"recall": 0.5}}) is None
    assert headline({}) is None


def test_a_class_has_its_clips_and_figures() -> None:
    figures = {"precision": 0.1, "recall": 0.2, "f1": 0.3, "average_precision": 0.4}
    ends = {name: [value - 0.05, value + 0.05] for name, value in figures.items()}
    rows = [{"label": "ad", "support": 5, **figures, "intervals": ends}, "not a row", {"f1": None, "intervals": [1]}]
    one, other = class_rows({"per_class": rows})
    words = {name: f"{value:.2f} (95% {value - 0.05:.2f} to {value + 0.05:.2f})" for name, value in figures.items()}
    assert one == {"label": "ad", "clips": 5, **words}
    assert other == {"label": "", "clips": "-", **dict.fromkeys(figures, "-")}
    assert class_rows({"per_class": {}}) == class_rows({}) == []


def test_confusion_is_shown_of_one_label_for_each_clip_and_of_a_size_that_fits() -> None:
    def shown(size: int, matrix: Any, task: str = "single_label", labels: int | None = None) -> Any:
        return confusion(detail(size if labels is None else labels, task=task, confusion_matrix=matrix))

    for size in (2, MOST_CLASSES):
        matrix = [[row * size + column for column in range(size)] for row in range(size)]
        assert shown(size, matrix) == matrix
    two = [[1, 2], [3, 4]]
    assert shown(2, two, task="multi_label") is None
    assert shown(2, two, labels=3) is None
    assert shown(2, [[1, 2], [3]]) is None
    assert shown(2, [[1, 2], 3]) is None
    assert shown(2, "x") is None
    assert shown(MOST_CLASSES + 1, [[0] * (MOST_CLASSES + 1)] * (MOST_CLASSES + 1)) is None


def test_each_gate_has_its_figure_its_limit_and_whether_it_passes() -> None:
    gates = {"min_f1": 0.8, "max_latency_ms": 20.0, "max_size_bytes": 1000, "min_recall": 0.5}
    rows = gate_rows({"gates": gates}, {"f1": 0.8, "latency_ms": 20.0, "size_bytes": 7}, 1000)
    states = [(row["gate"], row["limit"], row["value"], row["state"]) for row in rows]
    assert states == [
        ("min_f1", 0.8, 0.8, "passes"),
        ("max_latency_ms", 20.0, 20.0, "passes"),
        ("max_size_bytes", 1000, 1000, "passes"),
        ("min_recall", 0.5, "-", "not measured"),
    ]
    missed = gate_rows({"gates": gates}, {"f1": 0.79, "latency_ms": 20.1, "recall": 0.4, "size_bytes": 1001}, 0)
    assert [row["state"] for row in missed] == ["fails"] * 4
    assert missed[2]["value"] == 1001, "the size that was stored, where that of the files is unknown"
    assert gate_rows({}, {}, 0) == gate_rows({"gates": None}, {"f1": 1.0}, 5) == []


def test_the_charts_have_their_points() -> None:
    roc = {f"class {number}": [[0, 0], [1, 1]] for number in range(10)}
    found = chart_data(
        detail(10, {"history": [{"epoch": 1}]}, curves={"roc": roc, "reliability": [[0.5, 0.5]], "other": 3})
    )
    assert found["epochs"] == [{"epoch": 1}]
    assert found["reliability"] == [[0.5, 0.5]]
    assert list(found["roc"]) == [f"class {number}" for number in range(8)]
    assert found["left_out"] == 2
    assert "other" not in found
    assert chart_data(detail(8)) == {"epochs": [], "reliability": None, "left_out": 0}


def test_a_config_is_a_model_that_is_not_trained(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"adapter": "adapters.models.mobilenet:MobileNetAdapter", "labels": ["ad", "content"]}')
    found = read_detail(ModelRef("mine", "mine.json", "config", path))
    assert found.labels == ("ad", "content")
    assert found.size_bytes == path.stat().st_size
    assert not found.trainable
    assert (found.card, found.metrics, found.validation, found.files) == ("", {}, {}, ())
    before = found.digest
    path.write_text('{"adapter": "adapters.models.mobilenet:MobileNetAdapter", "labels": ["ad", "x"], "imgz": -1}')
    changed = read_detail(ModelRef("mine", "mine.json", "config", path))
    assert changed.digest != before
    assert changed.complete == {}
    assert "imgz" in (changed.problem or "")
    path.unlink()
    with pytest.raises(ConfigError, match=r"mine.json: the file is missing"):
        read_detail(ModelRef("mine", "mine.json", "config", path))
