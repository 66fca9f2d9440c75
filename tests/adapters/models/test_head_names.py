"""A head's layers under PyTorch's names, run as PyTorch's Linear, activations and Dropout would run them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapters.models.weights import head_tensors
from adapters.models.weights.state_names import OUTPUT_BIAS, OUTPUT_KERNEL

DRAW = np.random.default_rng(0)
PREFIX = OUTPUT_KERNEL.removesuffix("output/kernel")


def variables(*sizes: int) -> dict[str, Any]:
    names = [f"{PREFIX}dense{number}" for number in range(len(sizes) - 2)] + [f"{PREFIX}output"]
    made: dict[str, Any] = {}
    for name, size, out in zip(names, sizes, sizes[1:], strict=False):
        made |= {f"{name}/kernel": DRAW.normal(size=(size, out)), f"{name}/bias": DRAW.normal(size=out)}
    return made


def test_a_head_without_hidden_layers_is_one_linear() -> None:
    given = variables(4, 3)
    for head in ([], [{"dropout": 0.2}]):
        found = head_tensors(given, head, "fc")
        assert set(found) == {"fc.weight", "fc.bias"}
        np.testing.assert_array_equal(found["fc.weight"], given[OUTPUT_KERNEL].T.astype(np.float32))
        np.testing.assert_array_equal(found["fc.bias"], given[OUTPUT_BIAS].astype(np.float32))
        assert found["fc.weight"].dtype == np.float32
        assert found["fc.weight"].flags.c_contiguous


@pytest.mark.parametrize(
    ("head", "places"),
    [
        # Linear, ReLU, Linear
        ([{"units": 5, "activation": "relu"}], [0, 2]),
        # Linear, Linear
        ([{"units": 5, "activation": "linear"}], [0, 1]),
        ([{"units": 5}], [0, 1]),
        # Dropout, Linear, ReLU, Dropout, Linear
        ([{"dropout": 0.1}, {"units": 5, "activation": "relu"}, {"dropout": 0.1}], [1, 4]),
        # Linear, ReLU, Linear, ReLU, Linear
        ([{"units": 5, "activation": "relu"}, {"units": 6, "activation": "relu"}], [0, 2, 4]),
    ],
)
def test_layers_have_the_places_of_a_sequential(head: list[dict[str, Any]], places: list[int]) -> None:
    sizes = [4, *(layer["units"] for layer in head if "units" in layer), 3]
    given = variables(*sizes)
    found = head_tensors(given, head, "fc")
    assert set(found) == {f"fc.{place}.{part}" for place in places for part in ("weight", "bias")}
    for place, size, out in zip(places, sizes, sizes[1:], strict=False):
        assert found[f"fc.{place}.weight"].shape == (out, size)
    last = places[-1]
    np.testing.assert_array_equal(found[f"fc.{last}.weight"], given[OUTPUT_KERNEL].T.astype(np.float32))
    np.testing.assert_array_equal(found[f"fc.{places[0]}.bias"], given[f"{PREFIX}dense0/bias"].astype(np.float32))
