"""The MobileNets of tf_keras.applications as backbones, and Keras' published weights for them.

Sandler et al. 2018, arXiv:1801.04381 (V2); Howard et al. 2019, arXiv:1905.02244 (V3). Variables keep Keras' names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import WeightsError
from adapters.models.network import Pretrained
from adapters.models.weights import OUTPUT_BIAS, OUTPUT_KERNEL, read_weights_file, write_safetensors
from adapters.system import cache_dir, import_keras, sha256_file
from adapters.training.variables import variables

# Variant -> the function of tf_keras.applications, and its classifier's layer.
VARIANTS = {
    "v2": ("MobileNetV2", "predictions"),
    "v3_small": ("MobileNetV3Small", "Logits"),
    "v3_large": ("MobileNetV3Large", "Logits"),
}
_CLASSES, _PUBLISHED_SIZE = 1000, 224


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


def read_keras_weights(path: Path, variant: str) -> Pretrained:
    """Read a .h5 file of Keras' weights with the ImageNet classifier, as tf_keras.applications publishes them.

    TensorFlow reads it once; the variables are kept in the cache by the file's content.

    Args:
        path: The file.
        variant: A key of VARIANTS.

    Raises:
        WeightsError: The file cannot be read or is not of this variant.
    """
    kept = cache_dir() / "weights" / f"mobilenet_{variant}_{sha256_file(path)[:32]}.safetensors"
    if kept.is_file():
        try:
            return read_weights_file(kept)
        except WeightsError:
            pass  # damaged since: it is made anew
    model = _classifier(_PUBLISHED_SIZE, variant)
    try:
        model.load_weights(str(path))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{path}: is not a file of Keras' weights for MobileNet {variant} with its {_CLASSES} classes "
            f"({reason:.200}). Give one that tf_keras.applications publishes, or a .safetensors of our variables."
        ) from error
    kernel, bias = (variable.numpy() for variable in model.get_layer(VARIANTS[variant][1]).weights)
    head = {OUTPUT_KERNEL: np.ascontiguousarray(kernel.reshape(-1, _CLASSES)), OUTPUT_BIAS: bias}
    found = Pretrained(variables(_without_classifier(model, variant)), head)
    write_safetensors(kept, {**found.backbone, **found.classifier})
    return found


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
