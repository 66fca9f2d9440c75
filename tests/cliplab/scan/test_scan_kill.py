"""A scan that is killed, at any moment, goes on where it was and ends as one that was not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import python
from places import SUPPORT
from scan_helpers import render_library, save_model

from cliplab.scan import scan

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL")
VIDEOS = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = render_library(tmp_path_factory.mktemp("library"), VIDEOS)
    (folder / "bad.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def unbroken(library: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    output = tmp_path_factory.mktemp("unbroken") / "h.json"
    scan(library, model, output=output, min_score=0.0, sample_fps=8.0)
    return output.read_bytes()


def drive(*arguments: object) -> list[dict[str, Any]]:
    done = python((SUPPORT / "scan_driver.py").read_text(), *arguments)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


POINTS = [
    f"{when}-{call}-{number}"
    for call, number in [("commit", 1), ("commit", 2), ("commit", 5), ("commit", 40), ("fsync", 1), ("replace", 1)]
    for when in ("before", "after")
]


@pytest.fixture(scope="module")
def killed(library: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with what each fault point left, and what the driver told of it."""
    folder = tmp_path_factory.mktemp("killed")
    return folder, dict(zip(POINTS, drive(library, model, folder, "fault", *POINTS), strict=True))


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_fault_point(
    library: Path, model: Path, unbroken: bytes, killed: tuple[Path, dict[str, Any]], point: str
) -> None:
    folder, states = killed
    state, output = states[point], folder / point / "h.json"
    assert state["code"] == -signal.SIGKILL
    assert output.exists() == (point == "after-replace-1")
    assert not output.exists() or output.read_bytes() == unbroken
    if "commit-40" in point:
        assert 30 <= state["kept"] <= 40
    if "commit" not in point:
        assert state["kept"] == VIDEOS + 1
    report = scan(library, model, output=output, min_score=0.0, sample_fps=8.0)
    assert report.scored == VIDEOS + 1 - state["kept"], "a result was lost or scored twice"
    assert output.read_bytes() == unbroken


def test_killed_at_fifty_random_moments(library: Path, model: Path, tmp_path: Path) -> None:
    kills, before, midway = 50, 0, 0
    states = drive(library, model, tmp_path / "out", "random", kills, 2)
    for state in states:
        assert state["code"] in (0, -signal.SIGKILL)
        assert state["kept"] >= before, "a kill took what was kept"
        before = 0 if state["code"] == 0 else state["kept"]
        midway += 0 < before <= VIDEOS
    assert sum(state["code"] != 0 for state in states) == kills
    assert midway >= kills // 10, "the kills came too early or too late to tell anything"
