"""MoViNet weights that others trained: other classes bring their classifier, Keras files, SavedModels that do more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from movinet_files import Values, wide_values, write_checkpoint
from movinet_resolve import INSTALL, isolate

from adapters.bundle import render_clip
from adapters.errors import AdapterError, WeightsError
from adapters.inference import open_model
from adapters.models.weights import write_safetensors
from movinet_adapter.architecture import architecture, variable_specs
from movinet_adapter.weights.keras_weights import read_keras_weights
from movinet_adapter.weights.safe_graph import require_safe_graph

BASE, STREAM = architecture("a0", "base"), architecture("a0", "stream")
LABELS = ["cat", "dog", "cow", "hen"]
SMALL = {"imgz": 64, "n_frames": 2}


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def values() -> Values:
    return wide_values(BASE, classes=len(LABELS))


@pytest.fixture
def checkpoint(values: Values, tmp_path: Path) -> Path:
    pytest.importorskip("tensorflow", reason=INSTALL)
    return write_checkpoint(tmp_path / "checkpoint" / "ckpt", BASE, values)


def model(weights: object, **keys: Any) -> Any:
    return open_model("movinet_a0_base", {"weights": str(weights), **SMALL, **keys})


@pytest.mark.slow
def test_a_checkpoint_of_other_classes_predicts_them(checkpoint: Path, values: Values, tmp_path: Path) -> None:
    from adapters.training import assign
    from movinet_adapter.network import build_movinet

    (tmp_path / "map.txt").write_text("\n".join(LABELS))
    adapter = model(checkpoint, labels=str(tmp_path / "map.txt"))
    clip = render_clip(adapter.input_spec)
    found = adapter.predict([clip])[0]
    assert found.labels == tuple(LABELS)
    network = build_movinet("a0", "base", height=64, width=64, n_frames=2, num_classes=len(LABELS))
    assign(network, values)
    logits = np.asarray(network(adapter.items(clip))["logits"])[0]
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(found.scores, expected / expected.sum(), atol=2e-3)
    # What it is trained further from has the same head, and a bundle of it says so.
    adapter.begin_training(LABELS)
    assert adapter.config["head"] == [*adapter.published_head, {"dropout": 0.5}]


def test_the_number_of_classes_is_told_where_labels_do_not_fit(checkpoint: Path) -> None:
    with pytest.raises(AdapterError, match="4 outputs, but there are 2 labels"):
        model(checkpoint, labels=["a", "b"]).embed([])
    with pytest.raises(WeightsError, match=r"classifier of 4 classes.*label file"):
        model(checkpoint).embed([])


def test_a_head_of_another_kind_is_trained_anew(checkpoint: Path) -> None:
    adapter = model(checkpoint, labels=LABELS, head=[{"units": 8, "activation": "relu"}])
    assert not adapter.brings_classifier
    assert adapter.network_config["head"] == [{"units": 8, "activation": "relu"}]


def test_the_file_is_opened_before_anything_is_said_of_heads(tmp_path: Path) -> None:
    for name, data, message in (
        ("w.h5", b"", "is empty"),
        ("w.pth", b"<!doctype html><html>", "web page"),
        ("w.keras", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("w.bin", b"\x80\x02}q\x00.", "not a known type of weights file"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=message):
            model(tmp_path / name, labels=["a", "b"]).embed([])


def test_the_variant_of_a_safetensors_file_is_its_own(tmp_path: Path) -> None:
    for variant in ("float", "int8"):
        of = architecture("a0", "stream", variant=variant)
        arrays = {spec.name: np.zeros(spec.shape, np.float32) for spec in variable_specs(of, 3)}
        write_safetensors(tmp_path / f"{variant}.safetensors", arrays)
        adapter = open_model(
            "movinet_a0_stream", {"weights": str(tmp_path / f"{variant}.safetensors"), "labels": LABELS}
        )
        assert adapter.config["variant"] == variant
    with pytest.raises(WeightsError, match="variant"):
        open_model(
            "movinet_a0_stream",
            {"weights": str(tmp_path / "int8.safetensors"), "variant": "float", "labels": LABELS},
        ).embed([])


# Keras ----------------------------------------------------------------------------------------------------------------


def keras_file(path: Path, of: Any, values: Values) -> Path:
    """As ``MovinetClassifier.save_weights`` lays a .h5 out: the backbone as one layer, trainable variables first."""
    h5py = pytest.importorskip("h5py", reason=INSTALL)
    names = [spec.name for spec in variable_specs(of, values["classifier/output/bias"].size)]
    head = [name for name in names if name.startswith("classifier/")]
    trunk = sorted((n for n in names if n not in head), key=lambda name: "moving_" in name)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["image", "movinet", "classifier_head"]
        for layer, own in (("image", []), ("movinet", trunk), ("classifier_head", head)):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in own]
            for name in own:
                group[f"{name}:0"] = values[name]
    return path


def test_a_keras_file_of_a_classifier_is_read_by_the_order_of_its_variables(values: Values, tmp_path: Path) -> None:
    path = keras_file(tmp_path / "best.h5", BASE, values)
    found = read_keras_weights(path.read_bytes(), BASE, "best.h5")
    assert list(found) == [spec.name for spec in variable_specs(BASE, 4)]
    assert all(np.array_equal(found[name], values[name]) for name in values)
    adapter = model(path, labels=LABELS)
    assert adapter.brings_classifier
    with pytest.raises(WeightsError, match="does not fit MoViNet a0 stream"):
        read_keras_weights(path.read_bytes(), STREAM, "best.h5")


def test_a_keras_file_with_values_that_are_not_finite_is_named(values: Values, tmp_path: Path) -> None:
    damaged = {**values, "stem/bn/gamma": np.full_like(values["stem/bn/gamma"], np.nan)}
    path = keras_file(tmp_path / "best.h5", BASE, damaged)
    with pytest.raises(WeightsError, match=r"best\.h5.*'stem/bn/gamma'.*not finite"):
        model(path, labels=LABELS).embed([])


# SavedModels that do more than compute --------------------------------------------------------------------------------


def _saved(folder: Path, make: Any) -> Path:
    tf = pytest.importorskip("tensorflow", reason=INSTALL)
    root = tf.Module()
    root.scale = tf.Variable(2.0)
    root.serve = make(tf, root)
    tf.saved_model.save(root, str(folder), signatures={"serving_default": root.serve})
    return folder


def _function(body: Any) -> Any:
    """A SavedModel's function of an image, of what ``body(tf, image, root)`` returns."""

    def make(tf: Any, root: Any) -> Any:
        @tf.function(input_signature=[tf.TensorSpec([1, 2], tf.float32, name="image")])
        def serve(image: Any) -> Any:
            return {"logits": body(tf, image, root)}

        return serve

    return make


def _nested(tf: Any, image: Any) -> Any:
    @tf.function
    def inner(value: Any) -> Any:
        tf.io.write_file("/tmp/cliplab-must-not-exist", "x")
        return value

    return tf.cond(tf.reduce_sum(image) > 0, lambda: inner(image), lambda: image)


BODIES = {
    "reads a file": ("ReadFile", lambda tf, x, _: x + tf.strings.to_number(tf.io.read_file("/etc/hostname"))),
    "writes a file": ("WriteFile", lambda tf, x, _: tf.identity((tf.io.write_file("/tmp/x", "x"), x)[1])),
    "writes behind a call": ("WriteFile", lambda tf, x, _: _nested(tf, x)),
    "calls Python": ("PyFunc", lambda tf, x, _: tf.ensure_shape(tf.numpy_function(np.abs, [x], tf.float32), [1, 2])),
    "prints": ("(PrintV2|StringFormat)", lambda tf, x, _: (tf.print("x"), x)[1]),
    "restores a file": (
        "RestoreV2",
        lambda tf, x, _: x + tf.raw_ops.RestoreV2(
            prefix="/tmp/x", tensor_names=["v"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0],
    ),
}  # fmt: skip


def test_a_savedmodel_that_computes_is_allowed(tmp_path: Path) -> None:
    require_safe_graph(str(_saved(tmp_path / "good", _function(lambda _tf, x, root: x * root.scale))), "good")


@pytest.mark.parametrize("what", BODIES)
def test_a_savedmodel_that_does_more_is_refused_before_it_is_loaded(what: str, tmp_path: Path) -> None:
    operator, body = BODIES[what]
    folder = _saved(tmp_path / "bad", _function(body))
    with pytest.raises(WeightsError, match=f"'(Eager)?{operator}"):
        require_safe_graph(str(folder), "bad")


def test_tables_that_are_filled_when_a_model_is_loaded_are_refused(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason=INSTALL)
    (tmp_path / "words.txt").write_text("a\nb\n")

    def make(tf: Any, root: Any) -> Any:
        initializer = tf.lookup.TextFileInitializer(
            *(str(tmp_path / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        )
        root.table = tf.lookup.StaticHashTable(initializer, -1)
        body = _function(lambda tf, x, root: x + tf.cast(root.table.size(), tf.float32))
        return body(tf, root)

    assert tf is not None
    with pytest.raises(WeightsError, match=r"asset|resource"):
        require_safe_graph(str(_saved(tmp_path / "table", make)), "table")


def test_a_damaged_or_foreign_graph_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason=INSTALL)
    for data, message in ((b"\xff" * 40, "damaged"), (b"", "damaged")):
        (tmp_path / "saved_model.pb").write_bytes(data)
        with pytest.raises(WeightsError, match=message):
            require_safe_graph(str(tmp_path), "m")
