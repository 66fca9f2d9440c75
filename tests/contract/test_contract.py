"""What every adapter promises, for every config that comes with the library.

Run from the checkout, and once from a built wheel elsewhere; so nothing but the installed packages is used. Weights are
random and pictures small: the contract is about shapes, labels, files and errors, not about being right.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.base import BaseModelAdapter, model_class
from adapters.bundle import render_clip
from adapters.bundle.golden import check_golden
from adapters.bundle.sealed_writer import write_sealed
from adapters.config import check_config, effect, properties, read_object
from adapters.errors import BundleError, ConfigError, ConversionError, WeightsError
from adapters.inference import open_model, ready_configs
from adapters.records import Clip, InputSpec, Quantize

SMALL: dict[str, Any] = {"weights": "random", "imgz": 32, "n_frames": 2}
CONFIGS = ready_configs()
CONVERTED = 5e-2  # by how much scores may differ at another precision, of random weights


# The larger sizes differ from A0 in numbers alone, and these others from configs that run anyway: in labels, or in
# which of the networks of Keras they name (test_mobilenet.py converts it). All of them together take many minutes and
# leave gigabytes behind, so test_contract_alike.py runs this module for each in a process of its own.
ALIKE = re.compile(r"movinet_a[1-5]_|drone_resnet18|mobilenet_v3")
ONLY = os.environ.get("CLIPLAB_CONTRACT_CONFIG")
# Their members are bundles that a user has trained, so the tests put some beside the config.
ENSEMBLES = {"drone_ensemble"}
SEVERAL = "an ensemble is several programs: its members are what is converted"
# The networks of other configs, with labels: once is enough to be converted at another size.
SAME_NETWORK = {"ad_efficientnet_lite0", "trick_movinet_a0"}


def precision(name: str) -> Quantize:
    """Of the converted file, not the config's own: some networks are converted once more, for float16; what is made of
    the float32 program is not."""
    if name == "trick_movinet_a0":
        return "float32"
    return "float16" if name.startswith(("movinet", "efficientnet")) else "dynamic"


@pytest.fixture(scope="module", params=[ONLY] if ONLY else [name for name in sorted(CONFIGS) if not ALIKE.match(name)])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def adapter(name: str, cache: None, tmp_path_factory: pytest.TempPathFactory) -> BaseModelAdapter:
    if name not in ENSEMBLES:
        return open_model(CONFIGS[name], SMALL)
    config = Path(shutil.copy(CONFIGS[name], tmp_path_factory.mktemp("ensemble")))
    settings = read_object(config)
    own = {key: settings[key] for key in ("labels", "positive_label")}
    first, *others = (config.with_name(member) for member in settings["members"])
    open_model("ad_efficientnet_lite0", {**SMALL, **own}).save(first)
    for other in others:
        shutil.copytree(first, other)
    return open_model(config)


@pytest.fixture(scope="module")
def bundle(adapter: BaseModelAdapter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "model"
    adapter.save(path)
    return path


@pytest.fixture(scope="module")
def tflite(name: str, adapter: BaseModelAdapter, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The model as one file; None for those that cannot be one."""
    path = tmp_path_factory.mktemp("converted") / "model.tflite"
    if name in ENSEMBLES:
        with pytest.raises(ConversionError, match="cliplab convert"):
            adapter.convert(path)
        return None
    adapter.convert(path, quantize=precision(name))
    return path


def clips(adapter: BaseModelAdapter, count: int = 3) -> list[Clip]:
    """Rendered clips of different sizes, as a notebook may hand them over."""
    spec = adapter.input_spec
    sizes = [(spec.height, spec.width), (spec.height + 17, spec.width * 2), (spec.height * 2, spec.width + 3)]
    found = []
    for number in range(count):
        height, width = sizes[number % 3]
        found.append(render_clip(InputSpec(height=height, width=width, n_frames=spec.n_frames), variant=number))
    return found


def scores(adapter: BaseModelAdapter, batch: list[Clip]) -> np.ndarray[Any, Any]:
    return np.stack([prediction.scores for prediction in adapter.predict(batch)])


def test_config_is_complete_and_stable(name: str) -> None:
    complete = check_config(read_object(CONFIGS[name]), name)
    assert check_config(complete, name) == complete
    assert set(complete) == set(properties(complete["adapter"]))


def test_every_key_is_explained(name: str) -> None:
    for key, rule in properties(read_object(CONFIGS[name])["adapter"]).items():
        assert rule["title"], key
        assert rule["description"], key
        assert rule["x-effect"] in ("runtime", "program", "retrain"), key
        assert key == "adapter" or "default" in rule, key


def test_predict_answers_each_clip(adapter: BaseModelAdapter) -> None:
    batch = clips(adapter)
    predictions = adapter.predict(batch)
    assert len(predictions) == len(batch)
    for clip, prediction in zip(batch, predictions, strict=True):
        assert prediction.labels == adapter.labels
        assert prediction.scores.dtype == np.float32
        assert (prediction.start, prediction.end) == (clip.start, clip.end)
        assert (prediction.scores >= 0).all()
        assert (prediction.scores <= 1).all()
        if adapter.config["task"] == "single_label":
            assert prediction.scores.sum() == pytest.approx(1, abs=1e-4)
        if prediction.frame_scores is not None:
            assert prediction.frame_scores.shape[1] == len(adapter.labels)


def test_predict_nothing(adapter: BaseModelAdapter) -> None:
    assert adapter.predict([]) == []


def test_a_clip_scores_the_same_alone_and_in_a_batch(adapter: BaseModelAdapter) -> None:
    batch = clips(adapter)
    alone = np.concatenate([scores(adapter, [clip]) for clip in batch])
    np.testing.assert_allclose(scores(adapter, batch), alone, atol=1e-6)


def test_predict_from_threads(adapter: BaseModelAdapter) -> None:
    batch = clips(adapter)
    expected, found = scores(adapter, batch), {}
    threads = [
        threading.Thread(target=lambda n=number: found.update({n: scores(adapter, batch)})) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for value in found.values():
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_embed(adapter: BaseModelAdapter) -> None:
    features = adapter.embed(clips(adapter))
    assert features.dtype == np.float32
    assert features.shape[0] == 3
    assert adapter.embed([]).shape == (0, features.shape[1])
    assert np.abs(features[0] - features[1]).max() > 0


def test_save_and_load(adapter: BaseModelAdapter, bundle: Path) -> None:
    loaded = open_model(bundle)
    assert loaded.labels == adapter.labels
    np.testing.assert_allclose(scores(loaded, clips(adapter)), scores(adapter, clips(adapter)), atol=1e-5)


def test_save_into_a_folder_that_exists(adapter: BaseModelAdapter, bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    adapter.save(copy)
    assert open_model(copy).labels == adapter.labels
    empty = tmp_path / "empty"
    empty.mkdir()
    adapter.save(empty)
    assert open_model(empty).labels == adapter.labels


def test_golden_clip_holds(bundle: Path) -> None:
    from adapters.bundle import read_bundle

    golden = read_bundle(bundle).golden
    assert golden is not None
    model = open_model(bundle)
    difference = check_golden(golden, model.predict, model.config["quantize"])
    assert difference < (1e-5 if model.config["quantize"] == "float32" else 0.1)


def test_loads_without_tensorflow(adapter: BaseModelAdapter, bundle: Path, tflite: Path | None) -> None:
    code = (
        "import sys, json, numpy as np\n"
        "from adapters.inference.loading import open_model\n"
        "from adapters.bundle.rendered_clip import render_clip\n"
        "found = []\n"
        "for path in sys.argv[1:]:\n"
        "    model = open_model(path)\n"
        "    found.append(model.predict([render_clip(model.input_spec)])[0].scores.tolist())\n"
        "heavy = [m for m in ('tensorflow', 'tf_keras', 'matplotlib', 'sklearn') if m in sys.modules]\n"
        "print(json.dumps([heavy, found]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), *([] if tflite is None else [str(tflite)])],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path.cwd(),
    )
    heavy, found = json.loads(done.stdout)
    assert heavy == []
    expected = scores(adapter, [render_clip(adapter.input_spec)])[0]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    for other in found[1:]:
        np.testing.assert_allclose(other, expected, atol=CONVERTED)


def test_converted_file_stands_alone(adapter: BaseModelAdapter, tflite: Path | None, tmp_path: Path) -> None:
    if tflite is None:
        pytest.skip(SEVERAL)
    lonely = shutil.copy(tflite, tmp_path / "renamed.tflite")
    loaded = open_model(lonely)
    assert loaded.labels == adapter.labels
    assert loaded.input_spec == adapter.input_spec
    np.testing.assert_allclose(scores(loaded, clips(adapter)), scores(adapter, clips(adapter)), atol=CONVERTED)
    with pytest.raises(WeightsError, match="bundle"):
        loaded.train(tmp_path / "dataset.jsonl", tmp_path / "out")


def test_config_beside_a_model(adapter: BaseModelAdapter, bundle: Path, tflite: Path | None) -> None:
    assert open_model(bundle, {"top_k": 1}).config["top_k"] == 1
    with pytest.raises(ConfigError, match="mean"):
        open_model(bundle, {"mean": 1.5})
    if tflite is not None:
        with pytest.raises(ConfigError, match="cliplab convert"):
            open_model(tflite, {"imgz": 48}).predict(clips(adapter, 1))


def test_an_edited_size_gets_a_program_of_its_own(name: str, adapter: BaseModelAdapter, bundle: Path) -> None:
    if name in ENSEMBLES:
        with pytest.raises(ConfigError, match='"imgz" belongs to the members'):
            open_model(bundle, {"imgz": 48})
        return
    assert effect(adapter.config["adapter"], "imgz") == "program"
    larger = open_model(bundle, {"imgz": 48})
    assert larger.input_spec.height == 48
    if name not in SAME_NETWORK:
        assert larger.predict(clips(adapter, 1))[0].labels == adapter.labels


def test_damage_is_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    inside = [next(bundle.rglob(kind)).relative_to(bundle) for kind in ("weights.safetensors", "programs/*")]
    for victim in ("config.json", *inside):
        copy = tmp_path / str(victim).replace("/", "_")
        shutil.copytree(bundle, copy)
        data = bytearray((copy / victim).read_bytes())
        data[len(data) // 2] ^= 0xFF
        (copy / victim).write_bytes(data)
        with pytest.raises(BundleError, match=Path(victim).name):
            open_model(copy)


def test_a_model_of_another_adapter_is_refused(adapter: BaseModelAdapter, bundle: Path, tmp_path: Path) -> None:
    """Sealed again, so that nothing is wrong with it but the name in its config."""
    files = {file.relative_to(bundle).as_posix(): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    del files["bundle.json"]
    config = json.loads(files["config.json"])
    other = "adapters.models.resnet18:ResNet18Adapter"
    if isinstance(adapter, model_class(other)):
        other = "adapters.models.mobilenet:MobileNetAdapter"
    for name in (other, "os:path"):
        changed = json.dumps({**config, "adapter": name}).encode()
        write_sealed(tmp_path / "copy", files | {"config.json": changed})
        with pytest.raises((BundleError, ConfigError), match=name) as caught:
            type(adapter)(config).load(tmp_path / "copy")
        assert isinstance(caught.value, BundleError if name == other else ConfigError)
    with pytest.raises(ConfigError, match="os:path"):
        open_model(tmp_path / "copy")


def test_misspelt_key_is_suggested(name: str) -> None:
    with pytest.raises(ConfigError, match='Did you mean "n_frames"'):
        open_model(CONFIGS[name], {"n_frame": 3})
