"""What one phase of training fits: its clips, its hyperparameters, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from adapters.records import Aggregation, Float32Array, KeepBest
from adapters.reports import EpochLog
from adapters.training.checkpoint import Stopped

Inputs = Callable[[npt.NDArray[np.int64], int | None], Float32Array]


@dataclass(frozen=True)
class FitData:
    """Clips to fit or validate on.

    Attributes:
        inputs: ``inputs(rows, epoch)`` returns the model's input for these clips, float32 [len(rows), ...]. rows is
            int64; epoch counts from 0 and is None when validating.
        targets: float32 [N, units] in 0..1, what the model should output.
        weights: float32 [N], how much each clip counts in the loss.
        groups: int64 [N]; clips of one group are right or wrong together. None: each clip is a group of its own.
    """

    inputs: Inputs
    targets: Float32Array
    weights: Float32Array
    groups: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class FitSettings:
    """The hyperparameters of one phase of training.

    Attributes:
        phase: The head alone on cached features, or the last layers of the backbone too.
        epochs: Maximum number of epochs.
        learning_rate: Adam's.
        batch_size: Clips per step, over all devices together.
        seed: The seed of order, dropout and augmentation.
        patience: Epochs without a better one after which training stops; None for no early stopping.
        exclusive: Whether exactly one class is right (softmax); otherwise each unit is a sigmoid.
        key: A digest of what the run follows from; a checkpoint with another key is not resumed.
        aggregation: How the scores of a clip's items become the clip's.
        top_fraction: The share of items, 0..1, that aggregation "top" averages.
        train_batch_norm: Whether the batch statistics are trained too.
        loss_scale: The factor against underflow in 16 bits; see ``devices.mixed_precision``.
        keep_best: Which epoch is better; see ``epoch_rank``.
        save_seconds: Minimum time between two checkpoints: an epoch of few clips takes less than writing one.
        decay_patience: Epochs without a better one after which the learning rate is halved; None: it stays.
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
    decay_patience: int | None = None
    save_seconds: float = 0.0


@dataclass(frozen=True)
class FitResult:
    """What a phase of training did.

    Attributes:
        logs: One entry per epoch, in order.
        best_epoch: The epoch whose weights are kept; None if none was better than what the phase began with.
        stopped: Why the phase ended.
        held_out: What heads that never saw a clip's group made of the training clips; None where none was asked.
        start: What the phase began with, measured on the validation clips; None where it did not compete.
    """

    logs: tuple[EpochLog, ...]
    best_epoch: int | None
    stopped: Stopped
    held_out: HeldOut | None = None
    start: EpochLog | None = None

    @property
    def kept(self) -> EpochLog | None:
        """The epoch whose weights are kept: the last one that is marked best, or the start; None without either."""
        return next((log for log in reversed(self.logs) if log.best), self.start)


@dataclass(frozen=True)
class HeldOut:
    """The training clips, each seen by a head that did not learn from its group (cross-validation).

    Attributes:
        logits: float32 [N, items, units].
        folds: How many heads there were.
        chosen: What was chosen by them, such as {"penalty": 0.1} or {"epochs": 31}.
    """

    logits: Float32Array
    folds: int
    chosen: dict[str, float]


def clear_gain(
    before: Float32Array, after: Float32Array, weights: Float32Array, groups: npt.NDArray[np.int64] | None = None
) -> tuple[bool, float, float]:
    """Whether the losses of clips fell by more than their noise, so that the gain is not one of these clips alone.

    Args:
        before: float32 [N].
        after: float32 [N], of the same clips.
        weights: float32 [N], how much each clip counts.
        groups: int64 [N], see ``FitData``.

    Returns:
        Whether the mean gain is above its standard error over groups; the gain and the standard error. Fewer than two
        groups count as clips; of a single clip each gain is clear.
    """
    gains, share = (before - after).astype(np.float64), weights.astype(np.float64) / weights.sum()
    names = np.arange(len(gains)) if groups is None or len(np.unique(groups)) < 2 else groups
    member = np.unique(names, return_inverse=True)[1].reshape(-1)
    gain, count = float(share @ gains), int(member.max()) + 1
    if count < 2:
        return gain > 0, gain, 0.0
    # Of a ratio estimator over clusters (Cochran 1977, Sampling Techniques, section 6.4).
    beyond = np.bincount(member, share * (gains - gain))
    error = float(np.sqrt(count / (count - 1) * np.square(beyond).sum()))
    return gain > error, gain, error


def learning_rate_after(logs: Sequence[EpochLog], settings: FitSettings) -> float:
    """The learning rate of the next epoch: halved whenever ``decay_patience`` epochs passed without a better one.

    It follows from the epochs alone, so that a resumed run has the same.

    Args:
        logs: The epochs so far.
        settings: The hyperparameters.
    """
    rate, waited = settings.learning_rate, 0
    if settings.decay_patience is None:
        return rate
    for log in logs:
        waited = 0 if log.best else waited + 1
        if waited == settings.decay_patience:
            rate, waited = rate / 2, 0
    return rate


def epoch_rank(log: EpochLog, keep_best: KeepBest) -> tuple[float, ...]:
    """What epochs are compared by; the lowest is the best. Without validation clips the training figures count.

    Args:
        log: The epoch.
        keep_best: "val_loss" or "val_accuracy". A small set of clips has few different accuracies, so the lower loss
            decides between equal ones.

    Returns:
        Numbers to compare as a tuple.
    """
    loss, accuracy = (log.loss, log.accuracy) if log.val_loss is None else (log.val_loss, log.val_accuracy)
    return (loss,) if keep_best == "val_loss" or accuracy is None else (-accuracy, loss)
