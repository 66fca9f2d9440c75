"""MobileNet V2 and V3: Keras' own function and published files, through our preprocessing and LiteRT."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import WeightsError
from adapters.inference import open_model
from adapters.models.mobilenet.network import VARIANTS
from adapters.models.weights import published as published_weights
from adapters.records import Clip
from adapters.system import import_keras

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")

SIZE = 64
# It differs from the small one in numbers alone.
LARGE = pytest.param("v3_large", marks=pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> Path:
    return own_cache


def keras_network(variant: str, seed: int) -> Any:
    """As a user of Keras builds it, with weights that are not those of its initialisers alone."""
    keras = import_keras()
    network = getattr(keras.applications, VARIANTS[variant][0])(weights=None, classifier_activation="softmax")
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            shift = rng.normal(0, 0.1, (2, *beta.shape))
            layer.set_weights([gamma * rng.uniform(0.8, 1.2, gamma.shape), shift[0], mean + shift[1], variance * 1.5])
    return network


def clip(size: int = 224) -> Clip:
    y, x = np.mgrid[:size, :size]
    frames = np.stack([np.stack([(x + 40 * n) % 256, (y * 2) % 256, (x + y) % 256], -1) for n in range(2)])
    return Clip(frames.astype(np.uint8), np.arange(2.0), "test", 0.0, 2.0)


@pytest.mark.parametrize("variant", ["v2", "v3_small", LARGE])
def test_a_published_file_gives_keras_own_scores(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found where Keras keeps it, read by its digest; the scores are those of Keras' preprocessing and network."""
    network = keras_network(variant, seed=1)
    entry = published_weights.PUBLISHED[f"mobilenet_{variant}"]
    path = tmp_path / "keras" / "models" / entry.file
    path.parent.mkdir(parents=True)
    network.save_weights(path)
    digest = hashlib.new(entry.algorithm, path.read_bytes()).hexdigest()
    monkeypatch.setitem(published_weights.PUBLISHED, f"mobilenet_{variant}", replace(entry, digest=digest))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    module = getattr(import_keras().applications, "mobilenet_v2" if variant == "v2" else "mobilenet_v3")
    frames = clip().frames
    expected = network(module.preprocess_input(frames.astype(np.float32)), training=False).numpy()
    adapter = open_model("mobilenet_v2", {"variant": variant, "crop_fraction": 1.0})
    found = adapter.predict([clip()])[0]
    np.testing.assert_allclose(found.frame_scores, expected, atol=1e-4)
    assert len(found.labels) == 1000
    path.write_bytes(b"damaged")
    monkeypatch.setenv("CLIPLAB_WEIGHTS_URL", "http://127.0.0.1:1")
    with pytest.raises(WeightsError, match="must be"):
        open_model("mobilenet_v2", {"variant": variant}).predict([clip()])


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    keras_network("v3_small", seed=2).save_weights(path)
    with pytest.raises(WeightsError, match=r"weights\.h5: is not a file of Keras' weights for MobileNet v2"):
        open_model("mobilenet_v2", {"weights": str(path), "imgz": SIZE}).predict([clip()])
    path.write_bytes(b"no HDF5")
    with pytest.raises(WeightsError, match=r"weights\.h5: is not a file of Keras' weights"):
        open_model("mobilenet_v3", {"weights": str(path), "imgz": SIZE}).predict([clip()])
    with pytest.raises(WeightsError, match=r"\.h5 or \.safetensors"):
        open_model("mobilenet_v3", {"weights": "weights.pth"}).predict([clip()])
