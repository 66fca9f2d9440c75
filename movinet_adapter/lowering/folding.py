"""Variables to what the lowered network computes with: 2D kernels and biases, batch normalisation folded in.

A normalised convolution, gamma * (k * x - mean) / sqrt(variance + epsilon) + beta, is the convolution with the kernel
k * s and the bias beta - mean * s, where s = gamma / sqrt(variance + epsilon). The projection takes the layer's rezero
factor into its kernel and bias in the same way. Works on numpy arrays and on TensorFlow variables, for which it is
differentiable: training computes with batch normalisation in inference mode and still trains gamma and beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from movinet_adapter.architecture import (
    BATCH_NORM_EPSILON,
    Architecture,
    Conv,
    classifier_convs,
    convolutions,
    head_conv,
    stem_conv,
)


@dataclass(frozen=True)
class FoldedConv:
    """One convolution as it is computed, with batch normalisation folded in.

    Attributes:
        kernel: Dense [in, out]; 1x1 [1, 1, in, out]; stem [3, 3, in, out]; depthwise a tuple of [k, k, C, 1], one for
            each temporal tap (one in stream mode); temporal [kernel_time, 1, C, 1].
        bias: [out].
    """

    kernel: Any
    bias: Any


def fold(of: Architecture, num_classes: int, values: Mapping[str, Any]) -> dict[str, FoldedConv]:
    """Fold every convolution of a network.

    Args:
        of: The architecture.
        num_classes: Outputs of the classifier.
        values: The variables by name: numpy arrays or tf.Variables.

    Returns:
        Convolutions by name.
    """
    found = fold_backbone(of, values)
    for conv in classifier_convs(of, num_classes):
        kernel, bias = _kernel_and_bias(conv, values)
        found[conv.name] = FoldedConv(_reshape(kernel, conv.shape[-2:]), bias)
    return found


def fold_backbone(of: Architecture, values: Mapping[str, Any]) -> dict[str, FoldedConv]:
    """Fold every convolution of a network but its classifier's.

    Args:
        of: The architecture.
        values: The variables by name: numpy arrays or tf.Variables.

    Returns:
        Convolutions by name.
    """
    stem, head = stem_conv(of), head_conv(of)
    kernel, bias = _kernel_and_bias(stem, values)
    found = {stem.name: FoldedConv(_reshape(kernel, stem.shape[-4:]), bias)}
    for layer in of.layers:
        for part, conv in convolutions(of, layer).items():
            kernel, bias = _kernel_and_bias(conv, values)
            if part == "projection":
                rezero = values[f"{layer.name}/rezero"]
                kernel, bias = kernel * rezero, bias * rezero
            found[conv.name] = FoldedConv(_arrange(part, conv, kernel), bias)
    kernel, bias = _kernel_and_bias(head, values)
    found[head.name] = FoldedConv(_reshape(kernel, head.shape[-4:]), bias)
    return found


def _kernel_and_bias(conv: Conv, values: Mapping[str, Any]) -> tuple[Any, Any]:
    kernel = values[f"{conv.name}/{conv.kernel_name}"]
    if not conv.normalised:
        return kernel, values[f"{conv.name}/bias"]
    gamma, beta, mean, variance = (
        values[f"{conv.name}/bn/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma * (variance + BATCH_NORM_EPSILON) ** -0.5
    # A depthwise kernel of stream mode ends in [channels, 1], every other one in [channels].
    along = _reshape(scale, (-1, 1)) if conv.kernel_name == "depthwise_kernel" else scale
    return kernel * along, beta - mean * scale


def _arrange(part: str, conv: Conv, kernel: Any) -> Any:
    if part == "temporal":
        return kernel
    if part != "feature":
        return _reshape(kernel, conv.shape[-4:])
    if conv.kernel_name == "depthwise_kernel":
        return (kernel,)
    time, height, width, _, channels = conv.shape
    return tuple(_reshape(kernel[tap], (height, width, channels, 1)) for tap in range(time))


def _reshape(array: Any, shape: tuple[int, ...]) -> Any:
    if hasattr(array, "reshape"):  # numpy
        return array.reshape(shape)
    from adapters.system import import_tensorflow

    return import_tensorflow().reshape(array, shape)
