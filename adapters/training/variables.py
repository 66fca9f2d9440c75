"""The variables of a tf_keras model as named numpy arrays, out and in.

A variable's name here is the model's own without the ":0" that TensorFlow appends: "stem_conv/kernel". These are the
names in a bundle's weights.safetensors, so they are part of the bundle's format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.system import nearest_hint

Float32Array = npt.NDArray[np.float32]


def variables(model: Any) -> dict[str, Float32Array]:
    """Copies of all variables of a tf_keras model, trainable or not.

    Args:
        model: Anything whose ``weights`` are tf.Variables.

    Returns:
        float32 arrays by name, in the model's order.

    Raises:
        WeightsError: Two variables have one name, so such weights could not be read back.
    """
    named = _named(model)
    return {name: np.array(variable.numpy()) for name, variable in named.items()}


def assign(model: Any, values: Mapping[str, npt.NDArray[Any]]) -> None:
    """Set every variable of a tf_keras model from arrays; nothing is set unless everything fits.

    Args:
        model: Anything whose ``weights`` are tf.Variables.
        values: Arrays by name, of the variables' shapes.

    Raises:
        WeightsError: A variable is missing, unknown, of another shape or not finite; the message names it.
    """
    named = _named(model)
    shapes = {name: tuple(variable.shape) for name, variable in named.items()}
    require_variables(shapes, values, f"model {model.name!r}")
    for name, variable in named.items():
        variable.assign(np.asarray(values[name], np.float32))


def require_variables(
    shapes: Mapping[str, tuple[int, ...]], values: Mapping[str, npt.NDArray[Any]], where: str
) -> None:
    """Return if arrays are the variables of a network: every one, no other, of its shape and finite.

    Args:
        shapes: The variables' shapes by name.
        values: Arrays by name.
        where: What messages call the network.

    Raises:
        WeightsError: A variable is missing, unknown, of another shape or not finite; the message names it.
    """
    if missing := [name for name in shapes if name not in values]:
        raise WeightsError(
            f"{where}: the weights have no {missing[0]!r} ({_count(missing)} missing of {len(shapes)})"
            f"{nearest_hint(missing[0], values)}. Give weights that were made for this network and head."
        )
    if extra := [name for name in values if name not in shapes]:
        raise WeightsError(
            f"{where} has no variable {extra[0]!r} ({_count(extra)} unknown of {len(values)})"
            f"{nearest_hint(extra[0], shapes)}. Give weights that were made for this network and head."
        )
    for name, shape in shapes.items():
        _check(where, name, values[name], shape)


def random_variables(model: Any, seed: int) -> dict[str, Float32Array]:
    """Weights to test and measure with: seeded, the same on every machine, of a sound scale through a deep network.

    Kernels are normal with variance 2 / fan_in (He et al. 2015, arXiv:1502.01852), normalisation is the identity. Each
    variable draws from a generator of its own, seeded by its name, so that adding a layer changes no other.

    Args:
        model: Anything whose ``weights`` are tf.Variables.
        seed: The seed.

    Returns:
        float32 arrays by name, in the model's order.
    """
    return random_values({name: tuple(variable.shape) for name, variable in _named(model).items()}, seed)


def random_values(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Float32Array]:
    """``random_variables`` of a network whose variables are known by name and shape.

    Args:
        shapes: The variables' shapes by name.
        seed: The seed.

    Returns:
        float32 arrays by name.
    """
    return {name: _draw(name, shape, seed) for name, shape in shapes.items()}


def _named(model: Any) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for variable in model.weights:
        name = variable.name.removesuffix(":0")
        if name in named:
            raise WeightsError(
                f"model {model.name!r} has two variables named {name!r}, so its weights cannot be distinguished by "
                "name. Give each layer a name of its own."
            )
        named[name] = variable
    return named


def _check(where: str, name: str, value: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise WeightsError(
            f"{where}: {name!r} is {list(shape)}, but the weights have {list(np.shape(value))}. "
            "Give weights that were made for this network, input size and number of labels."
        )
    if not np.issubdtype(np.asarray(value).dtype, np.number) or not np.isfinite(value).all():
        raise WeightsError(
            f"{where}: the weights for {name!r} hold values that are not finite numbers. Give the weights of a "
            "training that did not diverge."
        )
    if name.endswith("moving_variance") and np.size(value) and np.min(value) < 0:
        raise WeightsError(
            f"{where}: the weights for {name!r} hold variances below 0 ({np.min(value):g}), which make every "
            "feature NaN. Give the weights of another file."
        )


def _draw(name: str, shape: tuple[int, ...], seed: int) -> Float32Array:
    kind = name.rpartition("/")[2]
    if kind in ("gamma", "moving_variance"):
        return np.ones(shape, np.float32)
    if kind in ("bias", "beta", "moving_mean"):
        return np.zeros(shape, np.float32)
    generator = np.random.default_rng([seed, *name.encode()])
    # A depthwise kernel is [h, w, channels, multiplier]: each output sees h * w inputs.
    fan_in = math.prod(shape[:2]) if kind == "depthwise_kernel" else math.prod(shape[:-1])
    return (generator.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)


def _count(names: list[str]) -> str:
    return "1 is" if len(names) == 1 else f"{len(names)} are"
