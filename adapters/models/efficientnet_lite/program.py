"""EfficientNet-Lite's variables and LiteRT program, written without TensorFlow: the same as ``network`` converted."""

from __future__ import annotations

from adapters.litert import GraphWriter, folded
from adapters.models.efficientnet_lite.network import BN_EPSILON, FEATURES, STEM_CHANNELS, Block, blocks
from adapters.models.network import BackboneShapes, Variables, norm_of, norm_shapes


def backbone_shapes(variant: str) -> BackboneShapes:
    """Every variable of one variant's backbone.

    Args:
        variant: A key of ``network.VARIANTS``.
    """
    shapes = _conv_shapes("stem", (3, 3, 3, STEM_CHANNELS))
    for index, block in enumerate(blocks(variant)):
        name, expanded = f"block{index}", block.channels_in * block.expand
        if block.expand != 1:
            shapes |= _conv_shapes(f"{name}_expand", (1, 1, block.channels_in, expanded))
        shapes[f"{name}_depthwise_conv/depthwise_kernel"] = (block.kernel, block.kernel, expanded, 1)
        shapes |= norm_shapes(f"{name}_depthwise_bn", expanded)
        shapes |= _conv_shapes(f"{name}_project", (1, 1, expanded, block.channels_out))
    shapes |= _conv_shapes("head", (1, 1, blocks(variant)[-1].channels_out, FEATURES))
    return BackboneShapes(shapes, FEATURES)


def write_backbone(writer: GraphWriter, values: Variables, variant: str) -> int:
    """Write the layers of ``network.build_backbone``.

    Args:
        writer: A program whose input is float32 [B, height, width, 3], normalised as (value - 127) / 128.
        values: The variables of ``backbone_shapes``.
        variant: A key of ``network.VARIANTS``.

    Returns:
        The features, float32 [B, 1280].
    """
    x = _conv(writer, values, writer.images, "stem", stride=2)
    for index, block in enumerate(blocks(variant)):
        x = _block(writer, values, x, f"block{index}", block)
    return writer.mean(_conv(writer, values, x, "head"), name="features")


def _block(writer: GraphWriter, values: Variables, x: int, name: str, block: Block) -> int:
    y = x if block.expand == 1 else _conv(writer, values, x, f"{name}_expand")
    layer = f"{name}_depthwise"
    kernel = values[f"{layer}_conv/depthwise_kernel"]
    kernel, bias = folded(kernel, norm_of(values, f"{layer}_bn"), BN_EPSILON, axis=2)
    y = writer.depthwise(y, kernel, bias, stride=block.stride, activation="RELU6", name=layer)
    y = _conv(writer, values, y, f"{name}_project", activate=False)
    if block.stride == 1 and block.channels_in == block.channels_out:
        y = writer.add(x, y, name=f"{name}_add")
    return y


def _conv(writer: GraphWriter, values: Variables, x: int, name: str, stride: int = 1, activate: bool = True) -> int:
    kernel, bias = folded(values[f"{name}_conv/kernel"], norm_of(values, f"{name}_bn"), BN_EPSILON)
    return writer.conv(x, kernel, bias, stride=stride, activation="RELU6" if activate else "NONE", name=name)


def _conv_shapes(name: str, kernel: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}_conv/kernel": kernel, **norm_shapes(f"{name}_bn", kernel[-1])}
