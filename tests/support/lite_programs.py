"""Programs for tests, each converted once a session: a tiny network of two outputs, and pretrained Lite0."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from adapters.litert import to_litert
from adapters.records import RequestedPrecision
from adapters.training import assign, random_variables

TINY = (12, 10, 3)
CHANNELS = 48  # dynamic quantisation leaves kernels of under 1024 values as they are


@functools.cache
def tiny_model() -> Any:
    """A tf_keras model of [B, 12, 10, 3] with dropout and batch normalisation, as an adapter's network has them."""
    import tf_keras
    from tf_keras import layers

    inputs = tf_keras.Input(TINY)
    x = layers.Conv2D(CHANNELS, 3, 2, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(layers.ReLU(6.0)(x))
    features = layers.GlobalAveragePooling2D(name="features")(x)
    scores = layers.Dense(3, activation="softmax", name="output")(layers.Dropout(0.5)(features))
    model = tf_keras.Model(inputs, {"scores": scores, "features": features}, name="tiny")
    values = random_variables(model, seed=3)
    values["bn/moving_mean"] += 0.3
    values["bn/moving_variance"] *= 2
    assign(model, values)
    return model


def images(count: int, shape: tuple[int, ...] = TINY, seed: int = 0) -> np.ndarray:
    """float32 [count, *shape] in -1..1."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)


@functools.cache
def tiny_program(quantize: RequestedPrecision = "float32", batch: int = 1) -> bytes:
    calibration = [images(batch, seed=seed) for seed in range(20)] if quantize == "int8" else None
    return to_litert(tiny_model(), (batch, *TINY), quantize, calibration)


@functools.cache
def lite0_program() -> bytes:
    """ImageNet Lite0 of one 224x224 frame: logits named "scores"."""
    import tf_keras

    from adapters.models.efficientnet_lite.network import build_backbone
    from adapters.models.efficientnet_lite.torch_names import torch_to_variables
    from adapters.models.weights import OUTPUT_BIAS, OUTPUT_KERNEL, find_package_weights
    from adapters.models.weights.torch_pickle import read_state_dict

    backbone = build_backbone(224, 224)
    logits = tf_keras.layers.Dense(1000, name="classifier")(backbone.output)
    model = tf_keras.Model(backbone.input, logits)
    found = torch_to_variables(read_state_dict(find_package_weights("efficientnet_lite0")))
    top = {
        "classifier/kernel": found.classifier[OUTPUT_KERNEL],
        "classifier/bias": found.classifier[OUTPUT_BIAS],
    }
    assign(model, {**found.backbone, **top})
    return to_litert(model, (1, 224, 224, 3))
