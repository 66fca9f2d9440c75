"""Stream programs: what a converted file holds, and how streams share it."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command_line import python
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import BundleError, ConfigError, ConversionError
from adapters.litert import StreamProgram, xnnpack_partitions
from adapters.litert.graph import operators, precision

pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")

from stream_programs import (
    SIZE,
    UNITS,
    as_input,
    clip,
    expected,
    small_head,
    small_network,
    small_program,
)

from movinet_adapter.streaming.conversion import stream_program_bytes

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def program() -> StreamProgram:
    return StreamProgram(small_program(), num_threads=2)


def close(found: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    return bool(found.shape == wanted.shape and np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max())


# What the file holds --------------------------------------------------------------------------------------------------


def test_the_file_has_a_step_and_an_init_of_named_states() -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=small_program())
    signatures = interpreter.get_signature_list()
    states = set(small_network().states)
    assert set(signatures) == {"serving_default", "init"}
    assert set(signatures["serving_default"]["inputs"]) == {"image"} | states
    assert set(signatures["serving_default"]["outputs"]) == {"scores", "features"} | states
    begun = interpreter.get_signature_runner("init")()
    for name, spec in small_network().states.items():
        assert (begun[name].shape, begun[name].dtype) == (spec.shape, spec.dtype), name
        assert not begun[name].any()
    # A plain signature runner steps with them: any LiteRT does what StreamProgram does.
    step = interpreter.get_signature_runner("serving_default")
    frames = clip(3)
    for frame in as_input(frames):
        outputs = step(image=frame[None, None], **begun)
        begun = {name: outputs[name] for name in begun}
    assert close(outputs["scores"], expected(frames)[0][-1:])


def test_operators_are_built_in_and_every_convolution_runs_in_xnnpack() -> None:
    found = operators(small_program())
    assert not [name for name in found if ":" in name]
    assert xnnpack_partitions(small_program()) == 1
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=small_program(), num_threads=1)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    convolutions = [node for node in nodes if "CONV" in node["op_name"] or node["op_name"] == "FULLY_CONNECTED"]
    assert len(convolutions) == found["CONV_2D"] + found["DEPTHWISE_CONV_2D"] + found["FULLY_CONNECTED"]
    # What a delegate took over stays listed; its kernels are then among what the delegate reads.
    inside = {int(index) for node in nodes if node["op_name"] == "DELEGATE" for index in node["inputs"]}
    assert [node["op_name"] for node in convolutions if int(node["inputs"][1]) not in inside] == []


@pytest.mark.parametrize("quantize", ["float16", "int8"])
def test_other_precisions_keep_the_interface_and_the_answers(quantize: str) -> None:
    frames = clip(6)
    found = StreamProgram(small_program(quantize), num_threads=1)  # type: ignore[arg-type] # from the parameters
    assert found.precision == precision(found.model_bytes) == quantize
    assert {name: (spec.shape, spec.dtype.name) for name, spec in found.states.items()} == {
        name: (spec.shape, spec.dtype) for name, spec in small_network().states.items()
    }
    outputs = found.open().advance(as_input(frames))
    assert close(outputs["features"], expected(frames)[1], 0.005 if quantize == "float16" else 0.1)
    assert found.size_bytes < len(small_program()) * (0.6 if quantize == "float16" else 0.4)


def test_the_classifier_of_the_network_itself_ends_in_a_softmax() -> None:
    frames = clip(2)
    found = StreamProgram(stream_program_bytes(small_network(), None), num_threads=1).open().advance(as_input(frames))
    logits = np.asarray(small_network()(as_input(frames)[None])["logits"])
    powers = np.exp(logits - logits.max())
    assert close(found["scores"][-1:], powers / powers.sum())


def test_what_cannot_be_converted_is_said() -> None:
    network = small_network()
    with pytest.raises(ConversionError, match="without calibration data"):
        stream_program_bytes(network, None, "int8")
    with pytest.raises(ConversionError, match="holds no clips"):
        stream_program_bytes(network, None, "int8", [])
    with pytest.raises(ConversionError, match=r"clip 0 is float32 \[1, 8, 8, 3\]"):
        stream_program_bytes(network, None, "int8", [np.zeros((1, 8, 8, 3), np.float32)])
    with pytest.raises(ConversionError, match=r"quantize.*int4"):
        stream_program_bytes(network, None, "int4")  # type: ignore[arg-type] # the point


# One stream -----------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(chunks=st.lists(st.integers(0, 4), max_size=6))
def test_a_stream_in_any_chunks_equals_the_whole_clip(program: StreamProgram, chunks: list[int]) -> None:
    frames = clip(8)
    scores, features = expected(frames)
    stream, found, start = program.open(), [], 0
    for count in [*chunks, 8]:
        found.append(stream.advance(as_input(frames[start : start + count])))
        start = min(start + count, 8)
    assert close(np.concatenate([row["scores"] for row in found]), scores)
    assert close(np.concatenate([row["features"] for row in found]), features)


def test_a_stream_goes_on_from_states_that_were_taken_out(program: StreamProgram) -> None:
    frames = as_input(clip(6))
    whole = program.open().advance(frames)["scores"]
    first = program.open()
    first.advance(frames[:4])
    kept = first.arrays()
    assert kept["state_head_pool_frame_count"].tolist() == [4]
    first.advance(frames[:2])  # what was taken out is a copy
    assert close(program.open(kept).advance(frames[4:])["scores"], whole[4:])


def test_reset_forgets(program: StreamProgram) -> None:
    frames = as_input(clip(5))
    stream = program.open()
    before = stream.advance(frames)["scores"]
    assert not close(stream.advance(frames)["scores"], before)
    stream.reset()
    assert np.array_equal(stream.advance(frames)["scores"], before)
    stream.reset()
    assert all(np.array_equal(value, program.initial_states()[name]) for name, value in stream.arrays().items())


def test_before_step_sees_and_alters_the_states_of_each_frame(program: StreamProgram) -> None:
    frames, counts = as_input(clip(4)), []

    def forget(states: object) -> None:
        counts.append(int(states["state_head_pool_frame_count"][0]))  # type: ignore[index]
        for value in states.values():  # type: ignore[attr-defined]
            value[...] = 0

    found = program.open().advance(frames, forget)["scores"]
    assert counts == [0, 1, 1, 1]
    for index, frame in enumerate(frames):
        assert close(found[index : index + 1], program.open().advance(frame[None])["scores"])


def test_an_error_in_a_step_resets_the_stream_and_no_other(program: StreamProgram) -> None:
    frames = as_input(clip(4))
    stream, other = program.open(), program.open()
    whole = other.advance(frames)["scores"]
    other.reset()
    other.advance(frames[:2])
    stream.advance(frames[:2])

    def fail(states: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        stream.advance(frames, fail)
    assert close(stream.advance(frames)["scores"], whole)
    assert close(other.advance(frames[2:])["scores"], whole[2:])


# Many streams ---------------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(order=st.lists(st.integers(0, 3), min_size=1, max_size=16))
def test_streams_in_any_order_do_not_mix(program: StreamProgram, order: list[int]) -> None:
    clips = [clip(len(order), seed) for seed in range(4)]
    streams = [program.open() for _ in clips]
    found: list[list[np.ndarray]] = [[] for _ in clips]
    for number in order:
        frame = clips[number][len(found[number])]
        found[number].append(streams[number].advance(as_input(frame[None]))["scores"][0])
    for frames, rows in zip(clips, found, strict=True):
        if rows:
            assert close(np.array(rows), expected(frames[: len(rows)])[0])


def test_threads_share_a_program_of_fewer_interpreters() -> None:
    program = StreamProgram(small_program(), num_threads=2)
    clips = [clip(12, seed) for seed in range(6)]

    def follow(frames: np.ndarray) -> np.ndarray:
        stream = program.open()
        return np.concatenate([stream.advance(as_input(frame[None]))["scores"] for frame in frames])

    with ThreadPoolExecutor(len(clips)) as pool:
        found = list(pool.map(follow, clips))
    for frames, rows in zip(clips, found, strict=True):
        assert close(rows, expected(frames)[0])


def test_a_stream_that_waits_for_the_only_interpreter_gets_it() -> None:
    program, frames = StreamProgram(small_program(), num_threads=1), as_input(clip(3))
    inside, go_on = threading.Event(), threading.Event()

    def hold(states: object) -> None:
        inside.set()
        assert go_on.wait(120)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(program.open().advance, frames, hold)
        assert inside.wait(120)
        waiting = pool.submit(program.open().advance, frames)
        go_on.set()
        assert np.array_equal(waiting.result(120)["scores"], slow.result(120)["scores"])


def test_whole_clips_at_once(program: StreamProgram) -> None:
    clips = [clip(frames, seed=frames) for frames in (1, 5, 3)]
    for frames, found in zip(clips, program.run_clips([as_input(item) for item in clips]), strict=True):
        assert close(found["scores"], expected(frames)[0])
    assert program.run_clips([]) == []


def test_a_stream_that_is_gone_leaves_nothing_behind(program: StreamProgram) -> None:
    stream = program.open()
    stream.advance(as_input(clip(1)))
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    assert program.state_bytes == sum(value.nbytes for value in program.initial_states().values())


# What is refused ------------------------------------------------------------------------------------------------------


def test_wrong_frames_states_and_files_are_refused(program: StreamProgram, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"takes float32 \[T, {SIZE}, {SIZE}, 3\] but received uint8"):
        program.open().advance(clip(1))  # type: ignore[arg-type] # the point
    with pytest.raises(BundleError, match=r"but received float32 \[1, 8, 8, 3\]"):
        program.open().advance(np.zeros((1, 8, 8, 3), np.float32))
    states = program.initial_states()
    name = next(iter(states))
    with pytest.raises(BundleError, match=f"state '{name}' is missing"):
        program.open({key: value for key, value in states.items() if key != name})
    with pytest.raises(BundleError, match="state 'more' is unknown"):
        program.open(states | {"more": np.zeros(1)})
    with pytest.raises(BundleError, match=f"state '{name}' is float64"):
        program.open(states | {name: states[name].astype(np.float64)})
    with pytest.raises(BundleError, match=r"missing\.tflite could not be read"):
        StreamProgram(tmp_path / "missing.tflite")
    with pytest.raises(BundleError, match="damaged or is not a LiteRT program"):
        StreamProgram(b"nothing", name="nothing.tflite")
    with pytest.raises(ConfigError, match="num_threads is 0"):
        StreamProgram(small_program(), num_threads=0)


def test_a_program_that_does_not_stream_is_refused() -> None:
    from tiny_programs import tiny_program

    with pytest.raises(BundleError, match="tiny is not a stream program"):
        StreamProgram(tiny_program("float32"), name="tiny")


def test_a_program_without_init_begins_at_zeros(shared: Path) -> None:
    path = shared / "weights" / "movinet_a0_stream_int8.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}: set CLIPLAB_SHARED to a folder that has it in weights/")
    program = StreamProgram(path, num_threads=1)
    assert program.image_shape == (1, 1, 172, 172, 3)
    assert not any(value.any() for value in program.initial_states().values())
    logits = program.open().advance(np.zeros((2, 172, 172, 3), np.float32))["logits"]
    assert logits.shape == (2, 600)
    assert np.isfinite(logits).all()


def test_running_a_program_imports_no_tensorflow(tmp_path: Path) -> None:
    path = tmp_path / "stream.tflite"
    path.write_bytes(small_program())
    code = (
        "import sys, numpy as np\n"
        "from adapters.records import InputSpec\n"
        "from adapters.litert.stream_program import StreamProgram\n"
        "from adapters.inference.stream_session import StreamSession\n"
        f"session = StreamSession(StreamProgram({str(path)!r}), {('a',) * UNITS!r}, InputSpec({SIZE}, {SIZE}, 1), 5)\n"
        f"print(session.push(np.zeros((9, 7, 3), np.uint8), 0.0).scores.shape)\n"
        "assert not {'tensorflow', 'tf_keras', 'keras'} & set(sys.modules)\n"
    )
    done = python(code)
    assert (done.exit_code, done.stdout.strip()) == (0, f"({UNITS},)"), done.stderr


def test_the_head_is_in_the_program(program: StreamProgram) -> None:
    features = program.open().advance(as_input(clip(2)))
    assert close(features["scores"], np.asarray(small_head()(features["features"])))
