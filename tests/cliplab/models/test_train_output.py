"""`train --output X.tflite`: one file that predicts alone, its bundle beside it, its figures in a manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from small_network import SMALL_NETWORK
from tiny_videos import render_dataset

from adapters.inference import open_model
from adapters.litert import read_description

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SMALL = ("weights=random", "imgz=32", "n_frames=2", "num_epochs=3", "augment_views=0", "quantize=dynamic")


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"), train=3, validation=2, test=1)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("models") / "warm_v001.tflite"
    settings = [word for key in SMALL for word in ("--set", key)]
    result = cli("train", SMALL_NETWORK, data, "--output", path, *settings, "--json")
    assert result.exit_code == 0, result.output
    return path, json.loads(result.stdout)


def test_the_file_stands_alone_and_its_bundle_beside_it(
    trained: tuple[Path, dict[str, Any]], data: Path, tmp_path: Path
) -> None:
    path, report = trained
    assert sorted(item.name for item in path.parent.iterdir()) == ["warm_v001", "warm_v001.tflite"]
    assert report["output_path"] == str(path)
    alone = Path(shutil.copy(path, tmp_path / "alone.tflite"))
    videos = [data.parent / "warm0.mp4", data.parent / "cold0.mp4"]
    answers = [json.loads(cli("predict", model, *videos, "--json").stdout) for model in (alone, path.with_suffix(""))]
    assert answers[0] == answers[1]
    assert open_model(alone).config["quantize"] == "dynamic"


def test_the_report_measures_the_file_against_float32_on_unseen_clips(
    trained: tuple[Path, dict[str, Any]], data: Path
) -> None:
    conversion = trained[1]["conversion"]
    assert conversion["clips"] == 6
    assert conversion["clip_origin"] == f"validation and test clips of {data}"
    assert conversion["quantize"] == "dynamic"
    assert conversion["max_score_difference"] > 0, "the dynamic program is not compared with itself"
    assert conversion["agreement"] >= 0.98
    assert conversion["accuracy"]["clips"] == 6
    assert conversion["accuracy"]["drop"] <= 0.01
    assert conversion["size_bytes"] < conversion["source_size_bytes"] / 2


def test_its_validation_figures_reach_the_manifest(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, report = trained
    figures = read_description(path)["metrics"]
    assert figures["accuracy"] == report["metrics"]["accuracy"]
    shutil.copy(path, tmp_path / "warm_v001.tflite")
    listed = json.loads(cli("registry", "manifest", tmp_path, "--json").stdout)
    assert listed["models"][0]["metrics"] == figures
    added = json.loads(cli("registry", "manifest", tmp_path, "--add", path, "--next-name", "warm", "--json").stdout)
    assert [model["metrics"] for model in added["models"]] == [figures, figures]


def test_a_place_that_is_taken_is_refused_before_training(trained: tuple[Path, dict[str, Any]], data: Path) -> None:
    path = trained[0]
    for output in (path, path.with_suffix("")):
        refused = cli("train", "efficientnet_lite0", data, output)
        assert refused.exit_code == 1
        assert "--force" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "one output is required, got none"),
        (("a", "--output", "b"), "got a and --output b"),
        (("a", "--devices", "two"), "whole number of at least 1, or all, got 'two'"),
        (("a", "--devices", "0"), "at least 1"),
        (("a", "--devices", "2", "--multi-gpu"), "--multi-gpu means --devices all"),
    ],
)
def test_wrong_usage_exits_with_2(data: Path, arguments: tuple[str, ...], message: str) -> None:
    for command, model in (("train", "efficientnet_lite0"), ("finetune", str(data.parent))):
        result = cli(command, model, data, *arguments)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())


def test_more_devices_than_there_are(data: Path, tmp_path: Path) -> None:
    result = cli("train", "efficientnet_lite0", data, tmp_path / "model", "--devices", 99, "--set", "weights=random")
    assert result.exit_code == 1
    assert "99 devices are requested, but TensorFlow sees" in result.stderr
    assert not list(tmp_path.iterdir())
