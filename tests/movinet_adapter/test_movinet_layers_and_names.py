"""Layers, states and variables of each MoViNet as data, how weights are fitted to them, and where they come from."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import ConfigError, WeightsError
from movinet_adapter import architecture as layers
from movinet_adapter.architecture import architecture, initial_states, state_specs, variable_specs
from movinet_adapter.weights import archives, download
from movinet_adapter.weights.archives import unpacked
from movinet_adapter.weights.checkpoint_graph import StoredVariable
from movinet_adapter.weights.mapping import class_count, fit_by_name, fit_by_order, tf_models_place
from movinet_adapter.weights.sources import resolve_weights

_ALL = [(model_id, mode) for model_id in layers.MODEL_IDS for mode in layers.MODES]


@pytest.mark.parametrize(("model_id", "mode"), _ALL)
def test_each_layer_takes_what_the_one_before_gives(model_id: str, mode: str) -> None:
    of = architecture(model_id, mode)
    given, halvings = of.stem, 1
    for layer in of.layers:
        assert (layer.inputs, layer.halvings) == (given, halvings)
        assert layer.has_skip_projection == (layer.stride > 1 or layer.inputs != layer.filters)
        given, halvings = layer.filters, halvings + (layer.stride > 1)
    assert halvings == 5
    assert of.feature_size == of.head
    assert of.squeeze_inputs == (2 if mode == "stream" else 1)
    assert of.positions == (mode == "stream" and model_id in ("a3", "a4", "a5"))


def test_what_a_mode_and_a_variant_compute_with() -> None:
    base, stream = architecture("a0", "base"), architecture("a0", "stream")
    int8 = architecture("a0", "stream", variant="int8")
    seen = [(of.activation, of.classifier_activation, of.gating, of.squeeze_excite) for of in (base, stream, int8)]
    assert seen == [
        ("swish", "swish", "sigmoid", "time"),
        ("hard_swish", "swish", "hard_sigmoid", "time_and_frame"),
        ("relu6", "relu6", "hard_sigmoid", "none"),
    ]
    assert not architecture("a3", "stream", variant="int8").positions
    assert int8.squeeze_inputs == 1


@pytest.mark.parametrize(
    ("arguments", "variant", "message"),
    [
        (("a6", "base"), "float", "\"model_id\" is 'a6' and must be one of: a0, a1"),
        (("a0", "both"), "float", "\"model_mode\" is 'both' and must be one of: base, stream"),
        (("a0", "base"), "int8", "\"variant\" is 'int8' and must be one of: float."),
        (("a0", "stream"), "int4", "\"variant\" is 'int4' and must be one of: float, int8."),
    ],
)
def test_an_architecture_that_is_none(arguments: Any, variant: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        architecture(*arguments, variant=variant)
    assert message in str(caught.value)


@pytest.mark.parametrize("model_id", layers.MODEL_IDS)
@pytest.mark.parametrize(("height", "width"), [(32, 64), (33, 65), (172, 172)])
def test_states_have_the_size_of_what_they_keep(model_id: str, height: int, width: int) -> None:
    of = architecture(model_id, "stream")
    specs = state_specs(of, height, width)
    for layer in of.layers:
        buffer = specs.get(f"state_{layer.name}_stream_buffer")
        assert (buffer is not None) == (layer.kernel_time > 1)
        if buffer is not None:
            high, wide = height, width
            for _ in range(layer.halvings + (layer.stride > 1)):
                high, wide = -(-high // 2), -(-wide // 2)
            assert buffer.shape == (1, layer.kernel_time - 1, high, wide, layer.expanded)
        assert specs[f"state_{layer.name}_pool_buffer"].shape == (1, 1, 1, 1, layer.expanded)
        assert specs[f"state_{layer.name}_pool_frame_count"].dtype == "int32"
        assert (f"state_{layer.name}_pos_enc_frame_count" in specs) == of.positions
    assert specs["state_head_pool_buffer"].shape == (1, 1, 1, 1, of.head)
    assert specs["state_head_pool_frame_count"].to_json() == {"shape": [1], "dtype": "int32"}
    begun = initial_states(specs)
    assert {name: (value.shape, value.dtype.name) for name, value in begun.items()} == {
        name: (spec.shape, spec.dtype) for name, spec in specs.items()
    }
    assert not any(value.any() for value in begun.values())
    assert begun["state_head_pool_buffer"] is not initial_states(specs)["state_head_pool_buffer"]


def test_states_that_there_are_not() -> None:
    with pytest.raises(ConfigError, match="a1 base has no stream states"):
        state_specs(architecture("a1", "base"), 64, 64)
    without = state_specs(architecture("a0", "stream", variant="int8"), 64, 64)
    assert not any("_pool_" in name and "head" not in name for name in without)


@pytest.mark.parametrize(("model_id", "mode"), _ALL)
def test_every_variable_has_a_name_of_its_own_and_a_place_of_its_own(model_id: str, mode: str) -> None:
    of = architecture(model_id, mode)
    specs = variable_specs(of, 7)
    assert len({spec.name for spec in specs}) == len(specs)
    assert len({tf_models_place(of, spec) for spec in specs}) == len(specs)
    assert {spec.name.rpartition("/")[2] for spec in specs if not spec.trainable} == {"moving_mean", "moving_variance"}
    assert specs[-1].name.startswith("classifier/output/")
    assert specs[-1].shape[-1] == 7


# Fitting --------------------------------------------------------------------------------------------------------------


def _stored(of: Any, classes: int = 3) -> list[StoredVariable]:
    return [
        StoredVariable(f"their {spec.name}", np.full(spec.shape, number, np.float32))
        for number, spec in enumerate(variable_specs(of, classes))
    ]


def test_variables_in_their_order() -> None:
    of = architecture("a0", "base")
    found = fit_by_order(of, _stored(of), "f")
    assert [value.flat[0] for value in found.values()] == list(range(len(found)))
    assert list(found) == [spec.name for spec in variable_specs(of, 3)]
    assert class_count(found) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stored: [stored[-1], *stored[1:]], "f does not fit MoViNet a0 base: variable 0 is 'their "),
        (lambda stored: [*stored, stored[-1]], "is unexpected"),
        (lambda stored: [], "it has 0 variables"),
        (lambda stored: [StoredVariable("n", stored[0].value * np.nan), *stored[1:]], "('n' in it) holds values that"),
    ],
)
def test_variables_that_do_not_fit(change: Any, message: str) -> None:
    of = architecture("a0", "base")
    with pytest.raises(WeightsError) as caught:
        fit_by_order(of, change(_stored(of)), "f")
    assert message in str(caught.value)
    assert str(caught.value).startswith("f")


@pytest.mark.parametrize(
    ("theirs", "advice"),
    [
        (("a1", "base"), 'It is MoViNet a1 base: set "model_id" to "a1", or'),
        (("a0", "stream"), 'It is MoViNet a0 stream: set "model_mode" to "stream", or'),
        (("a2", "stream"), 'set "model_id" to "a2" and "model_mode" to "stream"'),
    ],
)
def test_weights_of_another_size_or_mode_are_named(theirs: tuple[str, str], advice: str) -> None:
    of, other = architecture("a0", "base"), architecture(*theirs)
    with pytest.raises(WeightsError) as caught:
        fit_by_order(of, _stored(other), "f")
    assert advice in str(caught.value)
    # Also where the classifier is left out, as in a trained bundle.
    backbone = {s.name: np.zeros(s.shape) for s in variable_specs(other, 3) if not s.name.startswith("classifier/")}
    with pytest.raises(WeightsError) as caught:
        fit_by_name(of, backbone, "f")
    assert advice in str(caught.value)


def test_variables_of_our_own_names() -> None:
    of = architecture("a0", "stream")
    values = {spec.name: np.ones(spec.shape) for spec in variable_specs(of, 3)}
    found, variant = fit_by_name(of, {**values, "scores_output/kernel": np.ones(2)}, "f")
    assert (variant, list(found)) == ("float", list(values))
    assert {value.dtype.name for value in found.values()} == {"float32"}
    without = {name: value for name, value in values.items() if not name.startswith("classifier/")}
    assert list(fit_by_name(of, without, "f")[0]) == list(without)
    small = architecture("a0", "stream", variant="int8")
    assert fit_by_name(of, {spec.name: np.ones(spec.shape) for spec in variable_specs(small, 3)}, "f")[1] == "int8"
    name = next(iter(values))
    for changed, message in (
        ({key: value for key, value in values.items() if key != name}, f"it has no {name!r}"),
        ({**values, "more": np.ones(1)}, "the network has no 'more'"),
        ({**values, name: np.ones((1, 2))}, f"{name!r} is [1, 2] in the file but"),
        ({**values, name: np.full(np.shape(values[name]), np.inf)}, "holds values that are not finite"),
    ):
        with pytest.raises(WeightsError) as caught:
            fit_by_name(of, changed, "f")
        assert message in str(caught.value)


# Where weights come from ----------------------------------------------------------------------------------------------


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    of = architecture("a2", "stream")
    for variable, base in ((download.HUB_VARIABLE, "https://tfhub.dev"), (download.CHECKPOINTS_VARIABLE, "")):
        monkeypatch.delenv(variable, raising=False)
        assert base in download.hub_handle(of, 3)
    assert download.hub_handle(of, 2).endswith("/tensorflow/movinet/a2/stream/kinetics-600/classification/2")
    assert download.checkpoint_url(of).endswith("/movinet_a2_stream.tar.gz")
    monkeypatch.setenv(download.HUB_VARIABLE, "http://mirror.example/")
    monkeypatch.setenv(download.CHECKPOINTS_VARIABLE, "http://other.example//")
    assert download.hub_handle(of, 3).startswith("http://mirror.example/tensorflow/")
    assert download.checkpoint_url(of) == "http://other.example/movinet_a2_stream.tar.gz"


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"hub_version": 0}, ConfigError, '"hub_version" is 0'),
        ({"hub_version": True}, ConfigError, '"hub_version" is True'),
        ({"hub_version": "3"}, ConfigError, "\"hub_version\" is '3'"),
        ({"weights": 5}, ConfigError, '"weights" is 5 and must be "kinetics-600", "random" or a path'),
        ({"weights": ""}, ConfigError, "\"weights\" is ''"),
        ({"model_id": "a9"}, ConfigError, '"model_id" is'),
        ({"weights": "kinetics-60"}, WeightsError, "there is no such file or folder. Did you mean"),
        ({"weights": "FOLDER"}, WeightsError, "is not a bundle (bundle.json), a SavedModel (saved_model.pb)"),
        ({"weights": "FOLDER/w.tflite"}, WeightsError, "are stream models, but MoViNet a0 base is configured"),
        ({"weights": "FOLDER/w.tar"}, WeightsError, "holds neither a SavedModel (saved_model.pb) nor a checkpoint"),
        ({"weights": "FOLDER/w.txt"}, WeightsError, "is not a known type of weights file"),
    ],
)
def test_weights_that_are_not_found(
    config: dict[str, Any], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "w.tflite").write_bytes(b"x")
    (folder / "w.txt").write_bytes(bytes(range(256)))
    (folder / "w.tar").write_bytes(_tar(("a", b"x")))
    given = {**config, "weights": config.get("weights", "kinetics-600")}
    if isinstance(given["weights"], str):
        given["weights"] = given["weights"].replace("FOLDER", str(folder))
    with pytest.raises(error) as caught:
        resolve_weights(given)
    assert message in str(caught.value)


def _tar(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_how_many_files_and_bytes_an_archive_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    path = tmp_path / "w.tar"
    path.write_bytes(_tar(("a", b"1"), ("b/c", b"2")))
    with unpacked(path) as folder:
        assert (folder / "b" / "c").read_bytes() == b"2"
        kept = folder
    assert not kept.exists()
    path.write_bytes(_tar(("a", b"1"), ("b", b"2"), ("c", b"3")))
    with pytest.raises(WeightsError, match="holds more than 2 files"), unpacked(path):
        pass
    # A file may be 20 times the archive and what any archive may have.
    monkeypatch.setattr(archives, "MAX_EXPANSION", 0)
    path.write_bytes(_tar(("a", bytes(100))))
    for allowed, fits in ((100, True), (99, False)):
        monkeypatch.setattr(archives, "_FREE_BYTES", allowed)
        if fits:
            with unpacked(path) as folder:
                assert (folder / "a").stat().st_size == 100
        else:
            with pytest.raises(WeightsError, match="unpacks to more than 99 bytes"), unpacked(path):
                pass
