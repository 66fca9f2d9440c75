"""How commands write figures, times and sizes: at the ends of each form, and where nothing is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adapters.evaluation import BreakReport
from cliplab.cli import ads, compare, machine, scan
from cliplab.cli.tables import after, clock, counted, interval, number, size, with_interval
from cliplab.detect import AdBreak, Recording


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00.00"), (59.994, "0:59.99"), (59.996, "1:00.00"), (65.0, "1:05.00"), (3599.99, "59:59.99"),
     (3600.0, "1:00:00.00"), (3725.5, "1:02:05.50")],
)  # fmt: skip
def test_times_of_tables(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00:00.00"), (59.996, "0:01:00.00"), (3725.5, "1:02:05.50"), (36000.0, "10:00:00.00")],
)
def test_times_of_breaks(seconds: float, shown: str) -> None:
    assert ads.clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-5.0, "0:00:00"), (59.4, "0:00:59"), (59.6, "0:01:00"), (3725.0, "1:02:05")]
)
def test_times_that_are_left(seconds: float, shown: str) -> None:
    assert scan._duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (1_000_000, "1.0 MB"), (5e9, "5.0 GB"),
     (5e12, "5000.0 GB")],
)  # fmt: skip
def test_sizes_of_the_cache(count: float, shown: str) -> None:
    assert machine._size(count) == shown


def test_figures_and_their_intervals() -> None:
    assert (number(None), number(0.12345), number(0.12345, 1)) == ("-", "0.123", "0.1")
    assert (size(None), size(1_234_567)) == ("-", "1.23 MB")
    assert (interval(None), interval((0.1, 0.256))) == ("", "0.10 to 0.26")
    assert (counted(1, "group"), counted(0, "group"), counted(2, "group")) == ("1 group", "0 groups", "2 groups")
    assert with_interval(None, (0.1, 0.2)) == "-"
    assert with_interval(0.5, None) == "0.500"
    assert with_interval(0.5, (0.25, 0.75)) == "0.500 (0.25 to 0.75)"
    assert after("a.mp4", "broken") == "a.mp4: broken"
    assert after("a.mp4", "a.mp4 is broken") == "a.mp4 is broken"


def progress(**changed: Any) -> Any:
    usual = {"done": 1200, "to_score": 5000, "videos_per_second": 2.55, "video_seconds": 5400.0, "failed": 0,
             "seconds_left": None}  # fmt: skip
    return SimpleNamespace(**{**usual, **changed})


def test_the_progress_of_a_scan_in_a_line() -> None:
    assert scan._line(progress()) == "Processed 1,200 of 5,000 videos: 2.5 videos/s, 1.50 h of video"
    assert scan._line(progress(seconds_left=65.0)).endswith("1.50 h of video, 0:01:05 left")
    assert scan._line(progress(failed=3)).endswith("1.50 h of video, 3 skipped")


def report(**changed: Any) -> Any:
    usual: dict[str, Any] = {
        "videos": 7, "scored": 5, "videos_per_second": 2.5, "video_hours": 1.25, "highlights": 3, "label": "dive",
        "min_score": 0.75, "output": "x.json", "failed": 0, "failures": (),
    }  # fmt: skip
    return SimpleNamespace(**{**usual, **changed})


def test_the_summary_of_a_scan() -> None:
    assert scan._summary(report()) == [
        "Total scanned: 7 videos, 5 of them now, 2.5 videos/s, 1.25 h of video",
        "Highlights found: 3 (dive score of at least 0.75)",
        "Results saved to: x.json",
    ]
    assert scan._summary(report(scored=0))[0] == "Total scanned: 7 videos, 0 of them now"
    failed = scan._summary(report(failed=3, failures=(("a.mp4", "broken"),)))
    assert failed[3:] == ["Skipped (could not be read): 3", "  a.mp4: broken", "  and 2 more, see x.json"]
    assert scan._summary(report(failed=1, failures=(("a.mp4", "broken"),)))[3:] == [
        "Skipped (could not be read): 1", "  a.mp4: broken",
    ]  # fmt: skip


def test_the_measures_of_breaks_in_words() -> None:
    found = BreakReport(
        recordings=2, hours=1.5, min_iou=0.5, predicted=5, truth=4, matched=3, precision=0.6, recall=0.75, f1=0.667,
        edge_error_median=0.25, edge_error_p95=1.5, programme_lost_per_hour=12.25, ads_seen_per_hour=7.5,
        second_accuracy=0.9, intervals={"f1": (0.5, 0.8)},
    )  # fmt: skip
    assert ads.break_table(found, "after") == [
        "after: 3 of 4 breaks found, 2 false detections; 2 recordings, 1.50 h",
        "  precision 0.600, recall 0.750, F1 0.667 (95% interval 0.50 to 0.80) at intersection over union 0.5",
        "  edges: 0.25 s at the median, 1.50 s at the 95th percentile",
        "  per hour: 12.2 s of programme lost, 7.5 s of ads left in; 0.900 of all seconds classified correctly",
    ]


def test_a_recording_in_lines() -> None:
    assert ads._lines(Recording("a.ts", 0.0, (), error="a.ts: is damaged")) == ["failed: a.ts: is damaged"]
    assert ads._lines(Recording("a.ts", 60.0, ()))[0] == "a.ts: no break, 0.0 s of 60.0 s"
    one = AdBreak(10.0, 40.5, 0.75, ["black at both ends"])
    lines = ads._lines(Recording("a.ts", 60.0, (one,), unknown=((1.0, 2.0),), notes=("a note",), written=("a.edl",)))
    assert lines == [
        "a.ts: 1 break, 30.5 s of 60.0 s",
        "  0:00:10.00 to 0:00:40.50    30.50 s  confidence 0.75",
        "    black at both ends",
        "  unknown: 0:00:01.00 to 0:00:02.00 could not be read",
        "  note: a note",
        "  written: a.edl",
    ]
    assert ads._lines(Recording("a.ts", 90.0, (one, one)))[0].startswith("a.ts: 2 breaks, 61.0 s")


@pytest.mark.parametrize(
    ("model", "fits", "latency", "size_bytes", "said"),
    [("best", "float32", 1.0, 1, "take"), ("best", "int8", 1.0, 1, "take as int8"), ("other", None, 10.0, 100, ""),
     ("other", None, 10.1, 100, "too slow"), ("other", None, 10.0, 101, "too large"),
     ("other", None, 10.1, 101, "too slow, large")],
)  # fmt: skip
def test_which_limit_a_model_exceeds(model: str, fits: Any, latency: float, size_bytes: int, said: str) -> None:
    figures: Any = SimpleNamespace(model=model, fits=fits, device_latency_ms=latency, int8_bytes=size_bytes)
    found: Any = SimpleNamespace(recommended="best", limits=SimpleNamespace(latency_ms=10.0, size_bytes=100))
    assert compare._state(figures, found) == said
    found.limits = SimpleNamespace(latency_ms=None, size_bytes=None)
    assert compare._state(figures, found) == (said if model == "best" else "")
