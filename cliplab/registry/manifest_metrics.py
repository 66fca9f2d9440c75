"""The metrics that a manifest keeps of a model: where they are read from, and which model they make the best."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.system import MAX_DEPTH, did_you_mean, parse_json, read_regular_text

MAX_METRICS_BYTES = 64_000_000

# A metric with one of these words in its name is the better the lower it is: log_loss, calibration_error, latency_ms.
LOWER_WORDS = frozenset({"loss", "losses", "error", "errors", "latency", "size", "ms", "bytes"})


def read_metrics(path: str | Path) -> dict[str, float]:
    """Read the metrics of a file; an undefined metric (null) is left out.

    Args:
        path: An ``evaluation.json``; a bundle's ``metrics.json``, of which the validation metrics are read; or any JSON
            object of names and numbers.

    Returns:
        Finite numbers by name.

    Raises:
        ConfigError: The file cannot be read, or a value is not a number.
    """
    try:
        found = parse_json(read_regular_text(path, MAX_METRICS_BYTES, ConfigError), MAX_DEPTH)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Give a JSON file of metrics.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON ({error}). Give an evaluation.json or metrics.json.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: must hold a JSON object of metric names and numbers, got {found!r:.80}")
    if isinstance(found.get("validation"), dict):
        found = found["validation"]
        if not found:
            raise ConfigError(
                f"{path}: has no validation figures: the model was trained without validation clips. "
                "Measure it (cliplab evaluate MODEL DATA --output FOLDER) and give FOLDER/evaluation.json"
            )
    if "confusion_matrix" in found:
        from adapters.evaluation import GATES

        found = {measure: found.get(measure) for measure, _ in GATES.values()}
    for name, value in found.items():
        if value is not None and not is_figure(value):
            raise ConfigError(f"{path}: {name!r} must be a finite number, got {value!r:.80}. Remove it")
    return {name: value for name, value in found.items() if value is not None}


def described_metrics(path: str | Path) -> dict[str, float]:
    """The validation metrics that a self-describing .tflite carries; empty without any.

    Args:
        path: The .tflite.

    Raises:
        BundleError: The file is damaged.
    """
    from adapters.litert import read_description

    found = read_description(path).get("metrics")
    return {name: value for name, value in found.items() if is_figure(value)} if isinstance(found, dict) else {}


def lower_is_better(metric: str) -> bool:
    """Whether a lower figure is the better one, by the words of the metric's name (``LOWER_WORDS``)."""
    return any(word.lower() in LOWER_WORDS for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", metric))


def best_model(metrics: Mapping[str, Mapping[str, Any]], metric: str, current: str | None) -> str:
    """The model with the best value of a metric; of equal ones the current one, otherwise the first.

    Args:
        metrics: Metrics by model; models without this metric do not take part.
        metric: Name of the metric.
        current: The current model; None if there is none.

    Raises:
        ConfigError: No model has the metric; the message lists those that exist.
    """
    figures = {name: values[metric] for name, values in metrics.items() if is_figure(values.get(metric))}
    if not figures:
        known = sorted({key for values in metrics.values() for key, value in values.items() if is_figure(value)})
        hint = did_you_mean(metric, known)
        raise ConfigError(f'no model has the metric "{metric}".{hint} Known metrics: {", ".join(known) or "none"}')
    best = (min if lower_is_better(metric) else max)(figures.values())
    if current is not None and figures.get(current) == best:
        return current
    return next(name for name, value in figures.items() if value == best)


def is_figure(value: object) -> bool:
    """Whether a value is a finite number, so that it can be compared."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf
