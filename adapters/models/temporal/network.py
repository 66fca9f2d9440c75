"""The temporal head in tf_keras: a projection of each frame's features, an LSTM over the frames, dense layers.

The LSTM (Hochreiter and Schmidhuber 1997) is written out step by step, as a program of a fixed number of frames: LiteRT
then needs matrix products and element-wise operators alone, which it can also compute in 8 bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from adapters.config import Config
from adapters.models import Backbone, Network, Variables
from adapters.records import Float32Array
from adapters.system import import_keras, import_tensorflow
from adapters.training import VARIABLE_PREFIX, apply_head

PROJECTION, LSTM = f"{VARIABLE_PREFIX}projection", f"{VARIABLE_PREFIX}lstm"


class TemporalNetwork(Network):
    """A backbone for frames and a head for clips: clips to {"scores": [B, units], "features": [B, D]}.

    The features are the mean of those of the frames.
    """

    scores_items = False

    def scores(self, features: Any, training: bool = False) -> Any:
        return self.head(features, training=training)[:, None]

    def __call__(self, items: Any) -> dict[str, Any]:
        tf = import_tensorflow()
        flat = self.backbone(tf.reshape(items, [-1, *items.shape[2:]]))
        frames = tf.reshape(flat, [-1, items.shape[1], flat.shape[-1]])
        return {"scores": self.head(frames), "features": tf.reduce_mean(frames, axis=1)}


def build_network(backbone: Backbone, config: Config, units: int) -> TemporalNetwork:
    """The network of a config, with fresh variables.

    Args:
        backbone: Frames to features.
        config: A complete config.
        units: Outputs; see ``output_units``.
    """
    keras = import_keras()
    inputs = keras.Input([config["n_frames"], backbone.feature_size], name="features")
    value = keras.layers.Dense(config["projection_units"], "relu", name=PROJECTION)(inputs)
    value = _lstm_layer(config["lstm_units"])(value)
    scores, step = apply_head(value, config, units)
    return TemporalNetwork(backbone, keras.Model(inputs, scores, name="scores"), step)


def first_lstm_values(values: Variables, seed: int) -> Variables:
    """The LSTM's first weights: kernels that keep the scale of what passes, and forget gates that begin open.

    Orthogonal recurrent kernels are those of Saxe et al. 2014 (arXiv:1312.6120), the forget gate's bias of 1 that of
    Jozefowicz et al. 2015 (ICML); both are what Keras does.

    Args:
        values: The network's variables by name; not changed.
        seed: The seed.

    Returns:
        The LSTM's variables by name.
    """
    kernel, recurrent = values[f"{LSTM}/kernel"], values[f"{LSTM}/recurrent_kernel"]
    units = len(recurrent)
    bias = np.zeros(4 * units, np.float32)
    bias[units : 2 * units] = 1.0
    generator = np.random.default_rng([seed, *LSTM.encode()])
    gates = [_orthogonal(generator, units) for _ in range(4)]
    return {
        # Drawn with the variance 2 / inputs, which suits a ReLU behind it; here are sigmoids.
        f"{LSTM}/kernel": kernel * np.float32(math.sqrt(0.5)),
        f"{LSTM}/recurrent_kernel": np.concatenate(gates, axis=1),
        f"{LSTM}/bias": bias,
    }


def _orthogonal(generator: np.random.Generator, size: int) -> Float32Array:
    turn, upper = np.linalg.qr(generator.standard_normal((size, size)))
    return np.asarray(turn * np.sign(np.diag(upper)), np.float32)


def _lstm_layer(units: int) -> Any:
    """A layer [B, T, D] -> [B, units], the hidden state after the last step. Gates in Keras' order: i, f, g, o.

    Keras' own names its variables by how many the process has built before, and converts to an operator with states.
    """
    tf, keras = import_tensorflow(), import_keras()

    def build(layer: Any, shape: Any) -> None:
        layer.kernel = layer.add_weight("kernel", [shape[-1], 4 * units])
        layer.recurrent_kernel = layer.add_weight("recurrent_kernel", [units, 4 * units])
        layer.bias = layer.add_weight("bias", [4 * units])

    def call(layer: Any, value: Any) -> Any:
        steps = tf.unstack(tf.matmul(value, layer.kernel) + layer.bias, axis=1)
        hidden = cell = None
        for step in steps:
            gates = step if hidden is None else step + tf.matmul(hidden, layer.recurrent_kernel)
            entry, forget, new, exit_ = tf.split(gates, 4, axis=-1)
            added = tf.sigmoid(entry) * tf.tanh(new)
            cell = added if cell is None else tf.sigmoid(forget) * cell + added
            hidden = tf.sigmoid(exit_) * tf.tanh(cell)
        return hidden

    return type("UnrolledLSTM", (keras.layers.Layer,), {"build": build, "call": call})(name=LSTM)
