"""The network of an adapter - backbone and head - its first weights, and what its programs follow from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from adapters.errors import WeightsError
from adapters.records import Float32Array
from adapters.training import VARIABLE_PREFIX, build_head, output_units

if TYPE_CHECKING:
    from adapters.models.model_adapter import ModelAdapter

Variables = dict[str, Float32Array]


@dataclass(frozen=True)
class Pretrained:
    """Weights as published: the backbone's variables, and the classifier's by their names in this network.

    The classifier is used where the config names no labels of its own, or where it is made for them.
    """

    backbone: Variables
    classifier: Variables


class Backbone(Protocol):
    """Items to features, with TensorFlow variables."""

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> Sequence[Any]:
        """Every tf.Variable, each of a name of its own."""

    @property
    def feature_size(self) -> int: ...

    @property
    def layer_count(self) -> int:
        """What ``fine_tune_layers`` and ``freeze_layers`` count."""

    def tune(self, layers: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """Make the last layers trainable and freeze the others: (trainable variables, their batch statistics)."""

    def for_conversion(self) -> Backbone:
        """The same with its present values, in the form that converts best."""

    def __call__(self, items: Any, training: bool = False) -> Any:
        """float32 [B, *item_shape] to features [B, D]; batch normalisation in inference mode unless training."""


class KerasBackbone:
    """A tf_keras functional model as a backbone."""

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

    head: a tf_keras model, features to scores. dropout_step: see ``build_head``.
    """

    name = "network"

    def __init__(self, backbone: Backbone, head: Any, dropout_step: Any) -> None:
        self.backbone, self.head, self.dropout_step = backbone, head, dropout_step

    @property
    def weights(self) -> list[Any]:
        return [*self.backbone.weights, *self.head.weights]

    variables = weights

    def __call__(self, items: Any) -> dict[str, Any]:
        features = self.backbone(items)
        return {"scores": self.head(features), "features": features}


def build_network(adapter: ModelAdapter) -> Network:
    """The network of the adapter's config, with fresh variables."""
    backbone = adapter.build_backbone()
    units = output_units(adapter.config, adapter.labels)
    return Network(backbone, *build_head(adapter.network_config, backbone.feature_size, units))


def initial_variables(adapter: ModelAdapter, network: Network | None = None) -> Variables:
    """The variables before any training: random ones by the seed, under published ones where the config names some.

    network: the adapter's, for the names and shapes; None builds one.
    """
    config = adapter.config
    values = adapter.random_variables(adapter.build_network() if network is None else network)
    if config["weights"] == "random":
        return values
    pretrained = adapter.pretrained()
    published = dict(pretrained.backbone)
    if adapter.brings_classifier:
        published |= pretrained.classifier
    else:
        # A new classifier starts from no opinion: where there are few clips, what a random one thinks of directions
        # that no clip shows would never be unlearned.
        values[f"{VARIABLE_PREFIX}output/kernel"][:] = 0
    unknown = sorted(set(published) - set(values))
    missing = sorted(name for name in values if name not in published and not name.startswith(VARIABLE_PREFIX))
    if unknown or missing:
        raise WeightsError(
            f"{config['weights']}: does not fit the network: "
            + (f"it has no variable {missing[0]!r}" if missing else f"variable {unknown[0]!r} is not in the network")
        )
    return {**values, **published}
