"""The MobileNets of tf_keras.applications as backbones, and Keras' published weights for them.

Sandler et al. 2018, arXiv:1801.04381 (V2); Howard et al. 2019, arXiv:1905.02244 (V3). Variables keep Keras' names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters.errors import WeightsError
from adapters.models.network import Pretrained, Variables
from adapters.models.weights import (
    OUTPUT_BIAS,
    OUTPUT_KERNEL,
    LayerArrays,
    match_layers,
    read_keras_file,
    read_weights_file,
    require_finite,
    write_safetensors,
)
from adapters.records import Float32Array
from adapters.system import cache_dir, import_keras

# Variant -> the function of tf_keras.applications, and its classifier's layer.
VARIANTS = {
    "v2": ("MobileNetV2", "predictions"),
    "v3_small": ("MobileNetV3Small", "Logits"),
    "v3_large": ("MobileNetV3Large", "Logits"),
}
# V3's layer before the classifier, which Keras counts to the top.
_LAST = {"v3_small": "Conv_2", "v3_large": "Conv_2"}
_CLASSES, _PUBLISHED_SIZE = 1000, 224
_FORMAT = 2  # raised with a change of how files are read, so that what was kept before is read again


def build_backbone(size: int, variant: str) -> Any:
    """A MobileNet without its classifier, with freshly initialised variables.

    Args:
        size: The height and width of the input in pixels.
        variant: A key of VARIANTS.

    Returns:
        A tf_keras.Model. Input: float32 [B, size, size, 3] RGB in -1..1. Output: float32 [B, D], the input of its
        classifier, 1280 numbers (V2, V3 large) or 1024 (V3 small).
    """
    return _without_classifier(_classifier(size, variant), variant)


def read_keras_weights(data: bytes, name: str, variant: str) -> Pretrained:
    """Read a Keras weights file for one of these networks, with a classifier of any number of classes or without.

    The variables are found by their layers' names, or in Keras 3's layout by the layers' order. V3's files without the
    top lack the layer before the classifier as well: it then passes its input on, see ``_pass_on``.

    Args:
        data: The file.
        name: What messages call it.
        variant: A key of VARIANTS.

    Raises:
        WeightsError: The file cannot be read or is not of this variant; the message names what does not fit.
    """
    kept = (
        cache_dir() / "weights" / f"mobilenet_{variant}_{_FORMAT}_{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
    )
    if kept.is_file():
        try:
            return read_weights_file(kept)
        except WeightsError:
            pass  # damaged since: it is made again
    file = read_keras_file(data, name)
    model = _classifier(_PUBLISHED_SIZE, variant)
    backbone = _without_classifier(model, variant)
    wanted = {variable.name.removesuffix(":0"): tuple(variable.shape) for variable in backbone.weights}
    values = match_layers(file, model.layers)
    found = {key: np.asarray(values[key], np.float32) for key in wanted if key in values}
    if variant in _LAST and set(wanted) - set(found) == {f"{_LAST[variant]}/kernel", f"{_LAST[variant]}/bias"}:
        found |= _pass_on(_LAST[variant], wanted)
    _require_fit(name, variant, wanted, found, file)
    require_finite(found, name)
    result = Pretrained(found, _classifier_of(file, model.get_layer(VARIANTS[variant][1])))
    write_safetensors(kept, {**result.backbone, **result.classifier})
    return result


def _classifier_of(file: LayerArrays, layer: Any) -> Variables:
    """The classifier by its names in our head; empty if the file has none under its published name."""
    values = match_layers(file, [layer]) if file.by_name else {}
    if not file.by_name:  # the last layer of its class
        kind = "dense" if type(layer).__name__ == "Dense" else "conv2d"
        numbers = [number for key, number in file.by_class if key == kind]
        last = file.by_class[kind, max(numbers)] if numbers else []
        wanted = [variable.name.removesuffix(":0") for variable in layer.weights]
        values = dict(zip(wanted, last, strict=False)) if len(last) == len(wanted) else {}
    kernel, bias = (values.get(f"{layer.name}/{kind}") for kind in ("kernel", "bias"))
    features = int(np.prod(layer.weights[0].shape[:-1]))
    if kernel is None or bias is None or kernel.size != features * bias.size:
        return {}
    return {
        OUTPUT_KERNEL: np.ascontiguousarray(kernel.reshape(features, bias.size), np.float32),
        OUTPUT_BIAS: np.asarray(bias, np.float32),
    }


def _pass_on(layer: str, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Float32Array]:
    """Weights with which a wider 1x1 convolution loses nothing of its input: its channels, then the first of them
    negated. The activation after it grows with its input almost everywhere."""
    shape = wanted[f"{layer}/kernel"]
    features, channels = shape[-2:]
    kernel = np.zeros((features, channels), np.float32)
    np.fill_diagonal(kernel, 1)
    np.fill_diagonal(kernel[:, features:], -1)
    return {f"{layer}/kernel": kernel.reshape(shape), f"{layer}/bias": np.zeros(channels, np.float32)}


def _require_fit(
    name: str,
    variant: str,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, Float32Array],
    file: LayerArrays,
) -> None:
    other = [
        f"{key!r} is {list(found[key].shape)} in the file but {list(wanted[key])} in the network"
        for key in found
        if found[key].shape != wanted[key]
    ]
    missing = [key for key in wanted if key not in found]
    if not missing and not other:
        return
    unknown = [key for key in file.by_name if key not in wanted]
    reason = other[0] if other else f"it has no {missing[0]!r} ({len(missing)} of {len(wanted)} are missing)"
    if missing and unknown:
        reason += f", and it has the unknown {unknown[0]!r}"
    raise WeightsError(
        f"{name}: is not a Keras weights file for MobileNet {variant}: {reason}. Give one that "
        "tf_keras.applications publishes for this variant, with or without its top."
    )


def _classifier(size: int, variant: str) -> Any:
    keras = import_keras()
    name = VARIANTS[variant][0]
    # V3 can scale its input itself, from 0..255; here every network's is scaled by preprocessing.
    own = {} if variant == "v2" else {"include_preprocessing": False, "dropout_rate": 0.0}
    build = getattr(keras.applications, name)
    return build(
        input_shape=(size, size, 3), weights=None, include_top=True, classes=_CLASSES, classifier_activation=None, **own
    )


def _without_classifier(model: Any, variant: str) -> Any:
    keras = import_keras()
    features = model.get_layer(VARIANTS[variant][1]).input
    if len(features.shape) == 4:  # V3's classifier is a 1x1 convolution of one position
        features = keras.layers.Flatten(name="features")(features)
    return keras.Model(model.input, features, name=f"mobilenet_{variant}")
