"""A MoViNet with TensorFlow variables: build it, compute with it, freeze it for conversion.

Its variables go in and out by name: ``variables(network)`` and ``assign(network, values)`` of ``training.variables``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from adapters.errors import ConfigError
from adapters.records import Float32Array
from adapters.system import import_tensorflow
from movinet_adapter.architecture import (
    MINIMUM_SIZE,
    Architecture,
    StateSpec,
    VariableSpec,
    architecture,
    state_specs,
    variable_specs,
)
from movinet_adapter.lowering.budget import layers_by_frame
from movinet_adapter.lowering.folding import fold
from movinet_adapter.lowering.lowering import LoweredNetwork, Observe, Tensor, clip_outputs, step_outputs


@dataclass(frozen=True, eq=False)
class MoViNetNetwork:
    """A size, a mode, a frame size and variables. Call it on a batch of clips; ``step`` it along a stream.

    Attributes:
        name: Such as movinet_a0_stream.
        architecture: Its layers.
        num_classes: Outputs of the classifier.
        height: The height of frames in pixels.
        width: The width of frames in pixels.
        n_frames: The expected length of a clip; the network itself accepts any.
        named: Each variable by name, in tf-models' order: tf.Variables, or numpy arrays if it is frozen.
        by_frame: How many layers compute one frame at a time; see ``freeze``.
    """

    name: str
    architecture: Architecture
    num_classes: int
    height: int
    width: int
    n_frames: int
    named: Mapping[str, Any]
    by_frame: int = 0

    @property
    def variables(self) -> list[Any]:
        """The tf.Variables; none where it is frozen."""
        return [value for value in self.named.values() if not isinstance(value, np.ndarray)]

    @property
    def weights(self) -> list[Any]:
        return self.variables

    @property
    def trainable_variables(self) -> list[Any]:
        """Those that gradients train: all but the moving statistics of batch normalisation."""
        return [variable for variable in self.variables if variable.trainable]

    @property
    def states(self) -> dict[str, StateSpec]:
        """The stream states by name; ConfigError in base mode."""
        return state_specs(self.architecture, self.height, self.width)

    def __call__(self, frames: Tensor, *, running: bool = False, observe: Observe | None = None) -> dict[str, Tensor]:
        """Whole clips, float32 [B, T, height, width, 3] RGB in 0..1 with T static, to logits and features.

        Differentiable, with batch normalisation in inference mode; see ``lowering.clip_outputs``.
        """
        return clip_outputs(self.lowered(), frames, running=running, observe=observe)

    def step(
        self, frames: Tensor, states: Mapping[str, Tensor], *, running: bool = False
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the next frames of one stream.

        Args:
            frames: float32 [1, n, height, width, 3] RGB in 0..1.
            states: Arrays or tensors as ``states`` describes; ``initial_states`` makes those of a new stream.
            running: Whether to return the outputs after each frame too.

        Returns:
            The outputs by name, and the new states by name.
        """
        return step_outputs(self.lowered(), frames, states, running=running)

    def lowered(self) -> LoweredNetwork:
        """The network as it is computed. In a tf.function gradients flow through it to the variables."""
        of = self.architecture
        scales = {layer.name: self.named[f"{layer.name}/se/position_scale"] for layer in of.layers if of.positions}
        return LoweredNetwork(of, fold(of, self.num_classes, self.named), scales, self.by_frame)


def build_movinet(
    model_id: str,
    mode: str,
    *,
    height: int,
    width: int,
    n_frames: int,
    num_classes: int,
    variant: Literal["float", "int8"] = "float",
    seed: int = 0,
) -> MoViNetNetwork:
    """Build a MoViNet with random variables (``random_values``). Imports TensorFlow; takes well under a second.

    Args:
        model_id: a0 to a5.
        mode: base or stream.
        height: The height of frames in pixels, at least 32.
        width: The width of frames in pixels, at least 32.
        n_frames: The expected length of a clip; the network itself accepts any.
        num_classes: Outputs of the classifier.
        variant: "int8" for the stream network that the published int8 models are.
        seed: The seed of the variables.

    Raises:
        ConfigError: A value is not allowed.
    """
    of = architecture(model_id, mode, variant=variant)
    for key, value, least in (
        ("height", height, MINIMUM_SIZE),
        ("width", width, MINIMUM_SIZE),
        ("n_frames", n_frames, 1),
        ("num_classes", num_classes, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f'"{key}" is {value!r} and must be a whole number of at least {least}.')
    tf = import_tensorflow()
    specs, values = variable_specs(of, num_classes), random_values(of, num_classes, seed)
    named = {spec.name: tf.Variable(values[spec.name], trainable=spec.trainable, name=spec.name) for spec in specs}
    return MoViNetNetwork(f"movinet_{model_id}_{mode}", of, num_classes, height, width, n_frames, named)


def freeze(network: MoViNetNetwork, *, by_frame: int | None = None) -> MoViNetNetwork:
    """The same network with its present values as numpy constants, for conversion.

    Batch normalisation and rezero are then part of the kernels before the converter sees them.

    Args:
        network: The network.
        by_frame: Of base mode, how many layers a program of one clip computes one frame at a time. That is faster while
            a frame's activations fit into a core's cache and those of all frames do not, and each frame adds operators.
            None: ``layers_by_frame``.
    """
    of = network.architecture
    if by_frame is None:
        by_frame = layers_by_frame(of, network.n_frames)
    values = {name: _constant(value) for name, value in network.named.items()}
    return replace(network, named=values, by_frame=by_frame if of.mode == "base" else 0)


def _constant(value: Any) -> Float32Array:
    return value if isinstance(value, np.ndarray) else np.array(value.numpy())


def random_values(of: Architecture, num_classes: int, seed: int) -> dict[str, Float32Array]:
    """Weights to train from, test and measure with: the same on every machine, each variable drawn by its own name.

    Kernels are normal with variance 2 / fan_in (He et al. 2015, arXiv:1502.01852), the output layer's with deviation
    0.01; normalisation is the identity. tf-models starts every rezero factor at 0, so that an untrained network sees
    nothing but its shortcuts; here they start at 0.5, so that every layer takes part.

    Args:
        of: The architecture.
        num_classes: Outputs of the classifier.
        seed: The seed.

    Returns:
        float32 arrays by name, in tf-models' order.
    """
    return {spec.name: _draw(spec, seed) for spec in variable_specs(of, num_classes)}


def _draw(spec: VariableSpec, seed: int) -> Float32Array:
    kind = spec.name.rpartition("/")[2]
    constants = {"gamma": 1.0, "moving_variance": 1.0, "rezero": 0.5, "position_scale": 0.1}
    if not kind.endswith("kernel"):
        return np.full(spec.shape, constants.get(kind, 0.0), np.float32)
    # A depthwise kernel of stream mode is [h, w, channels, 1]: each output sees h * w inputs.
    fan_in = math.prod(spec.shape[:2] if kind == "depthwise_kernel" else spec.shape[:-1])
    deviation = 0.01 if spec.name == "classifier/output/kernel" else math.sqrt(2 / fan_in)
    generator = np.random.default_rng([seed, *spec.name.encode()])
    return (generator.standard_normal(spec.shape) * deviation).astype(np.float32)
