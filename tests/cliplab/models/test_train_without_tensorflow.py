"""Heads that are solved: trained, saved, opened and converted by a process that cannot import TensorFlow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT
from tiny_videos import render_dataset

from adapters.bundle import render_clip
from adapters.errors import MissingExtraError
from adapters.inference import open_model
from adapters.models import ModelAdapter
from cliplab import api

for _package in ("sklearn", "scipy", "threadpoolctl", "matplotlib"):
    pytest.importorskip(_package, reason="pip install 'cliplab[learn]'")

SMALL = {"weights": "random", "imgz": 32, "n_frames": 2, "augment_views": 1}
MODELS = ("efficientnet_lite0", "resnet18", "movinet_a0_base", "movinet_a0_stream")
SCRIPT = """
import json, sys
for name in ("tensorflow", "tf_keras", "tensorflow_hub", "keras"):
    sys.modules[name] = None
from adapters.bundle import render_clip
from adapters.inference import open_model
from cliplab import api
settings, data, folder, names = json.loads(sys.argv[1])
found = {}
for name in names:
    lines = []
    report = api.train(name, data + "/dataset.jsonl", f"{folder}/{name}", overrides=settings, on_line=lines.append)
    conversion = api.convert(f"{folder}/{name}", f"{folder}/{name}.tflite")
    scores = []
    for model in (f"{folder}/{name}", f"{folder}/{name}.tflite"):
        adapter = open_model(model)
        clips = [render_clip(adapter.input_spec, variant) for variant in (2, 5)]
        scores.append([prediction.scores.tolist() for prediction in adapter.predict(clips)])
    found[name] = {"lines": lines, "scores": scores, "stopped": report.stopped}
print(json.dumps(found))
"""


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"), train=3, validation=1, test=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def trained(data: Path, models: Path) -> dict[str, Any]:
    """What the process without TensorFlow made, by the model's name."""
    arguments = json.dumps([SMALL, str(data.parent), str(models), MODELS])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", MODELS)
def test_bundle_and_file_predict_the_same(trained: dict[str, Any], name: str) -> None:
    found = trained[name]
    bundle, file = np.array(found["scores"])
    assert np.abs(bundle - file).max() < 1e-6
    assert np.allclose(bundle.sum(axis=1), 1, atol=1e-5)
    assert found["stopped"] == "finished"
    assert found["lines"][0].startswith("device: CPU:0")
    [solved] = [line for line in found["lines"] if "solved in" in line]
    iterations = int(re.search(r"(\d+) iterations", solved).group(1))  # type: ignore[union-attr]
    shown = [int(line.split()[1].rstrip(":")) for line in found["lines"] if line.startswith("iteration ")]
    assert shown == [1, *range(10, iterations + 1, 10)]
    assert not any(line.startswith("epoch ") for line in found["lines"])


@pytest.mark.extras
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_tensorflows_network(trained: dict[str, Any], models: Path, name: str) -> None:
    """The weights in the bundle are what later fine-tuning begins with."""
    pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
    from adapters.training import assign

    adapter = open_model(models / name)
    assert isinstance(adapter, ModelAdapter)
    clip = render_clip(adapter.input_spec, 5)
    network = adapter.build_network()
    assign(network, adapter.variables())
    expected = np.asarray(network(adapter.items(clip))["scores"])
    found = adapter.predict([clip])[0].scores
    assert np.abs(adapter.clip_scores(expected) - found).max() < 1e-5


def test_the_same_clips_make_the_same_weights_where_tensorflow_is_not_barred(
    trained: dict[str, Any], data: Path, models: Path, tmp_path: Path
) -> None:
    name = "efficientnet_lite0"
    api.train(name, data, tmp_path / name, overrides=SMALL)
    ours, theirs = (open_model(folder / name) for folder in (tmp_path, models))
    assert isinstance(ours, ModelAdapter)
    assert isinstance(theirs, ModelAdapter)
    values, expected = ours.variables(), theirs.variables()
    assert list(values) == list(expected)
    assert all(np.array_equal(values[key], expected[key]) for key in values)


@pytest.mark.parametrize(
    "settings", [{"num_epochs": 3}, {"head": [{"units": 4, "activation": "relu"}]}, {"fine_tune_layers": 1}]
)
def test_gradient_steps_name_the_extra_and_what_needs_none(
    settings: dict[str, Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorflow", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[train\].*head_solver"):
        api.train("efficientnet_lite0", data, tmp_path / "model", overrides={**SMALL, **settings})
    assert not (tmp_path / "model").exists()


def test_without_a_solver_the_extra_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None if module == "scipy" else module)
    with pytest.raises(MissingExtraError, match=r"scipy.*pip install .*\[learn\]"):
        api.train("efficientnet_lite0", data, tmp_path / "model", overrides=SMALL)
