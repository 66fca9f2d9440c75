"""Which model is taken: the cheapest of those that are as good as the best, within the limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cliplab.models.comparison_choice import choose, fitting_precision
from cliplab.models.comparison_report import Limits, ModelFigures, parse_size

Noise = tuple[float, float, float]


def figures(name: str, accuracy: float, ms: float, size: int, low: float | None = None) -> ModelFigures:
    interval = (accuracy - 0.1 if low is None else low, min(1.0, accuracy + 0.1))
    return ModelFigures(
        name, accuracy, interval, accuracy, {}, 0.1, ms, 1, ms, size, size // 4, "float32", 0.0, (0.0, 0.0), 0
    )


NONE = Limits()


def chosen(models: list[ModelFigures], limits: Limits = NONE, width: float = 0.05) -> tuple[str | None, str]:
    """The choice where each difference has an interval of that width on both sides."""
    models = [
        replace(m, fits=fitting_precision(m.device_latency_ms, m.size_bytes, m.int8_bytes, limits)) for m in models
    ]
    noise: list[list[Noise]] = [
        [(a.accuracy - b.accuracy, a.accuracy - b.accuracy - width, a.accuracy - b.accuracy + width) for b in models]
        for a in models
    ]
    name, why = choose(models, limits, "'a'", 0.3, noise)
    return name, "\n".join(why)


FAST, SLOW = figures("fast", 0.80, 10, 4_000_000), figures("slow", 0.83, 50, 9_000_000)
BEST = figures("best", 0.95, 60, 12_000_000)


def test_a_better_model_is_taken() -> None:
    name, why = chosen([FAST, SLOW, BEST])
    assert name == "best"
    assert "better by 12 points" in why


def test_within_noise_the_cheaper_one_is_taken() -> None:
    name, why = chosen([SLOW, FAST])
    assert name == "fast"
    assert "do not show which is better" in why
    assert "50.0 ms" in why


def test_of_models_that_cost_about_the_same_the_more_accurate_is_taken() -> None:
    name, why = chosen([figures("lucky", 0.81, 9, 4_000_000), FAST])
    assert name == "lucky"
    assert "do not show which is better (difference 1 point (" in why


def test_an_only_model_is_taken() -> None:
    assert chosen([FAST])[0] == "fast"


def test_limits_exclude_and_say_what_they_cost() -> None:
    name, why = chosen([FAST, BEST], Limits(latency_ms=20))
    assert name == "fast"
    assert "the limits exclude best" in why


def test_int8_may_fit() -> None:
    name, why = chosen([BEST], Limits(size_bytes=5_000_000))
    assert name == "best"
    assert "int8" in why


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(latency_ms=5), ["--max-latency-ms 11 (2.2 times"]),
        (Limits(size_bytes=500_000), ["--max-size 1.1MB"]),
        (Limits(latency_ms=5, size_bytes=2_000_000), ["--max-latency-ms 11"]),
        (Limits(latency_ms=5, size_bytes=100_000), ["--max-latency-ms 11", "--max-size 1.1MB", "either limit alone"]),
    ],
)
def test_where_nothing_fits_it_says_which_limit_to_relax(limits: Limits, expected: list[str]) -> None:
    name, why = chosen([FAST, SLOW, BEST], limits)
    assert name is None
    assert all(text in why for text in expected)
    assert "best with 95%" in why


def test_a_limit_to_relax_to_has_room_of_a_tenth_in_megabytes_of_a_million() -> None:
    large = figures("large", 0.9, 10, 97_000_000)  # 24.25 million bytes as int8
    assert "--max-size 27MB (3 times" in chosen([large], Limits(size_bytes=9_000_000))[1]
    assert chosen([large], Limits(size_bytes=parse_size("27MB")))[0] == "large"


def test_relaxed_as_it_says_a_model_fits() -> None:
    assert chosen([FAST, BEST], Limits(latency_ms=11))[0] == "fast"
    assert chosen([FAST, BEST], Limits(size_bytes=1_100_000))[0] == "fast"


def test_what_is_no_better_than_the_largest_class_is_not_taken() -> None:
    chance = figures("chance", 0.35, 1, 1000, low=0.2)
    name, why = chosen([chance])
    assert name is None
    assert "always answering 'a' (30% of the clips)" in why
    assert chosen([chance, BEST], width=0.9)[0] == "best"


@pytest.mark.parametrize(("ms", "expected"), [(1372.8, "1600"), (0.12, "0.14"), (9.95, "11"), (100.0, "110")])
def test_limits_to_relax_to_are_round_numbers(ms: float, expected: str) -> None:
    _, why = chosen([figures("one", 0.9, ms, 1000)], Limits(latency_ms=ms / 10))
    assert f"--max-latency-ms {expected} (" in why


@pytest.mark.parametrize(
    ("text", "size"), [("5MB", 5_000_000), ("4.5 MiB", 4_718_592), ("800kb", 800_000), (".5MB", 500_000), (12, 12)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size
