"""The layers between a backbone's features and the scores, as the config's ``head`` lists them."""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.config import Config
from adapters.records import Float32Array, expand_binary
from adapters.system import import_keras, import_tensorflow

VARIABLE_PREFIX = "scores_"


def is_linear(config: Config) -> bool:
    """Whether scores are a linear function of one item's features, but for dropout and the last activation.

    Args:
        config: A complete config.
    """
    hidden = any("units" in layer for layer in config["head"])
    return not hidden and config.get("aggregation", "mean") == "mean"


def output_units(config: Config, labels: tuple[str, ...]) -> int:
    """How many outputs the head has: 1 where a single sigmoid decides between two classes, otherwise one per class.

    Args:
        config: A complete config.
        labels: The classes in order.
    """
    return 1 if config["positive_label"] is not None else len(labels)


def output_activation(config: Config) -> str:
    """ "softmax" where exactly one class is right and each has its own output, otherwise "sigmoid".

    Args:
        config: A complete config.
    """
    binary = config["positive_label"] is not None
    return "sigmoid" if binary or config["task"] == "multi_label" else "softmax"


def class_scores(outputs: Float32Array, config: Config, labels: tuple[str, ...]) -> Float32Array:
    """The scores of classes from the outputs of a head.

    Args:
        outputs: float32 [..., units] in 0..1.
        config: A complete config.
        labels: The classes in order.

    Returns:
        float32 [..., C] in 0..1, in the order of labels.
    """
    if config["positive_label"] is None:
        return outputs
    return expand_binary(outputs, labels.index(config["positive_label"]))


def targets(label_indices: np.ndarray[Any, Any], config: Config, labels: tuple[str, ...]) -> Float32Array:
    """What the head should output for clips.

    Args:
        label_indices: bool [N, C], the labels that are right.
        config: A complete config.
        labels: The classes in order.

    Returns:
        float32 [N, units], 0 or 1.
    """
    wanted = label_indices.astype(np.float32)
    if config["positive_label"] is None:
        return wanted
    position = labels.index(config["positive_label"])
    return wanted[:, position : position + 1]


def head_layers(config: Config, units: int) -> list[tuple[str, Config]]:
    """The dense layers of a head, by the names that their variables begin with; dropout is left out.

    Args:
        config: A complete config, whose ``head`` lists the layers.
        units: Outputs; see ``output_units``.

    Returns:
        Names and layers in order. The last is ``scores_output``, linear: its activation is ``output_activation``.
    """
    dense = [layer for layer in config["head"] if "units" in layer]
    named = [(f"{VARIABLE_PREFIX}dense{index}", layer) for index, layer in enumerate(dense)]
    return [*named, (f"{VARIABLE_PREFIX}output", {"units": units})]


def build_head(config: Config, feature_size: int, units: int) -> tuple[Any, Any]:
    """Build the layers between features and scores.

    Args:
        config: A complete config, whose ``head`` lists the layers.
        feature_size: Numbers per item from the backbone.
        units: Outputs; see ``output_units``.

    Returns:
        The head, a tf_keras model of features float32 [B, D] to scores float32 [B, units], and the dropout step: an
        int32 tf.Variable [2] of (seed, step) that training sets and dropout follows, so that a resumed run drops the
        same.
    """
    keras = import_keras()
    inputs = keras.Input([feature_size], name="features")
    scores, step = apply_head(inputs, config, units)
    return keras.Model(inputs, scores, name="scores"), step


def apply_head(value: Any, config: Config, units: int) -> tuple[Any, Any]:
    """Apply the layers of ``head`` and the classifier to what another layer of a tf_keras model gives.

    Args:
        value: A Keras tensor [B, D].
        config: A complete config.
        units: Outputs; see ``output_units``.

    Returns:
        The Keras tensor of the scores [B, units], and the dropout step; see ``build_head``.
    """
    tf, keras = import_tensorflow(), import_keras()
    step = tf.Variable([0, 0], dtype=tf.int32, trainable=False, name="dropout_step")
    dense_index = 0
    layers = [*config["head"], {"units": units, "activation": output_activation(config), "last": True}]
    for index, layer in enumerate(layers):
        if "dropout" in layer:
            value = _dropout_layer(layer["dropout"], step, index)(value)
            continue
        last = layer.get("last", False)
        name = f"{VARIABLE_PREFIX}{'output' if last else f'dense{dense_index}'}"
        value = keras.layers.Dense(layer["units"], _activation(layer.get("activation", "linear")), name=name)(value)
        dense_index += 1
    return value, step


def _activation(name: str) -> Any:
    tf = import_tensorflow()
    if name == "hard_swish":  # x * relu6(x + 3) / 6 (Howard et al. 2019, MobileNetV3)
        return lambda value: value * tf.nn.relu6(value + 3.0) / 6.0
    return {"relu6": tf.nn.relu6, "gelu": tf.nn.gelu}.get(name, name)


def _dropout_layer(rate: float, step: Any, index: int) -> Any:
    """Dropout as a pure function of (seed, step, place): Keras' own keeps hidden state that cannot be resumed."""
    tf, keras = import_tensorflow(), import_keras()

    def call(layer: Any, value: Any, training: bool | None = None) -> Any:
        if not training:
            return value
        seed = step + tf.constant([0, index * 1_000_003])
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return tf.nn.experimental.stateless_dropout(value, rate, seed=seed)
        from adapters.training.devices import same_noise

        kept = same_noise(lambda shape: tf.nn.experimental.stateless_dropout(tf.ones(shape), rate, seed=seed), value)
        return value * kept

    return type("SeededDropout", (keras.layers.Layer,), {"call": call})(name=f"{VARIABLE_PREFIX}dropout{index}")
