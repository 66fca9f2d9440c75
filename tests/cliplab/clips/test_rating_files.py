"""Files of ratings that somebody else made: a wrong row is left out with its reason, and the others are stored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("alembic", reason="pip install 'cliplab[clips]'")
from adapters.errors import BundleError, DatasetError
from cliplab.clips import ClipManager, import_ratings
from cliplab.clips.rating_model import read_models

ROW = {"filepath": "a.mp4", "start_time": 0, "end_time": 5, "stars": 4}


@pytest.mark.parametrize(
    "changes",
    [
        {"stars": None},
        {"stars": []},
        {"stars": "x"},
        {"stars": 3.5},
        {"start_time": {}},
        {"end_time": None},
        {"filepath": None},
        {"confidence": "x"},
        {"rater": ["x"]},
        {"rated_at": {"a": 1}, "stars": 9},
    ],
    ids=str,
)
def test_a_wrong_row_costs_that_row(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "ratings.json"
    path.write_text(json.dumps([ROW, {**ROW, **changes}]))
    with ClipManager(tmp_path / "clips.db") as manager:
        manager.register_clip(filepath="a.mp4", start_time=0.0, end_time=5.0, score=0.5, clip_type="audio", features={})
        report = import_ratings(manager, path)
    assert (report.stored, report.repeated) == (1, 0)
    assert len(report.problems) == 1
    assert "row 2" in report.problems[0]


def test_rows_of_other_keys_and_numbers_that_no_number_holds(tmp_path: Path) -> None:
    path = tmp_path / "ratings.json"
    path.write_text(json.dumps([ROW, {"stars": 4}]))
    with ClipManager(tmp_path / "clips.db") as manager:
        manager.register_clip(filepath="a.mp4", start_time=0.0, end_time=5.0, score=0.5, clip_type="audio", features={})
        assert len(import_ratings(manager, path).problems) == 1
        path.write_text(json.dumps([ROW]).replace("4}", "9" * 400 + "}"))
        with pytest.raises(DatasetError, match="digits"):
            import_ratings(manager, path)


def test_a_pipe_in_the_place_of_models_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.skops")
    with pytest.raises(BundleError, match="FIFO"):
        read_models(tmp_path / "model.skops")
