"""EfficientNet-Lite in tf_keras.

The Lite family is EfficientNet (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 in place
of swish, and with a stem and a head that do not scale. Stages, scaling and rounding: tensorflow/tpu,
models/official/efficientnet/lite/efficientnet_lite_builder.py and efficientnet_builder.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from adapters.system import import_keras

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
# Variant: width and depth multipliers, from efficientnet_lite_params of efficientnet_lite_builder.py.
VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
# The input sizes of the same table, in pixels. The published accuracy was measured on the middle of each picture:
# size / (size + round(size / 7)) of its shorter side, 0.875 or 0.876 (preprocessing.py), which is ``crop_fraction``.
NATIVE_SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}


def blocks(variant: str) -> list[Block]:
    """The blocks of one variant, in order.

    Args:
        variant: A key of VARIANTS.
    """
    width, _ = VARIANTS[variant]
    found: list[Block] = []
    for index, (stage, repeats) in enumerate(zip(STAGES, stage_sizes(variant), strict=True)):
        channels_in = STEM_CHANNELS if index == 0 else _scaled(stage.channels_in, width)
        channels_out = _scaled(stage.channels_out, width)
        first = Block(stage.kernel, stage.stride, stage.expand, channels_in, channels_out)
        found += [first, *[replace(first, stride=1, channels_in=channels_out)] * (repeats - 1)]
    return found


def stage_sizes(variant: str) -> list[int]:
    """How many blocks each stage of one variant has.

    Args:
        variant: A key of VARIANTS.
    """
    depth = VARIANTS[variant][1]
    # Lite does not scale the depth of the first and the last stage, nor the stem.
    return [
        stage.repeats if index in (0, len(STAGES) - 1) else math.ceil(depth * stage.repeats)
        for index, stage in enumerate(STAGES)
    ]


def build_backbone(height: int, width: int, variant: str = "lite0") -> Any:
    """EfficientNet-Lite without its classifier, with freshly initialised variables.

    Variable names are those of ``torch_names.torch_to_variables``. Batch normalisation runs in training mode only if
    the caller passes ``training=True``.

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
