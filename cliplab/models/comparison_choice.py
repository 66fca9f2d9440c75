"""Which of several measured models to take, and why: the cheapest of those that are as good as the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from cliplab.models.comparison_report import Limits, ModelFigures, megabytes, percent

Noise = Sequence[Sequence[tuple[float, float, float]]]

_MORE = 1.1  # a relaxed limit leaves this much room, since times vary
_AS_CHEAP = 1.3  # a cost within this factor of another is not a reason: times vary as much


def fitting_precision(
    latency_ms: float, size_bytes: int, int8_bytes: int, limits: Limits
) -> Literal["float32", "int8"] | None:
    """The precision in which a model satisfies the limits: "float32" if it can, "int8", or None.

    Args:
        latency_ms: Milliseconds per clip on the device.
        size_bytes: The float32 file.
        int8_bytes: The int8 file.
        limits: The limits.
    """
    if limits.latency_ms is not None and latency_ms > limits.latency_ms:
        return None
    if limits.size_bytes is None or size_bytes <= limits.size_bytes:
        return "float32"
    return "int8" if int8_bytes <= limits.size_bytes else None


def choose(
    models: Sequence[ModelFigures],
    limits: Limits,
    largest_class: str,
    largest_class_share: float,
    noise: Noise,
) -> tuple[str | None, list[str]]:
    """The model to take.

    Among the models that satisfy the limits it is the cheapest of those whose accuracy the clips do not tell apart from
    the best one's. Cheap is a small product of latency and size; of several that cost about the same it is the most
    accurate.

    Args:
        models: At least one, in any order.
        limits: The limits.
        largest_class: The label, or labels, that most clips have.
        largest_class_share: The share of clips that have it.
        noise: For each pair, how much more often the first is right: difference, lower and upper end of its interval.

    Returns:
        Its name, or None where there is no model to take; and the reasons, one sentence each.
    """
    fitting = [number for number, model in enumerate(models) if model.fits is not None]
    if not fitting:
        return None, _nothing_fits(models, limits)
    better = [number for number in fitting if models[number].interval[0] > largest_class_share]
    best = max(better or fitting, key=lambda number: (models[number].accuracy, -_cost(models[number])))
    alike = [number for number in better or fitting if number == best or noise[best][number][1] <= 0]
    least = min(_cost(models[number]) for number in alike)
    cheap = [number for number in alike if _cost(models[number]) <= _AS_CHEAP * least]
    taken = max(cheap, key=lambda number: (models[number].accuracy, number == best, -_cost(models[number])))
    name, figures = models[taken].model, models[taken]
    if not better:
        none = "no model" if len(fitting) == len(models) else "no model that satisfies the limits"
        return None, [
            f"{none} is shown to be better than always answering "
            f"{largest_class} ({percent(largest_class_share)} of the clips). Label more clips, from more footage, "
            f"before you choose; until then {name} is the cheapest to try ({_measured(figures)})",
        ]
    why = [f"take {name}: {_measured(figures)}"]
    if taken != best:
        why.append(_as_good(figures, models[best], noise[best][taken]))
    elif len(models) > 1:
        why += _against_the_next(models, fitting, taken, noise)
    why += _beyond_the_limits(models, taken, noise)
    if figures.fits == "int8":
        why.append(
            f"it fits as int8 ({megabytes(figures.int8_bytes)}, estimated; float32: "
            f"{megabytes(figures.size_bytes)}): cliplab convert measures the size and the loss of accuracy"
        )
    return name, why


def _cost(model: ModelFigures) -> float:
    return model.latency_ms * model.size_bytes


def _measured(model: ModelFigures) -> str:
    low, high = model.interval
    return (
        f"accuracy {percent(model.accuracy)} (95% interval {percent(low)} to {percent(high)}), "
        f"{model.device_latency_ms:.1f} ms per clip, {megabytes(model.size_bytes)}"
    )


def _points(found: tuple[float, float, float]) -> str:
    mean, low, high = (100 * value for value in found)
    points = "point" if f"{mean:.0f}" in ("1", "-1") else "points"
    return f"{mean:.0f} {points} (95% interval {low:.0f} to {high:.0f})"


def _as_good(taken: ModelFigures, best: ModelFigures, noise: tuple[float, float, float]) -> str:
    return (
        f"{best.model} has {percent(best.accuracy)}, but the clips do not show which is better: the difference is "
        f"{_points(noise)}. {taken.model} takes {taken.device_latency_ms:.1f} ms and {megabytes(taken.size_bytes)} "
        f"where {best.model} takes {best.device_latency_ms:.1f} ms and {megabytes(best.size_bytes)}"
    )


def _against_the_next(
    models: Sequence[ModelFigures],
    fitting: Sequence[int],
    taken: int,
    noise: Noise,
) -> list[str]:
    """What the next best model that fits has."""
    others = [number for number in fitting if number != taken]
    if not others:
        return ["no other model satisfies the limits"]
    following = max(others, key=lambda number: models[number].accuracy)
    difference, (one, other) = noise[taken][following], (models[taken], models[following])
    text = f"the next, {other.model}, has {percent(other.accuracy)}: "
    if difference[1] > 0:
        return [f"{text}{one.model} is better by {_points(difference)}"]
    cheaper = f", and {one.model} is cheaper" if _cost(one) < _cost(other) else ""
    return [f"{text}the clips do not show which is better (difference {_points(difference)}){cheaper}"]


def _beyond_the_limits(models: Sequence[ModelFigures], taken: int, noise: Noise) -> list[str]:
    """The best model that the limits exclude, where it is better for certain."""
    excluded = [number for number, model in enumerate(models) if model.fits is None and noise[number][taken][1] > 0]
    if not excluded:
        return []
    best = max(excluded, key=lambda number: models[number].accuracy)
    return [
        f"the limits exclude {models[best].model}, which is better by {_points(noise[best][taken])} and needs "
        f"{models[best].device_latency_ms:.1f} ms and {megabytes(models[best].int8_bytes)} as int8"
    ]


def _nothing_fits(models: Sequence[ModelFigures], limits: Limits) -> list[str]:
    """Which limit to relax, and by how much."""
    named = []
    if limits.latency_ms is not None:
        named.append(f"{limits.latency_ms:g} ms per clip")
    if limits.size_bytes is not None:
        named.append(megabytes(limits.size_bytes))
    why = [f"no model satisfies {' and '.join(named)}"]
    by_time = [m for m in models if limits.size_bytes is None or m.int8_bytes <= limits.size_bytes]
    by_size = [m for m in models if limits.latency_ms is None or m.device_latency_ms <= limits.latency_ms]
    if limits.latency_ms is not None and by_time:
        model = min(by_time, key=lambda m: m.device_latency_ms)
        why.append(f"{_more_time(model, limits)}, {model.model} fits (accuracy {percent(model.accuracy)})")
    if limits.size_bytes is not None and by_size:
        model = min(by_size, key=lambda m: m.int8_bytes)
        why.append(f"{_more_room(model, limits)}, {model.model} fits (accuracy {percent(model.accuracy)})")
    if len(why) == 1:
        model = min(models, key=lambda m: max(_excess(m, limits)))
        why.append(
            f"{_more_time(model, limits)} and {_more_room(model, limits)}, {model.model} fits "
            f"(accuracy {percent(model.accuracy)}); no model satisfies either limit alone"
        )
    best = max(models, key=lambda m: m.accuracy)
    why.append(
        f"the most accurate, {best.model} with {percent(best.accuracy)}, needs {best.device_latency_ms:.1f} ms and "
        f"{megabytes(best.size_bytes)}, or {megabytes(best.int8_bytes)} as int8"
    )
    return why


def _excess(model: ModelFigures, limits: Limits) -> tuple[float, float]:
    assert limits.latency_ms is not None
    assert limits.size_bytes is not None
    return model.device_latency_ms / limits.latency_ms, model.int8_bytes / limits.size_bytes


def _more_time(model: ModelFigures, limits: Limits) -> str:
    assert limits.latency_ms is not None
    wanted = _upwards(model.device_latency_ms * _MORE)
    return f"with --max-latency-ms {wanted:g} ({_upwards(wanted / limits.latency_ms):g} times as much)"


def _more_room(model: ModelFigures, limits: Limits) -> str:
    assert limits.size_bytes is not None
    wanted = _upwards(model.int8_bytes * _MORE / 1e6)
    return f"with --max-size {wanted:g}MB ({_upwards(1e6 * wanted / limits.size_bytes):g} times as much)"


def _upwards(value: float) -> float:
    """The next number up with two digits, such as 1.2, 35 or 1600."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(round(value / step, 6)) * step:.6g}")
