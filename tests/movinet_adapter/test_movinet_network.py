"""MoViNet as we compute it against tf-models-official's own, layer by layer, and against itself in other chunks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_process import in_own_process

from adapters.errors import ConfigError, WeightsError
from adapters.training import assign
from adapters.training.variables import variables
from movinet_adapter.architecture import (
    MODEL_IDS,
    MODES,
    Architecture,
    architecture,
    initial_states,
    state_specs,
    variable_specs,
)
from movinet_adapter.network import MoViNetNetwork, build_movinet, freeze, random_values
from movinet_adapter.reference import build_reference, build_reference_backbone, copy_values

tf = pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")

CLASSES = 11
HEIGHT, WIDTH, FRAMES = 34, 50, 4  # not multiples of the strides, so that padding is uneven
TOLERANCE = 1e-4  # of the largest value


def wide_values(of: Architecture, seed: int) -> dict[str, np.ndarray]:
    """Random weights with normalisation far from the identity and every scalar in play."""
    rng = np.random.default_rng(seed)
    ranges = {
        "gamma": lambda shape: rng.uniform(0.5, 1.5, shape) * rng.choice([1, 1, 1, -1], shape),
        "beta": lambda shape: rng.normal(0, 0.5, shape),
        "bias": lambda shape: rng.normal(0, 0.5, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.5, shape),
        "moving_variance": lambda shape: np.exp(rng.normal(0.7, 0.7, shape)),
        "rezero": lambda shape: rng.uniform(0.3, 0.7, shape),
        "position_scale": lambda shape: rng.uniform(0.5, 1.5, shape),
    }
    values = random_values(of, CLASSES, seed)
    for name in values:
        kind = name.rpartition("/")[2]
        if kind in ranges:
            values[name] = ranges[kind](values[name].shape).astype(np.float32)
    return values


def make_network(model_id: str, mode: str, **options: Any) -> MoViNetNetwork:
    network = build_movinet(model_id, mode, height=HEIGHT, width=WIDTH, n_frames=FRAMES, num_classes=CLASSES, **options)
    assign(network, wide_values(network.architecture, seed=1))
    return network


def make_clips(count: int, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    """Noise that gets brighter and goes from red to blue in time, so that the order of frames shows in the logits."""
    noise = np.random.default_rng(seed).uniform(0, 1, (count, frames, HEIGHT, WIDTH, 3))
    level = np.linspace(0.1, 2, frames)[:, None] * np.linspace([1, 0.5, 0], [0, 0.5, 1], frames)
    return (noise * level[:, None, None, :]).astype(np.float32)


def difference(expected: Any, found: Any) -> float:
    expected, found = np.asarray(expected), np.asarray(found)
    assert expected.shape == found.shape
    return float(np.abs(expected - found).max() / np.abs(expected).max())


def by_clip(stacked: Any, times: int) -> np.ndarray:
    """[T * B, ...] with time outermost to [B, T, ...]."""
    array = np.asarray(stacked)
    return array.reshape(times, -1, *array.shape[1:]).swapaxes(0, 1)


def assert_layers_agree(network: MoViNetNetwork, endpoints: dict[str, Any], clips: np.ndarray) -> None:
    seen: dict[str, Any] = {}
    outputs = network(tf.constant(clips), observe=lambda name, value: seen.update({name: value}))
    assert set(endpoints) - set(seen) == {"head"}
    for name, value in seen.items():
        assert difference(endpoints[name], by_clip(value, clips.shape[1])) < TOLERANCE, name
    assert difference(np.asarray(endpoints["head"]).reshape(len(clips), -1), outputs["features"]) < TOLERANCE


@pytest.fixture(scope="module")
def base() -> MoViNetNetwork:
    return make_network("a0", "base")


@pytest.fixture(scope="module")
def stream() -> MoViNetNetwork:
    return make_network("a0", "stream")


@pytest.fixture(scope="module")
def stream_reference(stream: MoViNetNetwork) -> Any:
    pytest.importorskip("official", reason="pip install 'cliplab[train]'")
    return build_reference(stream, external_states=True)


# Against tf-models ----------------------------------------------------------------------------------------------------


def test_base_equals_tf_models_layer_by_layer(base: MoViNetNetwork) -> None:
    pytest.importorskip("official", reason="pip install 'cliplab[train]'")
    reference, clips = build_reference(base), make_clips(2)
    endpoints, _ = reference.backbone({"image": clips})
    assert_layers_agree(base, endpoints, clips)
    # Its classifier on its own features: calling the whole model would compile every convolution again.
    logits = reference.get_layer("classifier_head")(endpoints["head"])
    assert difference(logits, base(tf.constant(clips))["logits"]) < TOLERANCE


def test_stream_equals_tf_models_layer_by_layer(stream: MoViNetNetwork, stream_reference: Any) -> None:
    clip = make_clips(1)
    states = initial_states(stream.states)
    endpoints, _ = stream_reference.backbone({"image": clip, **states})
    assert_layers_agree(stream, endpoints, clip)
    logits, _ = stream_reference({"image": clip, **states})
    assert difference(logits, stream(tf.constant(clip))["logits"]) < TOLERANCE


def test_stream_states_equal_those_of_tf_models_at_each_step(stream: MoViNetNetwork, stream_reference: Any) -> None:
    clip, frozen = make_clips(1, frames=6), freeze(stream)
    ours: Any = initial_states(stream.states)
    theirs: Any = {name: tf.constant(value) for name, value in ours.items()}
    assert {name: spec.shape for name, spec in stream.states.items()} == {
        name: tuple(spec.shape) for name, spec in stream_reference.initial_state_specs([1, 1, HEIGHT, WIDTH, 3]).items()
    }
    for start, end in ((0, 1), (1, 2), (2, 5), (5, 6)):
        outputs, ours = frozen.step(tf.constant(clip[:, start:end]), ours)
        logits, theirs = stream_reference({"image": clip[:, start:end], **theirs})
        assert difference(logits, outputs["logits"]) < TOLERANCE
        assert set(ours) == set(theirs) == set(stream.states)
        for name, spec in stream.states.items():
            assert tuple(ours[name].shape) == spec.shape
            assert ours[name].dtype.name == spec.dtype
            if spec.dtype == "int32":
                assert np.asarray(ours[name]).tolist() == theirs[name].numpy().tolist() == [end], name
            else:
                assert difference(theirs[name], ours[name]) < TOLERANCE, name


def test_the_published_int8_variant_equals_tf_models() -> None:
    pytest.importorskip("official", reason="pip install 'cliplab[train]'")
    network, clip = make_network("a0", "stream", variant="int8"), make_clips(1, frames=3)
    endpoints, _ = build_reference_backbone(network)({"image": clip})
    assert_layers_agree(network, endpoints, clip)


def test_a_larger_stream_with_positions_equals_tf_models_in_brief() -> None:
    pytest.importorskip("official", reason="pip install 'cliplab[train]'")
    network, clip = make_network("a3", "stream"), make_clips(1, frames=3)
    endpoints, _ = build_reference_backbone(network)({"image": clip})
    assert_layers_agree(network, endpoints, clip)


def check_parity(model_id: str, mode: str) -> None:
    network, clips = make_network(model_id, mode), make_clips(1, frames=4)
    reference = build_reference(network, external_states=mode == "stream")
    states = initial_states(network.states) if mode == "stream" else {}
    endpoints, _ = reference.backbone({"image": clips, **states})
    assert_layers_agree(network, endpoints, clips)
    found = reference({"image": clips, **states})
    assert difference(found[0] if states else found, network(tf.constant(clips))["logits"]) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model_id", MODEL_IDS)
def test_every_size_equals_tf_models(model_id: str, mode: str) -> None:
    pytest.importorskip("official", reason="pip install 'cliplab[train]'")
    in_own_process(check_parity, model_id, mode)


def test_variables_of_another_network_are_refused_by_name(base: MoViNetNetwork) -> None:
    keras = pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")
    other = keras.Sequential([keras.layers.Dense(3)])
    other.build([1, 2])
    with pytest.raises(WeightsError, match="334 variables, but tf-models' network has 2"):
        copy_values(base, other)


# Against itself -------------------------------------------------------------------------------------------------------


def test_a_clip_gives_the_same_alone_and_in_a_batch(base: MoViNetNetwork, stream: MoViNetNetwork) -> None:
    clips = make_clips(3)
    for network in (base, stream):
        whole = network(tf.constant(clips))
        for index in range(3):
            alone = network(tf.constant(clips[index : index + 1]))
            for name in whole:
                assert difference(alone[name][0], whole[name][index]) < TOLERANCE, name


def test_running_outputs_are_those_of_the_clip_cut_short(stream: MoViNetNetwork) -> None:
    clips = make_clips(2, frames=4)
    running = stream(tf.constant(clips), running=True)
    assert running["frame_logits"].shape == (2, 4, CLASSES)
    assert running["frame_features"].shape == (2, 4, 480)
    for end in range(1, 5):
        cut = stream(tf.constant(clips[:, :end]))
        assert difference(cut["logits"], running["frame_logits"][:, end - 1]) < TOLERANCE
        assert difference(cut["features"], running["frame_features"][:, end - 1]) < TOLERANCE


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 6)), model=st.sampled_from(["a0", "a3"]))
def test_a_stream_in_any_chunks_equals_the_whole_clip(
    cuts: set[int], model: str, chunked: dict[str, MoViNetNetwork]
) -> None:
    network, clip = chunked[model], make_clips(1, frames=7)
    whole = network(tf.constant(clip), running=True)
    states: Any = initial_states(network.states)
    edges, found = [0, *sorted(cuts), 7], []
    for start, end in itertools.pairwise(edges):
        outputs, states = network.step(tf.constant(clip[:, start:end]), states, running=True)
        found.append(outputs["frame_logits"])
        assert difference(whole["frame_logits"][:, end - 1], outputs["logits"]) < TOLERANCE
    assert difference(whole["frame_logits"], np.concatenate(found, axis=1)) < TOLERANCE


def check_streaming(model_id: str) -> None:
    """The network in chunks, and the LiteRT program frame by frame, against the whole clip at once."""
    from adapters.litert import StreamProgram
    from movinet_adapter.streaming.conversion import stream_program_bytes

    network, clip = make_network(model_id, "stream"), make_clips(1, frames=5)
    whole = network(tf.constant(clip), running=True)
    frozen = freeze(network)
    states: Any = initial_states(network.states)
    for start, end in ((0, 1), (1, 3), (3, 4), (4, 5)):
        outputs, states = frozen.step(tf.constant(clip[:, start:end]), states)
        assert difference(whole["frame_logits"][:, end - 1], outputs["logits"]) < TOLERANCE
    program = StreamProgram(stream_program_bytes(network, None), num_threads=1)
    (found,) = program.run_clips([clip[0]])
    assert difference(tf.nn.softmax(whole["frame_logits"])[0], found["scores"]) < TOLERANCE
    assert difference(whole["frame_features"][0], found["features"]) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("model_id", MODEL_IDS)
def test_every_size_streams_as_the_whole_clip(model_id: str) -> None:
    in_own_process(check_streaming, model_id)


@pytest.fixture(scope="module")
def chunked(stream: MoViNetNetwork) -> dict[str, MoViNetNetwork]:
    return {"a0": freeze(stream), "a3": freeze(make_network("a3", "stream"))}


@pytest.mark.parametrize("mode, model_id", [("base", "a0"), ("stream", "a3")])
def test_every_variable_moves_the_logits(mode: str, model_id: str, base: MoViNetNetwork) -> None:
    """A variable that was forgotten, or read for another, would have no gradient or that of the other."""
    network = base if mode == "base" else make_network(model_id, mode)
    with tf.GradientTape() as tape:
        tape.watch(network.variables)
        logits = network(tf.constant(make_clips(1)))["logits"]
        loss = tf.reduce_sum(logits * np.linspace(-1, 1, CLASSES, dtype=np.float32))
    gradients = tape.gradient(loss, network.variables)
    dead = [name for name, value in zip(network.named, gradients, strict=True) if value is None or not np.any(value)]
    assert dead == []
    sizes = [float(np.abs(np.asarray(value)).max()) for value in gradients]
    assert np.isfinite(sizes).all()


def test_a_step_of_training_lowers_the_loss_and_leaves_the_statistics(base: MoViNetNetwork) -> None:
    network, clips = make_network("a0", "base"), make_clips(2)
    before = {name: variable.numpy() for name, variable in network.named.items()}

    def step() -> Any:
        with tf.GradientTape() as tape:
            logits = network(tf.constant(clips))["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1], logits))
        gradients = tape.gradient(loss, network.trainable_variables)
        for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
            variable.assign_sub(1e-3 * gradient)
        return loss

    losses = [float(step()) for _ in range(4)]
    assert losses[-1] < losses[0]
    moved = {name for name, value in before.items() if not np.array_equal(value, network.named[name].numpy())}
    assert moved == {spec.name for spec in variable_specs(network.architecture, CLASSES) if spec.trainable}


def test_time_matters_in_base_mode_and_only_the_past_in_stream_mode(
    base: MoViNetNetwork, stream: MoViNetNetwork
) -> None:
    clip = make_clips(1)
    assert difference(base(clip)["logits"], base(clip[:, ::-1])["logits"]) > 50 * TOLERANCE
    changed = clip.copy()
    changed[:, -1] = 0
    before, after = stream(clip, running=True), stream(changed, running=True)
    assert difference(before["frame_logits"][:, :-1], after["frame_logits"][:, :-1]) < TOLERANCE
    assert difference(before["logits"], after["logits"]) > 50 * TOLERANCE


# As a LiteRT program --------------------------------------------------------------------------------------------------


def test_layers_computed_a_frame_at_a_time_give_the_same(base: MoViNetNetwork) -> None:
    clip = tf.constant(make_clips(1))
    seen: dict[int, dict[str, Any]] = {0: {}, 15: {}}
    for count, layers in seen.items():
        freeze(base, by_frame=count)(clip, observe=lambda name, value, layers=layers: layers.update({name: value}))
    assert list(seen[0]) == list(seen[15])
    for name, value in seen[0].items():
        assert difference(value, seen[15][name]) < TOLERANCE, name
    assert freeze(base).by_frame == 11


def test_a_base_program_is_one_piece_of_built_in_operators_and_gives_the_same(base: MoViNetNetwork) -> None:
    from adapters.litert import Program, to_litert, xnnpack_partitions
    from adapters.litert.graph import operators

    # Two layers by frame, to see both ways in one program; more only take longer to convert.
    clip, program = make_clips(1), to_litert(freeze(base, by_frame=2), (1, FRAMES, HEIGHT, WIDTH, 3))
    assert set(operators(program)) <= {
        "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED",
        "LOGISTIC", "MEAN", "MUL", "PAD", "RESHAPE", "SLICE", "SPLIT", "STRIDED_SLICE", "SUM",
    }  # fmt: skip
    assert xnnpack_partitions(program) == 1
    expected, found = base(tf.constant(clip)), Program(program, num_threads=1).run(clip)
    assert set(found) == {"logits", "features"}
    for name, value in found.items():
        assert difference(expected[name], value) < TOLERANCE, name


# Shape and names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model_id, mode, variables_count, trainable", [("a0", "base", 334, 232), ("a5", "base", 1219, 851)]
)
def test_there_are_as_many_variables_as_published(
    model_id: str, mode: str, variables_count: int, trainable: int
) -> None:
    specs = variable_specs(architecture(model_id, mode), 600)
    assert len(specs) == variables_count
    assert sum(spec.trainable for spec in specs) == trainable


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model_id", MODEL_IDS)
def test_names_are_unique_and_states_fit_the_layers(model_id: str, mode: str) -> None:
    of = architecture(model_id, mode)
    names = [spec.name for spec in variable_specs(of, 600)]
    assert len(set(names)) == len(names)
    if mode == "stream":
        buffers = [name for name in state_specs(of, 172, 172) if name.endswith("_stream_buffer")]
        assert len(buffers) == sum(layer.kernel_time > 1 for layer in of.layers)


def test_a0_stream_has_the_43_states_of_the_published_model() -> None:
    specs = state_specs(architecture("a0", "stream", variant="float"), 172, 172)
    assert len(specs) == 43
    assert specs["state_block2_layer0_stream_buffer"].shape == (1, 4, 11, 11, 184)
    assert specs["state_head_pool_frame_count"].to_json() == {"shape": [1], "dtype": "int32"}
    values = initial_states(specs)
    assert all(value.dtype == specs[name].dtype and not value.any() for name, value in values.items())


def test_values_go_out_and_in_by_name_and_a_frozen_network_keeps_its_own(base: MoViNetNetwork) -> None:
    network = make_network("a0", "base")
    values = variables(network)
    assert list(values) == [spec.name for spec in variable_specs(network.architecture, CLASSES)]
    frozen, clip = freeze(network), make_clips(1, frames=2)
    before = frozen(clip)["logits"]
    assign(network, {name: value * 0.5 for name, value in values.items()})
    assert difference(before, frozen(clip)["logits"]) == 0
    assert difference(before, network(clip)["logits"]) > TOLERANCE
    assert frozen.variables == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_id": "a6"}, "\"model_id\" is 'a6' and must be one of: a0, a1"),
        ({"mode": "live"}, "\"model_mode\" is 'live'"),
        ({"height": 31}, '"height" is 31 and must be a whole number of at least 32'),
        ({"width": 172.5}, '"width" is 172.5'),
        ({"n_frames": 0}, '"n_frames" is 0'),
        ({"num_classes": 0}, '"num_classes" is 0'),
        ({"variant": "int8"}, "\"variant\" is 'int8' and must be one of: float"),
    ],
)
def test_what_is_not_allowed_is_named(change: dict[str, Any], message: str) -> None:
    given_values: dict[str, Any] = {
        "model_id": "a0",
        "mode": "base",
        "height": 64,
        "width": 64,
        "n_frames": 4,
        "num_classes": 2,
    } | change
    with pytest.raises(ConfigError, match=message):
        build_movinet(given_values.pop("model_id"), given_values.pop("mode"), **given_values)


def test_base_mode_has_no_states(base: MoViNetNetwork) -> None:
    with pytest.raises(ConfigError, match="a0 base has no stream states"):
        _ = base.states
