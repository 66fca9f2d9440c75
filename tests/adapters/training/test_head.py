"""The head: its layers and activations, its dropout, and what its outputs mean for each task."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from adapters.training import build_head, class_scores, output_activation, output_units
from adapters.training.head import targets

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")

LABELS = ("bike", "cat", "drone")
PAIR = ("calm", "stunt")
POINTS = np.array([-5, -3.5, -3, -1.5, -0.5, 0, 0.5, 1, 2.5, 3, 4, 7], np.float32)
BY_HAND = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "hard_swish": lambda x: x * min(max(x + 3, 0), 6) / 6,  # Howard et al. 2019
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,  # Hendrycks and Gimpel 2016
    "swish": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


def config(head: list[dict[str, Any]] | None = None, **keys: Any) -> dict[str, Any]:
    return {"task": "single_label", "positive_label": None, "head": head or [], **keys}


def set_kernels(head: Any, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for variable in head.variables:
        variable.assign(rng.normal(0, 0.6, variable.shape))


def test_without_layers_of_its_own_it_is_one_dense_layer_and_softmax() -> None:
    head, _ = build_head(config(), 4, 3)
    set_kernels(head)
    kernel, bias = (variable.numpy() for variable in head.variables)
    assert (kernel.shape, bias.shape) == ((4, 3), (3,))
    features = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    sums = np.exp(features @ kernel + bias)
    np.testing.assert_allclose(head(features), sums / sums.sum(axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_each_activation_is_the_published_function(name: str) -> None:
    head, _ = build_head(config([{"units": 1, "activation": name}], positive_label="stunt"), 1, 1)
    head.get_layer("scores_dense0").set_weights([np.ones((1, 1)), np.zeros(1)])
    head.get_layer("scores_output").set_weights([np.ones((1, 1)), np.zeros(1)])
    expected = [1 / (1 + math.exp(-BY_HAND[name](float(x)))) for x in POINTS]
    np.testing.assert_allclose(np.ravel(head(POINTS[:, None])), expected, atol=2e-6)


def test_layers_are_in_the_order_of_the_config_and_named_by_their_place() -> None:
    layers = [{"units": 7, "activation": "relu"}, {"dropout": 0.5}, {"units": 5}, {"units": 2, "activation": "tanh"}]
    head, _ = build_head(config(layers), 4, 3)
    shapes = {variable.name.partition(":")[0]: tuple(variable.shape) for variable in head.variables}
    assert shapes == {
        "scores_dense0/kernel": (4, 7),
        "scores_dense0/bias": (7,),
        "scores_dense1/kernel": (7, 5),
        "scores_dense1/bias": (5,),
        "scores_dense2/kernel": (5, 2),
        "scores_dense2/bias": (2,),
        "scores_output/kernel": (2, 3),
        "scores_output/bias": (3,),
    }


# Dropout --------------------------------------------------------------------------------------------------------------


def dropped(head: Any, step: Any, at: tuple[int, int], units: int = 400) -> np.ndarray:
    """The features [1, units] of ones as they reach the output layer, which must be the identity."""
    head.get_layer("scores_output").set_weights([np.eye(units), np.zeros(units)])
    step.assign(at)
    return np.asarray(head(np.ones((1, units), np.float32), training=True))[0]


def open_dropout(rates: list[float], units: int = 400) -> tuple[Any, Any]:
    """Sigmoid outputs, one for each feature: 0.5 where it was dropped."""
    return build_head(config([{"dropout": rate} for rate in rates], task="multi_label"), units, units)


def test_dropout_follows_from_seed_and_step_and_keeps_the_mean() -> None:
    head, step = open_dropout([0.25])
    masks = {at: dropped(head, step, at) for at in ((1, 0), (1, 1), (2, 0), (2, 1))}
    for at, mask in masks.items():
        np.testing.assert_array_equal(mask, dropped(head, step, at))
        kept = mask > 0.5
        assert 0.65 < kept.mean() < 0.85
        np.testing.assert_allclose(mask[kept], 1 / (1 + np.exp(-1 / 0.75)), rtol=1e-5)
    found = [(mask > 0.5).tobytes() for mask in masks.values()]
    assert len(set(found)) == 4


def test_two_dropout_layers_drop_other_features() -> None:
    """With one mask for both layers, half of the features would stay, instead of a quarter."""
    head, step = open_dropout([0.5, 0.5])
    assert 0.15 < (dropped(head, step, (3, 5)) > 0.5).mean() < 0.35


def test_nothing_is_dropped_in_prediction() -> None:
    head, step = open_dropout([0.9])
    dropped(head, step, (0, 0))
    ones = np.ones((1, 400), np.float32)
    for scores in (head(ones), head(ones, training=False)):
        np.testing.assert_allclose(scores, np.full((1, 400), 1 / (1 + math.exp(-1))), rtol=1e-6)


# What outputs mean ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys, units, activation",
    [
        ({}, 3, "softmax"),
        ({"task": "multi_label"}, 3, "sigmoid"),
        ({"positive_label": "cat"}, 1, "sigmoid"),
    ],
)
def test_each_task_has_its_outputs(keys: dict[str, Any], units: int, activation: str) -> None:
    assert output_units(config(**keys), LABELS) == units
    assert output_activation(config(**keys)) == activation


@pytest.mark.parametrize("positive", PAIR)
def test_one_sigmoid_is_the_score_of_the_positive_label(positive: str) -> None:
    outputs = np.array([[0.9], [0.25]], np.float32)
    scores = class_scores(outputs, config(positive_label=positive), PAIR)
    assert scores.dtype == np.float32
    place = PAIR.index(positive)
    np.testing.assert_allclose(scores[:, place], [0.9, 0.25])
    np.testing.assert_allclose(scores[:, 1 - place], [0.1, 0.75], atol=1e-6)
    right = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(targets(right, config(positive_label=positive), PAIR), right[:, [place]])


def test_outputs_of_their_own_are_the_scores_and_targets() -> None:
    outputs = np.array([[0.2, 0.5, 0.3]], np.float32)
    np.testing.assert_array_equal(class_scores(outputs, config(), LABELS), outputs)
    right = np.array([[True, False, True]])
    found = targets(right, config(task="multi_label"), LABELS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 0, 1]])
