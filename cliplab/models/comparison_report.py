"""What `cliplab compare` found: the figures of each model, and the one to take."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from adapters.errors import ConfigError

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


@dataclass(frozen=True)
class Limits:
    """What the model may need on the device.

    Attributes:
        latency_ms: Maximum milliseconds per clip; None for any.
        size_bytes: The largest file in bytes; None for any.
        device_factor: How many times slower the device is than this machine.
    """

    latency_ms: float | None = None
    size_bytes: int | None = None
    device_factor: float = 1.0


@dataclass(frozen=True)
class ModelFigures:
    """The figures of one model. Every clip was judged by a head that did not see its group.

    Attributes:
        model: Its name in the comparison.
        accuracy: The share of clips whose labels are right.
        interval: The 95% interval of the accuracy, over groups.
        mean_recall: The share of right clips by class, the mean over the classes that have clips.
        recall: The share of right clips of each class, of the clips that this model could read; None for one without
            clips.
        calibration_error: The expected calibration error of the scores of these clips.
        latency_ms: The median time for one clip on this machine, decoding not included.
        threads: Cores that a prediction used.
        device_latency_ms: The same times the device factor.
        size_bytes: The float32 file.
        int8_bytes: The file with 8-bit kernels, estimated; what int8 loses is not measured.
        fits: The precision in which it satisfies the limits: float32 if it can; None if in neither.
        difference: How much more often the most accurate model is right.
        difference_interval: Its 95% interval, paired over the same clips and resampled by groups.
        decoded: How many clips were decoded now; the features of the others were in the cache.
        notes: What a reader should know of these figures, one sentence each.
        source: The name or file that ``cliplab train`` takes; None for a saved model, or a config that has neither.
        overrides: The config keys to train it with as it was measured.
    """

    model: str
    accuracy: float
    interval: tuple[float, float]
    mean_recall: float
    recall: dict[str, float | None]
    calibration_error: float
    latency_ms: float
    threads: int
    device_latency_ms: float
    size_bytes: int
    int8_bytes: int
    fits: Literal["float32", "int8"] | None
    difference: float
    difference_interval: tuple[float, float]
    decoded: int
    notes: tuple[str, ...] = ()
    source: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A model that could not be compared.

    Attributes:
        model: Its name.
        reason: Why.
        asked_for: Whether the caller named it; otherwise it is one of those that are tried by default.
    """

    model: str
    reason: str
    asked_for: bool


@dataclass(frozen=True)
class Comparison:
    """The models, measured on the same clips.

    Attributes:
        models: The most accurate first.
        left_out: The models that could not be compared.
        recommended: The name of the model to take; None where no model satisfies the limits, or none is shown to be
            better than always answering the largest class.
        why: The reasons for it, one sentence each.
        clips: How many clips every model was judged on.
        groups: How many groups they are of.
        labels: The classes.
        largest_class: The label, or labels, that most clips have.
        largest_class_share: The share of clips that have it: what always answering it would reach.
        limits: What the model may need on the device.
        threads: Cores that a prediction used, where no config says otherwise.
        warnings: What a reader should know of all figures, one sentence each.
        skipped: The clips that could not be read, each with its reason.
        output: The folder with comparison.json and comparison.png; None if there is none.
    """

    models: tuple[ModelFigures, ...]
    left_out: tuple[LeftOut, ...]
    recommended: str | None
    why: tuple[str, ...]
    clips: int
    groups: int
    labels: tuple[str, ...]
    largest_class: str
    largest_class_share: float
    limits: Limits
    threads: int
    warnings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    output: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def parse_size(text: str | float) -> int:
    """Bytes of a size such as "5MB" or "4.5 MiB"; MB is a million bytes.

    Args:
        text: A number of bytes, or a number with its unit.

    Raises:
        ConfigError: It is not a size above 0.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        value, unit = float(text), "b"
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]+)\s*", str(text))
        value, unit = (float(found[1]), found[2].lower()) if found else (math.nan, "")
    if not (math.isfinite(value) and value > 0 and unit in _UNITS):
        raise ConfigError(f"max_size must be a size above 0 with its unit, such as 5MB or 800kB, got {str(text)!r:.60}")
    return max(1, math.ceil(value * _UNITS[unit]))


def require_positive(name: str, value: float | None) -> float | None:
    """The number, if it is None or a finite number above 0.

    Args:
        name: What the message calls it.
        value: The number.

    Raises:
        ConfigError: It is neither.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigError(f"{name} must be a number above 0, got {value!r:.60}")
    return float(value)


def percent(share: float) -> str:
    """A share as whole percents: 0.94 is "94%"."""
    return f"{share:.0%}"


def megabytes(size: float) -> str:
    """Bytes as MB of a million."""
    return f"{size / 1e6:.2f} MB"
