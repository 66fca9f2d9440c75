"""The reports of training and conversion: frozen dataclasses that can be written as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Any, Literal

from adapters.records import Phase, Precision


@dataclass(frozen=True)
class EpochLog:
    """One epoch of training. Losses and accuracies are means over clips.

    Attributes:
        phase: ``head`` or ``fine_tune``.
        epoch: Its number in the phase, from 0.
        loss: Of the training clips.
        accuracy: Of the training clips, in 0..1.
        val_loss: Of the validation clips; None without a validation split.
        val_accuracy: Of the validation clips, in 0..1; None without a validation split.
        seconds: How long the epoch took.
        best: Whether it was better than each epoch before it.
    """

    phase: Phase
    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    best: bool = False


@dataclass(frozen=True)
class TrainReport:
    """The course of a training: every epoch, the one that was kept, and why it ended.

    Attributes:
        output_path: The folder of the bundle.
        labels: The classes in the model's order.
        epochs: In the order in which they ran.
        best_epoch: The epoch that was kept, the last that is marked best: its number in the phase ``best_phase``; -1
            where the model that training started from was better than every epoch.
        stopped: Why training ended.
        clips: How many clips each split has.
        decoded_clips: How many views of clips were decoded: a clip itself, and each augmented copy of it. The features
            of the others were in the cache.
        seconds: How long the whole training took.
        skipped: The clips that could not be read, a sentence each.
        metrics: What evaluation measured, as the bundle keeps it.
        conversion: Of the single .tflite; None where none was requested.
        cross_validation: What heads got right on training clips whose group they did not see; empty where nothing was
            chosen by cross-validation.
        calibration: The temperature, and the calibration error before and after it; empty without held-out clips.
        cross_validated: What ``cliplab evaluate --cross-validate`` says of the same config and clips; empty without
            it.
        thresholds: The threshold of each class that ``optimize`` asked for, with what it reaches; empty without it.
    """

    output_path: str
    labels: tuple[str, ...]
    epochs: tuple[EpochLog, ...]
    best_epoch: int
    stopped: Literal["finished", "early_stopping", "non_finite_loss", "interrupted"]
    clips: dict[str, int]
    decoded_clips: int
    seconds: float
    skipped: tuple[str, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    conversion: ConversionReport | None = None
    cross_validation: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, Any] = field(default_factory=dict)
    cross_validated: dict[str, Any] = field(default_factory=dict)

    @property
    def best_phase(self) -> Phase | None:
        """The phase that best_epoch is counted in: both phases number their epochs from 0. None without epochs."""
        return next((log.phase for log in reversed(self.epochs) if log.best), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON object of the same names, with ``best_phase``; fractions have six digits."""
        return dict(rounded({**asdict(self), "best_phase": self.best_phase}))


@dataclass(frozen=True)
class AccuracyDrop:
    """What a conversion costs on labelled clips.

    Attributes:
        source: Share of the clips that the source gets right, in 0..1.
        converted: The same of the converted program.
        drop: ``source`` less ``converted``; below 0 where the converted program is better.
        interval: The 95% interval of ``drop``, by resampling groups.
        clips: How many clips were compared.
        groups: How many groups they belong to.
    """

    source: float
    converted: float
    drop: float
    interval: tuple[float, float]
    clips: int
    groups: int


@dataclass(frozen=True)
class ConversionReport:
    """A conversion, measured against its source on real or rendered clips.

    Attributes:
        output_path: The .tflite that was written.
        quantize: Its precision.
        clips: How many clips were compared; windows count as clips.
        clip_origin: Where the clips came from, in words.
        max_score_difference: Largest absolute difference of any class score on any clip, in 0..1.
        agreement: Share of the clips whose top label is the same, in 0..1.
        near_ties: How many labels changed between two scores of the source that are less than 0.1 apart.
        source_size_bytes: Size of the program that was converted.
        size_bytes: Size of the .tflite.
        source_ms: Median milliseconds per clip of the source, on one thread.
        converted_ms: Median milliseconds per clip of the .tflite, on one thread.
        operators: How often each LiteRT operator occurs in the .tflite.
        partitions: Into how many parts the XNNPACK delegate divides the graph; None where not known.
        accuracy: What both get right on labelled clips; None without labels.
        source_clips: How many labelled clips the compared ones are windows of; None without labels.
    """

    output_path: str
    quantize: Precision
    clips: int
    clip_origin: str
    max_score_difference: float
    agreement: float
    source_size_bytes: int
    size_bytes: int
    source_ms: float
    converted_ms: float
    operators: dict[str, int] = field(default_factory=dict)
    partitions: int | None = None
    near_ties: int = 0
    accuracy: AccuracyDrop | None = None
    source_clips: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object of the same names; fractions have six digits."""
        return dict(rounded(asdict(self)))


def rounded(value: Any) -> Any:
    """A JSON value whose fractions have six decimals, or six significant digits where they are below 0.1.

    Args:
        value: Numbers, text, mappings, lists and tuples; numpy numbers become plain ones.

    Returns:
        The same with tuples as lists; whole numbers, text and what is not finite stay as they are, and so does each
        "threshold", which could lie on the other side of a score that is near 1.
    """
    if isinstance(value, Mapping):
        return {key: item if key == "threshold" else rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if not isinstance(value, Real) or isinstance(value, Integral):
        return value
    number = float(value)
    if not math.isfinite(number):
        return value
    return float(f"{number:.6g}") if abs(number) < 0.1 else round(number, 6)
