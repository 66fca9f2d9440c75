"""The main job on the sample clips, as `make demo` runs it: train, evaluate, convert, find the ad break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from command_line import cli
from places import ROOT

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(folder: Path, own_cache: Path) -> dict[str, Any]:
    """One run of the command, in a process of its own."""
    done = cli("demo", "--output", folder / "out", "--json", code=0, process=True, cwd=ROOT, timeout=None)
    takes, *steps = done.stderr.splitlines()
    assert takes.startswith("the demo trains")
    assert [line.partition(":")[0] for line in steps] == [f"step {number} of 6" for number in range(1, 7)]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_break_is_found_within_a_second(report: dict[str, Any]) -> None:
    [found], [true] = report["model"]["found"], report["truth"]
    assert abs(found["start"] - true["start"]) <= 1
    assert abs(found["end"] - true["end"]) <= 1
    assert report["found_break"]


def test_the_baseline_is_beaten_by_a_margin(report: dict[str, Any]) -> None:
    model, baseline = report["model"], report["baseline"]
    assert model["f1"] >= baseline["f1"] + 0.05
    assert model["average_precision"] >= baseline["average_precision"] + 0.02
    assert model["window_ap"] >= baseline["window_ap"] + 0.15
    assert not baseline["within_tolerance"]


def test_the_gates_hold(report: dict[str, Any]) -> None:
    assert report["gate_failures"] == []


def test_the_converted_files_agree_and_stand_alone(report: dict[str, Any], folder: Path) -> None:
    from adapters.inference import open_model
    from cliplab.models import predict

    sizes = [report["programs"][name]["size_bytes"] for name in ("float16", "int8")]
    assert sizes[1] < sizes[0] < 8_000_000
    for name in ("float16", "int8"):
        assert report["programs"][name]["agreement"] >= 0.9
    model = open_model(folder / "out" / "ad_int8.tflite")
    assert model.labels == ("content", "ad")
    [clip] = predict(folder / "out" / "ad_int8.tflite", [ROOT / "samples" / "clips" / "test_ad_01.mp4"]).results
    assert clip.predictions[0].top_k(1)[0].label == "ad"


def test_what_is_written(report: dict[str, Any], folder: Path) -> None:
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"bundle", "evaluation", "ad_float16.tflite", "ad_int8.tflite", "timeline.png", "demo.json"}
    picture = cv2.imread(str(folder / "out" / "timeline.png"))
    assert picture is not None
    assert picture.shape[1] > 1000
    assert picture.std() > 20
    assert json.loads((folder / "out" / "demo.json").read_text())["found_break"] is True
