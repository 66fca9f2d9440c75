"""What is changed in LiteRT programs, to the number: scales of 8 bits, which kernels, and what is put first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from adapters.litert import Observer, Program, compare, counts_first, to_litert, with_8_bit_layers, with_8_bit_weights
from adapters.litert.dynamic_weights import DENSE_ELEMENTS, MIN_ELEMENTS, quantized_kernel
from adapters.litert.edit import Editor
from adapters.litert.graph import operators

tf = pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")


def converted(function: Any, *shapes: tuple[tuple[int, ...], Any]) -> bytes:
    """A program of the first inputs ``x0``, ``x1``, ... of these shapes and types."""
    signature = [tf.TensorSpec(shape, dtype, name=f"x{n}") for n, (shape, dtype) in enumerate(shapes)]
    graph = tf.function(function, input_signature=signature).get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([graph]).convert())


@pytest.fixture(scope="module")
def pointwise() -> bytes:
    rng = np.random.default_rng(0)
    kernel = tf.constant(rng.normal(0, 0.3, (1, 1, 4, 8)), tf.float32)
    bias = tf.constant(rng.normal(0, 0.3, 8), tf.float32)

    class Layer:
        variables = ()

        def __call__(self, x: Any) -> Any:
            return tf.nn.conv2d(x, kernel, 1, "SAME") + bias

    return to_litert(Layer(), (1, 3, 3, 4))


def names(_: str) -> bool:
    return True


def test_ranges_are_those_of_all_runs_and_hold_0(pointwise: bytes) -> None:
    observer = Observer(pointwise, names)
    rng = np.random.default_rng(1)
    batches = [rng.uniform(low, high, (1, 3, 3, 4)).astype(np.float32) for low, high in ((1, 2), (0.5, 3), (2, 2.5))]
    outputs = [observer.run({"images": batch})["scores"] for batch in batches]
    np.testing.assert_allclose(outputs[1], Program(pointwise, 1).run(batches[1])["scores"], rtol=1e-5)
    ranges = sorted(observer.ranges.values(), key=lambda ends: ends[0])
    assert ranges[1] == (0.0, pytest.approx(max(batch.max() for batch in batches)))
    assert ranges[0] == pytest.approx((min(y.min() for y in outputs), max(y.max() for y in outputs)))


def test_activations_use_all_of_8_bits_and_0_is_exact(pointwise: bytes) -> None:
    """scale = range / 255 and zero point -128 - low / scale, of LiteRT's quantisation specification."""
    observer = Observer(pointwise, names)
    observer.run({"images": np.linspace(-1, 3, 36, dtype=np.float32).reshape(1, 3, 3, 4)})
    interpreter = Interpreter(model_content=with_8_bit_layers(pointwise, names, observer.ranges))
    interpreter.allocate_tensors()
    details = [item for item in interpreter.get_tensor_details() if item["dtype"] is np.int8]
    activations = [item["quantization"] for item in details if item["quantization_parameters"]["scales"].size == 1]
    assert activations[0] == (pytest.approx(4 / 255), -64)
    low, high = min(observer.ranges.values(), key=lambda ends: ends[0] if ends[0] < -1 else 0)
    found = {zero: scale for scale, zero in activations}
    scale = (high - low) / 255
    assert found[round(-128 - low / scale)] == pytest.approx(scale, rel=1e-5)
    kernel = next(item for item in details if item["quantization_parameters"]["scales"].size == 8)
    assert kernel["quantization_parameters"]["quantized_dimension"] == 0
    assert not kernel["quantization_parameters"]["zero_points"].any()


def test_8_bits_are_off_by_half_a_step_of_each(pointwise: bytes) -> None:
    observer = Observer(pointwise, names)
    rng = np.random.default_rng(2)
    batches = [rng.uniform(-1, 1, (1, 3, 3, 4)).astype(np.float32) for _ in range(20)]
    outputs = [observer.run({"images": batch})["scores"] for batch in batches]
    program = Program(with_8_bit_layers(pointwise, names, observer.ranges), 1)
    low, high = min(y.min() for y in outputs), max(y.max() for y in outputs)
    errors = np.abs(np.stack([program.run(x)["scores"] for x in batches]) - np.stack(outputs))
    assert errors.max() < 2.5 * (high - low) / 255
    assert errors.mean() < 0.6 * (high - low) / 255


@pytest.mark.parametrize("axis", [0, 3])
def test_a_channels_largest_value_is_127_of_its_steps(axis: int) -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (3, 2, 2, 5)).astype(np.float32)
    kernel[(slice(None),) * axis + (1,)] = 0
    values, scales = quantized_kernel(kernel, axis)
    others = tuple(index for index in range(4) if index != axis)
    largest = np.abs(kernel).max(axis=others)
    np.testing.assert_allclose(scales, np.where(largest > 0, largest / 127, 1), rtol=1e-6)
    assert np.abs(values.astype(int)).max(axis=others).tolist() == np.where(largest > 0, 127, 0).tolist()


@pytest.mark.parametrize("size, stored", [(MIN_ELEMENTS - 8, 0), (MIN_ELEMENTS, 1)])
def test_kernels_of_under_1024_values_stay_as_they_are(size: int, stored: int) -> None:
    weights = tf.constant(np.random.default_rng(0).normal(0, 1, (8, size // 8)), tf.float32)
    model = converted(lambda x0: tf.matmul(x0, weights), ((1, 8), tf.float32))
    assert operators(with_8_bit_weights(model)).get("DEQUANTIZE", 0) == stored


@pytest.mark.parametrize("columns, widened", [(DENSE_ELEMENTS // 256, 1), (DENSE_ELEMENTS // 256 - 1, 2)])
def test_a_large_dense_layer_behind_another_is_computed_in_8_bits(columns: int, widened: int) -> None:
    rng = np.random.default_rng(0)
    first = tf.constant(rng.normal(0, 0.1, (8, 256)), tf.float32)
    last = tf.constant(rng.normal(0, 0.1, (256, columns)), tf.float32)
    model = converted(lambda x0: tf.matmul(tf.nn.relu(tf.matmul(x0, first)), last), ((1, 8), tf.float32))
    assert operators(with_8_bit_weights(model))["DEQUANTIZE"] == widened


def test_what_follows_from_whole_numbers_alone_is_put_first() -> None:
    """In their order; what also needs the picture keeps its place, and the answers stay the same."""

    def step(x0: Any, x1: Any) -> dict[str, Any]:
        y = tf.nn.relu(x0 * 3.0 - 1.0)
        count = x1 + 1
        mean = y / tf.cast(count, tf.float32)
        return {"mean": mean + tf.cast(count * 2, tf.float32), "count": count}

    model = converted(step, ((1, 4), tf.float32), ((1,), tf.int32))
    changed = counts_first(model)
    before, after = (Editor(data).graphs()[0] for data in (model, changed))
    kinds = [after.kind(operator) for operator in after.operators()]
    assert sorted(kinds) == sorted(before.kind(operator) for operator in before.operators())
    of_pictures = {int(after.graph.inputs[0]), int(after.graph.inputs[1])}
    of_pictures = {index for index in of_pictures if after.is_float(index)}
    touched = []
    for operator in after.operators():
        depends = bool(of_pictures & {int(index) for index in operator.inputs})
        if depends:
            of_pictures |= {int(index) for index in operator.outputs}
        touched.append(depends)
    assert touched == sorted(touched)
    assert touched.count(False) >= 3
    assert counts_first(changed) == changed
    for data in (model, changed):
        interpreter = Interpreter(model_content=data)
        interpreter.allocate_tensors()
        for item in interpreter.get_input_details():
            value = np.array([[1, 2, 3, 4]], np.float32) if item["dtype"] is np.float32 else np.array([4], np.int32)
            interpreter.set_tensor(item["index"], value)
        interpreter.invoke()
        found = [interpreter.get_tensor(item["index"]) for item in interpreter.get_output_details()]
        mean = next(value for value in found if value.dtype == np.float32)
        np.testing.assert_allclose(mean, [[10.4, 11, 11.6, 12.2]], rtol=1e-6)


def test_a_report_has_sizes_and_the_median_of_times(pointwise: bytes) -> None:
    import time

    waits = iter([0.0, 0.05, 0.005, 0.005])

    def slow(x: Any) -> Any:
        time.sleep(next(waits))
        return x

    batch = np.array([[0.25, 0.75]], np.float32)
    report = compare(
        slow,
        lambda x: x,
        [batch] * 3,
        clip_origin="here",
        output_path="out.tflite",
        quantize="float16",
        source_size_bytes=123,
        model=pointwise,
        min_agreement=1.0,
    )
    assert (report.source_size_bytes, report.size_bytes) == (123, len(pointwise))
    assert (report.quantize, report.clip_origin, report.clips) == ("float16", "here", 3)
    assert 5 <= report.source_ms < 50
    assert report.operators == operators(pointwise)


def test_a_network_is_the_same_after_taking_it_apart() -> None:
    weights = tf.constant(np.ones((4, 2)), tf.float32)
    model = to_litert_dense(weights)
    again = Editor(model).packed()
    items = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(Program(model, 1).run(items)["scores"], Program(again, 1).run(items)["scores"])


def to_litert_dense(weights: Any) -> bytes:
    class Dense:
        variables = ()

        def __call__(self, x: Any) -> Any:
            return tf.matmul(x, weights)

    return to_litert(Dense(), (1, 4))
