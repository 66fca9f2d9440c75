"""Rules by which models are chosen and rows of a stream are given, at their bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_comparison_choice import FAST, NONE, chosen, figures

from adapters.records import Prediction
from cliplab.models import caches, streaming
from cliplab.models.comparison_choice import fitting_precision
from cliplab.models.comparison_report import Limits, ModelFigures

SIZES = st.integers(1, 40).map(lambda number: number * 500_000)


@given(
    rows=st.lists(
        st.tuples(st.integers(31, 99), st.integers(1, 60), SIZES), min_size=1, max_size=5, unique_by=lambda row: row[0]
    ),
    width=st.sampled_from([0.0, 0.05, 0.2]),
    limits=st.sampled_from([NONE, Limits(latency_ms=30), Limits(size_bytes=4_000_000)]),
)
def test_the_choice_is_the_most_accurate_of_the_cheapest_that_are_as_good_as_the_best(
    rows: list[tuple[int, int, int]], width: float, limits: Limits
) -> None:
    models = [figures(f"m{row[0]}", row[0] / 100, row[1], row[2], low=row[0] / 100 - 0.1) for row in rows]

    def fits(one: ModelFigures) -> bool:
        late = limits.latency_ms is not None and one.device_latency_ms > limits.latency_ms
        return not late and (limits.size_bytes is None or min(one.size_bytes, one.int8_bytes) <= limits.size_bytes)

    def cost(one: ModelFigures) -> float:
        return one.latency_ms * one.size_bytes

    name, why = chosen(models, limits, width)
    possible = [one for one in models if fits(one) and one.interval[0] > 0.3]
    if not possible:
        assert name is None
        return
    best = max(possible, key=lambda one: one.accuracy)
    alike = [one for one in possible if one is best or best.accuracy - one.accuracy - width <= 0]
    cheap = [one for one in alike if cost(one) <= 1.3 * min(map(cost, alike))]
    taken = max(cheap, key=lambda one: one.accuracy)
    assert name == taken.model, why
    left_out = [one for one in models if not fits(one) and one.accuracy - taken.accuracy - width > 0]
    assert ("the limits exclude" in why) == bool(left_out)
    if left_out:
        assert f"the limits exclude {max(left_out, key=lambda one: one.accuracy).model}," in why


@pytest.mark.parametrize(
    ("latency", "size", "int8", "found"),
    [
        *(
            (20.0, 4_000, 1_000, "float32"),
            (20.1, 1, 1, None),
            (20.0, 4_001, 4_000, "int8"),
            (20.0, 4_001, 4_001, None),
        ),
        (0.1, 9_000, 4_000, "int8"),
    ],
)
def test_a_model_fits_up_to_the_limits(latency: float, size: int, int8: int, found: str | None) -> None:
    assert fitting_precision(latency, size, int8, Limits(latency_ms=20.0, size_bytes=4_000)) == found
    assert fitting_precision(latency, size, int8, Limits()) == "float32"


def test_a_model_that_is_not_shown_to_be_better_than_one_answer_is_only_tried() -> None:
    weak = [figures("weak", 0.35, 9, 1000, low=0.30), figures("slow", 0.38, 90, 9000, low=0.29)]
    name, why = chosen(weak)
    assert name is None
    assert "no model is shown to be better than always answering 'a' (30% of the clips)" in why
    assert "weak is the cheapest to try" in why
    name, why = chosen([*weak, figures("good", 0.9, 500, 10**6)], Limits(latency_ms=100))
    assert name is None
    assert "no model that satisfies the limits is shown" in why


def test_what_the_next_one_has_is_said() -> None:
    assert (
        "no other model satisfies the limits"
        in chosen([FAST, figures("late", 0.5, 90, 1000)], Limits(latency_ms=20))[1]
    )
    why = chosen([figures("dear", 0.9, 90, 9_000_000), figures("worse", 0.5, 1, 1000), figures("worst", 0.4, 1, 1000)])[
        1
    ]
    assert "the next, worse, has 50%: dear is better by 40 points (95% interval 35 to 45)" in why
    assert "cheaper" not in why
    why = chosen([figures("small", 0.81, 9, 4_000_000), FAST], width=0.2)[1]
    assert "difference 1 point (95% interval -19 to 21)), and small is cheaper" in why


# Rows of a stream


def prediction(end: float, score: float = 0.75) -> Prediction:
    return Prediction(np.array([1 - score, score], np.float32), ("a", "b"), 0.0, end, "x")


def rows(moments: list[float], every: float | None, top_k: int = 2, least: Any = None) -> list[dict[str, Any]]:
    """The rows of a stream whose prediction is another one at each whole half second."""
    closed: list[bool] = []
    known: dict[float, Prediction] = {}

    def frames() -> Iterator[tuple[float, Any]]:
        try:
            yield from ((moment, None) for moment in moments)
        finally:
            closed.append(True)

    def push(_: Any, seconds: float) -> Prediction:
        return known.setdefault(seconds // 0.5, prediction(seconds))

    found: list[Any] = list(streaming._rows(push, frames(), every, top_k, least))
    assert closed == [True]
    return found


@pytest.mark.parametrize(
    ("every", "times"),
    [(None, [0, 0.5, 1, 1.5, 2]), (0.5, [0, 0.5, 1, 1.5, 2]), (1.0, [0, 1, 2]), (1.5, [0, 1.5, 2]), (9.0, [0, 2])],
)
def test_a_row_comes_with_each_new_prediction_that_is_due_and_at_the_end(
    every: float | None, times: list[float]
) -> None:
    assert [row["time"] for row in rows([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 1.9, 2.0, 2.2], every)] == times


def test_a_clock_that_begins_anew_has_rows_at_once() -> None:
    assert [row["time"] for row in rows([10.0, 10.5, 3.0, 3.5, 4.1], 1.0)] == [10.0, 3.0, 4.1]
    assert [row["time"] for row in rows([10.0, 10.5], 1.0)] == [10.0, 10.5]
    assert rows([], None) == []


def test_a_row_has_the_best_labels_that_reach_their_score() -> None:
    assert rows([0.0], None)[0] == {
        "time": 0.0,
        "labels": [{"label": "b", "score": 0.75}, {"label": "a", "score": 0.25}],
    }
    assert rows([1.23456], None, top_k=1)[0] == {"time": 1.235, "labels": [{"label": "b", "score": 0.75}]}
    least = {"a": 0.25, "b": 0.76}
    assert [one["label"] for one in rows([0.0], None, least=least)[0]["labels"]] == ["a"]


# The cache


def test_folders_of_the_cache_by_size_and_files_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "cache_dir", lambda: tmp_path / "cache")
    assert caches.cache_show() == caches.cache_clear() == ()
    names = [name for name in caches.KINDS if name not in caches.KEPT][:3]
    for place, name in enumerate(names):
        (tmp_path / "cache" / name / "inner").mkdir(parents=True)
        (tmp_path / "cache" / name / "inner" / "a").write_bytes(b"x" * (10 + place * 10))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "cache" / "other").mkdir()
    shown = caches.cache_show()
    assert [(one.name, one.bytes, one.files) for one in shown] == [
        *((names[2], 30, 1), (names[1], 20, 1), (names[0], 10, 1), ("other", 0, 0))
    ]
    assert shown[-1].holds.startswith("unknown")
    day = 86400.0
    monkeypatch.setattr(
        caches.time, "time", lambda: (tmp_path / "cache" / names[0] / "inner" / "a").stat().st_mtime + day
    )
    for days, removed in ((1.5, 0), (0.5, 1)):
        (report,) = caches.cache_clear((names[0],), older_than_days=days, dry_run=True)
        assert (report.name, report.files, report.bytes) == (names[0], removed, removed * 10)
    assert (tmp_path / "cache" / names[0]).is_dir()
    assert [one.name for one in caches.cache_clear(older_than_days=0)] == names
    assert [one.name for one in caches.cache_show()] == ["other"]
