"""The training loop: batches, loss, early stopping, a checkpoint after each epoch, and going on from one.

What an epoch does follows from (seed, phase, epoch) alone - order, dropout, augmentation - so a run that was stopped
and goes on ends in the same bits as one that was not, on the same machine and versions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import TrainingError
from adapters.records import Float32Array
from adapters.reports import EpochLog
from adapters.system import import_keras, import_tensorflow
from adapters.training.checkpoint import Checkpoint, Stopped, read_checkpoint, write_checkpoint
from adapters.training.devices import Replicas, one_device, out_of_memory
from adapters.training.fit_settings import FitData, FitResult, FitSettings, clear_gain, epoch_rank, learning_rate_after
from adapters.training.losses import aggregate_items, clip_losses

VALIDATION_BATCH = 256


class Fitter:
    """One phase of training: Adam (Kingma and Ba 2015, arXiv:1412.6980) on some variables, with a checkpoint."""

    def __init__(
        self,
        forward: Callable[[Any, bool], Any],
        trainable: Sequence[Any],
        saved: Sequence[Any],
        step_variable: Any,
        settings: FitSettings,
        checkpoint: Path,
        replicas: Replicas | None = None,
        on_note: Callable[[str], object] | None = None,
    ) -> None:
        """Build the optimizer and the steps; nothing is trained yet.

        Args:
            forward: ``forward(inputs, training)`` returns item scores, float32 tensor [B, items, units] in 0..1.
            trainable: The tf.Variables that gradients change.
            saved: Every tf.Variable that the phase may change (trainable ones, batch statistics), for checkpoints.
            step_variable: An int32 tf.Variable [2], set to (seed, step) before each step, for dropout.
            settings: The hyperparameters of the phase.
            checkpoint: The ``.safetensors`` file to resume from and to write after each epoch.
            replicas: The devices under whose scope the variables were made; None for TensorFlow's default device.
            on_note: Receives a sentence if the checkpoint there cannot be resumed from.
        """
        tf, keras = import_tensorflow(), import_keras()
        self.settings, self.checkpoint, self.saved = settings, checkpoint, list(saved)
        self.on_note = on_note
        self.replicas = one_device() if replicas is None else replicas
        with self.replicas.scope():
            self.optimizer = keras.optimizers.Adam(settings.learning_rate)
            self.optimizer.build(trainable)
        self.step_variable = step_variable
        self.best: list[Float32Array] = [np.asarray(variable.numpy()) for variable in self.saved]
        how, top, scale = settings.aggregation, settings.top_fraction, settings.loss_scale

        # A row for each clip: its scores, then its loss.
        def rows_of(scores: Any, losses: Any) -> Any:
            return tf.concat([aggregate_items(scores, how, top), losses[:, None]], axis=1)

        # Of a device's share of a batch; total is the whole batch's weight, and gradients are summed over devices.
        def train_step(inputs: Any, targets: Any, weights: Any, total: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                scores = forward(inputs, True)
                losses = clip_losses(targets, scores, settings)
                loss = tf.reduce_sum(losses * weights) / tf.maximum(total, 1e-9) * scale
            gradients = [None if value is None else value / scale for value in tape.gradient(loss, trainable)]
            self.optimizer.apply_gradients(zip(gradients, trainable, strict=True))
            return tf.reduce_sum(losses * weights), rows_of(scores, losses)

        def test_step(inputs: Any, targets: Any, weights: Any, total: Any) -> tuple[Any, Any]:
            scores = forward(inputs, False)
            losses = clip_losses(targets, scores, settings)
            return tf.reduce_sum(losses * weights), rows_of(scores, losses)

        self._train_step, self._test_step = self.replicas.compile(train_step), self.replicas.compile(test_step)

    def fit(
        self,
        train: FitData,
        validation: FitData | None,
        on_epoch_end: Callable[[EpochLog], object] | None,
        before: EpochLog | None = None,
    ) -> FitResult:
        """Train to the end, from the checkpoint where there is one of this key; the best epoch's weights are set.

        Args:
            train: The clips to learn from.
            validation: The clips that decide which epoch is best; None for the training figures.
            on_epoch_end: Called after each epoch; training ends early if it returns False.
            before: The epoch whose weights this phase begins with, measured on the same validation clips. These
                weights stay unless an epoch is better by more than the noise of these clips.

        Returns:
            The epochs, those before an interruption among them.

        Raises:
            TrainingError: The loss is not finite in the first epoch, the memory does not suffice, or the checkpoint is
                damaged.
            StorageError: The checkpoint cannot be written.
        """
        start = [np.asarray(variable.numpy()) for variable in self.saved]
        start_rows = None if before is None or validation is None else self._rows(validation)
        logs, stopped = self._resume()
        saved = -math.inf
        while stopped is None and len(logs) < self.settings.epochs:
            known = [log for log in (before, *logs) if log is not None and log.best]
            best = min((epoch_rank(log, self.settings.keep_best) for log in known), default=None)
            self.optimizer.learning_rate.assign(learning_rate_after(logs, self.settings))
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
            if stopped or len(logs) == self.settings.epochs or time.monotonic() >= saved + self.settings.save_seconds:
                self._save(logs, stopped)
                saved = time.monotonic()
            if on_epoch_end is not None and on_epoch_end(log) is False:
                stopped = "interrupted"
        if not logs:
            raise TrainingError(
                "the loss is not finite in the first epoch: nothing was learned. Lower the learning rate "
                f"(now {self.settings.learning_rate:g}) and check the values of the data"
            )
        for variable, value in zip(self.saved, self.best, strict=True):
            variable.assign(value)
        rival = validation if any(log.best for log in logs) else None
        if start_rows is not None and rival is not None and not self._is_clearly_better(start_rows, rival):
            logs = [replace(log, best=False) for log in logs]
            for variable, value in zip(self.saved, start, strict=True):
                variable.assign(value)
        best_epoch = max((log.epoch for log in logs if log.best), default=None)
        return FitResult(tuple(logs), best_epoch, stopped or "finished", start=before)

    def measure(self, validation: FitData) -> EpochLog:
        """The present weights on validation clips, as an epoch of number -1 that others have to better.

        Args:
            validation: The clips.
        """
        started = time.perf_counter()
        loss, accuracy = self._pass(validation, np.arange(len(validation.targets)), None)
        return EpochLog(
            self.settings.phase, -1, loss, accuracy, loss, accuracy, time.perf_counter() - started, best=True
        )

    def _is_clearly_better(self, start: Float32Array, validation: FitData) -> bool:
        """Whether the present weights are better than those that gave the rows, by more than the clips' noise."""
        now, targets = self._rows(validation), validation.targets
        wrong = [~_right(rows[:, :-1], targets, self.settings.exclusive) for rows in (start, now)]
        before, after, what = start[:, -1], now[:, -1], "loss"
        if self.settings.keep_best == "val_accuracy" and wrong[0].sum() != wrong[1].sum():
            before, after, what = wrong[0].astype(np.float32), wrong[1].astype(np.float32), "share of wrong clips"
        clear, gain, error = clear_gain(before, after, validation.weights, validation.groups)
        if not clear and self.on_note is not None:
            name = "fine-tuning" if self.settings.phase == "fine_tune" else "further training"
            self.on_note(
                f"{name}: the {what} on validation clips fell by {gain:.3g}, which is within its noise "
                f"({error:.3g}), so the earlier weights are kept"
            )
        return clear

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
        total = right = 0.0
        for rows, losses, found in self._batches(data, order, epoch):
            total += losses
            right += float(_right(found[:, :-1], data.targets[rows], self.settings.exclusive).sum())
        return total / float(data.weights.sum()), right / len(order)

    def _rows(self, data: FitData) -> Float32Array:
        """The scores of each clip and its loss by the present weights, float32 [N, units + 1]."""
        return np.concatenate([found for _, _, found in self._batches(data, np.arange(len(data.targets)), None)])

    def _batches(
        self, data: FitData, order: npt.NDArray[np.int64], epoch: int | None
    ) -> Iterator[tuple[npt.NDArray[np.int64], float, Float32Array]]:
        """Steps over the clips: which ones, the sum of their losses, and the scores and loss of each."""
        # Features are small; whole clips take memory.
        several = epoch is None and self.settings.phase == "head"
        size = min(VALIDATION_BATCH if several else self.settings.batch_size, len(order))
        whole = size + -size % self.replicas.count  # of rows that divide evenly over the devices
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
            losses, found = step(inputs, targets, weights, np.asarray(weights.sum(), np.float32))
            yield rows, losses, found[: len(rows)]

    def _out_of_patience(self, logs: Sequence[EpochLog]) -> bool:
        patience = self.settings.patience
        if patience is None or logs[-1].val_loss is None:
            return False
        return len(logs) - 1 - max((log.epoch for log in logs if log.best), default=-1) >= patience

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _save(self, logs: Sequence[EpochLog], stopped: Stopped | None) -> None:
        present = [np.asarray(variable.numpy()) for variable in self.saved]
        optimizer = [np.asarray(variable.numpy()) for variable in self.optimizer.variables]
        checkpoint = Checkpoint(present, list(self.best), optimizer, tuple(logs), stopped)
        write_checkpoint(self.checkpoint, self.settings.key, checkpoint)

    def _resume(self) -> tuple[list[EpochLog], Stopped | None]:
        if not self.checkpoint.exists():
            return [], None
        shapes = [[tuple(variable.shape) for variable in group] for group in (self.saved, self.optimizer.variables)]
        found = read_checkpoint(self.checkpoint, self.settings.key, *shapes)
        if found is None:
            if self.on_note is not None:
                self.on_note(
                    f"checkpoint in {self.checkpoint.parent} belongs to other clips, another config or another version "
                    "of cliplab; training starts from the first epoch"
                )
            return [], None
        for variable, value in zip(self.saved, found.present, strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, found.optimizer, strict=True):
            variable.assign(value)
        self.best = found.best
        return list(found.logs), found.stopped


def _right(scores: Float32Array, targets: Float32Array, exclusive: bool) -> npt.NDArray[np.bool_]:
    """Whether each clip is right: the top class, or every label on the right side of 0.5."""
    if exclusive:
        return np.asarray(scores.argmax(axis=1) == targets.argmax(axis=1))
    return np.asarray(((scores >= 0.5) == (targets >= 0.5)).all(axis=1))
