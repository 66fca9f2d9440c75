"""The training loop: batches, loss, early stopping, a checkpoint after each epoch, and going on from one.

What an epoch does follows from (seed, phase, epoch) alone - order, dropout, augmentation - so a run that was stopped
and goes on ends in the same bits as one that was not, on the same machine and versions.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import TrainingError
from adapters.records import Aggregation, EpochLog, Float32Array, KeepBest
from adapters.system import import_keras, import_tensorflow, write_bytes_atomic
from adapters.training.devices import Replicas, one_device, out_of_memory

VALIDATION_BATCH = 256

Inputs = Callable[[npt.NDArray[np.int64], int | None], Float32Array]
Stopped = Literal["finished", "early_stopping", "non_finite_loss", "interrupted"]


@dataclass(frozen=True)
class FitData:
    """Clips to fit or validate on.

    inputs(rows, epoch): what the model takes for these clips, float32 [len(rows), ...]; epoch is None when validating.
    targets: float32 [N, units]. weights: float32 [N], how much each clip counts.
    """

    inputs: Inputs
    targets: Float32Array
    weights: Float32Array


@dataclass(frozen=True)
class FitSettings:
    """One phase of training. patience: epochs without a better one, None for no early stopping.

    keep_best: which epoch is better; see ``epoch_rank``. exclusive: exactly one class is right (softmax).
    aggregation, top_fraction: how item scores become a clip's.
    key: what the run follows from; a checkpoint of another key is not gone on from. batch_size: clips a step, of all
    devices together. loss_scale: see ``devices.mixed_precision``.
    """

    phase: Literal["head", "fine_tune"]
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    patience: int | None
    exclusive: bool
    key: str
    aggregation: Aggregation = "mean"
    top_fraction: float = 1.0
    train_batch_norm: bool = False
    loss_scale: float = 1.0
    keep_best: KeepBest = "val_loss"


@dataclass(frozen=True)
class FitResult:
    """best_epoch: None where no epoch was better than what the phase began with."""

    logs: tuple[EpochLog, ...]
    best_epoch: int | None
    stopped: Stopped


def aggregate_items(scores: Any, how: Aggregation, top_fraction: float) -> Any:
    """Tensor [B, items, units] to [B, units], as ``records.aggregate`` does for arrays."""
    tf = import_tensorflow()
    if how == "mean":
        return tf.reduce_mean(scores, axis=1)
    if how == "max":
        return tf.reduce_max(scores, axis=1)
    count = max(1, math.ceil(scores.shape[1] * top_fraction))
    best = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), k=count, sorted=False).values
    return tf.reduce_mean(best, axis=2)


def cross_entropy(targets: Any, scores: Any, exclusive: bool) -> Any:
    """Over the last axis, the units. exclusive: softmax scores of which one class is right; else sigmoids."""
    tf = import_tensorflow()
    scores = tf.clip_by_value(scores, 1e-7, 1 - 1e-7)
    if exclusive:
        return -tf.reduce_sum(targets * tf.math.log(scores), axis=-1)
    losses = targets * tf.math.log(scores) + (1 - targets) * tf.math.log(1 - scores)
    return -tf.reduce_mean(losses, axis=-1)


def clip_losses(targets: Any, scores: Any, settings: FitSettings) -> Any:
    """The loss of each clip, tensor [B], from item scores [B, items, units].

    With aggregation "mean" each item is to be right by itself, which also makes frame scores worth reading; with the
    others only what is aggregated is, since most items of a clip may show nothing.
    """
    tf = import_tensorflow()
    if settings.aggregation == "mean":
        return tf.reduce_mean(cross_entropy(targets[:, None], scores, settings.exclusive), axis=1)
    clip_scores = aggregate_items(scores, settings.aggregation, settings.top_fraction)
    return cross_entropy(targets, clip_scores, settings.exclusive)


class Fitter:
    """One phase: ``forward(inputs, training)`` gives item scores [B, items, units]; ``trainable`` is what is trained.

    saved: every variable that the phase may change (trainable ones, batch statistics): what checkpoints hold.
    step_variable: int32 [2], set to (seed, step) before each step, for dropout.
    replicas: the devices, under whose scope the variables were made; None for the one that TensorFlow takes.
    """

    def __init__(
        self,
        forward: Callable[[Any, bool], Any],
        trainable: Sequence[Any],
        saved: Sequence[Any],
        step_variable: Any,
        settings: FitSettings,
        checkpoint: Path,
        replicas: Replicas | None = None,
    ) -> None:
        tf, keras = import_tensorflow(), import_keras()
        self.settings, self.checkpoint, self.saved = settings, checkpoint, list(saved)
        self.replicas = one_device() if replicas is None else replicas
        with self.replicas.scope():
            self.optimizer = keras.optimizers.Adam(settings.learning_rate)
            self.optimizer.build(trainable)
        self.step_variable = step_variable
        self.best: list[Float32Array] = [np.asarray(variable.numpy()) for variable in self.saved]
        how, top, scale = settings.aggregation, settings.top_fraction, settings.loss_scale

        # Of a device's share of a batch; total is the whole batch's weight, and gradients are summed over devices.
        def train_step(inputs: Any, targets: Any, weights: Any, total: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                scores = forward(inputs, True)
                losses = clip_losses(targets, scores, settings) * weights
                loss = tf.reduce_sum(losses) / tf.maximum(total, 1e-9) * scale
            gradients = [None if value is None else value / scale for value in tape.gradient(loss, trainable)]
            self.optimizer.apply_gradients(zip(gradients, trainable, strict=True))
            return tf.reduce_sum(losses), aggregate_items(scores, how, top)

        def test_step(inputs: Any, targets: Any, weights: Any, total: Any) -> tuple[Any, Any]:
            scores = forward(inputs, False)
            losses = clip_losses(targets, scores, settings) * weights
            return tf.reduce_sum(losses), aggregate_items(scores, how, top)

        self._train_step, self._test_step = self.replicas.compile(train_step), self.replicas.compile(test_step)

    def fit(
        self,
        train: FitData,
        validation: FitData | None,
        on_epoch_end: Callable[[EpochLog], object] | None,
        before: EpochLog | None = None,
    ) -> FitResult:
        """Train to the end, from the checkpoint where there is one of this key; the best epoch's weights are set.

        before: the epoch whose weights this phase begins with, on the same validation clips; they stay where no
        epoch is better.
        """
        logs, stopped = self._resume()
        while stopped is None and len(logs) < self.settings.epochs:
            known = [log for log in (before, *logs) if log is not None and log.best]
            best = min((epoch_rank(log, self.settings.keep_best) for log in known), default=None)
            try:
                log = self._epoch(len(logs), train, validation, best)
            except (MemoryError, import_tensorflow().errors.ResourceExhaustedError) as error:
                raise out_of_memory(self.settings.batch_size, self.replicas, self.settings.phase) from error
            if not math.isfinite(log.loss) or (log.val_loss is not None and not math.isfinite(log.val_loss)):
                stopped = "non_finite_loss"
                break
            logs.append(log)
            if log.best:
                self.best = [np.asarray(variable.numpy()) for variable in self.saved]
            if self._out_of_patience(logs):
                stopped = "early_stopping"
            self._save(logs, stopped)
            if on_epoch_end is not None and on_epoch_end(log) is False:
                stopped = "interrupted"
        if not logs:
            raise TrainingError(
                "the loss is not finite in the first epoch: nothing was learned. Lower the learning rate "
                f"({self.settings.learning_rate:g} now) and look at the data's values"
            )
        for variable, value in zip(self.saved, self.best, strict=True):
            variable.assign(value)
        best_epoch = max((log.epoch for log in logs if log.best), default=None)
        return FitResult(tuple(logs), best_epoch, stopped or "finished")

    def _epoch(
        self, epoch: int, train: FitData, validation: FitData | None, best: tuple[float, ...] | None
    ) -> EpochLog:
        started = time.perf_counter()
        order = np.random.default_rng([self.settings.seed, 1, epoch]).permutation(len(train.targets))
        loss, accuracy = self._pass(train, order, epoch)
        val_loss = val_accuracy = None
        if validation is not None:
            val_loss, val_accuracy = self._pass(validation, np.arange(len(validation.targets)), None)
        seconds = time.perf_counter() - started
        log = EpochLog(self.settings.phase, epoch, loss, accuracy, val_loss, val_accuracy, seconds)
        return replace(log, best=best is None or epoch_rank(log, self.settings.keep_best) < best)

    def _pass(self, data: FitData, order: npt.NDArray[np.int64], epoch: int | None) -> tuple[float, float]:
        """Every clip once: the weighted mean loss and the share that is right."""
        # Features are small; whole clips take memory.
        several = epoch is None and self.settings.phase == "head"
        size = min(VALIDATION_BATCH if several else self.settings.batch_size, len(order))
        whole = size + -size % self.replicas.count  # of rows that divide evenly over the devices
        total = right = 0.0
        for number, first in enumerate(range(0, len(order), size)):
            rows = order[first : first + size]
            inputs, targets, weights = data.inputs(rows, epoch), data.targets[rows], data.weights[rows]
            missing = whole - len(rows)
            if missing:  # one shape for every step: clips of weight 0 fill it up
                inputs = np.concatenate([inputs, np.repeat(inputs[:1], missing, axis=0)])
                targets = np.concatenate([targets, np.repeat(targets[:1], missing, axis=0)])
                weights = np.concatenate([weights, np.zeros(missing, np.float32)])
            if epoch is not None:
                self.step_variable.assign([self.settings.seed, epoch * 1_000_003 + number])
            step = self._test_step if epoch is None else self._train_step
            losses, scores = step(inputs, targets, weights, np.asarray(weights.sum(), np.float32))
            total += losses
            right += _right(scores[: len(rows)], targets[: len(rows)], self.settings.exclusive)
        return total / float(data.weights.sum()), right / len(order)

    def _out_of_patience(self, logs: Sequence[EpochLog]) -> bool:
        patience = self.settings.patience
        if patience is None or logs[-1].val_loss is None:
            return False
        return len(logs) - 1 - max((log.epoch for log in logs if log.best), default=-1) >= patience

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _save(self, logs: Sequence[EpochLog], stopped: Stopped | None) -> None:
        from safetensors.numpy import save

        arrays = {f"now/{i}": np.asarray(v.numpy()) for i, v in enumerate(self.saved)}
        arrays |= {f"best/{i}": value for i, value in enumerate(self.best)}
        arrays |= {f"optimizer/{i}": np.asarray(v.numpy()) for i, v in enumerate(self.optimizer.variables)}
        about = {
            "key": self.settings.key,
            "stopped": json.dumps(stopped),
            "logs": json.dumps([asdict(log) for log in logs]),
        }
        write_bytes_atomic(self.checkpoint, save(arrays, metadata=about))

    def _resume(self) -> tuple[list[EpochLog], Stopped | None]:
        from safetensors import SafetensorError, safe_open

        if not self.checkpoint.is_file():
            return [], None
        try:
            with safe_open(self.checkpoint, framework="np") as file:
                about = file.metadata()
                if about.get("key") != self.settings.key:
                    return [], None
                for index, variable in enumerate(self.saved):
                    variable.assign(file.get_tensor(f"now/{index}"))
                self.best = [file.get_tensor(f"best/{index}") for index in range(len(self.saved))]
                for index, variable in enumerate(self.optimizer.variables):
                    variable.assign(file.get_tensor(f"optimizer/{index}"))
        except SafetensorError as error:
            raise TrainingError(
                f"{self.checkpoint}: the checkpoint is damaged ({error}). Delete it to train from the start"
            ) from error
        stopped: Stopped | None = json.loads(about["stopped"])
        return [EpochLog(**row) for row in json.loads(about["logs"])], stopped


def epoch_rank(log: EpochLog, keep_best: KeepBest) -> tuple[float, ...]:
    """What epochs are compared by, the lowest being the best: training's figures where there is no validation.

    Few clips give few different accuracies, so of equal ones the lower loss is better.
    """
    loss, accuracy = (log.loss, log.accuracy) if log.val_loss is None else (log.val_loss, log.val_accuracy)
    return (loss,) if keep_best == "val_loss" or accuracy is None else (-accuracy, loss)


def _right(scores: Float32Array, targets: Float32Array, exclusive: bool) -> float:
    """How many clips are right: the top class, or every label on the right side of 0.5."""
    if exclusive:
        return float((scores.argmax(axis=1) == targets.argmax(axis=1)).sum())
    return float(((scores >= 0.5) == (targets >= 0.5)).all(axis=1).sum())
