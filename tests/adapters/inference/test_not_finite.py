"""Scores that are not numbers: an error that names the file, in every command that scores, and never a stored value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from scan_helpers import save_model
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.bundle import write_bundle
from adapters.config import check_config
from adapters.errors import ScoresError, WeightsError
from adapters.inference import open_model, predict_videos
from adapters.records import Prediction
from cliplab.scan import scan

NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose scores of bad.mp4 are NaN, and videos."""
    (tmp_path / "videos").mkdir()
    for number, name in enumerate(("a", "bad", "c")):
        render_video(tmp_path / "videos" / f"{name}.mp4", "warm", number, seconds=0.5)
    own = TinyAdapter._predict_one

    def predict_one(self: TinyAdapter, clip: Any) -> Prediction:
        if clip.source.endswith("bad.mp4"):
            return Prediction(np.array([NAN, 0.5], np.float32), self.labels, clip.start, clip.end, clip.source)
        return own(self, clip)

    monkeypatch.setattr(TinyAdapter, "_predict_one", predict_one)
    save_model(tmp_path / "model", batch_size=8)
    return tmp_path


@pytest.mark.parametrize("wrong", [NAN, float("inf"), -float("inf")])
def test_a_prediction_is_finite_and_the_error_names_its_source(wrong: float) -> None:
    scores = np.array([wrong, 0.5], np.float32)
    with pytest.raises(ScoresError, match=r"a\.mp4.*not finite"):
        Prediction(scores, ("x", "y"), 0.0, 1.0, "a.mp4")
    good = np.zeros(2, np.float32)
    with pytest.raises(ScoresError, match=r"a\.mp4.*not finite"):
        Prediction(good, ("x", "y"), 0.0, 1.0, "a.mp4", np.stack([good, scores]))


def test_the_file_has_an_error_and_the_others_their_scores(folder: Path) -> None:
    videos = sorted((folder / "videos").iterdir())
    results = list(predict_videos(open_model(folder / "model"), videos))
    assert [result.error is None for result in results] == [True, False, True]
    assert "bad.mp4" in str(results[1].error)
    assert "not finite" in str(results[1].error)
    ran = cli("predict", folder / "model", folder / "videos", "--json", code=1)
    assert [row["error"] is None for row in json.loads(ran.stdout)] == [True, False, True]


def test_a_scan_lists_it_as_a_failure(folder: Path) -> None:
    report = scan(folder / "videos", folder / "model", output=folder / "h.json", min_score=0.0)
    assert (report.videos, report.highlights, report.failed) == (3, 2, 1)
    assert "not finite" in report.failures[0][1]
    assert "NaN" not in json.loads((folder / "h.json").read_text())["highlights"]


def test_an_evaluation_leaves_it_out_by_name(folder: Path) -> None:
    kinds = {"a": "warm", "bad": "warm", "c": "cold"}
    rows = [{"path": f"videos/{name}.mp4", "label": kind, "split": "test"} for name, kind in kinds.items()]
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    ran = cli("evaluate", folder / "model", folder / "data.jsonl", "--json", code=1)
    assert ran.stdout, ran.stderr
    [skipped] = json.loads(ran.stdout)["skipped"]
    assert "bad.mp4" in skipped["path"]
    assert "not finite" in skipped["error"]


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    config = check_config({"schema_version": 2, "adapter": "adapters.models.resnet18:ResNet18Adapter"})
    weights = {"good/kernel": np.zeros(3, np.float32), "stem/kernel": np.array([0, np.inf], np.float32)}
    write_bundle(tmp_path / "bad", config=config, programs={}, weights=weights, metrics={}, golden=None, card="")
    model = open_model(tmp_path / "bad")
    with pytest.raises(WeightsError, match=r"bad.*'stem/kernel'.*not finite"):
        model.variables()  # type: ignore[attr-defined]
