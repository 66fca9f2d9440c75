"""`cliplab active collect`: hard examples of a folder of videos, once each, and differing from each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import cli
from registry_files import TRUSTED
from tflite_adapter import make_tflite
from tiny_videos import render_video
from typer.testing import CliRunner

from adapters.errors import ConfigError, MediaError
from cliplab.cli.app import app
from cliplab.rollout import ExampleQueue, active_collect
from cliplab.rollout.collecting import diverse
from cliplab.rollout.collecting_live import LiveChoice
from cliplab.scan import is_store, scan, stored_predictions


def test_rows_that_differ_and_no_near_duplicates() -> None:
    rows = np.repeat(np.eye(5), 8, axis=0) + np.random.default_rng(0).normal(size=(40, 5)) * 0.01
    assert sorted(place // 8 for place in diverse(rows, 40)) == [0, 1, 2, 3, 4]
    assert len(diverse(rows, 3)) == 3
    assert diverse(np.zeros((0, 3)), 3) == []
    assert len(diverse(np.full((4, 2), np.nan), 3)) >= 1


def test_hard_examples_of_a_folder(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number, kind in enumerate(("warm", "cool", "warm")):
        render_video(videos / f"{number}.mp4", kind, 0 if number == 2 else number, seconds=2.0)
    (videos / "broken.mp4").write_bytes(b"no video")
    model = make_tflite(tmp_path / "m.tflite")
    options = {"trust_adapters": TRUSTED, "window_seconds": 1.0, "min_confidence": 0.0, "max_confidence": 1.0}
    report = active_collect(videos, model, tmp_path / "hard", sample_rate=1.0, **options)
    assert report.predictions == report.uncertain == report.sampled >= 3
    assert 1 <= report.kept < report.sampled  # two videos are the same
    assert len(report.failed) == 1
    waiting = list(ExampleQueue(tmp_path / "hard").waiting())
    assert len(waiting) == report.kept
    assert all(item.facts["source"].endswith(".mp4") and item.facts["scores"] for item in waiting)
    again = active_collect(videos, model, tmp_path / "hard", sample_rate=1.0, **options)
    assert (again.kept, again.alike) == (0, again.sampled)
    assert active_collect(videos, model, tmp_path / "none", sample_rate=0.0, **options).sampled == 0
    for misspelt in (tmp_path / "vidoes", tmp_path / "scna.db"):
        with pytest.raises(MediaError, match="no such file or folder"):
            active_collect(misspelt, model, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    words = (
        "active",
        "collect",
        model,
        tmp_path / "empty",
        "--output",
        tmp_path / "none",
        "--trust-adapter",
        TRUSTED[0],
    )
    assert "no videos were found in" in cli(*words).stdout
    with pytest.raises(ConfigError, match="sample-rate"):
        active_collect(videos, model, tmp_path / "none", sample_rate=2.0)
    arguments = [str(videos / "0.mp4"), str(model), "--output", str(tmp_path / "cli"), "--json"]
    shown = CliRunner().invoke(app, ["active", "collect", *arguments, "--trust-adapter", TRUSTED[0]])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["videos"] == 1


def test_hard_examples_of_a_scan_without_scoring_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number, kind in enumerate(("warm", "cool")):
        render_video(videos / f"{number}.mp4", kind, number, seconds=2.0)
    model = make_tflite(tmp_path / "m.tflite")
    scan(videos, model, output=tmp_path / "highlights.json", min_score=0.0, trust_adapters=TRUSTED)
    assert is_store(tmp_path / "scan.db")
    assert not is_store(model)
    stored = list(stored_predictions(tmp_path / "scan.db", model, TRUSTED))
    assert {Path(prediction.source).name for prediction in stored} == {"0.mp4", "1.mp4"}
    monkeypatch.setattr("cliplab.rollout.collecting.predict_videos", None)
    arguments = [
        "active",
        "collect",
        str(model),
        str(tmp_path / "scan.db"),
        "--output",
        str(tmp_path / "hard"),
        "--json",
    ]
    arguments += ["--trust-adapter", TRUSTED[0], "--sample-rate", "1", "--min-confidence", "0", "--max-confidence", "1"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["predictions"] == len(stored)
    assert found["kept"] >= 1
    other = make_tflite(tmp_path / "other.tflite", "other")
    with pytest.raises(ConfigError, match="no scores of"):
        list(stored_predictions(tmp_path / "scan.db", other, TRUSTED))


def test_hard_examples_of_a_live_source(tmp_path: Path) -> None:
    """A video that is piped in: its windows as they come, each kept once, also over two runs."""
    video = render_video(tmp_path / "v.mkv", "warm", 0, seconds=4.0)
    model = make_tflite(tmp_path / "m.tflite")
    words = ["active", "collect", model, "-", "--output", tmp_path / "hard", "--json", "--trust-adapter", TRUSTED[0]]
    words += ["--sample-rate", "1", "--min-confidence", "0", "--max-confidence", "1", "--window-seconds", "0.5"]
    found = json.loads(cli(*words, process=True, stdin=video.read_bytes(), code=0).stdout)
    assert (found["videos"], found["predictions"], found["sampled"]) == (1, 8, 8)
    assert found["kept"] + found["alike"] == 8
    assert found["kept"] == len(ExampleQueue(tmp_path / "hard")) >= 1
    again = json.loads(cli(*words, "--seconds", "2", process=True, stdin=video.read_bytes(), code=0).stdout)
    assert (again["predictions"], again["kept"]) == (4, 0)
    with pytest.raises(ConfigError, match="live source"):
        active_collect(video, model, tmp_path / "none", seconds=1.0, trust_adapters=TRUSTED)


def test_a_live_source_keeps_those_that_differ_most(tmp_path: Path) -> None:
    queue = ExampleQueue(tmp_path)
    choice = LiveChoice(queue, 3)
    rng = np.random.default_rng(0)
    corners = np.eye(8)[:3]
    for row in (*(corners[0] + 0.3 * rng.normal(size=(6, 8))), corners[1], corners[2], corners[1] + 1e-3):
        choice.offer(row, {"uncertainty": 1.0}, lambda row=row: (row.tobytes(), ".png"))  # type: ignore[misc]
    assert choice.kept == len(queue) == 3
    assert choice.alike >= 1
    kept = np.array([item.facts["direction"] for item in queue.waiting()])
    assert (kept @ corners.T).max(axis=0)[1:] == pytest.approx([1, 1], abs=1e-3)
    assert not choice.offer(np.full(8, np.nan), {}, lambda: (b"x", ".png")) or choice.kept == 3
