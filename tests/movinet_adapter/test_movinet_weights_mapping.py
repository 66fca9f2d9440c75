"""MoViNet weights by our own names, from bundles and .safetensors, and the mapping of every size. No TensorFlow."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from movinet_files import CLASSES, Values, wide_values
from movinet_resolve import assert_same, in_new_process, isolate, resolve

from adapters.bundle import write_bundle
from adapters.errors import BundleError, ConfigError, WeightsError
from adapters.models.weights import write_safetensors
from movinet_adapter.architecture import MODEL_IDS, MODES, architecture, variable_specs
from movinet_adapter.weights.cache import content_digest
from movinet_adapter.weights.checkpoint_graph import StoredVariable
from movinet_adapter.weights.mapping import fit_by_name, fit_by_order
from movinet_adapter.weights.sources import kinetics_labels, resolve_weights

BASE, STREAM = architecture("a0", "base"), architecture("a0", "stream")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def base_values() -> Values:
    return wide_values(BASE)


@pytest.fixture(scope="module")
def stream_values() -> Values:
    return wide_values(STREAM)


def test_own_files_need_no_tensorflow(base_values: Values, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "own.safetensors", base_values)
    assert_same(resolve(tmp_path / "own.safetensors"), base_values)
    config = {"weights": str(tmp_path / "own.safetensors")}
    assert in_new_process(config)["heavy"] == []


def write_own_bundle(folder: Path, values: Values | None, labels: list[str]) -> Path:
    config = {"adapter": "movinet_adapter:MoViNetAdapter", "labels": labels}
    write_bundle(folder, config=config, programs={}, weights=values, metrics={}, golden=None, card="")
    return folder


def test_a_bundle_gives_its_backbone_and_where_it_has_one_its_classifier(stream_values: Values, tmp_path: Path) -> None:
    backbone = {name: value for name, value in stream_values.items() if not name.startswith("classifier/")}
    head = {"scores_output/kernel": np.ones((480, 2), np.float32), "scores_output/bias": np.ones(2, np.float32)}
    trained = write_own_bundle(tmp_path / "trained", backbone | head, ["a", "b"])
    found = resolve(trained, model_mode="stream")
    assert_same(found, backbone)
    assert found.labels is None
    values = wide_values(STREAM, classes=3)
    whole = resolve(write_own_bundle(tmp_path / "whole", values, ["x", "y", "z"]), model_mode="stream")
    assert_same(whole, values)
    assert whole.labels == ("x", "y", "z")
    with pytest.raises(BundleError, match=r"has no weights.safetensors"):
        resolve(write_own_bundle(tmp_path / "edge", None, ["a"]))


def test_own_names_that_do_not_fit_are_named(base_values: Values, stream_values: Values, tmp_path: Path) -> None:
    def refused(values: Values) -> str:
        write_safetensors(tmp_path / "w.safetensors", values)
        with pytest.raises(WeightsError) as caught:
            resolve(tmp_path / "w.safetensors")
        return str(caught.value)

    missing = {name: value for name, value in base_values.items() if name != "head/kernel"}
    assert "it has no 'head/kernel'; the nearest is" in refused(missing)
    assert "the network has no 'head/kernal'; the nearest is 'head/kernel'" in refused(
        base_values | {"head/kernal": base_values["head/kernel"]}
    )
    assert "'stem/bn/beta' is [9] in the file but [8]" in refused(
        base_values | {"stem/bn/beta": np.zeros(9, np.float32)}
    )
    assert "'stem/bn/beta' holds values that are not finite" in refused(
        base_values | {"stem/bn/beta": np.full(8, np.inf, np.float32)}
    )
    advice = 'It is MoViNet a0 stream: set "model_mode" to "stream"'
    assert advice in refused(stream_values)
    backbone = {name: value for name, value in stream_values.items() if not name.startswith("classifier")}
    assert len(backbone) < len(stream_values)
    assert advice in refused(backbone), "what a trained bundle has"
    larger = {spec.name: np.zeros(spec.shape, np.float32) for spec in variable_specs(architecture("a1", "stream"), 3)}
    both = 'It is MoViNet a1 stream: set "model_id" to "a1" and "model_mode" to "stream"'
    assert both in refused({name: value for name, value in larger.items() if not name.startswith("classifier")})


def test_the_published_tflite_is_a_source_in_stream_mode_alone(shared: Path) -> None:
    path = shared / "weights" / "movinet_a0_stream_int8.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}: set CLIPLAB_SHARED to a folder that has it in weights/")
    found = resolve(path, model_mode="stream")
    assert found.variant == "int8"
    assert found.labels == kinetics_labels()
    specs = variable_specs(architecture("a0", "stream", variant="int8"), CLASSES)
    assert [(name, value.shape) for name, value in found.variables.items()] == [(s.name, s.shape) for s in specs]
    with pytest.raises(WeightsError, match='Set "model_mode" to "stream"'):
        resolve(path)


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"model_id": "a6"}, "\"model_id\" is 'a6' and must be one of: a0, a1"),
        ({"model_mode": "live"}, "\"model_mode\" is 'live'"),
        ({"hub_version": 0}, '"hub_version" is 0 and must be a whole number of at least 1'),
        ({"hub_version": "3"}, "\"hub_version\" is '3'"),
        ({"weights": 7}, '"weights" is 7 and must be "kinetics-600"'),
        ({"weights": ""}, "\"weights\" is ''"),
    ],
)
def test_values_that_are_not_allowed_are_named(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_weights({"weights": "kinetics-600"} | keys)


def test_paths_that_are_no_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.h5").write_bytes(b"HDF")
    with pytest.raises(WeightsError, match=r"there is no such file or folder.* Did you mean .kinetics-600"):
        resolve("kinetics600")
    with pytest.raises(WeightsError, match=r"is not a bundle .* a SavedModel .* or a folder of checkpoints"):
        resolve(tmp_path / "empty")
    with pytest.raises(WeightsError, match="is text that begins with 'HDF'"):
        resolve(tmp_path / "weights.h5")


# Mapping, for every size ----------------------------------------------------------------------------------------------


def small_values(model_id: str, mode: str) -> Values:
    """Variables that tell which they are, without the memory of real ones: broadcast views."""
    specs = variable_specs(architecture(model_id, mode), 2)
    return {spec.name: np.broadcast_to(np.float32(number), spec.shape) for number, spec in enumerate(specs)}


ALL = list(itertools.product(MODEL_IDS, MODES))
VALUES = {key: small_values(*key) for key in ALL}


@settings(max_examples=40, deadline=None)
@given(key=st.sampled_from(ALL), data=st.data())
def test_every_variable_is_accounted_for_in_every_size(key: tuple[str, str], data: st.DataObject) -> None:
    of, values = architecture(*key), VALUES[key]
    found = [StoredVariable(f"theirs/{name}", value) for name, value in values.items()]
    assert {name: float(value.flat[0]) for name, value in fit_by_order(of, found, "model").items()} == {
        name: float(value.flat[0]) for name, value in values.items()
    }
    index = data.draw(st.integers(0, len(found) - 1))
    less, more = found[:index] + found[index + 1 :], [*found[:index], found[index], *found[index:]]
    for wrong in (less, more):
        with pytest.raises(WeightsError, match=f"does not fit MoViNet {key[0]} {key[1]}"):
            fit_by_order(of, wrong, "model")
    names = list(values)
    order = data.draw(st.permutations(names[:8]))
    fitted, variant = fit_by_name(of, {name: values[name] for name in [*order, *names[8:]]}, "file")
    assert (list(fitted), variant) == (names, "float")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_digest_stands_for_names_shapes_and_values(seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    values = {f"v{i}": rng.normal(size=(2, 3)).astype(np.float32) for i in range(3)}
    digest = content_digest(values)
    assert content_digest({name: values[name] for name in data.draw(st.permutations(list(values)))}) == digest
    changed = data.draw(st.sampled_from(list(values)))
    other = {name: value.copy() for name, value in values.items()}
    other[changed].flat[data.draw(st.integers(0, 5))] += 1
    assert content_digest(other) != digest
    assert content_digest(values | {changed: values[changed].reshape(3, 2)}) != digest
    assert content_digest({("w" if name == changed else name): value for name, value in values.items()}) != digest


def test_one_variable_too_many_or_too_few_is_named() -> None:
    found = [StoredVariable(f"theirs/{name}", value) for name, value in wide_values(BASE).items()]
    with pytest.raises(
        WeightsError, match="it has 333 variables, but the network has 334; 'classifier/output/bias' is mis"
    ):
        fit_by_order(BASE, found[:-1], "model")
    with pytest.raises(
        WeightsError, match="it has 335 variables, but the network has 334; 'theirs/metric' is unexpected"
    ):
        fit_by_order(BASE, [*found, StoredVariable("theirs/metric", found[-1].value)], "model")
