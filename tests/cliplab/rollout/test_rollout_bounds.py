"""Every bound of what a device reports and of a rollout's rules: the last value that is allowed, and the next one."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="a device needs its extra: pip install 'cliplab[device]'")

from adapters.errors import ConfigError
from cliplab.rollout import (
    LATENCY_EDGES_MS,
    ExampleQueue,
    ReportError,
    RolloutSettings,
    read_report,
    sampled,
    uncertain,
)
from cliplab.rollout.device import DeviceOptions, HardExamples
from cliplab.rollout.names import check_device_name

REPORT = {"sequence": 1, "versions": {"base-ads": "1.0.0"}, "predictions": 100}
MOST = 10_000_000
NO_COUNTS = [0] * 20
EDGES = [float(number) for number in range(1, 501)]

# Key, values that are kept as they are, values that are refused.
REPORTED: list[tuple[str, list[Any], list[Any]]] = [
    ("sequence", [1, 2**53], [0, 2**53 + 1, 1.0, True, "1", None]),
    ("predictions", [0, MOST], [-1, MOST + 1, 2.0, False, None]),
    ("errors", [0, 100], [-1, 101, 1.0, True]),
    ("golden_failures", [0, 10_000], [-1, 10_001, 1.0, True]),
    ("restarts", [0, 10_000], [-1, 10_001, 1.0, True]),
    ("disk_free_bytes", [None, 0, 2**60], [-1, 2**60 + 1, 1.5, True]),
    ("temperature_celsius", [None, -100.0, 300.0], [-100.1, 300.1, math.inf, math.nan, True, "20"]),
    ("client", ["a", "c" * 200], ["", "c" * 201, "a\nb", 7, 1.5]),
    ("versions", [{}, {str(n): "1" for n in range(100)}, {"m" * 200: "v" * 200}],
     [{str(n): "1" for n in range(101)}, {"m" * 201: "1"}, {"m": "v" * 201}, {"": "1"}, {"m": ""}, None, [], "m"]),
    ("scores", [{}, {str(n): tuple([5.0] * 20) for n in range(64)}, {"l" * 200: tuple([0.0] * 20)}],
     [{str(n): NO_COUNTS for n in range(65)}, {"l" * 201: NO_COUNTS}, {"": NO_COUNTS}, {"l": [0] * 19},
      {"l": [0] * 21}, {"l": [101, *NO_COUNTS[1:]]}, {"l": [-1, *NO_COUNTS[1:]]}, {"l": [1.0, *NO_COUNTS[1:]]},
      {"l": "x"}, [], "l"]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, kept, _ in REPORTED for value in kept])
def test_a_report_keeps_each_value_up_to_its_bound(key: str, value: Any) -> None:
    sent = {name: list(map(int, counts)) for name, counts in value.items()} if key == "scores" else value
    assert getattr(read_report("d", {**REPORT, key: sent}), key) == value


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, _, refused in REPORTED for value in refused])
def test_a_report_beyond_a_bound_is_refused_by_the_name_of_the_key(key: str, value: Any) -> None:
    with pytest.raises(ReportError, match=r"report of device 'kitchen'") as refused:
        read_report("kitchen", {**REPORT, key: value})
    words = {"scores": r"scores|label|count of", "versions": r"version|model"}
    assert re.search(words.get(key, key), str(refused.value))


def test_what_is_left_out_of_a_report_counts_as_nothing() -> None:
    report = read_report("d", {"sequence": 7, "versions": {}})
    assert (report.device, report.sequence, report.predictions, report.errors) == ("d", 7, 0, 0)
    assert (report.golden_failures, report.restarts, report.latency_ms, report.scores) == (0, 0, (), {})
    assert (report.correct, report.labelled, report.disk_free_bytes, report.temperature_celsius) == (None,) * 4
    assert (report.time, report.client) == ("", "")


@pytest.mark.parametrize("report", [None, [], "text", 7])
def test_a_report_that_is_no_object_is_refused(report: Any) -> None:
    with pytest.raises(ReportError, match="JSON object"):
        read_report("d", report)


@pytest.mark.parametrize("device", ["", "d" * 201, "a\x1bb"])
def test_a_device_without_a_name_that_can_be_shown_is_refused(device: str) -> None:
    with pytest.raises(ReportError, match="device must be 1 to 200 printable"):
        read_report(device, REPORT)
    assert read_report("d" * 200, REPORT).device == "d" * 200


def test_unknown_keys_are_refused_and_named() -> None:
    with pytest.raises(ReportError, match=r"latencies.*unknown"):
        read_report("d", {**REPORT, "latencies": 1})


def test_labels_may_come_later_than_predictions() -> None:
    report = read_report("d", {**REPORT, "labelled": 500, "correct": 500})
    assert (report.labelled, report.correct) == (500, 500)
    assert read_report("d", {**REPORT, "labelled": MOST, "correct": 0}).labelled == MOST
    bad = ((1, 2), (MOST + 1, 0), (5, -1), (None, 1), (1, None), (True, 0), (1.0, 1))
    for labelled, correct in bad:
        with pytest.raises(ReportError, match=r"correct|labelled"):
            read_report("d", {**REPORT, "labelled": labelled, "correct": correct})


@pytest.mark.parametrize(("time", "shown"), [("noon", "noon"), (12, "12"), (1.5, "1.5"), (None, "")])
def test_a_devices_clock_is_kept_as_text(time: Any, shown: str) -> None:
    assert read_report("d", {**REPORT, "time": time}).time == shown
    for bad in (math.inf, math.nan, True, "", "t" * 201):
        with pytest.raises(ReportError, match="time"):
            read_report("d", {**REPORT, "time": bad})


LATENCIES: list[tuple[Any, Any, bool]] = [
    ([5], [60, 40], True),
    ([5, 6], [100], True),
    (EDGES, [0] * 501, True),
    ([0, 1e9], [0, 0, 0], True),
    ([5], [60, 41], False),
    ([*EDGES, 501.0], [0] * 502, False),
    ([], [0], False),
    ([5, 5], [0, 0, 0], False),
    ([-1], [0, 0], False),
    ([1e9 + 1], [0, 0], False),
    ([True], [0, 0], False),
    (["5"], [0, 0], False),
    ([5], [0, 0, 0], False),
    ([5], [1.0, 0], False),
    ([5], [-1, 0], False),
    ("5", [0, 0], False),
    ([5], "00", False),
]


@pytest.mark.parametrize(("edges", "counts", "allowed"), LATENCIES)
def test_histograms_of_latencies(edges: Any, counts: Any, allowed: bool) -> None:
    report = {**REPORT, "latency_ms": {"edges": edges, "counts": counts}}
    if allowed:
        assert sum(read_report("d", report).latency_ms) == pytest.approx(sum(counts))
    else:
        with pytest.raises(ReportError, match="latency_ms"):
            read_report("d", report)


@pytest.mark.parametrize("value", [{}, {"edges": [1]}, {"edges": [1], "counts": [0, 0], "more": 1}, [1]])
def test_a_histogram_of_latencies_has_edges_and_counts_and_nothing_else(value: Any) -> None:
    with pytest.raises(ReportError, match="edges and counts"):
        read_report("d", {**REPORT, "latency_ms": value})


def test_histograms_with_the_registrys_own_edges_are_kept_exactly() -> None:
    counts = list(range(len(LATENCY_EDGES_MS) + 1))
    report = {**REPORT, "predictions": 10_000, "latency_ms": {"edges": list(LATENCY_EDGES_MS), "counts": counts}}
    assert read_report("d", report).latency_ms == tuple(map(float, counts))


# Name, values that are allowed, values that are refused.
RULES: list[tuple[str, list[Any], list[Any]]] = [
    ("stages", [(100.0,), (0.001, 100.0), (*map(float, range(1, 50)), 100.0)],
     [(), (5.0, 5.0, 100.0), (100.0, 5.0), (99.0,), (0.0, 100.0), (5.0, 100.5), (True, 100.0),
      (*(n / 2 for n in range(1, 51)), 100.0)]),
    ("false_halts", [1e-6, 0.5], [0.9e-6, 0.51, True, "0.1", math.nan]),
    ("worse", [1.5, 100.0], [1.49, 100.1, True]),
    ("worse_latency", [1.2, 2.0], [1.19, 2.01]),
    ("min_devices", [1, 1_000_000], [0, 1_000_001, True]),
    ("stage_minutes", [0.0, 525_600.0], [-0.1, 525_601.0, math.nan]),
    ("patience_minutes", [0.0, 525_600.0], [-0.1, 525_601.0]),
    ("silent_minutes", [0.1, 525_600.0], [0.0, -1.0, 525_601.0]),
    ("on_drift", ["halt", "pause", "ignore"], ["stop", "", None]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, allowed, _ in RULES for value in allowed])
def test_a_rule_is_kept_up_to_its_bound_and_comes_back_from_json(name: str, value: Any) -> None:
    rules = RolloutSettings(**{name: value})
    assert getattr(rules, name) == value
    assert rules.to_json()[name] == value
    assert RolloutSettings.from_json({**rules.to_json(), "of_a_later_version": 1}) == rules


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, refused in RULES for value in refused])
def test_a_rule_beyond_its_bound_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        RolloutSettings(**{name: value})


def test_the_rate_of_false_halts_is_divided_among_the_tests() -> None:
    rules = RolloutSettings(false_halts=0.02)
    tests = ("errors", "latency", "golden_failures", "restarts", "silence", "accuracy", "drift")
    assert sum(math.exp(-rules.threshold(test)) for test in tests) == pytest.approx(0.02)
    assert rules.threshold("errors") == pytest.approx(-math.log(0.02 * 0.30))


@pytest.mark.parametrize("scores", [[0.4, 0.6], [0.3, 0.4]])
def test_both_limits_of_confidence_belong_to_the_hard_examples(scores: list[float]) -> None:
    assert uncertain(scores)
    assert uncertain([0.9, 0.4], positive=1)
    assert not uncertain([0.9, 0.39], positive=1)
    assert not uncertain([0.61, 0.1])


@pytest.mark.parametrize("limits", [(-0.1, 0.5), (0.6, 0.5), (0.5, 1.01), (math.nan, 0.5)])
def test_limits_of_confidence_are_checked(limits: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="--min-confidence and --max-confidence"):
        uncertain([0.5], *limits)
    with pytest.raises(ConfigError, match="--min-confidence and --max-confidence"):
        HardExamples(min_confidence=limits[0], max_confidence=limits[1])
    assert uncertain([0.5], 0.0, 1.0)


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_the_share_of_samples_is_checked(rate: float) -> None:
    with pytest.raises(ConfigError, match="--sample-rate"):
        sampled("name", rate)
    with pytest.raises(ConfigError, match="--sample-rate"):
        HardExamples(sample_rate=rate)
    assert sampled("name", 1.0)
    assert not sampled("name", 0.0)


def test_room_for_examples_is_at_least_one(tmp_path: Path) -> None:
    assert len(ExampleQueue(tmp_path, max_bytes=1, max_examples=1)) == 0
    for limits in ({"max_bytes": 0}, {"max_examples": 0}):
        with pytest.raises(ConfigError, match="limits of examples"):
            ExampleQueue(tmp_path, **limits)
    assert HardExamples(max_bytes=1).max_bytes == 1
    with pytest.raises(ConfigError, match="max_bytes"):
        HardExamples(max_bytes=0)


@pytest.mark.parametrize("seconds", [1.0, 86_400.0])
def test_a_device_asks_between_each_second_and_each_day(seconds: float, tmp_path: Path) -> None:
    assert DeviceOptions("d", "http://localhost", tmp_path, poll_seconds=seconds).poll_seconds == seconds
    for bad in (0.99, 86_401.0, math.nan):
        with pytest.raises(ConfigError, match="poll_seconds"):
            DeviceOptions("d", "http://localhost", tmp_path, poll_seconds=bad)


@pytest.mark.parametrize("name", ["a", "Kitchen-01", "7", "a._-", "n" * 64])
def test_names_of_devices(name: str) -> None:
    assert check_device_name(name) == name
    for bad in ("", "n" * 65, "-a", ".a", "_a", "a b", "a/b", "ä", "a\n"):
        with pytest.raises(ConfigError, match="device's name"):
            check_device_name(bad)
