"""What earlier versions stored: each model opens with the scores that it had, and each file is followed or refused.

tests/stored/schema_version_1: see tests/stored/make_schema_version_1.py, which made it.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from adapters.base import BaseModelAdapter
from adapters.bundle import render_clip
from adapters.config import check_config
from adapters.hosts.dataloop.config import open_configured, own_config
from adapters.inference import open_model
from cliplab.registry import registry_manifest
from cliplab.scan import scan

STORED = ROOT / "tests" / "stored" / "schema_version_1"
EXPECTED: dict[str, Any] = json.loads((STORED / "expected.json").read_text(encoding="utf-8"))
SCORES: dict[str, list[list[float]]] = EXPECTED["scores"]
TOLERANCE = 2e-5  # other processors sum in other orders


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stored folder, unpacked. Not to be changed: copy what is written to."""
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(STORED / "models.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    # Older releases of MLflow otherwise leave mlruns/ in the working folder.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "tracking").as_uri())
    return tmp_path / "cache"


def assert_scores(model: BaseModelAdapter, expected: list[list[float]]) -> None:
    clips = [render_clip(model.input_spec, variant) for variant in (0, 5)]
    found = [prediction.scores for prediction in model.predict(clips)]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert model.labels == ("cold", "warm")


# Models -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SCORES))
def test_a_stored_model_gives_the_scores_that_it_gave(name: str, layout: Path, empty_cache: Path) -> None:
    assert_scores(open_model(layout / name), SCORES[name])
    assert not (empty_cache / "programs").exists(), "a stored program is run as it is"


@pytest.mark.parametrize("name", sorted(EXPECTED["feature_norms"]))
def test_a_stored_model_gives_the_features_that_it_gave(name: str, layout: Path) -> None:
    """Scores near 0 and 1 hide much of what features show."""
    model = open_model(layout / name)
    found = np.linalg.norm(model.embed([render_clip(model.input_spec, variant) for variant in (0, 5)]), axis=1)
    np.testing.assert_allclose(found, EXPECTED["feature_norms"][name], rtol=1e-3)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_a_stored_model_is_saved_anew(name: str, layout: Path, tmp_path: Path) -> None:
    open_model(layout / name).save(tmp_path / "again")
    assert_scores(open_model(tmp_path / "again"), SCORES[name])


@pytest.mark.parametrize("path", sorted((STORED / "configs").glob("*.json")), ids=lambda path: path.stem)
def test_a_config_of_every_adapter_name_opens(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    model = open_model(path)
    assert type(model).__name__ == config["adapter"].partition(":")[2]
    assert model.config["labels"] == config["labels"]


def test_the_manifest_is_read_and_followed(layout: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(layout / "registry", tmp_path / "registry"))
    report = registry_manifest(folder)
    assert (report.current, report.problems) == ("tricks_v001.tflite", ())
    assert_scores(open_model(folder / report.current), SCORES["mobilenet_v3_small.tflite"])
    assert registry_manifest(folder, current="tricks_v002.tflite").previous == "tricks_v001.tflite"


def test_a_scan_goes_on_from_its_store(layout: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(layout / "scan", tmp_path / "scan"))
    before = json.loads((folder / "highlights.json").read_text(encoding="utf-8"))["highlights"]
    model, output = layout / "mobilenet_v3_small", folder / "highlights.json"
    report = scan(folder / "library", model, output=output, min_score=0, workers=1)
    assert (report.videos, report.scored, report.failed) == (2, 0, 0)
    after = json.loads(output.read_text(encoding="utf-8"))["highlights"]
    assert [(Path(item["path"]).name, item["score"]) for item in after] == [
        (Path(item["path"]).name, item["score"]) for item in before
    ]


def test_the_mlflow_model_loads(layout: Path) -> None:
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    mlflow = pytest.importorskip("mlflow")
    model = open_model(layout / "mobilenet_v3_small.tflite")
    clip = render_clip(model.input_spec)
    loaded = mlflow.pyfunc.load_model(str(layout / "mlflow"))
    table = loaded.predict([{"frames": clip.frames.tolist(), "fps": 10.0}], params={"top_k": 2})
    found = {of["label"]: of["score"] for of in table["predictions"][0][0]["labels"]}
    np.testing.assert_allclose([found["cold"], found["warm"]], SCORES["mobilenet_v3_small.tflite"][0], atol=1e-3)


# Dataloop -----------------------------------------------------------------------------------------------------------


def test_a_dataloop_configuration_opens_its_artifacts(layout: Path) -> None:
    entity = json.loads((layout / "dataloop_model.json").read_text(encoding="utf-8"))
    config = own_config(entity["configuration"], "configuration")
    model = open_configured(config, layout / "mobilenet_v3_small", "artifacts")
    assert_scores(model, SCORES["mobilenet_v3_small"])


def test_every_model_of_the_stored_dataloop_manifest_is_understood(layout: Path) -> None:
    models = json.loads((layout / "dataloop_models.json").read_text(encoding="utf-8"))
    assert len(models) == 14
    for model in models:
        assert check_config(own_config(model["configuration"], model["name"]))["imgz"]


# Training -----------------------------------------------------------------------------------------------------------


def test_an_interrupted_training_of_other_cache_keys_starts_again(
    layout: Path, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 7b2d98b, keys of features and checkpoints followed from source files: they are not found, nor mixed up."""
    folder = Path(shutil.copytree(layout / "training", tmp_path / "training"))
    shutil.copytree(folder / "cache" / "features", empty_cache / "features")
    kept = sorted((empty_cache / "features").iterdir())
    monkeypatch.chdir(tmp_path)
    report = open_model(folder / "config.json").train(Path("training/dataset.jsonl"), Path("training/model"))
    assert report.decoded_clips == 10
    assert [log.epoch for log in report.epochs] == [0, 1, 2, 3]
    assert len(sorted((empty_cache / "features").iterdir())) == len(kept) + 1
    assert_trained(folder / "model")


def assert_trained(bundle: Path) -> None:
    """Another version of TensorFlow may round otherwise in each of the steps."""
    model = open_model(bundle)
    found = model.predict([render_clip(model.input_spec, variant) for variant in (0, 5)])
    np.testing.assert_allclose([prediction.scores for prediction in found], EXPECTED["trained"], atol=1e-3)
