"""Commands on a network: a small one with random weights goes through all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from small_network import SMALL_NETWORK
from tiny_videos import render_dataset

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SMALL = {"weights": "random", "imgz": 32, "n_frames": 2, "num_epochs": 4, "augment_views": 0, "min_agreement": 0.5}


def as_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(cli(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "bundle"
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    cli("train", SMALL_NETWORK, data, path, *changes, code=0)
    return path


@pytest.fixture(scope="module")
def int8(bundle: Path, data: Path) -> Path:
    path = bundle.with_name("int8.tflite")
    report = as_json("convert", bundle, "--output", path, "--quantize", "int8", "--data", data)
    assert report["quantize"] == "int8"
    assert report["output_path"] == str(path)
    # 2 classes, 2 clips for validation and 1 for test each: calibration clips are not what is measured on.
    assert report["clips"] == 6
    assert "validation and test" in report["clip_origin"]
    assert report["size_bytes"] < report["source_size_bytes"] / 2
    return path


def test_a_second_training_decodes_nothing(bundle: Path, data: Path, tmp_path: Path) -> None:
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    shown = cli("train", SMALL_NETWORK, data, tmp_path / "again", *changes, code=0).stdout
    assert "best" in shown
    assert "8 train, 4 validation, 2 test clips" in shown
    assert "; 0 clips decoded" in shown
    one, other = (path / "weights.safetensors" for path in (bundle, tmp_path / "again"))
    assert one.read_bytes() == other.read_bytes()


def test_finetune(bundle: Path, data: Path, tmp_path: Path) -> None:
    changes = ("--set", "fine_tune_layers=4", "--set", "fine_tune_epochs=1", "--set", "num_epochs=1")
    report = as_json("finetune", bundle, data, tmp_path / "tuned", *changes)
    assert [log["phase"] for log in report["epochs"]] == ["head", "fine_tune"]
    assert as_json("predict", tmp_path / "tuned", data.parent / "warm0.mp4")[0]["error"] is None


def test_the_converted_file_predicts_alone(int8: Path, data: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "renamed.tflite"
    lonely.write_bytes(int8.read_bytes())
    [row] = as_json("predict", lonely, data.parent / "warm0.mp4")
    assert {item["label"] for item in row["predictions"][0]["labels"]} == {"warm", "cold"}
    assert as_json("bench", lonely, "--clips", 3, "--threads", 1)["size_bytes"] > 10_000


def test_verify(bundle: Path, int8: Path, data: Path) -> None:
    report = as_json("verify", bundle, int8, "--data", data)
    assert report["clips"] == 6
    assert 0 <= report["max_score_difference"] <= 1
    same = as_json("verify", bundle, bundle)
    assert (same["agreement"], same["max_score_difference"]) == (1.0, 0.0)
    assert "same top label on 100.0%" in cli("verify", bundle, bundle, code=0).stdout
    other = cli("verify", bundle, "efficientnet_lite0", code=2)
    assert "labels differ" in other.stderr


def test_int8_needs_clips(bundle: Path, tmp_path: Path) -> None:
    result = cli("convert", bundle, "--output", tmp_path / "x.tflite", "--quantize", "int8", code=1)
    assert "--data" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_file_cannot_be_converted_again(int8: Path, tmp_path: Path) -> None:
    result = cli("convert", int8, "--output", tmp_path / "x.tflite", "--quantize", "float16", code=1)
    assert "bundle" in result.stderr


def test_evaluate_shows_size_and_latency(bundle: Path, data: Path) -> None:
    report = as_json("evaluate", bundle, data)
    assert report["latency_ms"] > 0
    [program] = (bundle / "programs").iterdir()
    assert report["size_bytes"] == program.stat().st_size > 10_000
