"""Scans that go on for long: what they say meanwhile, new footage, and as much memory for 5,000 videos as for 50."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from places import ROOT, SUPPORT
from scan_helpers import render_library, save_model
from tiny_videos import render_video

from adapters.media import VideoFile
from cliplab.library import SettleFilter
from cliplab.library import settle as scan_settle
from cliplab.scan import one_pass as scan_pass
from cliplab.scan import scan

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}"}
COMMAND = [sys.executable, "-m", "cliplab", "scan"]
SETTLE = 0.8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


def many(library: Path, count: int) -> None:
    """As many videos of different content as are asked for, from one: players pass over what follows an MP4."""
    library.mkdir()
    data = render_video(library.parent / "one.mp4", "warm", 0, seconds=0.25).read_bytes()
    for number in range(count):
        (library / f"{number:05}.mp4").write_bytes(data + (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_log_has_a_line_each_hundred_videos(model: Path, tmp_path: Path) -> None:
    many(tmp_path / "library", 230)
    command = [*COMMAND, str(model), str(tmp_path / "library"), "--output", str(tmp_path / "h.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in done.stderr.splitlines()]
    assert lines[0] == "Found 230 videos, 230 of them new or changed"
    numbers = r"\d+\.\d videos/s, \d+\.\d\d h of video, \d+:\d\d:\d\d left"
    assert re.fullmatch(rf"Processed 100 of 230 videos: {numbers}", lines[1])
    assert re.fullmatch(rf"Processed 200 of 230 videos: {numbers}", lines[2])
    assert len(lines) == 3
    assert "Total scanned: 230 videos, 230 of them now" in done.stdout


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_a_terminal_shows_live_progress_and_no_lines(model: Path, tmp_path: Path) -> None:
    many(tmp_path / "library", 120)
    command = [*COMMAND, str(model), str(tmp_path / "library"), "--output", str(tmp_path / "h.json"), "--json"]
    terminal, end = os.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=environment) as running:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
            while part := os.read(terminal, 65536):
                shown += part
        report = json.loads(running.communicate()[0])
    os.close(terminal)
    assert report["scored"] == 120
    assert b"of 120 videos: " in shown
    assert b"videos/s" in shown
    assert b"Processed" not in shown


def test_a_watch_takes_new_videos_once_they_are_whole(model: Path, tmp_path: Path) -> None:
    library, output = render_library(tmp_path / "library", 2), tmp_path / "h.json"
    for path in library.rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
    command = [*COMMAND, str(model), str(library), "--output", str(output), "--watch", "--settle-seconds", str(SETTLE)]
    command += ["--min-score", "0"]
    log = tmp_path / "stderr"
    data = render_video(tmp_path / "new.mp4", "warm", 9, seconds=1).read_bytes()

    def listed(name: str) -> bool:
        return any(item["path"].endswith(name) for item in json.loads(output.read_text())["highlights"])

    def scanned() -> int:
        return int(json.loads(output.read_text())["total_scanned"]) if output.exists() else 0

    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=ENVIRONMENT, text=True) as watch,
    ):
        try:
            until(lambda: scanned() == 2, "the videos that were there are scanned")
            written, longest = time.monotonic(), 0.0
            with (library / "new.mp4").open("wb") as file:
                for start in range(0, len(data), len(data) // 10 + 1):
                    file.write(data[start : start + len(data) // 10 + 1])
                    file.flush()
                    now = time.monotonic()
                    written, longest = now, max(longest, now - written)
                    time.sleep(0.12)
            smooth = longest < SETTLE / 2  # a machine that stalls makes a writer that pauses
            until(lambda: scanned() == 3, "the new video is scanned")
            until(lambda: listed("new.mp4"), "the new video is listed")
            (library / "new.mp4").rename(library / "renamed.mp4")
            until(lambda: listed("renamed.mp4"), "a video of another name is listed")
            (library / "renamed.mp4").rename(library / "new.mp4")
            until(lambda: listed("new.mp4"), "a video that has its name again is listed")
            (library / "new.mp4").unlink()
            until(lambda: scanned() == 2, "the removed video is gone")
            library.rename(tmp_path / "unmounted")
            until(lambda: "the disk is mounted" in log.read_text(), "a library that is gone is told")
            time.sleep(2.5 * SETTLE)
            assert scanned() == 2, "a library that is gone emptied the highlights"
        finally:
            watch.send_signal(signal.SIGINT)
        out, _ = watch.communicate(timeout=600)
    err = log.read_text()
    assert watch.returncode == 130
    assert "interrupted" in err
    assert not smooth or "skipped" not in err
    assert err.count("the disk is mounted") == 1
    # A rename that meets the middle of a pass may cost one more.
    assert not smooth or 5 <= out.count("Total scanned") <= 6, "a pass that found nothing new says nothing"


class Ended(Exception):
    """The watch of a test is over."""


def test_a_video_is_not_taken_while_it_grows(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds without a change are asked for, by a clock that the test turns: no machine is too slow for it."""
    library = render_library(tmp_path / "library", 2)
    for path in library.rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
    data = render_video(tmp_path / "new.mp4", "warm", 9, seconds=1).read_bytes()
    now, new, reports = [2e9], library / "new.mp4", list[tuple[int, float]]()

    def looks() -> Iterator[None]:
        """What happens between two looks at the library, which are four seconds apart."""
        for part in range(1, 9):
            new.write_bytes(data[: len(data) * part // 8])
            os.utime(new, (now[0], now[0]))
            yield
        for _ in range(4):
            yield
        with new.open("ab") as file:  # as long after as before, and then as before
            file.write(b"\0" * 8)
        os.utime(new, (1e9, 1e9))
        for _ in range(4):
            yield

    waits = looks()

    def sleep(seconds: float) -> None:
        assert seconds == 10
        now[0] += 4
        if next(waits, Ended) is Ended:
            raise Ended

    clock = SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(scan_settle, "time", clock)
    monkeypatch.setattr(scan_pass, "time", clock)
    with pytest.raises(Ended):
        scan(
            library, model, output=tmp_path / "h.json", min_score=0, watch=True, settle_seconds=10,
            on_report=lambda report: reports.append((report.videos, now[0] - 2e9)),
        )  # fmt: skip
    # The last part is seen at 32 s; the changed file at 52 s, and it is away until it has settled again.
    assert reports == [(2, 0), (3, 44), (2, 52), (3, 64)]


def test_what_has_settled() -> None:
    """By its time where that is long ago; else, as where the camera's clock is wrong, by having been seen unchanged."""
    now = time.time()
    old, new, future = (VideoFile(str(at), 5, int((now + at) * 1e9)) for at in (-9000, 0, 9000))
    assert [SettleFilter(3600).ready(file) for file in (old, new, future)] == [True, False, False]
    settle_filter = SettleFilter(0.3)
    grown = VideoFile(future.path, 6, future.mtime_ns)
    assert [settle_filter.ready(file) for file in (old, future, grown)] == [True, False, False]
    time.sleep(0.4)
    assert settle_filter.ready(grown)
    assert not settle_filter.ready(future), "another size than when it was last seen"


MEASURED = (
    "import json, resource, sys, time; from cliplab.scan import scan\n"
    "began = time.perf_counter()\n"
    "report = scan(sys.argv[1], sys.argv[2], output=sys.argv[3], min_score=0.0)\n"
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "print(json.dumps([report.videos, report.scored, time.perf_counter() - began, peak]))"
)


@pytest.mark.slow  # 5,050 videos are scored, half a minute
def test_memory_and_a_second_run_of_five_thousand_videos(model: Path, tmp_path: Path) -> None:
    def measured(name: str) -> list[float]:
        command = [sys.executable, "-c", MEASURED, *(str(tmp_path / part) for part in (name, "", f"{name}.out/h.json"))]
        command[4] = str(model)
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    many(tmp_path / "few", 50)
    many(tmp_path / "lots", 5000)
    few, lots = measured("few"), measured("lots")
    assert (few[:2], lots[:2]) == ([50, 50], [5000, 5000])
    assert lots[3] <= 1.2 * few[3], f"{lots[3]} KiB for 5,000 videos and {few[3]} for 50"
    again = measured("lots")
    assert again[:2] == [5000, 0]
    assert again[2] < 5.0, f"{again[2]:.1f} s for a second run"
