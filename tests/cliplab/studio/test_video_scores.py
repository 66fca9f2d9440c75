"""Scores over time: what is kept of a video, and the rows that its page draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from cliplab.studio.video_scores import MOST_MODELS, MOST_ROWS, keep_scores, score_rows

VIDEO = "0123456789abcdef"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cliplab.studio.video_scores.cache_dir", lambda: tmp_path)
    return tmp_path


def found(labels: list[str], scores: list[list[float]]) -> dict[str, Any]:
    starts = [2.0 * place for place in range(len(scores))]
    thresholds = dict.fromkeys(labels, 0.5)
    return {
        "labels": labels,
        "starts": starts,
        "ends": [one + 2 for one in starts],
        "scores": scores,
        "thresholds": thresholds,
        "name": "a.mp4",
    }


def test_rows_are_the_classes_of_the_studio_at_the_middle_of_each_window() -> None:
    keep_scores(VIDEO, "ads_v2", found(["AD", "weather", "content"], [[0.9, 0.0, 0.1], [0.2, 0.1, 0.7]]))
    rows = score_rows(VIDEO, ["ad", "content"])
    assert list(rows) == ["ad, by ads_v2", "content, by ads_v2"]
    assert rows["ad, by ads_v2"] == {"label": "ad", "times": [1.0, 3.0], "scores": [0.9, 0.2], "threshold": 0.5}
    assert score_rows("fedcba9876543210", ["ad"]) == {}


def test_a_model_of_many_other_classes_shows_those_that_score_highest() -> None:
    labels = [f"c{number}" for number in range(50)]
    keep_scores(VIDEO, "wide", found(labels, [[number / 50 for number in range(50)]]))
    assert [row["label"] for row in score_rows(VIDEO, ["ad"]).values()] == labels[-MOST_ROWS:]


def test_what_is_damaged_is_left_out_and_the_newest_models_are_shown(cache: Path) -> None:
    for number in range(MOST_MODELS + 1):
        keep_scores(VIDEO, f"m{number}", found(["ad"], [[0.5]]))
    for path in cache.rglob("*.json"):
        if '"m1"' in path.read_text():
            path.write_text('{"model": "m1", "labels": ["ad"], "scores": [[]]}')
    assert len(score_rows(VIDEO, ["ad"])) in (MOST_MODELS - 1, MOST_MODELS)
    assert score_rows("../../etc", ["ad"]) == {}
    keep_scores(VIDEO, "empty", found(["ad"], []))
    assert score_rows(VIDEO, ["ad"])["ad, by empty"]["times"] == []
