"""The network of an adapter: backbone and head, with TensorFlow variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from adapters.records import Float32Array
from adapters.system import import_tensorflow
from adapters.training import TunableBackbone

NORM_KINDS = ("gamma", "beta", "moving_mean", "moving_variance")

Variables = dict[str, Float32Array]


@dataclass(frozen=True)
class Pretrained:
    """Weights as published.

    The classifier is used if the config names no labels of its own, or if it was made for them.

    Attributes:
        backbone: The backbone's variables, float32 by name.
        classifier: The classifier's variables by their names in this network; may be empty.
    """

    backbone: Variables
    classifier: Variables


@dataclass(frozen=True)
class BackboneShapes:
    """A backbone whose programs are written without TensorFlow: what its variables are.

    Attributes:
        variables: Shapes by name.
        feature_size: Numbers per item, D.
    """

    variables: dict[str, tuple[int, ...]]
    feature_size: int


class Backbone(TunableBackbone, Protocol):
    """Items to features, with TensorFlow variables."""

    @property
    def name(self) -> str:
        """The network's name, for messages."""

    @property
    def weights(self) -> Sequence[Any]:
        """Every tf.Variable, each of a name of its own."""

    @property
    def feature_size(self) -> int:
        """Numbers per item, D."""

    @property
    def layers_in_8_bits(self) -> Callable[[str], bool] | None:
        """Whether int8 computes the convolution of a name in 8 bits; None where measuring decides that."""

    def for_conversion(self) -> Backbone:
        """The same with its present values, in the form that converts best."""


def norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    """The variables of a batch normalisation, with their shapes.

    Args:
        name: The layer's name.
        channels: How many channels it normalises.
    """
    return {f"{name}/{kind}": (channels,) for kind in NORM_KINDS}


def norm_of(values: Mapping[str, Float32Array], name: str) -> dict[str, Float32Array]:
    """The values of a batch normalisation by kind: gamma, beta, moving_mean, moving_variance.

    Args:
        values: Variables by name.
        name: The layer's name.
    """
    return {kind: values[f"{name}/{kind}"] for kind in NORM_KINDS}


class KerasBackbone:
    """A tf_keras functional model as a backbone.

    Attributes:
        model: float32 [B, *item_shape] to features [B, D].
        name: The model's name.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.name = str(model.name)

    @property
    def weights(self) -> Sequence[Any]:
        return list(self.model.weights)

    @property
    def feature_size(self) -> int:
        return int(self.model.output_shape[-1])

    @property
    def layer_count(self) -> int:
        return len(self.model.layers)

    @property
    def layers_in_8_bits(self) -> None:
        return None

    def for_conversion(self) -> KerasBackbone:
        return self

    def tune(self, layers: int) -> tuple[Sequence[Any], Sequence[Any]]:
        first = len(self.model.layers) - layers
        for number, layer in enumerate(self.model.layers):
            # A frozen batch normalisation also keeps its statistics (tf_keras: trainable=False means inference mode).
            layer.trainable = number >= first
        statistics = [v for layer in self.model.layers[first:] for v in layer.non_trainable_variables]
        return list(self.model.trainable_variables), statistics

    def __call__(self, items: Any, training: bool = False) -> Any:
        return self.model(items, training=training)


class Network:
    """Backbone and head as one: items to {"scores": [B, units], "features": [B, D]}.

    Attributes:
        backbone: Items to features.
        head: A tf_keras model, features to scores.
        dropout_step: See ``build_head``.
        scores_items: Whether the head scores each item by itself; if not, it sees those of a clip together.
    """

    name = "network"
    scores_items = True

    def __init__(self, backbone: Backbone, head: Any, dropout_step: Any) -> None:
        self.backbone, self.head, self.dropout_step = backbone, head, dropout_step

    def for_conversion(self) -> Self:
        """The same with its present values, in the form that converts best."""
        return type(self)(self.backbone.for_conversion(), self.head, self.dropout_step)

    def scores(self, features: Any, training: bool = False) -> Any:
        """The scores of clips from the features of their items.

        Args:
            features: float32 tensor [B, items, D].
            training: Whether dropout drops.

        Returns:
            float32 tensor [B, items, units] in 0..1; [B, 1, units] if items are not scored by themselves.
        """
        tf = import_tensorflow()
        scores = self.head(tf.reshape(features, [-1, features.shape[-1]]), training=training)
        return tf.reshape(scores, [-1, features.shape[1], scores.shape[-1]])

    @property
    def weights(self) -> list[Any]:
        return [*self.backbone.weights, *self.head.weights]

    variables = weights

    def __call__(self, items: Any) -> dict[str, Any]:
        features = self.backbone(items)
        return {"scores": self.head(features), "features": features}
