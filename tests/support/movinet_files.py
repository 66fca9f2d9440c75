"""MoViNet weights as others write them: SavedModels, checkpoints, archives, with values drawn wide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from movinet_adapter.architecture import Architecture, variable_specs
from movinet_adapter.network import random_values
from movinet_adapter.weights.mapping import tf_models_place

CLASSES = 600
Values = dict[str, np.ndarray]
# The settings of the published models: README of tensorflow/models official/projects/movinet.
EXPORT_SETTINGS: dict[str, dict[str, Any]] = {
    "base": {
        "causal": False,
        "conv_type": "3d",
        "se_type": "3d",
        "activation": "swish",
        "gating_activation": "sigmoid",
    },
    "stream": {
        "causal": True,
        "conv_type": "2plus1d",
        "se_type": "2plus3d",
        "activation": "hard_swish",
        "gating_activation": "hard_sigmoid",
    },
}


def wide_values(of: Architecture, seed: int = 1, classes: int = CLASSES) -> Values:
    """Random weights whose normalisation is far from the identity and whose scalars all differ."""
    rng = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: rng.uniform(0.5, 1.5, shape) * rng.choice([1, 1, 1, -1], shape),
        "beta": lambda shape: rng.normal(0, 0.5, shape),
        "bias": lambda shape: rng.normal(0, 0.5, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.5, shape),
        "moving_variance": lambda shape: np.exp(rng.normal(0.7, 0.7, shape)),
        "rezero": lambda shape: rng.uniform(0.3, 0.7, shape),
        "position_scale": lambda shape: rng.uniform(0.5, 1.5, shape),
    }
    values = random_values(of, classes, seed)
    for name, value in values.items():
        kind = name.rpartition("/")[2]
        if kind in draw:
            values[name] = np.asarray(draw[kind](value.shape), np.float32)
    return values


def write_checkpoint(prefix: Path, of: Architecture, values: Mapping[str, np.ndarray]) -> Path:
    """A checkpoint as ``tf.train.Checkpoint(model=MovinetClassifier(...)).save`` writes it; the path of its prefix.

    That tf-models' own restore accepts it, with every object matched, is part of ``export``.
    """
    import tensorflow as tf

    tree: dict[str, Any] = {}
    for spec in variable_specs(of, values["classifier/output/bias"].size):
        *path, last = tf_models_place(of, spec).split("/")
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        node[last] = tf.Variable(values[spec.name], name=spec.name)
    saved = tf.train.Checkpoint(model=_objects(tree)).save(str(prefix))
    return Path(saved)


def _objects(tree: dict[str, Any]) -> Any:
    import tensorflow as tf

    return tf.train.Checkpoint(**{k: _objects(v) if isinstance(v, dict) else v for k, v in tree.items()})


def export(folder: Path, of: Architecture, values: Mapping[str, np.ndarray]) -> Path:
    """A SavedModel that tf-models' own export tool wrote, of a model that restored a checkpoint of these values."""
    import logging

    from adapters.system import captured_stderr

    with captured_stderr():
        from official.projects.movinet.tools.export_saved_model import build_and_export_saved_model

        checkpoint = write_checkpoint(folder.with_name(f"{folder.name}_checkpoint") / "ckpt", of, values)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of each layer without a build method
        build_and_export_saved_model(
            str(folder),
            of.model_id,
            num_classes=values["classifier/output/bias"].size,
            use_positional_encoding=of.positions,
            input_shape=(None, None, None, None, 3),
            checkpoint_path=str(checkpoint),
            assert_checkpoint_objects_matched=False,  # the tool compiles the model first, which adds an optimizer
            **EXPORT_SETTINGS[of.mode],
        )
    return folder


def write_saved_model(
    folder: Path,
    of: Architecture,
    values: Mapping[str, np.ndarray],
    size: int = 32,
) -> Path:
    """A SavedModel laid out as the published ones are, that computes with our lowering: seconds where ``export`` takes
    most of a minute. Of fixed frame size, a frame at a time in stream mode."""
    import tensorflow as tf

    from adapters.training import assign
    from movinet_adapter.network import build_movinet

    classes = values["classifier/output/bias"].size
    network = build_movinet(of.model_id, of.mode, height=size, width=size, n_frames=2, num_classes=classes)
    assign(network, values)
    root = tf.train.Checkpoint(variables=network.variables)
    if of.mode == "base":

        @tf.function(input_signature=[tf.TensorSpec([1, 2, size, size, 3], tf.float32, name="image")])
        def serve(image: Any) -> Any:
            return {"classifier_head": network(image)["logits"]}

        signatures = {"serving_default": serve}
    else:

        @tf.function
        def call(image: Any, **states: Any) -> Any:
            outputs, after = network.step(image, states)
            return {**after, "logits": outputs["logits"]}

        specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in network.states.items()}
        image = tf.TensorSpec([1, 1, size, size, 3], tf.float32, "image")
        signatures = {"call": call.get_concrete_function(image, **specs)}
    tf.saved_model.save(root, str(folder), signatures=signatures)
    return folder
