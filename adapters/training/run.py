"""Training a model: features from the cache, a head in seconds, then the last layers if asked for."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adapters.base import OnEpochEnd, OnProgress, TrainOptions
from adapters.config import Config
from adapters.data import Example
from adapters.errors import ConfigError, DatasetError, StorageError
from adapters.records import Devices, EpochLog, Float32Array, TrainReport, spread
from adapters.system import cache_dir, import_keras, import_tensorflow, value_digest
from adapters.training.devices import Replicas, check_batch, mixed_precision, pick_devices
from adapters.training.feature_cache import CachedFeatures, ExampleView, cached_features, read_view
from adapters.training.fitting import FitData, FitResult, FitSettings, Fitter, Inputs, aggregate_items
from adapters.training.head import class_scores
from adapters.training.trainable import Trainable, TrainableNetwork, TunableBackbone
from adapters.training.training_data import (
    TrainingData,
    clip_weights,
    clips_note,
    label_matrix,
    target_array,
    training_data,
    with_chosen_sources,
)

# Keys that a training does not follow from. The feature identity names the adapter, by its family.
UNTRAINED = ("schema_version", "adapter", "name", "num_threads", "gates")


@dataclass
class TrainingRun:
    """What the phases of one training share."""

    adapter: Trainable
    data: TrainingData
    network: TrainableNetwork
    state_folder: Path
    key: str
    on_epoch_end: OnEpochEnd | None
    replicas: Replicas

    @property
    def config(self) -> Config:
        return self.adapter.config

    def settings(self, phase: Literal["head", "fine_tune"], loss_scale: float = 1.0) -> FitSettings:
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
        """Features [B, items, D], or items [B, items, ...] to send through a backbone, to scores [B, items, units]."""
        tf = import_tensorflow()
        flat = tf.reshape(inputs, [-1, *inputs.shape[2:]])
        if through is not None:
            flat = through(flat, training=training and self.config["train_batch_norm"])
        scores = self.network.head(flat, training=training)
        return tf.reshape(scores, [-1, inputs.shape[1], scores.shape[-1]])


def train_model(
    adapter: Trainable,
    data_path: Path,
    output_path: Path,
    on_epoch_end: OnEpochEnd | None = None,
    options: TrainOptions = TrainOptions(),
) -> TrainReport:
    """Train, adopt the best weights, and write the bundle to output_path. See ``BaseModelAdapter.train``.

    What an interrupted run needs to go on lies in ``<output_path>.training`` until the bundle is written.
    """
    import_keras()  # before any work: says how to install it
    check_batch(adapter.config["batch_size"], pick_devices(options.devices))
    if adapter.trained:
        adapter.variables()  # likewise: a model that came without weights cannot be trained
    started = time.perf_counter()
    wanted = adapter.labels if adapter.trained else adapter.config["labels"]
    data = with_chosen_sources(training_data(data_path, adapter.config, wanted), adapter.scores_frames)
    features, data = _features(adapter, data, options.on_progress)
    if options.on_note is not None:
        options.on_note(clips_note(data))
    with features.store:
        run = start_run(adapter, data, output_path, on_epoch_end, options.devices)
        results = [_fit_head(run, features)]
        layers = _layers_to_tune(run)
        if layers and results[0].stopped != "interrupted":
            results.append(_fine_tune(run, layers, results[0]))
        metrics = _metrics(run, features, results)
    _adopt(run, metrics)
    adapter.save_with(output_path, _curve_files(results))
    shutil.rmtree(run.state_folder, ignore_errors=True)
    logs = tuple(log for result in results for log in result.logs)
    return TrainReport(
        output_path=str(output_path),
        labels=data.labels,
        epochs=logs,
        best_epoch=[log.epoch for log in logs if log.best][-1],
        stopped=results[-1].stopped,
        clips=data.counts,
        decoded_clips=features.decoded,
        seconds=time.perf_counter() - started,
        skipped=tuple(features.skipped.values()),
        metrics=metrics["validation"],
    )


# Features and data --------------------------------------------------------------------------------------------------


def _features(
    adapter: Trainable, data: TrainingData, on_progress: OnProgress | None
) -> tuple[CachedFeatures, TrainingData]:
    """Cached features of every view; clips that cannot be read are left out of the data."""
    config = adapter.config
    views = [ExampleView(example, n) for example in data.train for n in range(config["augment_views"] + 1)]
    views += [ExampleView(example, 0) for example in data.validation]
    found = cached_features(
        cache_dir() / "features",
        adapter.feature_identity(),
        adapter.input_spec,
        views,
        config["augmentation"],
        config["seed"],
        adapter.backbone_features,
        (adapter.items_per_clip, adapter.feature_program().output_shapes["features"][-1]),
        on_progress,
    )
    complete = {view.example for view in found.keys} - {view.example for view in views if view not in found.keys}
    train = tuple(example for example in data.train if example in complete)
    validation = tuple(example for example in data.validation if example in complete)
    counts = Counter(label for example in train for label in example.labels)
    for label in data.labels:
        if not counts[label]:
            found.store.close()
            first = next(iter(found.skipped.values()), "")
            raise DatasetError(
                f"no clip of {label!r} in the train split can be read; {len(found.skipped)} files cannot be, "
                f"the first: {first}"
            )
    kept = {**data.counts, "train": len(train), "validation": len(validation)}
    return found, TrainingData(data.labels, train, validation, kept)


def fit_data(run: TrainingRun, which: Sequence[Example], inputs: Inputs) -> FitData:
    """Clips with their targets and weights, for ``Fitter``."""
    return FitData(
        inputs,
        target_array(which, run.data.labels, run.config),
        clip_weights(which, run.data.labels, run.config, run.data.train),
    )


def start_run(
    adapter: Trainable,
    data: TrainingData,
    output_path: Path,
    on_epoch_end: OnEpochEnd | None,
    devices: Devices = 1,
) -> TrainingRun:
    """The network with its first weights, and the folder for checkpoints beside the output."""
    from adapters.training.variables import assign

    adapter.begin_training(data.labels)
    replicas = pick_devices(devices)
    with replicas.scope():
        network = adapter.build_network()
    assign(network, adapter.variables(network))
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
        raise StorageError(f"{folder}: cannot be made ({error.strerror}). Name another output path") from error
    return TrainingRun(adapter, data, network, folder, key, on_epoch_end, replicas)


# Phases -------------------------------------------------------------------------------------------------------------


def _fit_head(run: TrainingRun, features: CachedFeatures) -> FitResult:
    """The head alone, on features from the cache."""
    config, views = run.config, run.config["augment_views"]

    def train_inputs(rows: Any, epoch: int | None) -> Float32Array:
        rng = np.random.default_rng([config["seed"], 2, epoch or 0])
        choice = rng.integers(0, views + 1, size=len(run.data.train))
        return features.of([ExampleView(run.data.train[row], int(choice[row])) for row in rows])

    def validation_inputs(rows: Any, epoch: int | None) -> Float32Array:
        return features.of([ExampleView(run.data.validation[row], 0) for row in rows])

    head = run.network.head
    fitter = Fitter(
        run.forward,
        head.trainable_variables,
        head.trainable_variables,
        run.network.dropout_step,
        run.settings("head"),
        run.state_folder / "head.safetensors",
        run.replicas,
    )
    validation = fit_data(run, run.data.validation, validation_inputs) if run.data.validation else None
    return fitter.fit(fit_data(run, run.data.train, train_inputs), validation, run.on_epoch_end)


def _layers_to_tune(run: TrainingRun) -> int:
    """How many of the backbone's last layers ``fine_tune_layers`` or ``freeze_layers`` leaves to be trained."""
    total, last, first = run.network.backbone.layer_count, run.config["fine_tune_layers"], run.config["freeze_layers"]
    if last is None and first is None:
        return 0
    count = int(last if last is not None else total - first)
    if not 0 <= count <= total:
        key = "fine_tune_layers" if last is not None else "freeze_layers"
        raise ConfigError(f'"{key}" is {run.config[key]}; the backbone has {total} layers')
    return count


def _fine_tune(run: TrainingRun, layers: int, head_result: FitResult) -> FitResult:
    """Layers of the backbone too. What the head alone reached on the validation clips is kept where it is better."""
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
        )
        reached = [log for log in head_result.logs if log.best][-1] if validation is not None else None
        return fitter.fit(train, validation, run.on_epoch_end, reached)


def item_inputs(run: TrainingRun, which: Sequence[Example], *, augmented: bool = True) -> Inputs:
    """Inputs for fine-tuning: preprocessed items [B, items, ...]; training ones augmented anew in each epoch."""
    config, spec = run.config, run.adapter.input_spec

    def inputs(rows: Any, epoch: int | None) -> Float32Array:
        number = 0 if epoch is None or not augmented else epoch + 1 + config["augment_views"]
        clips = [
            read_view(ExampleView(which[row], number), spec, config["augmentation"], config["seed"]) for row in rows
        ]
        return np.stack([run.adapter.items(clip) for clip in clips])

    return inputs


# Results ------------------------------------------------------------------------------------------------------------


def _metrics(run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]) -> dict[str, Any]:
    """What travels in metrics.json: the history, and metrics on the validation clips where there are some."""
    history = [vars(log) for result in results for log in result.logs]
    metrics: dict[str, Any] = {"history": history, "clips": run.data.counts, "validation": {}}
    if not run.data.validation:
        return metrics
    from adapters.evaluation import evaluate

    scores = class_scores(_validation_scores(run, features, tuned=len(results) > 1), run.config, run.data.labels)
    matrix = label_matrix(run.data.validation, run.data.labels)
    truth = matrix if run.config["task"] == "multi_label" else matrix.argmax(axis=1)
    report = evaluate(
        scores,
        truth,
        run.data.labels,
        positive_label=run.config["positive_label"],
        threshold=run.config["threshold"],
        paths=[str(example.path) for example in run.data.validation],
    ).to_json()
    report.pop("mistakes", None)
    metrics["validation"] = report
    return metrics


def _validation_scores(run: TrainingRun, features: CachedFeatures, *, tuned: bool) -> Float32Array:
    """Clip scores [N, units] of the validation clips: from cached features, or through a backbone that has changed."""
    items, backbone = item_inputs(run, run.data.validation), run.network.backbone if tuned else None
    settings, found = run.settings("head"), []
    for row, example in enumerate(run.data.validation):
        inputs = items(np.array([row]), None) if tuned else features.of([ExampleView(example, 0)])
        scores = run.forward(inputs, False, through=backbone)
        found.append(np.asarray(aggregate_items(scores, settings.aggregation, settings.top_fraction))[0])
    return np.stack(found)


def _adopt(run: TrainingRun, metrics: dict[str, Any]) -> None:
    from adapters.training.variables import variables

    calibration = []
    if run.config["quantize"] == "int8":
        chosen = spread(run.data.train, run.config["calibration_clips"])
        calibration = [read_view(ExampleView(example, 0), run.adapter.input_spec, {}, 0) for example in chosen]
    run.adapter.metrics = metrics
    run.adapter.adopt(variables(run.network), calibration)


def _curve_files(results: Sequence[FitResult]) -> dict[str, bytes]:
    """Learning curves for people and for machines."""
    from adapters.evaluation import plot_learning_curves

    logs: list[EpochLog] = [log for result in results for log in result.logs]
    names = list(EpochLog.__dataclass_fields__)
    lines = [",".join(names)]
    lines += [",".join("" if getattr(log, name) is None else str(getattr(log, name)) for name in names) for log in logs]
    with tempfile.TemporaryDirectory() as folder:
        picture = plot_learning_curves(logs, Path(folder) / "curves.png").read_bytes()
    return {
        "curves/curves.json": json.dumps([vars(log) for log in logs], indent=1).encode(),
        "curves/curves.csv": ("\n".join(lines) + "\n").encode(),
        "curves/curves.png": picture,
    }
