"""ResNet18's variables and LiteRT program, written without TensorFlow: the same as ``network`` converted."""

from __future__ import annotations

from typing import Literal

from adapters.litert import GraphWriter, folded
from adapters.models.network import BackboneShapes, Variables, norm_of, norm_shapes
from adapters.models.resnet18.network import BN_EPSILON, FEATURES, STAGES, STEM_CHANNELS


def backbone_shapes() -> BackboneShapes:
    """Every variable of the backbone."""
    shapes = _shapes("conv1", "bn1", (7, 7, 3, STEM_CHANNELS))
    inputs = STEM_CHANNELS
    for stage, channels in enumerate(STAGES, 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes |= _shapes(f"{name}.conv1", f"{name}.bn1", (3, 3, inputs, channels))
            shapes |= _shapes(f"{name}.conv2", f"{name}.bn2", (3, 3, channels, channels))
            if stage > 1 and block == 0:
                shapes |= _shapes(f"{name}.downsample.0", f"{name}.downsample.1", (1, 1, inputs, channels))
            inputs = channels
    return BackboneShapes(shapes, FEATURES)


def write_backbone(writer: GraphWriter, values: Variables) -> int:
    """Write the layers of ``network.build_backbone``.

    Args:
        writer: A program whose input is float32 [B, height, width, 3], normalised as torchvision's.
        values: The variables of ``backbone_shapes``.

    Returns:
        The features, float32 [B, 512].
    """
    x = _conv(writer, values, writer.images, ("conv1", "bn1"), stride=2, activation="RELU")
    x = writer.max_pool(writer.pad(x, 1, name="maxpool_pad"), 3, 2, name="maxpool")
    for stage in range(1, len(STAGES) + 1):
        for block in range(2):
            x = _block(writer, values, x, f"layer{stage}.{block}", stride=2 if stage > 1 and block == 0 else 1)
    return writer.mean(x, name="features")


def _block(writer: GraphWriter, values: Variables, x: int, name: str, stride: int) -> int:
    y = _conv(writer, values, x, (f"{name}.conv1", f"{name}.bn1"), stride=stride, activation="RELU")
    y = _conv(writer, values, y, (f"{name}.conv2", f"{name}.bn2"))
    if stride != 1:
        x = _conv(writer, values, x, (f"{name}.downsample.0", f"{name}.downsample.1"), stride=stride)
    return writer.add(y, x, activation="RELU", name=f"{name}.add")


def _conv(
    writer: GraphWriter,
    values: Variables,
    x: int,
    names: tuple[str, str],
    stride: int = 1,
    activation: Literal["NONE", "RELU"] = "NONE",
) -> int:
    """A convolution that pads kernel // 2 on every side, which SAME does at stride 1 alone; see ``network``."""
    conv, norm = names
    kernel, bias = folded(values[f"{conv}/kernel"], norm_of(values, norm), BN_EPSILON)
    if stride != 1 and len(kernel) > 1:
        x = writer.pad(x, len(kernel) // 2, name=f"{conv}.pad")
    padding: Literal["SAME", "VALID"] = "SAME" if stride == 1 else "VALID"
    return writer.conv(x, kernel, bias, stride=stride, padding=padding, activation=activation, name=conv)


def _shapes(conv: str, norm: str, kernel: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{conv}/kernel": kernel, **norm_shapes(norm, kernel[-1])}
