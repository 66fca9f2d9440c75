"""Which clips an evaluation measures, and ``--min-score best``, with a model that needs no training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.bundle import write_bundle
from adapters.data import clips_digest, read_dataset
from adapters.errors import ConfigError
from adapters.evaluation import evaluate as measure
from adapters.inference import open_model
from cliplab.models import evaluate, predict, train

TRUST = ("tiny_adapter:TinyAdapter",)
LABELS = ("cold", "warm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for kind in LABELS:
        for number in range(3):
            render_video(folder / f"{kind}{number}.mp4", kind, number)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> Callable[..., Path]:
    def write(*splits: str) -> Path:
        rows = [
            {"path": f"{kind}{number}.mp4", "label": kind, "group": f"g{number}", "split": splits[number]}
            for kind in LABELS
            for number in range(3)
        ]
        path = folder / f"{'_'.join(splits)}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def bundle(path: Path, metrics: dict[str, Any] | None = None, **keys: Any) -> Path:
    adapter = TinyAdapter({"adapter": TRUST[0], "labels": list(LABELS), "imgz": 32, "n_frames": 2, **keys})
    write_bundle(
        path,
        config=adapter.config,
        programs={},
        weights={"threshold": adapter.threshold},
        metrics=metrics or {},
        golden=None,
        card="# Tiny\n",
    )
    return path


@pytest.mark.parametrize(
    ("splits", "split", "clips", "words"),
    [
        (("train", "validation", "test"), "test", 2, None),
        (("train", "validation", "train"), "validation", 2, "has no test clips"),
        (("train", "train", "train"), "all", 6, "has no test or validation clips"),
    ],
)
def test_without_a_split_the_most_telling_clips_are_measured(
    data: Callable[..., Path], tmp_path: Path, splits: tuple[str, ...], split: str, clips: int, words: str | None
) -> None:
    model = bundle(tmp_path / "m", gates={"min_accuracy": 2 / 3})
    found = evaluate(model, data(*splits), trust_adapters=TRUST)
    assert (found.split, found.report.clips, found.failures) == (split, clips, ())
    assert found.to_json()["notes"][: len(found.notes)] == list(found.notes)
    assert (words is None) == (found.notes == ())
    assert words is None or words in found.notes[0]


def test_the_figures_that_training_kept_of_its_clips_stand_in_for_held_out_ones(
    data: Callable[..., Path], tmp_path: Path
) -> None:
    path = data("train", "train", "train")
    truth = np.array([0, 0, 0, 1, 1, 1])
    scores = np.where(np.arange(2) == (truth ^ (np.arange(6) == 0))[:, None], 0.9, 0.1).astype(np.float32)
    kept = measure(scores, truth, LABELS, groups=[0, 1, 2] * 2).to_json()
    metrics = {"out_of_fold": {**kept, "clips_digest": clips_digest(read_dataset(path).examples)}}
    model = bundle(tmp_path / "m", metrics, gates={"min_accuracy": 0.9})
    ran = cli("evaluate", model, path, "--trust-adapter", TRUST[0], "--output", tmp_path / "out", "--json", code=1)
    found = json.loads(ran.stdout)
    assert (found["split"], found["accuracy"], found["clips"]) == ("out_of_fold", pytest.approx(5 / 6, abs=1e-6), 6)
    assert found["gate_failures"] == ["accuracy 0.833333 is below min_accuracy 0.9."]
    assert (tmp_path / "out" / "reliability.png").is_file()
    other = evaluate(model, data("train", "train", "test"), trust_adapters=TRUST)
    assert (other.split, other.report.clips) == ("test", 2)
    missed = {"optimize": "precision@0.95", "classes": {"warm": {"reached": False, "value": 0.8}}}
    short = bundle(tmp_path / "short", {"thresholds": missed}, best_thresholds={"warm": 0.7})
    assert any(
        "reaches precision@0.95 for 'warm' (0.800)" in note
        for note in evaluate(short, path, trust_adapters=TRUST).notes
    )
    foreign = bundle(tmp_path / "foreign", {"out_of_fold": {**kept, "clips_digest": "0" * 64}})
    assert evaluate(foreign, path, trust_adapters=TRUST).split == "all"


def test_the_table_has_intervals_clips_and_groups(data: Callable[..., Path], tmp_path: Path) -> None:
    ran = cli("evaluate", bundle(tmp_path / "m"), data("test", "test", "test"), "--trust-adapter", TRUST[0], code=0)
    assert "95% interval" in ran.stdout
    assert "6 clips in 3 groups" in ran.stdout
    assert "test split" in ran.stdout


def test_best_thresholds_are_used_where_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    video = folder / "warm0.mp4"
    plain = bundle(tmp_path / "plain")
    (all_labels,) = predict(plain, [video], trust_adapters=TRUST).to_json()[0]["predictions"]
    scores = {item["label"]: item["score"] for item in all_labels["labels"]}
    model = bundle(tmp_path / "best", best_thresholds={"warm": scores["warm"] - 0.01, "cold": scores["cold"] + 0.01})
    report = predict(model, [video], min_score="best", segments="warm", trust_adapters=TRUST)
    (row,) = report.to_json()
    assert [item["label"] for item in row["predictions"][0]["labels"]] == ["warm"]
    assert len(row["segments"]) == 1
    (high,) = predict(model, [video], min_score=0.9999, segments="warm", trust_adapters=TRUST).to_json()
    assert high["segments"] == []
    assert open_model(model, trust_adapters=TRUST).config["threshold"] == 0.5, "the model itself stays as it is"


@pytest.mark.parametrize(("score", "words"), [("best", "Train it with --optimize"), ("1.5", "0..1"), ("x", "or best")])
def test_a_min_score_that_cannot_be_used_is_explained(folder: Path, tmp_path: Path, score: str, words: str) -> None:
    model = bundle(tmp_path / "m")
    ran = cli("predict", model, folder / "warm0.mp4", "--min-score", score, "--trust-adapter", TRUST[0], code=2)
    assert words in ran.stderr


def test_wrong_thresholds_and_objectives_are_refused_when_the_config_is_read() -> None:
    config = {"adapter": TRUST[0], "labels": list(LABELS)}
    with pytest.raises(ConfigError, match="'hot', which is not one of the labels"):
        TinyAdapter({**config, "best_thresholds": {"hot": 0.5}})
    with pytest.raises(ConfigError, match="precision@P"):
        TinyAdapter({**config, "optimize": "precission@0.9"})
    assert TinyAdapter(config).config["best_thresholds"] == {}


def test_a_model_without_a_backbone_cannot_be_cross_validated(data: Callable[..., Path], tmp_path: Path) -> None:
    model = bundle(tmp_path / "m")
    with pytest.raises(ConfigError, match="no backbone"):
        evaluate(model, data("train", "train", "train"), cross_validate="folds", trust_adapters=TRUST)
    config = {"adapter": TRUST[0], "labels": list(LABELS), "imgz": 32, "n_frames": 2}
    with pytest.raises(ConfigError, match="no backbone"):
        train(config, data("train", "train", "train"), tmp_path / "t", cross_validate=True, trust_adapters=TRUST)
    assert not (tmp_path / "t").exists()
    with pytest.raises(ConfigError, match="cross-validation uses all clips"):
        evaluate(model, data("train", "train", "train"), cross_validate="folds", split="test", trust_adapters=TRUST)
