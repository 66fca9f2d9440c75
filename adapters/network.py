"""The network of an adapter - backbone and head - its first weights, and what its programs follow from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from adapters.config import Config
from adapters.errors import WeightsError
from adapters.head import VARIABLE_PREFIX, build_head, output_units
from adapters.records import Float32Array

if TYPE_CHECKING:
    from adapters.model_adapter import ModelAdapter

Variables = dict[str, Float32Array]


@dataclass(frozen=True)
class Pretrained:
    """Weights as published: the backbone's variables, and the classifier's by their names in this network.

    The classifier is used where the config names no labels of its own.
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


def initial_variables(adapter: ModelAdapter) -> Variables:
    """The variables before any training: random ones by the seed, under published ones where the config names some."""
    from adapters.variables import random_variables

    config = adapter.config
    values = random_variables(adapter.build_network(), config["seed"])
    if config["weights"] == "random":
        return values
    pretrained = adapter.read_pretrained(adapter.weights_file())
    published = dict(pretrained.backbone)
    if config["labels"] is None:
        published |= pretrained.classifier
    unknown = sorted(set(published) - set(values))
    missing = sorted(name for name in values if name not in published and not name.startswith(VARIABLE_PREFIX))
    if unknown or missing:
        raise WeightsError(
            f"{config['weights']}: does not fit the network: "
            + (f"it has no variable {missing[0]!r}" if missing else f"variable {unknown[0]!r} is not in the network")
        )
    return {**values, **published}


def make_backbone_bytes(adapter: ModelAdapter, batch: int) -> bytes:
    """A float32 LiteRT program of the backbone alone: {"features": [batch, D]}."""
    from adapters.conversion import to_litert
    from adapters.variables import assign

    backbone = adapter.build_backbone()
    assign(backbone, _backbone_part(adapter.variables()))
    return to_litert(_WithVariables(backbone), (batch, *adapter.item_shape), output_name="features")


class _WithVariables:
    """A backbone under the name by which the converter finds variables."""

    def __init__(self, backbone: Backbone) -> None:
        self.variables, self.backbone = list(backbone.weights), backbone

    def __call__(self, items: Any) -> Any:
        return self.backbone(items)


def program_identity(adapter: ModelAdapter) -> Config:
    """What the bytes of the config's program follow from."""
    config = adapter.network_config
    keys = ("head", "task", "positive_label", "labels", "quantize")
    own = {key: config[key] for key in keys} | {"name": adapter.program_name(), "classes": len(adapter.labels)}
    own |= {"backbone": backbone_identity(adapter)}
    if adapter.trained:
        own["variables"] = _digest(adapter.variables())
    elif config["weights"] == "random":
        own["seed"] = config["seed"]
    return own


def backbone_identity(adapter: ModelAdapter) -> Config:
    """What the bytes of the backbone's program follow from. Reads weights, and needs no TensorFlow."""
    config = adapter.config
    own = {"adapter": config["adapter"]} | {key: config[key] for key in adapter.backbone_keys}
    if not adapter.trained and config["weights"] == "random":
        return own | {"seed": config["seed"]}
    if adapter.trained:
        return own | {"variables": _digest(_backbone_part(adapter.variables()))}
    return own | {"variables": _digest(adapter.read_pretrained(adapter.weights_file()).backbone)}


def _backbone_part(variables: Mapping[str, Float32Array]) -> Variables:
    return {name: value for name, value in variables.items() if not name.startswith(VARIABLE_PREFIX)}


def _digest(variables: Mapping[str, Float32Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(variables):
        value = np.ascontiguousarray(variables[name])
        digest.update(f"{name} {value.shape} {value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
