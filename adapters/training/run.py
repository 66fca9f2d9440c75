"""Training a model: features from the cache, a head in seconds, then the last layers if asked for."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from adapters.base import OnEpochEnd, OnProgress, TrainOptions
from adapters.data import clips_digest
from adapters.errors import DatasetError, MissingExtraError
from adapters.records import take_evenly
from adapters.reports import TrainReport
from adapters.system import import_keras
from adapters.training.backbone_features import features_of_views
from adapters.training.devices import check_batch, pick_devices
from adapters.training.feature_cache import CachedFeatures, ExampleView, read_view
from adapters.training.head_phase import HAND_SET_KEYS, fit_head, only_solves
from adapters.training.held_out_figures import held_out_metrics, held_out_notes
from adapters.training.phases import TrainingRun, fine_tune, layers_to_tune, start_run
from adapters.training.results import curve_files, training_metrics
from adapters.training.solver_libraries import require_solver
from adapters.training.trainable import Trainable
from adapters.training.training_data import TrainingData, clips_note, training_data, with_chosen_sources


def train_model(
    adapter: Trainable,
    data_path: Path,
    output_path: Path,
    on_epoch_end: OnEpochEnd | None = None,
    options: TrainOptions = TrainOptions(),
) -> TrainReport:
    """Train, adopt the best weights, and write the bundle to output_path. See ``BaseModelAdapter.train``.

    An interrupted run resumes from the checkpoints in ``<output_path>.training``, which is removed once the bundle is
    written. A checkpoint of other clips, another config or another version is not used, and ``on_note`` receives a
    sentence about it.

    Args:
        adapter: The model to train; it has the trained weights afterwards.
        data_path: A dataset in any of the formats of ``adapters.data``.
        output_path: The bundle's folder.
        on_epoch_end: Called after each epoch; training ends early, with the best weights so far, if it returns False.
        options: Devices, progress and notes.

    Raises:
        DatasetError: The dataset cannot be read, or a class has too few readable clips.
        ConfigError: The config names layers that the backbone does not have, or a wrong number of devices.
        TrainingError: The loss is not finite from the first epoch, the memory does not suffice, there are fewer devices
            than asked for, or a checkpoint is damaged.
        WeightsError: The first weights cannot be found or do not fit.
        StorageError: The bundle or a checkpoint cannot be written.
        MissingExtraError: The ``learn`` extra is not installed; or ``train``, which gradient steps need, and a backbone
            that only TensorFlow converts.
    """
    adapter.require_weights()  # before any work, as what follows: says how to get what is missing
    _is_solved(adapter, options)
    if adapter.trained:
        adapter.variables()  # likewise: a model that came without weights cannot be trained
    started = time.perf_counter()
    wanted = adapter.labels if adapter.trained else adapter.config["labels"]
    data = with_chosen_sources(training_data(data_path, adapter.config, wanted), adapter.scores_frames)
    digest = clips_digest(data.train)
    if not adapter.trained:
        adapter.begin_training(data.labels)  # weights of other classes fit a model that has classes of its own
    solved = _is_solved(adapter, options)  # weights of the same classes brought their head
    features, data = _features(adapter, data, options.on_progress)
    if options.on_note is not None:
        options.on_note(clips_note(data))
    with features.store:
        run = start_run(adapter, data, output_path, on_epoch_end, options, solved=solved)
        results = [fit_head(run, features)]
        layers = 0 if solved else layers_to_tune(run)
        if layers and results[0].stopped != "interrupted":
            results.append(fine_tune(run, layers, results[0]))
        metrics = training_metrics(run, features, results, held_out_metrics(run, features, results))
    if "out_of_fold" in metrics:
        metrics["out_of_fold"]["clips_digest"] = digest
    if (
        results[0].start is not None
        and not any(log.best for result in results for log in result.logs)
        and options.on_note
    ):
        options.on_note("the starting model is kept: no epoch was clearly better on the validation clips")
    for note in held_out_notes(metrics, adapter.config["optimize"]):
        if options.on_note is not None:
            options.on_note(note)
    _adopt(run, metrics)
    adapter.save_with(output_path, curve_files(results, metrics))
    shutil.rmtree(run.state_folder, ignore_errors=True)
    logs = tuple(log for result in results for log in result.logs)
    return TrainReport(
        output_path=str(output_path),
        labels=data.labels,
        epochs=logs,
        best_epoch=next((log.epoch for log in reversed(logs) if log.best), -1),
        stopped=results[-1].stopped,
        clips=data.counts,
        decoded_clips=features.decoded,
        seconds=time.perf_counter() - started,
        skipped=tuple(features.skipped.values()),
        metrics=metrics["validation"],
        cross_validation=metrics.get("cross_validation", {}),
        calibration=metrics.get("calibration", {}),
        thresholds=metrics.get("thresholds", {}),
    )


def _is_solved(adapter: Trainable, options: TrainOptions) -> bool:
    """Whether the head is solved and nothing else is trained; if not, the devices are looked at.

    MissingExtraError where gradient steps are asked for without TensorFlow; it says what needs none.
    """
    if only_solves(adapter, options.devices):
        require_solver()
        return True
    try:
        import_keras()
    except MissingExtraError as missing:
        keys = ", ".join(f'"{key}"' for key in (*HAND_SET_KEYS, "fine_tune_layers", "freeze_layers"))
        raise MissingExtraError(
            missing.package,
            missing.extra,
            "training by gradient steps",
            'A head trained by logistic regression needs no TensorFlow: set "head_solver" to "logistic" with "head" '
            f"[], and leave {keys} and --devices at their defaults",
        ) from missing
    check_batch(adapter.config["batch_size"], pick_devices(options.devices))
    return False


def _features(
    adapter: Trainable, data: TrainingData, on_progress: OnProgress | None
) -> tuple[CachedFeatures, TrainingData]:
    """Cached features of every view; clips that cannot be read are left out of the data."""
    config = adapter.config
    views = [ExampleView(example, n) for example in data.train for n in range(config["augment_views"] + 1)]
    views += [ExampleView(example, 0) for example in data.validation]
    found = features_of_views(adapter, adapter.feature_source(), views, on_progress)
    complete = {view.example for view in found.keys} - {view.example for view in views if view not in found.keys}
    train = tuple(example for example in data.train if example in complete)
    validation = tuple(example for example in data.validation if example in complete)
    counts = Counter(label for example in train for label in example.labels)
    for label in data.labels:
        if not counts[label]:
            found.store.close()
            first = next(iter(found.skipped.values()), "")
            raise DatasetError(
                f"no clip of {label!r} in the train split can be read; {len(found.skipped)} files cannot, "
                f"the first: {first}"
            )
    kept = {**data.counts, "train": len(train), "validation": len(validation)}
    return found, TrainingData(data.labels, train, validation, kept)


def _adopt(run: TrainingRun, metrics: dict[str, Any]) -> None:
    calibration = []
    if run.config["quantize"] == "int8":
        chosen = take_evenly(run.data.train, run.config["calibration_clips"])
        calibration = [read_view(ExampleView(example, 0), run.adapter.input_spec, {}, 0) for example in chosen]
    run.adapter.metrics = metrics
    run.adapter.adopt(run.weights.values(), calibration)
