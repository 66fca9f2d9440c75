"""The network of a frame model - backbone and head - its first weights, and what its programs follow from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.config import Config
from adapters.errors import WeightsError
from adapters.head import VARIABLE_PREFIX, build_head, output_units
from adapters.native_log import import_keras
from adapters.records import Float32Array

if TYPE_CHECKING:
    from adapters.frame_adapter import FrameModelAdapter

Variables = dict[str, Float32Array]


@dataclass(frozen=True)
class Pretrained:
    """Weights as published: the backbone's variables, and the classifier's kernel [D, C] and bias [C]."""

    backbone: Variables
    classifier: Variables


@dataclass(frozen=True)
class FrameNetwork:
    """tf_keras models that share variables. model: preprocessed frames [B, H, W, 3] to {"scores": [B, units],
    "features": [B, D]}; backbone: frames to features; head: features to scores; dropout_step: see ``build_head``."""

    model: Any
    backbone: Any
    head: Any
    dropout_step: Any


def build_frame_network(adapter: FrameModelAdapter) -> FrameNetwork:
    """The network of the adapter's config, with fresh variables."""
    keras = import_keras()
    size = adapter.config["imgz"]
    backbone = adapter.build_backbone(size, size)
    units = output_units(adapter.config, adapter.labels)
    head, step = build_head(adapter.network_config, backbone.output_shape[-1], units)
    outputs = {"scores": head(backbone.output), "features": backbone.output}
    return FrameNetwork(keras.Model(backbone.input, outputs, name="network"), backbone, head, step)


def initial_variables(adapter: FrameModelAdapter) -> Variables:
    """The variables before any training: random ones by the seed, under published ones where the config names some."""
    from adapters.variables import random_variables

    config = adapter.config
    values = random_variables(adapter.build_network().model, config["seed"])
    if config["weights"] == "random":
        return values
    pretrained = adapter.read_pretrained(adapter.weights_file())
    published = dict(pretrained.backbone)
    if config["labels"] is None:
        published |= {f"{VARIABLE_PREFIX}output/{name}": value for name, value in pretrained.classifier.items()}
    unknown = sorted(set(published) - set(values))
    missing = sorted(name for name in values if name not in published and not name.startswith(VARIABLE_PREFIX))
    if unknown or missing:
        raise WeightsError(
            f"{config['weights']}: does not fit the network: "
            + (f"it has no variable {missing[0]!r}" if missing else f"variable {unknown[0]!r} is not in the network")
        )
    return {**values, **published}


def make_backbone_bytes(adapter: FrameModelAdapter, batch: int) -> bytes:
    """A float32 LiteRT program of the backbone alone: {"features": [batch, D]}."""
    from adapters.conversion import to_litert
    from adapters.variables import assign

    size = adapter.config["imgz"]
    backbone = adapter.build_backbone(size, size)
    assign(backbone, _backbone_part(adapter.variables()))
    return to_litert(backbone, (batch, size, size, 3), output_name="features")


def program_identity(adapter: FrameModelAdapter) -> Config:
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


def backbone_identity(adapter: FrameModelAdapter) -> Config:
    """What the bytes of the backbone's program follow from. Reads weights, and needs no TensorFlow."""
    config = adapter.config
    own = {"adapter": config["adapter"], "variant": config.get("variant"), "imgz": config["imgz"]}
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
