"""Base mode from weights to a model that another process predicts with: random weights, and a TF Hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python
from hub_server import HubServer, hub_server
from movinet_files import export
from movinet_resolve import INSTALL, isolate
from tiny_videos import render_dataset

from adapters.bundle import read_bundle
from adapters.inference import open_model
from adapters.media import read_clip
from adapters.models import ModelAdapter
from adapters.training import assign
from cliplab import models
from movinet_adapter.architecture import architecture
from movinet_adapter.network import random_values

pytest.importorskip("tensorflow", reason=INSTALL)

BASE = architecture("a0", "base")
VALUES = random_values(BASE, 600, seed=5)
HANDLE = "tensorflow/movinet/a0/base/kinetics-600/classification/3"
TINY: dict[str, Any] = {
    "imgz": 32,
    "n_frames": 2,
    "num_epochs": 12,
    "learning_rate": 0.01,
    "augment_views": 0,
    "fine_tune_layers": 1,
    "fine_tune_epochs": 1,
    "fine_tune_learning_rate": 0.0003,
}
OTHER_PROCESS = """
import json, sys
from adapters.inference.loading import open_model
from adapters.media import read_clip
model = open_model(sys.argv[1])
clips = [read_clip(path, model.input_spec) for path in sys.argv[2:]]
scores = [prediction.scores.tolist() for prediction in model.predict(clips)]
print(json.dumps([sorted({"tensorflow", "tf_keras"} & set(sys.modules)), model.labels, scores]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"), train=4, validation=2, test=2)


def assert_trains_and_travels(data: Path, output: Path, overrides: dict[str, Any]) -> ModelAdapter:
    """Train as the command does; then the saved bundle, alone in a process without TensorFlow, scores every clip as the
    network that was trained, and has learned to tell the clips that it was not trained on. Returns the saved model."""
    report = models.train("movinet_a0_base", data, output, overrides={**TINY, **overrides})
    assert {log.phase for log in report.epochs} == {"head", "fine_tune"}
    assert report.clips == {"train": 8, "validation": 4, "test": 4}
    saved = open_model(output)
    assert isinstance(saved, ModelAdapter)
    paths = sorted(data.parent.glob("*.mp4"))
    network = saved.build_network()
    assign(network, read_bundle(output).weights())
    trained = network(np.concatenate([saved.items(read_clip(path, saved.input_spec)) for path in paths]))["scores"]
    done = python(OTHER_PROCESS, output, *paths)
    assert done.exit_code == 0, done.stderr
    imported, labels, scores = json.loads(done.stdout)
    assert imported == []
    np.testing.assert_allclose(scores, trained.numpy(), atol=1e-4)
    assert np.ptp(scores, axis=0).max() > 0.2, "scores that hardly depend on the clip would agree too"
    unseen = [(path, found) for path, found in zip(paths, scores, strict=True) if path.stem[4:] in ("6", "7")]
    assert len(unseen) == 4
    for path, found in unseen:
        assert labels[int(np.argmax(found))] == path.stem[:4]
    return saved


def test_base_trains_from_random_weights(data: Path, own_cache: Path, tmp_path: Path) -> None:
    assert_trains_and_travels(data, tmp_path / "model", {"weights": "random"})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("tensorflow_hub", reason=INSTALL)
    isolate(tmp_path, monkeypatch)
    with hub_server() as server:
        monkeypatch.setenv("CLIPLAB_TFHUB_URL", server.url)
        yield server


@pytest.mark.slow  # tf-models' export and the compilation of its model take a minute
def test_base_trains_from_what_tf_models_exports(data: Path, hub: HubServer, tmp_path: Path) -> None:
    pytest.importorskip("official", reason=INSTALL)
    hub.publish(HANDLE, export(tmp_path / "saved_model", BASE, VALUES))
    saved = assert_trains_and_travels(data, tmp_path / "model", {"weights": "kinetics-600"})
    assert hub.requests == [f"/{HANDLE}?tf-hub-format=compressed"]
    kept = saved.variables()
    backbone = [name for name in VALUES if not name.startswith("classifier/")]
    # Everything but the layers that were trained on, and of these the statistics, is what was served.
    assert {name for name in backbone if not np.array_equal(kept[name], VALUES[name])} == {
        name for name in backbone if name.startswith("head/") and "/moving_" not in name
    }
