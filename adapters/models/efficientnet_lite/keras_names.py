"""The names that an EfficientNet-Lite's weights go by in Keras: those of keras.applications' EfficientNet.

The package efficientnet-lite-keras (sebastian-sz) and networks made from it have them, such as "block1a_dwconv".
Its padding of strided convolutions is that of SAME for inputs of even size, and the epsilon of its batch
normalisation is Keras' default of 0.001, as here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from adapters.errors import WeightsError
from adapters.models.efficientnet_lite.network import FEATURES, blocks, stage_sizes
from adapters.models.network import NORM_KINDS, Pretrained, Variables
from adapters.models.weights import OUTPUT_BIAS, OUTPUT_KERNEL, LayerArrays, read_keras_file

_LISTED = 3  # how many names a message has


def keras_to_variables(data: bytes, name: str, variant: str = "lite0") -> Pretrained:
    """Map the weights of an EfficientNet-Lite in a Keras file to this network's variables.

    A classifier is taken if it is the one dense layer of the network's features.

    Args:
        data: The file.
        name: What messages call it.
        variant: "lite0", "lite1" or "lite2".

    Raises:
        WeightsError: The file cannot be read or is of another network or variant; the message names what does not fit.
        MissingExtraError: h5py is not installed.
    """
    file = read_keras_file(data, name)
    names = keras_names(variant)
    if not file.by_name:
        raise WeightsError(
            f"{name}: has layers without names, as Keras 3 saves weights. Save an EfficientNet-Lite as .h5"
        )
    missing = [key for key in names if key not in file.by_name]
    if missing:
        own = sorted({key.rpartition("/")[0] for key in file.by_name} - {key.rpartition("/")[0] for key in names})
        raise WeightsError(
            f"{name}: is not a Keras weights file for EfficientNet-Lite ({variant}): it has no {missing[0]!r} "
            f"({len(missing)} of {len(names)} are missing). Its unknown layers: "
            f"{', '.join(own[:_LISTED]) or 'none'}{f' and {len(own) - _LISTED} more' if len(own) > _LISTED else ''}. "
            "Known layers are those of keras.applications' EfficientNet, such as stem_conv, block1a_dwconv and top_conv"
        )
    blocks_of_file = [key for key in file.by_name if key.startswith("block") and key.endswith("conv/kernel")]
    other = next((key for key in blocks_of_file if key not in names), None)
    if other is not None:
        raise WeightsError(
            f"{name}: has {other!r}, which EfficientNet-Lite ({variant}) does not have. Set the variant of the file"
        )
    backbone = {ours: np.ascontiguousarray(file.by_name[key], np.float32) for key, ours in names.items()}
    return Pretrained(backbone, _classifier(file))


def keras_names(variant: str) -> dict[str, str]:
    """Every weight before the classifier as Keras names it -> our variable.

    Args:
        variant: "lite0", "lite1" or "lite2".
    """
    names = dict(_pair("stem_conv", "stem_bn", "stem"))
    number = 0
    for stage, count in enumerate(stage_sizes(variant), 1):
        for index in range(count):
            at, ours = f"block{stage}{chr(ord('a') + index)}", f"block{number}"
            if blocks(variant)[number].expand != 1:
                names.update(_pair(f"{at}_expand_conv", f"{at}_expand_bn", f"{ours}_expand"))
            names.update(_pair(f"{at}_dwconv", f"{at}_bn", f"{ours}_depthwise"))
            names.update(_pair(f"{at}_project_conv", f"{at}_project_bn", f"{ours}_project"))
            number += 1
    names.update(_pair("top_conv", "top_bn", "head"))
    return names


def _pair(conv: str, norm: str, ours: str) -> Iterator[tuple[str, str]]:
    kernel = "depthwise_kernel" if ours.endswith("depthwise") else "kernel"
    yield f"{conv}/{kernel}", f"{ours}_conv/{kernel}"
    for kind in NORM_KINDS:
        yield f"{norm}/{kind}", f"{ours}_bn/{kind}"


def _classifier(file: LayerArrays) -> Variables:
    """The dense layer of the features, if the file has one dense layer; empty otherwise."""
    dense = [(key, value) for key, value in file.ordered if key.endswith("/kernel") and np.ndim(value) == 2]
    if len(dense) != 1 or dense[0][1].shape[0] != FEATURES:
        return {}
    key, kernel = dense[0]
    bias = file.by_name.get(f"{key.rpartition('/')[0]}/bias")
    if bias is None or bias.shape != kernel.shape[1:]:
        return {}
    return {OUTPUT_KERNEL: np.ascontiguousarray(kernel, np.float32), OUTPUT_BIAS: np.asarray(bias, np.float32)}
