"""MobileNet V2 and V3: Keras' own function and published files, through our preprocessing and LiteRT."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import AdapterError, WeightsError
from adapters.inference import open_model
from adapters.models.mobilenet.network import VARIANTS
from adapters.models.weights import published as published_weights
from adapters.models.weights import read_keras_file, write_safetensors, write_state_dict
from adapters.records import Clip
from adapters.system import import_keras
from adapters.training.variables import variables as adapters_variables

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
    with pytest.raises(WeightsError, match="is expected"):
        open_model("mobilenet_v2", {"variant": variant}).predict([clip()])


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    keras_network("v3_small", seed=2).save_weights(path)
    with pytest.raises(WeightsError, match=r"weights\.h5: is not a Keras weights file for MobileNet v2"):
        open_model("mobilenet_v2", {"weights": str(path), "imgz": SIZE}).predict([clip()])
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(WeightsError, match=r"weights\.h5: is not a Keras weights file"):
        open_model("mobilenet_v3", {"weights": str(path), "imgz": SIZE}).predict([clip()])
    torch = path.with_suffix(".pth")
    write_state_dict(torch, {"features.0.0.weight": np.zeros((16, 3, 3, 3), np.float32)})
    with pytest.raises(WeightsError, match=r"PyTorch file.*\.h5 .*or \.safetensors"):
        open_model("mobilenet_v3", {"weights": str(torch)}).predict([clip()])
    write_safetensors(path.with_suffix(".safetensors"), {"features.0.0.weight": np.zeros((16, 3, 3, 3), np.float32)})
    with pytest.raises(WeightsError, match=r"'features\.0\.0\.weight' is not a variable"):
        open_model("mobilenet_v3", {"weights": str(path.with_suffix(".safetensors"))}).predict([clip()])


KERAS_FORMATS = (".h5", ".weights.h5", ".keras")


@pytest.mark.parametrize("suffix", KERAS_FORMATS)
def test_files_without_the_top_train_and_those_of_other_classes_bring_them(suffix: str, tmp_path: Path) -> None:
    """Published no-top files, and a user's own network of three classes, give the features of the whole network."""
    network = keras_network("v3_small", seed=3)
    keras, last = import_keras(), network.get_layer("Conv_2").input
    expected = adapters_variables(network)
    no_top = keras.Model(network.input, network.layers[network.layers.index(network.get_layer("Conv_2")) - 2].output)
    path = tmp_path / f"no_top{suffix}"
    (no_top.save if suffix == ".keras" else no_top.save_weights)(path)
    found = open_model("mobilenet_v3", {"weights": str(path), "labels": ["a", "b"]}).pretrained()
    assert not found.classifier
    for name in found.backbone:
        if not name.startswith("Conv_2/"):
            np.testing.assert_array_equal(found.backbone[name], expected[name])
    # What stands in for the missing layer keeps every feature: its input is found again in its output.
    features = np.random.default_rng(0).normal(0, 1, (4, last.shape[-1])).astype(np.float32)
    kernel = found.backbone["Conv_2/kernel"].reshape(last.shape[-1], -1)
    np.testing.assert_array_equal((features @ kernel)[:, : last.shape[-1]], features)

    three = keras.applications.MobileNetV3Small(
        input_shape=(SIZE, SIZE, 3), weights=None, classes=3, include_preprocessing=False, classifier_activation=None
    )
    path = tmp_path / f"three{suffix}"
    (three.save if suffix == ".keras" else three.save_weights)(path)
    own = open_model("mobilenet_v3", {"weights": str(path), "labels": ["a", "b", "c"], "imgz": SIZE})
    assert own.brings_classifier
    bias = three.get_layer("Logits").weights[1].numpy()
    np.testing.assert_array_equal(own.pretrained().classifier["scores_output/bias"], bias)
    with pytest.raises(AdapterError, match="3 outputs, but there are 2 labels"):
        open_model("mobilenet_v3", {"weights": str(path), "labels": ["a", "b"]}).predict([clip()])
    with pytest.raises(WeightsError, match="3 classes, and without"):
        open_model("mobilenet_v3", {"weights": str(path)}).predict([clip()])


def test_what_lies_outside_a_keras_file_or_is_too_large_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["values"] = np.ones(4)
    for name, write in {
        "link": lambda file: file.__setitem__("x", h5py.ExternalLink(str(secret), "values")),
        "external": lambda file: file.create_dataset("x", (4,), "u1", external=[(str(secret), 0, 4)]),
        "bomb": lambda file: file.create_dataset("x", (1 << 28,), "u1", chunks=(1 << 20,), compression="gzip"),
    }.items():
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            write(file)
        with pytest.raises(WeightsError, match=r"link to another|another file|more than 8 times"):
            read_keras_file(path.read_bytes(), str(path))
