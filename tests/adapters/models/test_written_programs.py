"""Programs that are written without TensorFlow: the same as TensorFlow's converter makes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import program_formats
import pytest
from program_formats import adapter_of, describe

from adapters.errors import WeightsError
from adapters.litert import GraphWriter, Program, folded, with_16_bit_weights
from adapters.litert.graph import precision
from adapters.models import written_programs
from adapters.models.programs import get_backbone_program, make_program_bytes
from adapters.training import random_values

RECORDED = program_formats.read_record()[1]
WRITTEN = ("efficientnet_lite", "resnet18")


@pytest.fixture(autouse=True)
def _no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorflow", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("family", WRITTEN)
def test_a_network_is_written_as_tensorflow_converts_it(family: str) -> None:
    """The record is of what TensorFlow's converter made."""
    made = describe(make_program_bytes(adapter_of(family), "float32"))
    assert made.differs_from(RECORDED[f"{family} none"]) is None


def test_a_head_of_every_activation_is_written_as_tensorflow_converts_it() -> None:
    names = ("linear", "relu", "relu6", "gelu", "tanh", "hard_swish")
    layers = [layer for name in names for layer in ({"units": 6, "activation": name}, {"dropout": 0.3})]
    config = {"head": layers, "positive_label": None, "task": "multi_label"}
    sizes = [5, *[6] * len(names), 3]
    places = [f"scores_dense{index}" for index in range(len(names))] + ["scores_output"]
    shapes: dict[str, tuple[int, ...]] = {}
    for place, inputs, units in zip(places, sizes[:-1], sizes[1:], strict=True):
        shapes |= {f"{place}/kernel": (inputs, units), f"{place}/bias": (units,)}
    writer = GraphWriter((1, 5))
    scores = written_programs.write_head(writer, config, writer.images, random_values(shapes, 3))
    assert describe(writer.packed({"scores": scores})).differs_from(RECORDED["head none"]) is None


def test_less_precision_keeps_the_scores() -> None:
    adapter = adapter_of("efficientnet_lite")
    images = np.random.default_rng(0).normal(size=(2, *adapter.item_shape)).astype(np.float32)
    whole = make_program_bytes(adapter, "float32")
    expected = Program(whole, 1).run(images)["scores"]
    for quantize, tolerance in (("float16", 0.01), ("dynamic", 0.1)):
        program = Program(make_program_bytes(adapter, quantize), 1)  # type: ignore[arg-type]
        assert program.precision == quantize
        assert np.abs(program.run(images)["scores"] - expected).max() < tolerance
    assert precision(with_16_bit_weights(whole)) == "float16"


def test_features_are_those_of_the_whole_program() -> None:
    adapter = adapter_of("efficientnet_lite")
    images = np.random.default_rng(0).normal(size=(1, *adapter.item_shape)).astype(np.float32)
    whole = Program(make_program_bytes(adapter, "float32"), 1).run(images)["features"]
    backbone = Program(get_backbone_program(adapter), 1).run(images)
    assert list(backbone) == ["features"]
    assert np.array_equal(backbone["features"], whole)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stem_conv/kernel", None, "no 'stem_conv/kernel'"),
        ("stem_conv/kernel", np.zeros((3, 3, 3, 8)), "stem_conv/kernel"),
        ("head_bn/beta", np.full(1280, np.nan), "not finite"),
        ("other/kernel", np.zeros(3), "other/kernel"),
    ],
)
def test_weights_that_do_not_fit_are_named(name: str, value: Any, message: str) -> None:
    adapter = adapter_of("efficientnet_lite")
    values = adapter.variables()
    values.pop(name, None)
    if value is not None:
        values[name] = value.astype(np.float32)
    with pytest.raises(WeightsError, match=message):
        make_program_bytes(adapter, "float32")


@pytest.mark.parametrize("family", WRITTEN)
def test_a_subclass_with_another_network_is_converted(family: str) -> None:
    base = type(adapter_of(family))
    other = type("Other", (base,), {"build_backbone": lambda self: None})
    assert other(adapter_of(family).config).backbone_shapes() is None
    assert type("Same", (base,), {})(adapter_of(family).config).backbone_shapes() is not None


def test_folding_is_normalising_after_the_convolution() -> None:
    draw = np.random.default_rng(0)
    kernel, values = draw.normal(size=(4, 3)), draw.normal(size=(5, 4))
    norm = {kind: draw.uniform(0.5, 2, 3).astype(np.float32) for kind in ("gamma", "beta", "moving_mean")}
    norm["moving_variance"] = draw.uniform(0.5, 2, 3).astype(np.float32)
    scaled, bias = folded(kernel.astype(np.float32), norm, 1e-3)
    plain = (values @ kernel - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3)
    assert np.allclose(values @ scaled + bias, plain * norm["gamma"] + norm["beta"], atol=1e-5)
