"""Trainings of the Models page: epochs as they come, what a stop does, and what the job's page gets at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import ConfigError
from adapters.reports import EpochLog, TrainReport
from cliplab.studio import Job
from cliplab.studio.model_list import ModelLibrary
from cliplab.studio.model_work import train_model

CONFIG = {"schema_version": 2, "adapter": "movinet_adapter:MoViNetAdapter", "labels": ["ad", "content"]}


def fake_train(config: Path, data: str, output: str, **told: Any) -> TrainReport:
    """Three epochs of nothing, the second of which has no loss; a stop ends it."""
    logs = []
    for epoch in range(3):
        logs.append(EpochLog("head", epoch, float("nan") if epoch == 1 else 0.5, 0.5, None, None, 0.1))
        told["on_progress"]("training", epoch + 1, 3)
        told["on_line"](f"epoch {epoch + 1}/3")
        if told["on_epoch_end"](logs[-1]) is False:
            break
    stopped = "finished" if len(logs) == 3 else "interrupted"
    return TrainReport(output, ("ad", "content"), tuple(logs), 0, stopped, {}, 0, 1.0, skipped=("a.mp4: damaged",))  # type: ignore[arg-type]


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "ads.json").write_text(json.dumps(CONFIG))
    (tmp_path / "alone.tflite").write_bytes(b"x")
    monkeypatch.setattr("cliplab.models.train", fake_train, raising=False)
    refs = {ref.name: ref.id for ref in ModelLibrary(tmp_path).refs()}
    return {
        "folder": str(tmp_path),
        "model": refs["ads.json"],
        "data": ".",
        "output": str(tmp_path / "v2"),
        "refs": refs,
    }


def test_a_training_reports_each_epoch(arguments: dict[str, Any]) -> None:
    job = Job("1", "train", "Train")
    result = train_model(job, arguments)
    assert [epoch["loss"] for epoch in job.epochs] == [0.5, None, 0.5]
    assert job.lines == ["epoch 1/3", "epoch 2/3", "epoch 3/3", "left out: a.mp4: damaged"]
    assert (result["stopped"], result["epochs"], result["skipped"]) == ("finished", 3, 1)
    json.dumps(job.to_json(), allow_nan=False)


def test_a_stop_ends_it_after_the_epoch(arguments: dict[str, Any]) -> None:
    job = Job("1", "train", "Train")
    job._changed = lambda job, what: job.request_stop() if what == "epoch" else None
    result = train_model(job, arguments)
    assert (result["stopped"], result["epochs"]) == ("interrupted", 1)


@pytest.mark.parametrize("name, words", [("alone.tflite", "no weights"), (None, "removed or renamed")])
def test_what_cannot_be_trained_says_why(arguments: dict[str, Any], name: str | None, words: str) -> None:
    model = arguments["refs"][name] if name else "gone"
    with pytest.raises(ConfigError, match=words):
        train_model(Job("1", "train", "Train"), {**arguments, "model": model})
