"""The six MoViNets as data: layers, variables and stream states. No TensorFlow.

The table architectures.json holds, for each layer, [expanded filters, temporal kernel, spatial kernel, spatial stride]
(Kondratyuk et al. 2021, "MoViNets", arXiv:2103.11511, appendix; tests compare it with tf-models-official). Variables
have the order and the shapes of tf-models' ``MovinetClassifier(...).variables``, which are also those of the published
SavedModels. Their names are ours: those of tf-models repeat ("scale") and depend on what a process built before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import ConfigError

Mode = Literal["base", "stream"]
Activation = Literal["swish", "hard_swish", "relu6"]
Gating = Literal["sigmoid", "hard_sigmoid"]
SqueezeExcite = Literal["time", "time_and_frame", "none"]

MODEL_IDS = ("a0", "a1", "a2", "a3", "a4", "a5")
MODES: tuple[Mode, ...] = ("base", "stream")
DENSE_UNITS = 2048  # the classifier's hidden layer, the same in every size
BATCH_NORM_EPSILON = 1e-3
MINIMUM_SIZE = 32  # five halvings leave one pixel
_WITH_POSITIONS = ("a3", "a4", "a5")  # the stream models with a positional encoding
_TABLE = Path(__file__).with_name("architectures.json")


@dataclass(frozen=True)
class Layer:
    """One inverted bottleneck.

    Attributes:
        name: Such as block1_layer0.
        inputs: Input channels.
        filters: Output channels.
        expanded: Channels between expansion and projection.
        kernel_time: The depthwise kernel's frames.
        kernel: The depthwise kernel's height and width.
        stride: The spatial stride.
        halvings: How often the frame was halved before it.
    """

    name: str
    inputs: int
    filters: int
    expanded: int
    kernel_time: int
    kernel: int
    stride: int
    halvings: int

    @property
    def has_skip_projection(self) -> bool:
        """Whether the shortcut is pooled and projected rather than the input itself."""
        return self.stride > 1 or self.inputs != self.filters


@dataclass(frozen=True)
class Architecture:
    """The layers of a size and mode.

    Attributes:
        model_id: a0 to a5.
        mode: base or stream.
        stem: Channels of the first convolution.
        layers: The bottlenecks in order.
        head: Channels of the last convolution, the features.
        activation: The activation of the backbone.
        classifier_activation: That of the classifier's hidden layer. The published stream models have swish there
            although the rest has hard_swish: their training configs (tf-models, configs/yaml) set the backbone's
            activation alone.
        gating: The activation of the gates.
        squeeze_excite: The gate sees a mean over the clip (``time``) or, in stream mode, the running mean beside the
            frame's own (``time_and_frame``). The published int8 stream model has ``none`` and relu6.
        positions: Whether gates see a positional encoding.
    """

    model_id: str
    mode: Mode
    stem: int
    layers: tuple[Layer, ...]
    head: int
    activation: Activation
    classifier_activation: Activation
    gating: Gating
    squeeze_excite: SqueezeExcite
    positions: bool

    @property
    def feature_size(self) -> int:
        """Channels of the pooled features, before the classifier's two dense layers."""
        return self.head

    @property
    def squeeze_inputs(self) -> int:
        """What the gate sees, as a multiple of the layer's channels."""
        return 2 if self.squeeze_excite == "time_and_frame" else 1


@dataclass(frozen=True)
class Conv:
    """One convolution or dense layer.

    Attributes:
        name: The common name of its variables.
        shape: The kernel's shape.
        normalised: Whether batch normalisation follows; otherwise a bias.
        kernel_name: The kernel's last name.
    """

    name: str
    shape: tuple[int, ...]
    normalised: bool = True
    kernel_name: str = "kernel"


@dataclass(frozen=True)
class VariableSpec:
    """A variable.

    Attributes:
        name: Its name.
        shape: Its shape.
        trainable: Whether gradients train it; moving statistics are not.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool = True


@dataclass(frozen=True)
class StateSpec:
    """One stream state.

    Attributes:
        shape: Its shape.
        dtype: float32 for sums and buffers, int32 for counts.
    """

    shape: tuple[int, ...]
    dtype: Literal["float32", "int32"]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"shape": list(self.shape), "dtype": self.dtype}


@cache
def architecture(model_id: str, mode: str, *, variant: Literal["float", "int8"] = "float") -> Architecture:
    """The architecture of a size and mode.

    Args:
        model_id: a0 to a5.
        mode: base or stream.
        variant: ``int8`` for the architecture that the published int8 stream models were trained as.

    Raises:
        ConfigError: The size, mode or variant is unknown.
    """
    _check("model_id", model_id, MODEL_IDS)
    _check("model_mode", mode, MODES)
    _check("variant", variant, ("float", "int8") if mode == "stream" else ("float",))
    row = json.loads(_TABLE.read_text(encoding="utf-8"))[model_id]
    plain = mode == "stream" and variant == "int8"
    return Architecture(
        model_id=model_id,
        mode="base" if mode == "base" else "stream",
        stem=row["stem"],
        layers=tuple(_layers(row)),
        head=row["head"],
        activation="swish" if mode == "base" else "relu6" if plain else "hard_swish",
        classifier_activation="relu6" if plain else "swish",
        gating="sigmoid" if mode == "base" else "hard_sigmoid",
        squeeze_excite="time" if mode == "base" else "none" if plain else "time_and_frame",
        positions=mode == "stream" and not plain and model_id in _WITH_POSITIONS,
    )


def convolutions(of: Architecture, layer: Layer) -> dict[str, Conv]:
    """The convolutions of one bottleneck by their part in it."""
    name, wide = layer.name, layer.expanded
    found = {"expansion": _pointwise(of, f"{name}/expansion", layer.inputs, wide)}
    if of.mode == "base":
        found["feature"] = Conv(f"{name}/feature", (layer.kernel_time, layer.kernel, layer.kernel, 1, wide))
    else:
        shape = (layer.kernel, layer.kernel, wide, 1)
        found["feature"] = Conv(f"{name}/feature", shape, kernel_name="depthwise_kernel")
        if layer.kernel_time > 1:
            shape = (layer.kernel_time, 1, wide, 1)
            found["temporal"] = Conv(f"{name}/feature/temporal", shape, kernel_name="depthwise_kernel")
    found["projection"] = _pointwise(of, f"{name}/projection", wide, layer.filters)
    if of.squeeze_excite != "none":
        seen, hidden = wide * of.squeeze_inputs, squeeze_filters(of, layer)
        found["se_reduce"] = _pointwise(of, f"{name}/se/reduce", seen, hidden, normalised=False)
        found["se_expand"] = _pointwise(of, f"{name}/se/expand", hidden, wide, normalised=False)
    if layer.has_skip_projection:
        found["skip"] = _pointwise(of, f"{name}/skip", layer.inputs, layer.filters)
    return found


def stem_conv(of: Architecture) -> Conv:
    """The first convolution."""
    return Conv("stem", ((1,) if of.mode == "base" else ()) + (3, 3, 3, of.stem))


def head_conv(of: Architecture) -> Conv:
    """The last convolution of the backbone."""
    return _pointwise(of, "head", of.layers[-1].filters, of.head)


def classifier_convs(of: Architecture, num_classes: int) -> tuple[Conv, Conv]:
    """The classifier's hidden layer and its output layer."""
    hidden = _pointwise(of, "classifier/hidden", of.head, DENSE_UNITS, normalised=False)
    return hidden, _pointwise(of, "classifier/output", DENSE_UNITS, num_classes, normalised=False)


def squeeze_filters(of: Architecture, layer: Layer) -> int:
    """Hidden channels of the gate: a quarter of what it sees, rounded to a multiple of 8 by no more than 10% down."""
    wanted = 0.25 * layer.expanded * of.squeeze_inputs
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def variable_specs(of: Architecture, num_classes: int) -> list[VariableSpec]:
    """Every variable in tf-models' order: layer by layer, what is trained and then the moving statistics."""
    found = _group([[stem_conv(of)]])
    for layer in of.layers:
        parts = convolutions(of, layer)
        blocks = [[parts["expansion"]], [parts[key] for key in ("feature", "temporal") if key in parts]]
        blocks += [[parts["projection"]]]
        squeeze = [[parts[key]] for key in ("se_reduce", "se_expand") if key in parts]
        skip = [[parts["skip"]]] if "skip" in parts else []
        positions = VariableSpec(f"{layer.name}/se/position_scale", ()) if of.positions else None
        rezero = VariableSpec(f"{layer.name}/rezero", ())
        found += _group(blocks, squeeze, skip, before_squeeze=positions, last=rezero)
    found += _group([[head_conv(of)]])
    for conv in classifier_convs(of, num_classes):
        found += _group([[conv]])
    return found


def state_specs(of: Architecture, height: int, width: int) -> dict[str, StateSpec]:
    """The states of one stream, under tf-models' names and in its order. All begin at zero.

    ``*_stream_buffer``: float32 [1, kernel_time - 1, h, w, C], the last frames that a temporal convolution saw;
    ``*_pool_buffer``: float32 [1, 1, 1, 1, C], the sum of what was pooled; ``*_frame_count``: int32 [1], frames so far.

    Args:
        of: An architecture in stream mode.
        height: The height of frames in pixels.
        width: The width of frames in pixels.

    Raises:
        ConfigError: Base mode has no states.
    """
    if of.mode != "stream":
        raise ConfigError(f'{of.model_id} base has no stream states. Use "model_mode": "stream".')
    states: dict[str, StateSpec] = {}
    for layer in of.layers:
        prefix = f"state_{layer.name}"
        if layer.kernel_time > 1:
            # Strides are applied by the spatial convolution, before the buffer.
            scale = 2 ** (layer.halvings + (layer.stride > 1))
            size = (math.ceil(height / scale), math.ceil(width / scale), layer.expanded)
            states[f"{prefix}_stream_buffer"] = StateSpec((1, layer.kernel_time - 1, *size), "float32")
        if of.squeeze_excite == "time_and_frame":
            states[f"{prefix}_pool_buffer"] = StateSpec((1, 1, 1, 1, layer.expanded), "float32")
            states[f"{prefix}_pool_frame_count"] = StateSpec((1,), "int32")
        if of.positions:
            states[f"{prefix}_pos_enc_frame_count"] = StateSpec((1,), "int32")
    states["state_head_pool_buffer"] = StateSpec((1, 1, 1, 1, of.head), "float32")
    states["state_head_pool_frame_count"] = StateSpec((1,), "int32")
    return states


def initial_states(specs: dict[str, StateSpec]) -> dict[str, npt.NDArray[Any]]:
    """The states of a stream that has seen nothing: zeros, new arrays at each call."""
    return {name: np.zeros(spec.shape, spec.dtype) for name, spec in specs.items()}


def _layers(row: dict[str, Any]) -> Iterator[Layer]:
    inputs, halvings = row["stem"], 1
    for number, block in enumerate(row["blocks"]):
        for index, (expanded, kernel_time, kernel, stride) in enumerate(block["layers"]):
            name = f"block{number}_layer{index}"
            yield Layer(name, inputs, block["filters"], expanded, kernel_time, kernel, stride, halvings)
            inputs, halvings = block["filters"], halvings + (stride > 1)


def _pointwise(of: Architecture, name: str, inputs: int, outputs: int, *, normalised: bool = True) -> Conv:
    return Conv(name, ((1,) if of.mode == "base" else ()) + (1, 1, inputs, outputs), normalised)


def _group(
    *parts: list[list[Conv]], before_squeeze: VariableSpec | None = None, last: VariableSpec | None = None
) -> list[VariableSpec]:
    """A layer's variables; within a block of convolutions normalisation comes before kernels."""
    trained: list[VariableSpec] = []
    moving: list[VariableSpec] = []
    for index, blocks in enumerate(parts):
        if index == 1 and before_squeeze is not None:
            trained.append(before_squeeze)
        for block in blocks:
            for conv in block:
                size = (_outputs(conv),)
                if conv.normalised:
                    trained += [VariableSpec(f"{conv.name}/bn/{part}", size) for part in ("gamma", "beta")]
                    statistics = ("moving_mean", "moving_variance")
                    moving += [VariableSpec(f"{conv.name}/bn/{part}", size, False) for part in statistics]
            for conv in block:
                trained.append(VariableSpec(f"{conv.name}/{conv.kernel_name}", conv.shape))
                if not conv.normalised:
                    trained.append(VariableSpec(f"{conv.name}/bias", (_outputs(conv),)))
    return trained + ([last] if last else []) + moving


def _outputs(conv: Conv) -> int:
    return conv.shape[-2] if conv.kernel_name == "depthwise_kernel" else conv.shape[-1]


def _check(key: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f'"{key}" is {value!r} and must be one of: {", ".join(allowed)}.')
