"""A MoViNet without its classifier as an adapter's backbone, and the variables that it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from adapters.config import Config
from adapters.errors import WeightsError
from adapters.models import BackboneShapes, Pretrained, Variables
from adapters.training import VARIABLE_PREFIX
from adapters.training import random_values as random_head
from movinet_adapter.architecture import Architecture, variable_specs
from movinet_adapter.lowering.quantization import computes_in_8_bits
from movinet_adapter.network import MoViNetNetwork, build_movinet, freeze, random_values

CLASSIFIER = "classifier/"
# The published classifier's layers by the names that they have in an adapter's head.
HEAD_NAMES = {f"{CLASSIFIER}hidden": f"{VARIABLE_PREFIX}dense0", f"{CLASSIFIER}output": f"{VARIABLE_PREFIX}output"}


class MoViNetBackbone:
    """Clips float32 [B, T, H, W, 3] in 0..1 to features [B, D]: the pooled channels before the classifier.

    Layers are counted as the paper's: the stem, each bottleneck, and the head's convolution.
    """

    def __init__(self, network: MoViNetNetwork) -> None:
        self.network = network
        self.name = network.name

    @classmethod
    def build(cls, of: Architecture, size: int, n_frames: int) -> MoViNetBackbone:
        """Build it with random variables.

        Args:
            of: The architecture.
            size: The height and width of frames in pixels.
            n_frames: The expected length of a clip.
        """
        variant: Literal["float", "int8"] = "int8" if of.squeeze_excite == "none" else "float"
        network = build_movinet(
            of.model_id, of.mode, height=size, width=size, n_frames=n_frames, num_classes=1, variant=variant
        )
        return cls(network)

    @property
    def weights(self) -> Sequence[Any]:
        return [v for name, v in self.network.named.items() if _is_variable(v) and not name.startswith(CLASSIFIER)]

    @property
    def feature_size(self) -> int:
        return self.network.architecture.feature_size

    @property
    def layer_count(self) -> int:
        return len(self.network.architecture.layers) + 2

    def tune(self, layers: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """Choose the trainable variables of the last layers. Batch statistics stay as they were.

        Args:
            layers: How many of the last layers.

        Returns:
            The trainable tf.Variables, and no statistics.
        """
        of = self.network.architecture
        names = ["stem", *(layer.name for layer in of.layers), "head"]
        chosen = set(names[len(names) - layers :])
        return [
            variable
            for name, variable in self.network.named.items()
            if name.partition("/")[0] in chosen and variable.trainable
        ], []

    @property
    def layers_in_8_bits(self) -> Callable[[str], bool]:
        return partial(computes_in_8_bits, self.network.architecture)

    def for_conversion(self) -> MoViNetBackbone:
        return MoViNetBackbone(freeze(self.network))

    def __call__(self, items: Any, training: bool = False) -> Any:
        return self.network(items)["features"]


def backbone_shapes(of: Architecture) -> BackboneShapes:
    """Every variable of a backbone, in tf-models' order.

    Args:
        of: Its architecture.
    """
    shapes = {spec.name: spec.shape for spec in variable_specs(of, 1) if not spec.name.startswith(CLASSIFIER)}
    return BackboneShapes(shapes, of.feature_size)


def random_movinet_variables(of: Architecture, shapes: Mapping[str, tuple[int, ...]], seed: int) -> Variables:
    """Seeded variables of a MoViNet backbone and its head.

    Args:
        of: The backbone's architecture.
        shapes: The shapes of all variables by name; those of the head count.
        seed: The seed.

    Returns:
        float32 arrays by name.
    """
    values = {name: v for name, v in random_values(of, 1, seed).items() if not name.startswith(CLASSIFIER)}
    return values | random_head({name: shape for name, shape in shapes.items() if name not in values}, seed)


def published_variables(config: Config) -> Pretrained:
    """The weights that a config names, split into backbone and classifier.

    Args:
        config: A complete MoViNet config.

    Raises:
        WeightsError: They cannot be found or do not fit.
    """
    from movinet_adapter.weights.sources import resolve_weights

    weights = resolve_weights(config)
    if weights.variant != config["variant"]:
        raise WeightsError(
            f'{weights.source}: are weights of variant {weights.variant!r}, and the config\'s "variant" is '
            f"{config['variant']!r}. Set it to {weights.variant!r}"
        )
    classifier = {}
    for name, value in weights.variables.items():
        layer, _, kind = name.rpartition("/")
        if layer in HEAD_NAMES:
            # Its layers are 1x1 convolutions in the published network and dense ones here.
            classifier[f"{HEAD_NAMES[layer]}/{kind}"] = value.reshape(value.shape[-2:]) if value.ndim > 1 else value
    backbone = {name: v for name, v in weights.variables.items() if not name.startswith(CLASSIFIER)}
    return Pretrained(backbone, classifier)


def _is_variable(value: Any) -> bool:
    return hasattr(value, "assign")
