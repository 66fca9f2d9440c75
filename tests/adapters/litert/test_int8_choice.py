"""int8 of convolutional networks: what computes in 8 bits, what is corrected, and what stays in float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adapters.errors import ConversionError
from adapters.litert import GraphWriter, Program, to_int8, with_8_bit_weights, xnnpack_partitions
from adapters.litert import int8_choice as choice
from adapters.litert.edit import Editor
from adapters.litert.graph import precision
from adapters.litert.int8_graph import convolutions, with_8_bit_convolutions
from adapters.litert.observed import Observed, observe

SHAPE = (1, 12, 12, 3)


def network(spread: float = 1.0, dense: int = 4) -> bytes:
    """A convolution, a depthwise one, a pointwise one with a shortcut, a mean and a dense layer.

    spread: how much larger the first channel of the depthwise layer is than the others, which 8 bits do not like.
    """
    draw = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (draw.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    writer = GraphWriter(SHAPE)
    x = writer.conv(writer.images, weights(3, 3, 3, 8), weights(1, 8)[0], stride=2, activation="RELU6", name="stem")
    y = writer.depthwise(x, weights(3, 3, 8, 1), weights(1, 8)[0], activation="RELU6", name="depthwise")
    scale = np.ones(8, np.float32)
    scale[0] = spread
    y = writer.conv(y, weights(1, 1, 8, 8) * scale, weights(1, 8)[0] * scale, name="project")
    x = writer.add(x, y, name="add")
    x = writer.conv(x, weights(1, 1, 8, 16) / spread, weights(1, 16)[0], activation="RELU6", name="head")
    features = writer.mean(x, name="features")
    scores = writer.unary("SOFTMAX", writer.dense(features, weights(16, dense), weights(1, dense)[0], name="d"), "s")
    return writer.packed({"scores": scores, "features": features})


def items(count: int = 6, seed: int = 1) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.normal(size=SHAPE).astype(np.float32) for _ in range(count)]


def test_convolutions_compute_in_8_bits_and_what_adds_up_in_float32() -> None:
    model = network()
    made = to_int8(model, items())
    assert made is not None
    assert precision(made) == "int8"
    assert xnnpack_partitions(made) in (1, None)
    graph = Editor(made).graphs()[0]
    kinds = {graph.name(int(op.outputs[0])): graph.is_float(int(op.outputs[0])) for op in graph.operators()}
    assert [kinds[name] for name in ("add", "features", "s")] == [True, True, True]
    unseen = np.concatenate(items(4, seed=2))
    expected, found = (Program(program, 1).run(unseen) for program in (model, made))
    for name in ("scores", "features"):
        assert np.abs(expected[name] - found[name]).max() < 0.03 * np.abs(expected[name]).max()


def test_the_mean_error_of_rounded_kernels_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = network(), items(24)
    observed = observe(model, seen)
    ranges = {tensor: found.range() for tensor, found in observed.items()}
    expected = Program(model, 1).run(np.concatenate(seen))["features"]

    def bias() -> float:
        made = with_8_bit_convolutions(model, observed, ranges, lambda place: True)
        return float(np.abs((Program(made, 1).run(np.concatenate(seen))["features"] - expected).mean(0)).mean())

    corrected = bias()
    monkeypatch.setattr("adapters.litert.int8_graph._Maker._error_of", lambda *_: 0.0)
    assert corrected < bias()


@pytest.mark.parametrize("most", [0, 2])
def test_the_worst_layers_stay_in_float32(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One channel that is 50 times the others takes the whole range that the head reads."""
    monkeypatch.setattr(choice, "SMALL_SHARE", 0.0)
    monkeypatch.setattr(choice, "SMALL_ERROR", 0.0)
    monkeypatch.setattr(choice, "MOST_FLOAT_LAYERS", most)
    made = to_int8(network(spread=50.0), items())
    assert made is not None
    graph = Editor(made).graphs()[0]
    names = [graph.name(int(op.outputs[0])) for op in graph.operators() if "CONV" in graph.kind(op)]
    kept = {name for name in names if not name.endswith("_int8")}
    assert len(kept) == most
    assert not kept or "head" in kept


@pytest.mark.parametrize(
    ("error", "share", "any_kept"), [(0.0, 0.01, True), (0.0, 1.0, False), (1e9, 0.0, False), (1e-12, 0.0, True)]
)
def test_layers_stay_in_float32_until_the_rest_is_small(
    error: float, share: float, any_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "SMALL_ERROR", error)
    monkeypatch.setattr(choice, "SMALL_SHARE", share)
    made = to_int8(network(spread=50.0), items())
    assert made is not None
    graph = Editor(made).graphs()[0]
    names = [graph.name(int(op.outputs[0])) for op in graph.operators() if "CONV" in graph.kind(op)]
    assert any(not name.endswith("_int8") for name in names) is any_kept


def test_large_dense_kernels_are_stored_in_8_bits() -> None:
    model = network(dense=5000)
    made = to_int8(model, items(2))
    assert made is not None
    assert len(made) < 0.6 * len(model)
    unseen = np.concatenate(items(2, seed=2))
    expected, found = (Program(program, 1).run(unseen)["scores"] for program in (model, made))
    assert np.abs(expected - found).max() < 0.05 * expected.max()


def test_convolutions_of_one_pixel_are_stored_in_8_bits() -> None:
    draw = np.random.default_rng(0)
    writer = GraphWriter((1, 2, 2, 3))
    x = writer.conv(writer.images, draw.normal(size=(1, 1, 3, 8)).astype(np.float32), np.ones(8, np.float32), name="a")
    pixel = writer.max_pool(x, 2, 1, name="pool")
    wide = draw.normal(size=(1, 1, 8, 2000)).astype(np.float32)
    model = writer.packed({"scores": writer.conv(pixel, wide, np.zeros(2000, np.float32), name="gate")})
    given = [draw.normal(size=(1, 2, 2, 3)).astype(np.float32) for _ in range(4)]
    made = to_int8(model, given)
    assert made is not None
    assert len(made) < 0.7 * len(model)
    expected, found = (Program(program, 1).run(given[0])["scores"] for program in (model, made))
    assert np.abs(expected - found).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("make", [lambda model: to_int8(model, items(2)), with_8_bit_weights])
def test_a_head_of_very_unlike_weights_keeps_its_small_ones(make: Callable[[bytes], bytes]) -> None:
    """A head that was solved on standardised features has huge weights for features that hardly vary."""
    draw = np.random.default_rng(0)
    writer = GraphWriter(SHAPE)
    kernel = draw.normal(size=(3, 3, 3, 256)).astype(np.float32)
    x = writer.conv(writer.images, kernel, np.zeros(256, np.float32), activation="RELU6", name="stem")
    features = writer.mean(x, name="features")
    weights = draw.normal(size=(256, 300)).astype(np.float32)
    weights[0], bias = 0, np.ones(300, np.float32)
    weights[0] = 5000 * np.sign(weights[1])
    model = writer.packed({"scores": writer.dense(features, weights, bias, name="d"), "features": features})
    made = Program(make(model), 1).run(items(1)[0])
    exact = made["features"] @ weights + bias
    assert np.abs(made["scores"] - exact).max() < 1e-3 * np.abs(exact).max()
    assert len(make(model)) < 0.7 * len(model)


def test_a_range_leaves_out_values_that_cost_all_others() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=50_000), [400.0]]).astype(np.float32)[:, None]
    seen = Observed(values.min(0), values.max(0), values.mean(0), values)
    assert seen.range()[1] < 400.0
    smooth = np.linspace(-1, 2, 5000, dtype=np.float32)[:, None]
    assert Observed(smooth.min(0), smooth.max(0), smooth.mean(0), smooth).range() == (-1.0, 2.0)
    above = smooth + 2
    for values, ends in ((above, (0.0, 4.0)), (-above, (-4.0, 0.0))):
        assert Observed(values.min(0), values.max(0), values.mean(0), values).range() == ends, "0 is exact"


def test_what_cannot_be_calibrated_is_said() -> None:
    with pytest.raises(ConversionError, match="holds no items"):
        to_int8(network(), [])
    with pytest.raises(ConversionError, match="not finite"):
        to_int8(network(), [np.full(SHAPE, np.nan, np.float32)])
    writer = GraphWriter((1, 4))
    dense = writer.dense(writer.images, np.eye(4, dtype=np.float32), np.ones(4, np.float32), name="d")
    assert to_int8(writer.packed({"scores": dense}), [np.ones((1, 4), np.float32)]) is None


def test_the_same_items_give_the_same_program() -> None:
    assert to_int8(network(), items()) == to_int8(network(), items())


def test_every_convolution_with_constants_is_a_candidate() -> None:
    assert [place for place, _ in convolutions(Editor(network()).graphs()[0])] == [0, 1, 2, 4]
