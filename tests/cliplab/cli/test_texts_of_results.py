"""What people read of a result: each figure in its unit, one or several, and a dash where it is unknown."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace as Made
from typing import Any

import pytest
from rich.console import Console

from cliplab.cli import ads, compare, detect, machine, reel, rollout, scan, tables
from cliplab.cli.clips import _clip_table, _history_lines
from cliplab.detect import AdBreak
from cliplab.detect.break_decoder import Alternative
from cliplab.detect.highlights.candidates import Candidate, HighlightReport
from cliplab.detect.highlights.generating import GeneratedClip
from cliplab.detect.recordings import Recording


def words(*shown: Any) -> str:
    """What is printed, each line without the spaces that set columns apart."""
    screen = io.StringIO()
    console = Console(file=screen, width=400, no_color=True)
    for item in shown:
        console.print(item, markup=False, soft_wrap=True)
    return "\n".join(" ".join(line.split()) for line in screen.getvalue().splitlines())


# Numbers


@pytest.mark.parametrize(
    ("seconds", "minutes", "hours"),
    [
        (0.0, "0:00.00", "0:00:00.00"),
        (59.994, "0:59.99", "0:00:59.99"),
        (59.996, "1:00.00", "0:01:00.00"),
        (65.0, "1:05.00", "0:01:05.00"),
        (3599.999, "1:00:00.00", "1:00:00.00"),
        (3725.5, "1:02:05.50", "1:02:05.50"),
        (36000.0, "10:00:00.00", "10:00:00.00"),
    ],
)
def test_times_on_a_clock(seconds: float, minutes: str, hours: str) -> None:
    assert tables.clock(seconds) == minutes
    assert ads.clock(seconds) == hours


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-3.0, "0:00:00"), (59.4, "0:00:59"), (59.6, "0:01:00"), (3661, "1:01:01")]
)
def test_time_that_is_left(seconds: float, shown: str) -> None:
    assert scan._duration(seconds) == shown


def test_figures_and_their_absence() -> None:
    assert (tables.number(0.12345), tables.number(0.12345, 1), tables.number(None)) == ("0.123", "0.1", "-")
    assert (tables.size(1_234_567), tables.size(None)) == ("1.23 MB", "-")
    assert (tables.interval([0.701, 0.899]), tables.interval(None)) == ("0.70 to 0.90", "")
    assert tables.with_interval(0.5, (0.25, 0.75)) == "0.500 (0.25 to 0.75)"
    assert (tables.with_interval(0.5, None), tables.with_interval(None, (0, 1))) == ("0.500", "-")
    assert (tables.counted(1, "group"), tables.counted(0, "group"), tables.counted(2, "group")) == (
        *("1 group", "0 groups", "2 groups"),
    )
    assert (tables.after("a.mp4", "a.mp4: bad"), tables.after("a.mp4", "bad")) == ("a.mp4: bad", "a.mp4: bad")
    sizes = [machine._size(count) for count in (0, 999, 1000, 1_500_000, 2.5e9, 3e12)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "1.5 MB", "2.5 GB", "3000.0 GB"]


def test_cells_are_one_line_of_plain_text() -> None:
    shown = words(tables.table(("name", ">value"), [("[red]a\nb", 3), (tables.styled("x\x1b[31m", "bold"), 4.5)]))
    assert shown.splitlines()[0] == "name value"
    assert "[red]a" in shown
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 3


# Ad breaks


def test_a_recording_in_lines() -> None:
    other = Alternative(start_seconds=65.0, end_seconds=185.0, probability=0.0625, what="no break")
    others = (other, replace(other, what="x"))
    why = ("Begins at a cut.",)
    one = AdBreak(65.0, 185.25, 0.876, why, alternatives=others, start_confidence=0.75, end_confidence=0.5)
    found = Recording(
        "a.mp4", 3725.0, (one, AdBreak(200.0, 230.0, 0.5)), ((10.0, 12.5),), notes=("n",), written=("a.edl",)
    )
    assert words(*ads._lines(found)).splitlines() == [
        "a.mp4: 2 breaks, 150.2 s of 3725.0 s",
        "0:01:05.00 to 0:03:05.25 120.25 s confidence 0.88 (its start 0.75, its end 0.50 to within 1 s)",
        "Begins at a cut.",
        "or no break (0.06)",
        "0:03:20.00 to 0:03:50.00 30.00 s confidence 0.50",
        "unknown: 0:00:10.00 to 0:00:12.50 could not be read",
        "note: n",
        "written: a.edl",
    ]
    assert ads._lines(Recording("a.mp4", 5.0)) == ["a.mp4: no break, 0.0 s of 5.0 s"]
    assert ads._lines(Recording("a.mp4", 99.0, (one,)))[0] == "a.mp4: 1 break, 120.2 s of 99.0 s"
    assert ads._lines(Recording("a.mp4", error="a.mp4: cannot be read")) == ["failed: a.mp4: cannot be read"]
    assert (
        ads._edges(AdBreak(0, 1, 0.5, start_confidence=0.5)) == ads._edges(AdBreak(0, 1, 0.5, end_confidence=0.5)) == ""
    )
    assert "next: without a model" in ads._without_model(Recording("a.mp4", 5.0))[0]
    assert ads._without_model(found) == ads._without_model(Recording("a.mp4", error="x")) == []


def test_measures_of_breaks_in_words() -> None:
    report = Made(
        intervals={"f1": (0.5, 0.75)}, matched=7, truth=9, predicted=12, recordings=3, hours=4.5, precision=0.583,
        recall=0.777, f1=0.666, min_iou=0.5, edge_error_median=0.123, edge_error_p95=4.567, second_accuracy=0.9876,
        programme_lost_per_hour=1.26, ads_seen_per_hour=18.04,
    )  # fmt: skip
    assert words(*ads.break_table(report, "before")).splitlines() == [  # type: ignore[arg-type]
        "before: 7 of 9 breaks found, 5 false detections; 3 recordings, 4.50 h",
        "precision 0.583, recall 0.777, F1 0.666 (95% interval 0.50 to 0.75) at intersection over union 0.5",
        "edges: 0.12 s at the median, 4.57 s at the 95th percentile",
        "per hour: 1.3 s of programme lost, 18.0 s of ads left in; 0.988 of all seconds classified correctly",
    ]
    report.intervals, report.f1, report.edge_error_p95 = {}, None, None
    unknown = words(*ads.break_table(report, "x"))  # type: ignore[arg-type]
    assert "F1 - at" in unknown
    assert "- s at the 95th" in unknown


# Highlights


def test_candidates_in_lines() -> None:
    cues = {"level": 0.9, "onset": 0.04, "motion": 0.5, "flash": 0.7, "chat": 0.6}
    one = Candidate(
        60.0, 90.0, 70.5, "audio", "cheer", 0.876, cues, 0.5, stage2=0.25, why="4 stars", prompts={"a dive": 0.75}
    )
    two = Candidate(100.0, 130.0, 110.0, "video", "motion", 0.5, {"motion": 0.049}, 0.5)
    found = HighlightReport("a.mp4", 3600.0, (one, two), ("damaged",))
    assert words(*detect._lines(found)).splitlines() == [
        "a.mp4: 2 candidates in 1:00:00.00",
        "0:01:00.00 to 0:01:30.00 0.88 audio, cheer at 0:01:10.50 (level 0.90, flash 0.70, chat 0.60) stage 2 0.25 "
        "4 stars a dive 0.75",
        "0:01:40.00 to 0:02:10.00 0.50 video, motion at 0:01:50.00",
        "note: damaged",
    ]  # fmt: skip
    assert detect._lines(HighlightReport("a.mp4", 5.0, (two,)))[0] == "a.mp4: 1 candidate in 0:00:05.00"
    assert detect._lines(HighlightReport("a.mp4", 0.0, (), error="a.mp4: is gone")) == ["failed: a.mp4: is gone"]


def test_generated_clips_in_lines() -> None:
    made = GeneratedClip("out/a.mp4", 60.0, 90.0, "audio", 0.876, clip_id=7, notes=("encoded again",))
    assert detect._clip_lines(made) == [
        "made: clip 7, out/a.mp4  0:01:00.00 to 0:01:30.00  0.88  audio", "  note: encoded again"
    ]  # fmt: skip
    planned = GeneratedClip("out/a.mp4", 60.0, 90.0, "video", 0.5, state="planned")
    assert detect._clip_lines(planned) == ["planned: out/a.mp4  0:01:00.00 to 0:01:30.00  0.50  video"]
    failed = GeneratedClip("out/a.mp4", 60.0, 90.0, "video", 0.5, state="failed", error="disk full")
    assert detect._clip_lines(failed) == ["failed: 0:01:00.00 to 0:01:30.00: disk full"]


# Scans and reels


def test_a_scan_in_lines() -> None:
    now = Made(done=1200, to_score=3400, videos_per_second=2.34, video_seconds=5400.0, seconds_left=3661.0, failed=2)
    line = "Processed 1,200 of 3,400 videos: 2.3 videos/s, 1.50 h of video"
    assert scan._line(now) == f"{line}, 1:01:01 left, 2 skipped"  # type: ignore[arg-type]
    now.seconds_left, now.failed = None, 0
    assert scan._line(now) == line  # type: ignore[arg-type]
    report = Made(
        videos=3400, scored=1200, videos_per_second=2.34, video_hours=1.5, highlights=56, label="ad", min_score=0.7,
        output="x.json", failed=3, failures=[("a.mp4", "is damaged"), ("b.mp4", "is empty")],
    )  # fmt: skip
    lines = [
        "Total scanned: 3,400 videos, 1,200 of them now, 2.3 videos/s, 1.50 h of video",
        "Highlights found: 56 (ad score of at least 0.7)", "Results saved to: x.json",
    ]  # fmt: skip
    failed = ["Skipped (could not be read): 3", "  a.mp4: is damaged", "  b.mp4: is empty", "  and 1 more, see x.json"]
    assert scan._summary(report) == lines + failed  # type: ignore[arg-type]
    report.failed = 2
    assert scan._summary(report)[3:] == ["Skipped (could not be read): 2", *failed[1:3]]  # type: ignore[arg-type]
    report.failed = report.scored = 0
    assert scan._summary(report) == ["Total scanned: 3,400 videos, 0 of them now", *lines[1:]]  # type: ignore[arg-type]


def test_a_reel_in_lines() -> None:
    clip = Made(score=0.8765, start=1.5, end=4.25, path="a.mp4")
    report = Made(
        format=Made(fps=Fraction(30000, 1001), width=1280, height=720), timeline=[Made(clip=clip, first=60)],
        skipped=[
            Made(failed=True, path="b.mp4", reason="b.mp4: is damaged"),
            Made(failed=False, path="c.mp4", reason="too short"),
        ],
        notes=["no sound"], written=True, output="reel.mp4", seconds=12.345, cut_list="reel.json",
    )  # fmt: skip
    assert words(*reel._summary(report)).splitlines() == [  # type: ignore[arg-type]
        "2.00 s 0.876 1.50-4.25 s a.mp4",
        "skipped: b.mp4: is damaged",
        "left out: c.mp4: too short",
        "note: no sound",
        "Reel: reel.mp4: 1 clip, 12.35 s, 1280x720 at 29.97 frames per second",
        "Cut list: reel.json",
    ]
    report.written, report.cut_list, report.timeline = False, None, []
    assert reel._summary(report)[-1].startswith("Would write: reel.mp4: 0 clips, ")  # type: ignore[arg-type]


# Models, rollouts, clips


def test_why_a_model_is_not_the_one_to_take() -> None:
    found = Made(recommended="best", limits=Made(latency_ms=20.0, size_bytes=4_000))

    def state(name: str, ms: float, int8: int, fits: str | None = None) -> str:
        return compare._state(Made(model=name, device_latency_ms=ms, int8_bytes=int8, fits=fits), found)  # type: ignore[arg-type]

    assert (state("best", 99, 9, "int8"), state("best", 1, 1, "float32")) == ("take as int8", "take")
    assert (state("a", 20.0, 4_000), state("a", 20.1, 4_000), state("a", 20.0, 4_001)) == ("", "too slow", "too large")
    assert state("a", 20.1, 4_001) == "too slow, large"
    found.limits = Made(latency_ms=None, size_bytes=None)
    assert state("a", 1e9, 10**12) == ""
    assert compare._in_short("a\n  b") == "a b"
    longest = compare._LONGEST_REASON
    assert compare._in_short("x" * longest) == "x" * longest
    assert compare._in_short("x" * (longest + 1)) == "x" * (longest - 1) + "…"


def test_the_command_that_trains_what_was_chosen() -> None:
    from pathlib import Path

    model = Made(model="best", source="my config.json", overrides={"n_frames": 8, "aspect": "pad", "labels": ["a b"]})
    found = Made(recommended="best", models=[Made(model="other", source="x", overrides={}), model])
    (line,) = compare._next_step(found, Path("my data"))  # type: ignore[arg-type]
    assert line == (
        "train it: cliplab train 'my config.json' 'my data' MODEL --set n_frames=8 --set aspect=pad "
        """--set 'labels=["a b"]'"""
    )
    model.source = None
    assert compare._next_step(found, Path("d")) == []  # type: ignore[arg-type]


def test_a_rollout_with_its_figures() -> None:
    figures = {
        "test": "errors", "events": 5, "exposure": 200, "devices": 9, "control_rate": 0.0125, "control_devices": 90,
        "ratio": 2.04, "ratio_low": 1.06, "ratio_high": 3.14, "e_value": 12.34, "threshold": 400.4,
    }  # fmt: skip
    found = Made(
        id="r1", state="running", percent=12.5, model="m", candidate="2.0.0", control="1.0.0", environment="production",
        stage=1, settings=Made(stages=(5, 25, 100)), revision=3,
    )  # fmt: skip
    verdict = Made(tests=[Made(to_json=lambda: figures)], action="widen", reason="all is well")
    report = Made(rollout=found, watched=Made(verdict=verdict), written=True, notes=["a note"])
    assert words(*rollout._shown(report)).splitlines() == [  # type: ignore[arg-type]
        "r1: running, 12.5% of the devices have m 2.0.0 instead of 1.0.0 (production, stage 2 of 3)",
        "test candidate control ratio (95%) e-value halts at",
        "errors 0.025 on 9 devices 0.0125 on 90 2 (1.1 to 3.1) 12 400",
        "next: widen. all is well",
        "note: a note",
    ]
    assert rollout._row({**figures, "exposure": 0})[1] == "0 on 9 devices"
    found.state = "paused"
    assert "next:" not in words(*rollout._shown(report))  # type: ignore[arg-type]
    report.watched.verdict, report.written, found.revision = None, False, 0
    assert words(*rollout._shown(report)).splitlines()[1:] == ["nothing was started (--dry-run)", "note: a note"]  # type: ignore[arg-type]


def test_clips_and_the_history_of_their_ranking() -> None:
    clip = Made(id=7, rating=4, score=0.5, clip_type="audio", start_time=65.0, duration=30.04, filename="a.mp4")
    other = Made(**{**vars(clip), "id": 8, "rating": None, "score": None})
    found = Made(clips=[clip, other], tags={7: ["x", "y"], 8: []}, total=50)
    assert words(*_clip_table(found)).splitlines() == [  # type: ignore[arg-type]
        "id rating score type start length file tags",
        "7 **** 0.50 audio 1:05.00 30.0 s a.mp4 x, y",
        "8 - - audio 1:05.00 30.0 s a.mp4",
        "2 of 50 clips",
    ]
    row = {
        "interval": (0.5, 0.75), "share": 0.625, "serves": True, "takes_back": False, "at": "2026-11-30T19:30:12",
        "clip_type": "audio", "clips": 30,
    }  # fmt: skip
    rows = [row, {**row, "serves": False, "takes_back": True}, {**row, "serves": False}]
    assert [line.strip() for line in _history_lines(rows)] == [
        "ranking over time:",
        "2026-11-30T19:30  audio, 30 clips: 62% of pairs in order (50% to 75%), in use",
        "2026-11-30T19:30  audio, 30 clips: 62% of pairs in order (50% to 75%), taken back",
        "2026-11-30T19:30  audio, 30 clips: 62% of pairs in order (50% to 75%)",
    ]
    assert _history_lines([]) == []
