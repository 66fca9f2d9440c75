"""What a training computes with and changes: a network of TensorFlow variables, or a linear head by its numbers alone.

A head that is solved needs no TensorFlow: its network is the variables by name, of which the last layer's change.
"""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np

from adapters.errors import MissingExtraError
from adapters.records import Float32Array
from adapters.training.clip_features import item_probabilities
from adapters.training.head import VARIABLE_PREFIX
from adapters.training.trainable import TrainableNetwork
from adapters.training.variables import variables

OUTPUT_KERNEL, OUTPUT_BIAS = f"{VARIABLE_PREFIX}output/kernel", f"{VARIABLE_PREFIX}output/bias"


class TrainedNetwork(Protocol):
    """The network of a training run, as every phase and every figure sees it."""

    @property
    def scores_items(self) -> bool:
        """Whether the head scores each item by itself."""

    @property
    def network(self) -> TrainableNetwork:
        """The network with TensorFlow variables, for gradient steps."""

    def scores(self, features: Float32Array) -> Float32Array:
        """The scores of clips from the features of their items.

        Args:
            features: float32 [B, items, D].

        Returns:
            float32 [B, items, units] in 0..1; [B, 1, units] if the head sees the items of a clip together.
        """

    def output_layer(self) -> tuple[Float32Array, Float32Array]:
        """The last layer: kernel float32 [inputs, units], bias float32 [units]."""

    def set_output_layer(self, kernel: Float32Array, bias: Float32Array) -> None:
        """Replace the last layer.

        Args:
            kernel: float32 [inputs, units].
            bias: float32 [units].
        """

    def values(self) -> dict[str, Float32Array]:
        """Every variable by name, float32."""


class LinearNetwork:
    """A network whose head is one linear layer, by the values of its variables. No TensorFlow."""

    scores_items = True

    def __init__(self, values: dict[str, Float32Array], exclusive: bool) -> None:
        """Take over the variables.

        Args:
            values: Every variable of backbone and head, float32 by name.
            exclusive: Whether the scores are a softmax; if not, sigmoids.
        """
        self._values, self._exclusive = dict(values), exclusive

    @property
    def network(self) -> TrainableNetwork:
        """Not here: gradient steps need TensorFlow's network."""
        raise MissingExtraError("tensorflow", "train", "training by gradient steps")

    def scores(self, features: Float32Array) -> Float32Array:
        """See ``TrainedNetwork``."""
        kernel, bias = self.output_layer()
        return np.asarray(item_probabilities(features @ kernel + bias, self._exclusive), np.float32)

    def output_layer(self) -> tuple[Float32Array, Float32Array]:
        """See ``TrainedNetwork``."""
        return self._values[OUTPUT_KERNEL], self._values[OUTPUT_BIAS]

    def set_output_layer(self, kernel: Float32Array, bias: Float32Array) -> None:
        """See ``TrainedNetwork``."""
        self._values |= {OUTPUT_KERNEL: np.asarray(kernel, np.float32), OUTPUT_BIAS: np.asarray(bias, np.float32)}

    def values(self) -> dict[str, Float32Array]:
        """See ``TrainedNetwork``."""
        return dict(self._values)


class GradientNetwork:
    """A network with TensorFlow variables, which gradient steps train."""

    def __init__(self, network: TrainableNetwork) -> None:
        self.network = network

    @property
    def scores_items(self) -> bool:
        """See ``TrainedNetwork``."""
        return self.network.scores_items

    def scores(self, features: Float32Array) -> Float32Array:
        """See ``TrainedNetwork``."""
        return np.asarray(self.network.scores(features), np.float32)

    def output_layer(self) -> tuple[Float32Array, Float32Array]:
        """See ``TrainedNetwork``."""
        layer = self.network.head.get_layer(f"{VARIABLE_PREFIX}output")
        return cast(Float32Array, layer.kernel.numpy()), cast(Float32Array, layer.bias.numpy())

    def set_output_layer(self, kernel: Float32Array, bias: Float32Array) -> None:
        """See ``TrainedNetwork``."""
        layer = self.network.head.get_layer(f"{VARIABLE_PREFIX}output")
        layer.kernel.assign(np.asarray(kernel, np.float32))
        layer.bias.assign(np.asarray(bias, np.float32))

    def values(self) -> dict[str, Float32Array]:
        """See ``TrainedNetwork``."""
        return variables(self.network)
