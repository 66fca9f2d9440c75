"""What a device reports, checked: a report from outside may lie, and must not harm what is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from adapters.errors import AdapterError

# Upper edges of the bins of latencies in milliseconds, one bin more for what is longer. A ratio of 1.25 resolves the
# factor of 1.5 that a rollout must notice. Histograms with other edges are divided among these bins.
LATENCY_EDGES_MS = tuple(round(1.25**step, 3) for step in range(41))
SCORE_BINS = 20
MAX_LABELS = 64
# More than a device can do between two reports, a day of 100 predictions per second included.
MAX_PREDICTIONS = 10_000_000
MAX_RESTARTS = 10_000
MAX_SEQUENCE = 2**53
MAX_MODELS = 100  # of one device
_MAX_NAME, _MAX_EDGES = 200, 500
_COUNTS = {
    "predictions": MAX_PREDICTIONS,
    "errors": MAX_PREDICTIONS,
    "golden_failures": 10_000,
    "restarts": MAX_RESTARTS,
}
_OPTIONAL = ("latency_ms", "scores", "disk_free_bytes", "temperature_celsius", "correct", "labelled", "time", "client")


class ReportError(AdapterError):
    """A device's report that is not allowed. Nothing of it is stored."""


@dataclass(frozen=True)
class DeviceReport:
    """What one device counted since its report before.

    A client ends a report where a version changes, so that its counts belong to the versions that it names.

    Attributes:
        device: The device's name.
        sequence: The report's number, from 1; with device and client it makes a report unique.
        versions: The version of each model that the device uses.
        predictions: Predictions that were asked for, failed ones included.
        errors: Predictions that failed, at most ``predictions``.
        golden_failures: How often a new model's scores on the golden clip differed from those it must give.
        restarts: How often the inference loop ended without being asked to.
        latency_ms: Counts [len(LATENCY_EDGES_MS) + 1] of predictions by latency; empty where it was not measured.
        scores: By label, counts [SCORE_BINS] of scores in equal bins of 0..1.
        correct: How many labelled predictions were right; None where no labels came back.
        labelled: How many predictions have a label; None where none came back.
        disk_free_bytes: Free space of the models' disk; None where unknown.
        temperature_celsius: None where there is no sensor.
        time: The device's own clock, in ISO 8601 or seconds since 1970; for display, decisions use the server's clock.
        client: The installation's id, by which two devices of one name show.
    """

    device: str
    sequence: int
    versions: Mapping[str, str]
    predictions: int = 0
    errors: int = 0
    golden_failures: int = 0
    restarts: int = 0
    latency_ms: tuple[float, ...] = ()
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    correct: int | None = None
    labelled: int | None = None
    disk_free_bytes: int | None = None
    temperature_celsius: float | None = None
    time: str = ""
    client: str = ""


def read_report(device: str, value: Any) -> DeviceReport:
    """Check a report as it came.

    Args:
        device: The name of the device that sent it, by its token or address and not by the report.
        value: The parsed JSON.

    Raises:
        ReportError: A value is missing, unknown, of the wrong kind or out of range; the message names it.
    """
    where = f"report of device {device!r:.100}"
    if not isinstance(value, Mapping):
        raise ReportError(f"{where}: must be a JSON object, got {type(value).__name__}")
    name(device, "device", where)
    unknown = sorted(set(map(str, value)) - {"sequence", "versions", *_COUNTS, *_OPTIONAL})
    if unknown:
        raise ReportError(
            f"{where}: {', '.join(unknown[:5])!r:.200}: unknown. Update the registry's cliplab, or the client's"
        )
    counts = {key: _count(value.get(key, 0), key, most, where) for key, most in _COUNTS.items()}
    predictions = counts["predictions"]
    if counts["errors"] > predictions:
        raise ReportError(f"{where}: errors must be at most predictions ({predictions}), got {counts['errors']}")
    correct, labelled = _labels(value, where)
    return DeviceReport(
        device,
        _count(value.get("sequence"), "sequence", MAX_SEQUENCE, where, least=1),
        _versions(value.get("versions"), where),
        **counts,
        latency_ms=_latency(value.get("latency_ms"), predictions, where),
        scores=_scores(value.get("scores"), predictions, where),
        correct=correct,
        labelled=labelled,
        disk_free_bytes=_optional_count(value.get("disk_free_bytes"), "disk_free_bytes", where),
        temperature_celsius=_temperature(value.get("temperature_celsius"), where),
        time=_text(value.get("time"), "time", where),
        client=_text(value.get("client"), "client", where),
    )


def name(value: Any, key: str, where: str) -> str:
    """A name that can be stored and shown.

    Args:
        value: As it came.
        key: What it names, for messages.
        where: The report, for messages.

    Raises:
        ReportError: It is empty, too long, or has characters that cannot be shown.
    """
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or not value.isprintable():
        raise ReportError(f"{where}: {key} must be 1 to {_MAX_NAME} printable characters, got {value!r:.80}")
    return value


def _count(value: Any, key: str, most: int, where: str, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ReportError(f"{where}: {key} must be a whole number from {least} to {most}, got {value!r:.80}")
    return value


def _optional_count(value: Any, key: str, where: str) -> int | None:
    return None if value is None else _count(value, key, 2**60, where)


def _temperature(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -100.0 <= value <= 300.0:
        raise ReportError(f"{where}: temperature_celsius must be a number from -100 to 300, got {value!r:.80}")
    return float(value)


def _text(value: Any, key: str, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and key == "time" and math.isfinite(value):
        return str(value)
    return name(value, key, where)


def _versions(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MAX_MODELS:
        raise ReportError(f"{where}: versions must be an object of at most {MAX_MODELS} models, got {value!r:.80}")
    return {name(model, "a model", where): name(version, "a version", where) for model, version in value.items()}


def _labels(value: Mapping[str, Any], where: str) -> tuple[int | None, int | None]:
    """correct and labelled. Labels may come days later, so that they are not bounded by this report's predictions."""
    correct, labelled = value.get("correct"), value.get("labelled")
    if (correct is None) != (labelled is None):
        raise ReportError(
            f"{where}: correct and labelled must be given together, got {correct!r:.40} and {labelled!r:.40}"
        )
    if correct is None:
        return None, None
    total = _count(labelled, "labelled", MAX_PREDICTIONS, where)
    return _count(correct, "correct", total, where), total


def _latency(value: Any, predictions: int, where: str) -> tuple[float, ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or set(value) != {"edges", "counts"}:
        raise ReportError(f"{where}: latency_ms must be an object of edges and counts, got {value!r:.80}")
    edges, counts = value["edges"], value["counts"]
    if not isinstance(edges, list) or not 1 <= len(edges) <= _MAX_EDGES or not all(_is_latency(edge) for edge in edges):
        raise ReportError(f"{where}: edges of latency_ms must be 1 to {_MAX_EDGES} milliseconds, got {edges!r:.80}")
    if any(one >= two for one, two in pairwise(edges)):
        raise ReportError(f"{where}: edges of latency_ms must increase, got {edges!r:.80}")
    if not isinstance(counts, list) or len(counts) not in (len(edges) + 1, len(edges) - 1):
        raise ReportError(
            f"{where}: counts of latency_ms must be one more than the edges (the first below, the last above them) or "
            f"one less (between them), got {len(counts) if isinstance(counts, list) else type(counts).__name__}"
        )
    whole = [_count(count, "a count of latency_ms", MAX_PREDICTIONS, where) for count in counts]
    if sum(whole) > predictions:
        raise ReportError(f"{where}: counts of latency_ms add up to {sum(whole)}, of {predictions} predictions")
    if len(whole) < len(edges):
        whole = [0, *whole, 0]
    return rebinned([float(edge) for edge in edges], whole)


def _is_latency(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1e9


def rebinned(edges: list[float], counts: list[int]) -> tuple[float, ...]:
    """Counts in the bins of ``LATENCY_EDGES_MS``; a bin that spans several is divided by its share of their logarithm.

    Args:
        edges: Upper edges in milliseconds, growing.
        counts: One more than edges.
    """
    own = LATENCY_EDGES_MS
    if tuple(edges) == own:
        return tuple(map(float, counts))
    found = [0.0] * (len(own) + 1)
    logs = [math.log(max(edge, 1e-3)) for edge in edges]
    bounds = [logs[0] - 0.2, *logs, logs[-1] + 0.2]
    targets = [-math.inf, *map(math.log, own), math.inf]
    for place, count in enumerate(counts):
        low, high = bounds[place], max(bounds[place + 1], bounds[place] + 1e-9)  # edges may be nearly equal
        for target in range(len(found)) if count else ():
            inside = min(high, targets[target + 1]) - max(low, targets[target])
            if inside > 0:
                found[target] += count * inside / (high - low)
    return tuple(found)


def _scores(value: Any, predictions: int, where: str) -> dict[str, tuple[float, ...]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > MAX_LABELS:
        raise ReportError(f"{where}: scores must be an object of at most {MAX_LABELS} labels, got {value!r:.80}")
    found = {}
    for label, counts in value.items():
        name(label, "a label", where)
        if not isinstance(counts, list) or len(counts) != SCORE_BINS:
            raise ReportError(f"{where}: scores of {label!r} must be {SCORE_BINS} counts, got {counts!r:.80}")
        whole = [_count(count, f"a count of {label!r}", MAX_PREDICTIONS, where) for count in counts]
        if sum(whole) > predictions:
            raise ReportError(f"{where}: scores of {label!r} add up to {sum(whole)}, of {predictions} predictions")
        found[label] = tuple(map(float, whole))
    return found
