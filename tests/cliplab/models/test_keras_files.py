"""Keras files: whole networks are converted, weights begin a training, and what is unknown is named."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from tiny_videos import render_dataset

from adapters.errors import ConfigError, ConversionError, WeightsError
from adapters.inference import open_model
from adapters.models import config_of_weights
from adapters.models.efficientnet_lite.keras_names import keras_names, keras_to_variables
from adapters.models.keras_model import read_keras_model
from adapters.models.keras_model.description import read_graph
from adapters.records import Clip
from adapters.system import import_keras
from cliplab.api import convert

h5py = pytest.importorskip("h5py", reason="pip install 'cliplab[train]'")
pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")
pytestmark = pytest.mark.extras
SIZE = 32
RANGE = {"mean": 127.5, "scale": 127.5}


def filled(model: Any) -> Any:
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.05, 0.4, value.shape).astype(np.float32) for value in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def network() -> Any:
    """A base as a layer of a Sequential model, as most people fine-tune."""
    keras = import_keras()
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(inputs)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="norm")(x))
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    base = keras.Model(inputs, layers.Add()([x, y]), name="base")
    head = [
        layers.GlobalAveragePooling2D(),
        layers.Dense(6, "relu", name="d1"),
        layers.Dropout(0.3),
        layers.Dense(1, "sigmoid", name="d2"),
    ]
    model = keras.Sequential([base, *head])
    model.build((None, SIZE, SIZE, 3))
    return filled(model)


@pytest.fixture(scope="module")
def file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras") / "model.h5"
    with warnings.catch_warnings():  # Keras calls the format that people have legacy
        warnings.simplefilter("ignore", UserWarning)
        network.save(path)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_whole_network_gives_the_scores_that_keras_gives(network: Any, suffix: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network.save(tmp_path / f"model{suffix}")
    found = read_keras_model(tmp_path / f"model{suffix}")
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(found.model(pixels), network(pixels), atol=1e-6)
    assert (found.input_shape, found.outputs) == ((SIZE, SIZE, 3), 1)


def test_it_is_converted_with_labels_and_predicts(network: Any, file: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    own = {"labels": ["content", "ad"], "positive_label": "ad", **RANGE}
    report = convert(file, tmp_path / "model.tflite", overrides=own, on_note=notes.append)
    assert report.agreement == 1
    assert all(note.startswith(str(file)) for note in notes)
    frames = np.random.default_rng(2).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    clip = Clip(frames, np.zeros(1), "x.mp4", 0.0, 1.0)
    score = open_model(tmp_path / "model.tflite").predict([clip])[0].score_of("ad")
    np.testing.assert_allclose(score, network((frames.astype(np.float32) - 127.5) / 127.5)[0, 0], atol=1e-5)


def test_int8_is_calibrated_on_clips(file: Path, tmp_path: Path) -> None:
    own = {"labels": ["warm", "cold"], "positive_label": "cold", "min_agreement": 0.5, **RANGE}
    with pytest.raises(ConversionError, match="int8 needs calibration clips"):
        convert(file, tmp_path / "model.tflite", quantize="int8", overrides=own)
    data = render_dataset(tmp_path / "data", train=2, validation=1, test=1)
    report = convert(file, tmp_path / "model.tflite", quantize="int8", data=data, overrides=own)
    assert report.quantize == "int8"
    assert "validation and test clips" in report.clip_origin
    assert open_model(tmp_path / "model.tflite").config["quantize"] == "int8"


def test_a_kernel_far_larger_than_the_file_is_refused_before_it_is_made(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(description: Any) -> None:  # 32 x 32 x 8 values to 60,000: 2 GB
        layers = description["config"]["layers"]
        layers[-4] = {"class_name": "Flatten", "config": {"name": "flat"}}
        layers[-3]["config"]["units"] = 60_000

    monkeypatch.setattr(import_keras().layers.Dense, "build", lambda *_: pytest.fail("was made"))
    with pytest.raises(WeightsError, match="'d1' need more weights than"):
        read_keras_model(changed(file, tmp_path / "a.h5", large))


@pytest.mark.parametrize("value", [np.int64(7), h5py.Empty("f"), np.array([b"a", b"b"])])
def test_a_description_of_another_type_is_refused(file: Path, tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.h5").write_bytes(file.read_bytes())
    with h5py.File(tmp_path / "a.h5", "r+") as stored:
        stored.attrs["model_config"] = value
    with pytest.raises(WeightsError, match="only weights"):
        read_keras_model(tmp_path / "a.h5")


def test_a_damaged_description_in_an_archive_is_an_error_that_names_the_file(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    at = zipfile.ZipFile(path).getinfo("config.json").header_offset + 60
    packed = path.read_bytes()
    path.write_bytes(packed[:at] + b"\xff" * 40 + packed[at + 40 :])
    with pytest.raises(WeightsError, match=r"model\.keras.* Save or download it again"):
        read_keras_model(path)


def test_an_unknown_layer_in_the_deepest_network_that_is_read_is_named() -> None:
    entry: Any = {"class_name": "Lambda", "config": {"name": "x", "batch_shape": [None, 8, 8, 3]}}
    for _ in range(9):
        entry = {"class_name": "Sequential", "config": {"name": "m", "layers": [entry]}}
    with pytest.raises(WeightsError, match="unsupported layers: Lambda"):
        read_graph(entry, "x.h5")


def changed(file: Path, target: Path, change: Any) -> Path:
    """The file with another description of its network."""
    target.write_bytes(file.read_bytes())
    with h5py.File(target, "r+") as stored:
        description = json.loads(stored.attrs["model_config"])
        change(description)
        stored.attrs["model_config"] = json.dumps(description)
    return target


def test_layers_that_are_unknown_are_named_and_nothing_of_them_is_run(file: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"

    def unknown(description: Any) -> None:
        description["config"]["layers"][-1] |= {"class_name": "Lambda", "module": "os", "config": {"function": "e30="}}
        description["config"]["layers"][-2]["class_name"] = "MyAttention"

    with pytest.raises(
        WeightsError, match=r"unsupported layers: Lambda, MyAttention\. Supported: Conv2D.*cliplab adopt"
    ):
        read_keras_model(changed(file, tmp_path / "a.h5", unknown))
    assert not proof.exists()


@pytest.mark.parametrize(
    "place, value, expected",
    [
        (("config", "layers", -1, "config", "activation"), "mish", "unsupported activation 'mish'"),
        (("config", "layers", -1, "config", "units"), 10**7, "its setting 'd2.units' is 10000000"),
        (("config", "layers", -1, "config", "units"), 60_000, "need more weights than"),
        (("config", "layers", -3, "config", "units"), 5, "'d1/kernel' has shape"),
        (("config", "layers", -1, "config", "name"), "d1", "two layers .* have the same name"),
        (("config", "layers", -1, "config", "name"), "d3", "has no weights for 'd3/kernel'"),
        (("config", "layers", -1, "config", "name"), "../../x\n", "a layer is named"),
        (("config", "layers"), [], "has no layers"),
        (("class_name",), "Sorcery", "unsupported layers: Sorcery"),
        (("config", "layers", 0, "config", "batch_input_shape"), None, "shape of its input"),
    ],
)
def test_descriptions_that_are_wrong_are_refused(
    file: Path, tmp_path: Path, place: tuple[Any, ...], value: Any, expected: str
) -> None:
    def change(description: Any) -> None:
        target = description
        for key in place[:-1]:
            target = target[key]
        if value is None:
            for key in ("batch_input_shape", "batch_shape"):
                target.pop(key, None)
        else:
            target[place[-1]] = value

    with pytest.raises(WeightsError, match=expected):
        read_keras_model(changed(file, tmp_path / "a.h5", change))


def test_weights_alone_labels_and_other_outputs(network: Any, file: Path, tmp_path: Path) -> None:
    network.save_weights(tmp_path / "w.h5")
    with pytest.raises(WeightsError, match="holds only weights, not the layers"):
        convert(tmp_path / "w.h5", tmp_path / "x.tflite", overrides={"labels": ["a", "b"]})
    with pytest.raises(ConfigError, match="does not say what its 1 outputs mean"):
        convert(file, tmp_path / "x.tflite")
    with pytest.raises(ConfigError, match=r"converted to X\.tflite"):
        convert(file, tmp_path / "x.pth", overrides={"labels": ["a", "b"]})
    with pytest.raises(ConfigError, match="holds weights only; a model is"):
        open_model(file)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "x.keras").write_bytes(stream.getvalue())
    with pytest.raises(WeightsError, match=r"x\.keras"):
        read_keras_model(tmp_path / "x.keras")


# Weights to begin from ------------------------------------------------------------------------------------------------


def lite_file(path: Path, variant: str = "lite0", dense: int | None = None) -> dict[str, np.ndarray]:
    """A file of weights with the names of keras.applications' EfficientNet, as Keras writes it."""
    from adapters.models.efficientnet_lite.program import backbone_shapes

    rng = np.random.default_rng(0)
    shapes = backbone_shapes(variant).variables
    ours = {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}
    values = {keras: ours[name] for keras, name in keras_names(variant).items()}
    if dense is not None:
        values |= {"predictions/kernel": np.ones((1280, dense), np.float32), "predictions/bias": np.zeros(dense, "f4")}
    layers: dict[str, list[str]] = {}
    for name in values:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    with h5py.File(path, "w") as stored:
        stored.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, names in layers.items():
            group = stored.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name in names:
                group.create_dataset(f"{name}:0", data=values[name])
    return ours


def test_an_efficientnet_lite_of_keras_is_mapped_by_its_names(tmp_path: Path) -> None:
    ours = lite_file(tmp_path / "lite1.h5", "lite1", dense=3)
    data = (tmp_path / "lite1.h5").read_bytes()
    found = keras_to_variables(data, "lite1.h5", "lite1")
    assert set(found.backbone) == set(ours)
    for name, value in ours.items():
        np.testing.assert_array_equal(found.backbone[name], value)
    assert found.classifier["scores_output/kernel"].shape == (1280, 3)
    with pytest.raises(WeightsError, match=r"'block2c_.*which EfficientNet-Lite \(lite0\) does not have"):
        keras_to_variables(data, "lite1.h5", "lite0")
    config = config_of_weights(tmp_path / "lite1.h5")
    assert (config["adapter"].partition(":")[2], config["variant"]) == ("EfficientNetLiteAdapter", "lite1")


def test_a_file_of_no_known_network_names_its_layers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as stored:
        stored.attrs["layer_names"] = [b"my_attention"]
        group = stored.create_group("my_attention")
        group.attrs["weight_names"] = [b"my_attention/query:0"]
        group.create_dataset("my_attention/query:0", data=np.ones((3, 3), np.float32))
    with pytest.raises(WeightsError, match="unknown layers: my_attention"):
        open_model("efficientnet_lite0", {"weights": str(tmp_path / "other.h5"), "labels": ["a", "b"]}).pretrained()


def test_the_options_of_the_command_line(tmp_path: Path, own_cache: Path) -> None:
    """As a guide on fine-tuning writes it: --base-model in the place of a bundle."""
    lite_file(tmp_path / "model.h5")
    data = render_dataset(tmp_path / "data", train=2, validation=1, test=0)
    small = ["--set", "imgz=32", "--set", "n_frames=1", "--set", "head=[]", "--set", "augment_views=0"]
    done = cli("finetune", "--base-model", tmp_path / "model.h5", data, "--output", tmp_path / "out", *small)
    assert done.exit_code == 0, done.stderr
    trained = open_model(tmp_path / "out")
    assert trained.labels == ("warm", "cold")
    assert trained.config["variant"] == "lite0"
    for arguments, expected in (
        (["finetune", "--base-model", "m.h5", data, tmp_path / "o", tmp_path / "p"], "replaces MODEL"),
        (["finetune", tmp_path / "out"], "takes MODEL and DATA"),
        (["train", "mobilenet_v2", data, tmp_path / "o", "--base-model", tmp_path / "out"], "is a trained model"),
    ):
        failed = cli(*arguments)
        assert failed.exit_code == 2
        assert expected in failed.stderr
