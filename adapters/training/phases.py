"""The phases of a training: the head on cached features, then the last layers of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adapters.base import OnEpochEnd, OnNote, TrainOptions
from adapters.config import Config
from adapters.data import Example
from adapters.errors import ConfigError, StorageError
from adapters.records import Float32Array
from adapters.system import import_tensorflow, value_digest
from adapters.training.devices import PROCESSOR, Replicas, mixed_precision, pick_devices
from adapters.training.feature_cache import ExampleView, read_view
from adapters.training.fit_settings import FitData, FitResult, FitSettings, Inputs
from adapters.training.fitting import Fitter
from adapters.training.head import output_activation
from adapters.training.linear_network import GradientNetwork, LinearNetwork, TrainedNetwork
from adapters.training.trainable import Trainable, TrainableNetwork, TunableBackbone
from adapters.training.training_data import TrainingData, clip_weights, target_array

# Keys that a training does not follow from. The feature identity names the adapter, by its family.
UNTRAINED = ("schema_version", "adapter", "name", "num_threads", "gates", "optimize", "best_thresholds")


@dataclass
class TrainingRun:
    """What the phases of one training share.

    Attributes:
        adapter: The model that is trained.
        data: Its clips.
        weights: Its network: TensorFlow variables, or values alone where the head is solved.
        state_folder: Where the checkpoints are, ``<output>.training``.
        key: A digest of what the run follows from: config, features and clips.
        on_epoch_end: Called after each epoch; training ends early if it returns False.
        replicas: The devices that train.
        on_note: Receives a sentence about the run, such as that a checkpoint cannot be resumed from.
        continues: Whether the model was trained already, so that its head is gone on from.
    """

    adapter: Trainable
    data: TrainingData
    weights: TrainedNetwork
    state_folder: Path
    key: str
    on_epoch_end: OnEpochEnd | None
    replicas: Replicas
    on_note: OnNote | None = None
    continues: bool = False

    @property
    def config(self) -> Config:
        """The adapter's config."""
        return self.adapter.config

    @property
    def network(self) -> TrainableNetwork:
        """The network with TensorFlow variables; only gradient steps need it."""
        return self.weights.network

    def settings(self, phase: Literal["head", "fine_tune"], loss_scale: float = 1.0) -> FitSettings:
        """The hyperparameters of a phase, from the config.

        Args:
            phase: The phase.
            loss_scale: See ``devices.mixed_precision``.
        """
        config, tuning = self.config, phase == "fine_tune"
        return FitSettings(
            phase=phase,
            epochs=config["fine_tune_epochs" if tuning else "num_epochs"],
            learning_rate=config["fine_tune_learning_rate" if tuning else "learning_rate"],
            batch_size=config["batch_size"],
            seed=config["seed"],
            patience=config["early_stopping_patience"],
            keep_best=config["keep_best"],
            exclusive=config["task"] == "single_label" and config["positive_label"] is None,
            key=self.key,
            aggregation=config.get("aggregation", "mean"),
            top_fraction=config.get("top_fraction", 1.0),
            train_batch_norm=config["train_batch_norm"],
            loss_scale=loss_scale,
        )

    def forward(self, inputs: Any, training: bool, *, through: TunableBackbone | None = None) -> Any:
        """The scores of a batch of clips, item by item.

        Args:
            inputs: float32 tensor: features [B, items, D], or preprocessed items [B, items, *item_shape].
            training: Whether dropout and, if the config trains it, batch normalisation are in training mode.
            through: The backbone to send items through; None for features.

        Returns:
            float32 tensor [B, items, units] in 0..1; [B, 1, units] if the head sees the items of a clip together.
        """
        tf = import_tensorflow()
        features = inputs
        if through is not None:
            flat = tf.reshape(inputs, [-1, *inputs.shape[2:]])
            flat = through(flat, training=training and self.config["train_batch_norm"])
            features = tf.reshape(flat, [-1, inputs.shape[1], flat.shape[-1]])
        return self.network.scores(features, training)


def fit_data(run: TrainingRun, which: Sequence[Example], inputs: Inputs) -> FitData:
    """Clips with their targets and weights, for ``Fitter``.

    Args:
        run: The training.
        which: The clips.
        inputs: Returns the model's input for rows of them.
    """
    return FitData(
        inputs,
        target_array(which, run.data.labels, run.config),
        clip_weights(which, run.data.labels, run.config, run.data.train),
        np.unique([example.group for example in which], return_inverse=True)[1].reshape(-1),
    )


def start_run(
    adapter: Trainable,
    data: TrainingData,
    output_path: Path,
    on_epoch_end: OnEpochEnd | None,
    options: TrainOptions = TrainOptions(),
    *,
    solved: bool = False,
) -> TrainingRun:
    """Take the network with its first weights, and make the folder for checkpoints beside the output.

    Args:
        adapter: The model to train; takes over the labels of the data.
        data: The clips.
        output_path: Where the bundle will be written; the checkpoints are in ``<output_path>.training``.
        on_epoch_end: Called after each epoch.
        options: The devices, and who receives notes.
        solved: Whether the head is solved and nothing else is trained, for which no network is built.

    Raises:
        StorageError: The folder cannot be made.
        WeightsError: The first weights cannot be found or do not fit.
        TrainingError: There are fewer devices than asked for.
    """
    continues = adapter.trained
    adapter.begin_training(data.labels)
    weights: TrainedNetwork
    if solved:
        replicas = PROCESSOR
        weights = LinearNetwork(adapter.variables(), output_activation(adapter.config) == "softmax")
    else:
        replicas = pick_devices(options.devices)
        weights = _built(adapter, replicas)
    key = value_digest(
        [
            {k: v for k, v in adapter.config.items() if k not in UNTRAINED},
            adapter.feature_identity(),
            [[e.key(), e.labels] for e in (*data.train, *data.validation)],
        ]
    )
    folder = output_path.with_name(output_path.name + ".training")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be created ({error.strerror}). Use another output path") from error
    return TrainingRun(adapter, data, weights, folder, key, on_epoch_end, replicas, _once(options.on_note), continues)


def _built(adapter: Trainable, replicas: Replicas) -> GradientNetwork:
    from adapters.training.variables import assign

    with replicas.scope():
        network = adapter.build_network()
    assign(network, adapter.variables(network))
    return GradientNetwork(network)


def _once(on_note: OnNote | None) -> OnNote | None:
    """The callback without repetitions: both phases find the same about their checkpoints."""
    if on_note is None:
        return None
    seen: set[str] = set()

    def note(text: str) -> None:
        if text not in seen:
            seen.add(text)
            on_note(text)

    return note


# Phases -------------------------------------------------------------------------------------------------------------


def layers_to_tune(run: TrainingRun) -> int:
    """How many of the backbone's last layers ``fine_tune_layers`` or ``freeze_layers`` leaves to be trained.

    Args:
        run: The training.

    Raises:
        ConfigError: The backbone has fewer layers.
    """
    total, last, first = run.network.backbone.layer_count, run.config["fine_tune_layers"], run.config["freeze_layers"]
    if last is None and first is None:
        return 0
    count = int(last if last is not None else total - first)
    if not 0 <= count <= total:
        key = "fine_tune_layers" if last is not None else "freeze_layers"
        raise ConfigError(f'"{key}" is {run.config[key]}; the backbone has {total} layers')
    return count


def fine_tune(run: TrainingRun, layers: int, head_result: FitResult) -> FitResult:
    """Train the head and the backbone's last layers. The head's own result is kept where it is better.

    Args:
        run: The training.
        layers: How many of the backbone's last layers are trained.
        head_result: What training the head alone reached.
    """
    head, backbone = run.network.head, run.network.backbone
    tuned, statistics = backbone.tune(layers)
    trainable = [*head.trainable_variables, *tuned]
    train = fit_data(run, run.data.train, item_inputs(run, run.data.train))
    validation = None
    if run.data.validation:
        validation = fit_data(run, run.data.validation, item_inputs(run, run.data.validation))
    with mixed_precision(run.config["mixed_precision"]) as loss_scale:
        fitter = Fitter(
            lambda inputs, training: run.forward(inputs, training, through=backbone),
            trainable,
            [*trainable, *(statistics if run.config["train_batch_norm"] else [])],
            run.network.dropout_step,
            run.settings("fine_tune", loss_scale),
            run.state_folder / "fine_tune.safetensors",
            run.replicas,
            run.on_note,
        )
        reached = head_result.kept if validation is not None else None
        return fitter.fit(train, validation, run.on_epoch_end, reached)


def item_inputs(run: TrainingRun, which: Sequence[Example], *, augmented: bool = True) -> Inputs:
    """The inputs of fine-tuning, decoded when they are needed.

    Args:
        run: The training.
        which: The clips.
        augmented: Whether training clips are changed at random, again in each epoch.

    Returns:
        A function of rows and epoch: preprocessed items float32 [rows, items, *item_shape].
    """
    config, spec = run.config, run.adapter.input_spec

    def inputs(rows: Any, epoch: int | None) -> Float32Array:
        number = 0 if epoch is None or not augmented else epoch + 1 + config["augment_views"]
        clips = [
            read_view(ExampleView(which[row], number), spec, config["augmentation"], config["seed"]) for row in rows
        ]
        return np.stack([run.adapter.items(clip) for clip in clips])

    return inputs
