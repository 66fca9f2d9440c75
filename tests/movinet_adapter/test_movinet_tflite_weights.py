"""The published int8 stream model as float weights: every tensor placed, the same answers on real clips."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from adapters.errors import WeightsError
from adapters.media import probe, read_clip, to_model_input
from adapters.records import InputSpec
from movinet_adapter.architecture import architecture, initial_states, state_specs, variable_specs
from movinet_adapter.weights.tflite_weights import read_tflite_weights

FPS, SIZE = 5, 172
LABELS = (ROOT / "movinet_adapter" / "labels" / "kinetics600.txt").read_text().splitlines()
CLIPS = ("carving_ice_172.mp4", "jumpingjack.gif", "flipping_a_pancake.mkv", "mmaction2_demo_arm_wrestling.mp4")
# Measured: the largest score at a clip's end differs by 0.010, and logits there correlate by 0.961 at least.
SCORE_DISTANCE, CORRELATION = 0.03, 0.94


@pytest.fixture(scope="module")
def published(shared: Path) -> Path:
    path = shared / "weights" / "movinet_a0_stream_int8.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}: set CLIPLAB_SHARED to a folder that has it in weights/")
    return path


@pytest.fixture(scope="module")
def weights(published: Path) -> dict[str, np.ndarray]:
    return read_tflite_weights(published)


@pytest.fixture(scope="module")
def network(weights: dict[str, np.ndarray]) -> Any:
    pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
    from adapters.training import assign
    from movinet_adapter.network import build_movinet, freeze

    network = build_movinet("a0", "stream", height=SIZE, width=SIZE, n_frames=1, num_classes=600, variant="int8")
    assign(network, weights)
    return freeze(network)


def frames_of(path: Path) -> np.ndarray:
    """float32 [T, 172, 172, 3] in 0..1, the whole clip at 5 fps."""
    count = max(1, int((probe(path).duration_seconds or 1) * FPS))
    spec = InputSpec(SIZE, SIZE, count, aspect="stretch", sampling="rate", fps=FPS)
    return to_model_input(read_clip(path, spec), spec)


def int8_logits(path: Path, frames: np.ndarray) -> np.ndarray:
    """The published program's logits after each frame: float32 [T, 600]."""
    from adapters.system import captured_stderr

    with captured_stderr():
        from ai_edge_litert.interpreter import Interpreter

        run = Interpreter(str(path), num_threads=1).get_signature_runner()
    details = run.get_input_details()
    states = {name: np.zeros(item["shape"], item["dtype"]) for name, item in details.items() if name != "image"}
    logits = []
    for frame in frames:
        outputs = run(image=frame[None, None], **states)
        logits.append(outputs["logits"][0])
        states = {name: outputs[name] for name in states}
    return np.array(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


# On real clips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIPS)
def test_the_float_network_sees_what_the_int8_program_sees(
    name: str, shared: Path, published: Path, network: Any
) -> None:
    with (shared / "media" / "clips.tsv").open(newline="") as table:
        truth = {row["file"]: row["kinetics600_label"] for row in csv.DictReader(table, delimiter="\t")}[name]
    frames = frames_of(shared / "media" / "clips" / name)
    expected = int8_logits(published, frames)
    found = network(frames[None], running=True)["frame_logits"][0].numpy()
    assert LABELS[expected[-1].argmax()] == LABELS[found[-1].argmax()] == truth
    assert np.abs(softmax(expected[-1]) - softmax(found[-1])).max() < SCORE_DISTANCE
    assert np.corrcoef(expected[-1], found[-1])[0, 1] > CORRELATION


def test_states_have_the_names_and_shapes_of_the_published_program(published: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(str(published)).get_signature_runner().get_input_details()
    of = architecture("a0", "stream", variant="int8")
    ours = {name: spec.shape for name, spec in state_specs(of, SIZE, SIZE).items()}
    theirs = {name: tuple(int(size) for size in item["shape"]) for name, item in details.items() if name != "image"}
    # Without squeeze-excitation its layers' pools pass through unused, so this variant of ours has none.
    assert {name: shape for name, shape in theirs.items() if name in ours} == ours
    unused = set(theirs) - set(ours)
    assert all(name.startswith("state_block") and "_pool_" in name for name in unused)
    assert set(initial_states(state_specs(architecture("a0", "stream"), SIZE, SIZE))) == set(theirs)


# Every tensor ---------------------------------------------------------------------------------------------------------


def test_variables_are_those_of_the_network_in_its_order(weights: dict[str, np.ndarray]) -> None:
    specs = variable_specs(architecture("a0", "stream", variant="int8"), 600)
    assert [(name, value.shape) for name, value in weights.items()] == [(spec.name, spec.shape) for spec in specs]
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in weights.values())


def test_constants_are_dequantised_a_channel_at_a_time(published: Path, weights: dict[str, np.ndarray]) -> None:
    """Against the interpreter's own account of the tensors: values, scales and zero points."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(published))
    tensors = {item["name"].split(";")[0]: item for item in interpreter.get_tensor_details()}
    prefix = "movinet_classifier/movinet"
    for name, source in (
        ("stem/kernel", f"{prefix}/stem/stem/conv2d/conv2d/Conv2D"),
        ("block3_layer1/projection/kernel", f"{prefix}/block3_layer1/bneck/projection/conv2d/conv2d_1/Conv2D"),
        ("classifier/output/kernel", "movinet_classifier/classifier_head/classifier/conv2d/conv2d_1/Conv2D"),
    ):
        details = tensors[source]
        raw, scales = interpreter.get_tensor(details["index"]), details["quantization_parameters"]["scales"]
        expected = raw.astype(np.float32) * scales[:, None, None, None]
        np.testing.assert_allclose(weights[name].transpose(3, 0, 1, 2), expected, rtol=1e-6)
    rezero = tensors[f"{prefix}/block0_layer0/bneck/rezero/mul"]
    scale, zero = rezero["quantization"]
    assert weights["block0_layer0/rezero"] == pytest.approx((-128 - zero) * scale, rel=1e-6)


Model = Any


def changed(published: Path, folder: Path, change: Callable[[Model, Any], None]) -> Path:
    """The published file with its graph altered: change is given the model and a function to find a tensor by name."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(published.read_bytes(), 0)

    def tensor(part: str) -> Any:
        return next(item for item in model.subgraphs[0].tensors if part in item.name.decode().split(";")[0])

    change(model, tensor)
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "changed.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


def _add_constant(model: Model, tensor: Any) -> None:
    import copy

    extra = copy.copy(tensor("stem/stem/conv2d/conv2d/Conv2D"))
    extra.name = b"movinet_classifier/added/Conv2D"
    model.subgraphs[0].tensors.append(extra)


def _rename(part: str, name: str) -> Callable[[Model, Any], None]:
    def change(model: Model, tensor: Any) -> None:
        tensor(part).name = name.encode()

    return change


def _vary_rezero(model: Model, tensor: Any) -> None:
    buffer = model.buffers[tensor("block2_layer1/bneck/rezero/mul").buffer]
    buffer.data = np.array(buffer.data)
    buffer.data[7] = 3


def _drop_scale(model: Model, tensor: Any) -> None:
    tensor("block1_layer1/bneck/expansion/conv2d/conv2d/Conv2D").quantization.scale = None


def _drop_activation(model: Model, tensor: Any) -> None:
    convolutions = [op for op in model.subgraphs[0].operators if hasattr(op.builtinOptions, "strideW")]
    convolutions[0].builtinOptions.fusedActivationFunction = 0


def _nothing(model: Model, tensor: Any) -> None:
    pass


EXPANSION = "block2_layer0/bneck/expansion/conv2d/conv2d/Conv2D"


@pytest.mark.parametrize(
    "change, message",
    [
        (_add_constant, "it has an unknown constant 'movinet_classifier/added/Conv2D'"),
        (_rename(EXPANSION, "dense/kernel"), "it has an unknown constant 'dense/kernel'"),
        (
            _rename(EXPANSION, "movinet_classifier/movinet/block9_layer9/bneck/expansion/conv2d/Conv2D"),
            "no variable 'block9_layer9/expansion/kernel'",
        ),
        (
            _rename(EXPANSION, "movinet_classifier/movinet/block2_layer1/bneck/expansion/conv2d/Conv2D"),
            "'block2_layer1/expansion/kernel' occurs twice",
        ),
        (_vary_rezero, "block2_layer1/bneck/rezero/mul' must be one repeated factor"),
        (_drop_scale, "block1_layer1/bneck/expansion/conv2d/conv2d/Conv2D' is not quantised"),
        (_drop_activation, "stem/stem/conv2d/conv2d/Conv2D' is not followed by RELU6"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    change: Callable[[Model, Any], None], message: str, published: Path, tmp_path: Path
) -> None:
    path = changed(published, tmp_path, change)
    with pytest.raises(WeightsError, match=message) as caught:
        read_tflite_weights(path)
    assert str(path) in str(caught.value)


def test_packing_it_again_unchanged_changes_nothing(
    published: Path, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    again = read_tflite_weights(changed(published, tmp_path, _nothing))
    assert all(np.array_equal(again[name], value) for name, value in weights.items())


def test_another_size_is_refused_by_the_first_variable_that_differs(published: Path) -> None:
    with pytest.raises(WeightsError, match=r"'stem/bn/gamma' is \[8\] in the file but \[16\] in the network"):
        read_tflite_weights(published, "a1")


def test_files_that_are_something_else_are_refused(published: Path, shared: Path, tmp_path: Path) -> None:
    missing, text, cut = tmp_path / "missing.tflite", tmp_path / "text.tflite", tmp_path / "cut.tflite"
    text.write_text("not a program")
    cut.write_bytes(published.read_bytes()[:200_000])
    with pytest.raises(WeightsError, match="could not be read"):
        read_tflite_weights(missing)
    with pytest.raises(WeightsError, match=r"text\.tflite is text that begins with 'not a program', not weights"):
        read_tflite_weights(text)
    with pytest.raises(WeightsError, match=r"cut\.tflite"):
        read_tflite_weights(cut)
    with pytest.raises(WeightsError, match="it has an unknown constant"):
        read_tflite_weights(shared / "weights" / "mobilenet_v2_1.0_224_quant.tflite")
