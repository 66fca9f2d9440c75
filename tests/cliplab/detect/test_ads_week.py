"""A folder of recordings as a person uses it: a run that is killed, the next week's run, and corrections that teach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli, start
from evening_files import SCENES, compose
from waiting import until

from cliplab.detect import load_break_profile, read_break_profile
from cliplab.studio import LabelEvent, fill_items, open_store

TRUTH = (90.2, 125.2)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 210 s with a break each."""
    folder = tmp_path_factory.mktemp("week")
    for number, name in enumerate("ab"):
        assert compose(folder / f"{name}.mkv", SCENES, seed=number) == [TRUTH]
    return folder


@pytest.fixture
def week(recordings: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recordings, tmp_path / "recordings"))


def ads(folder: Path, store: Path, *options: object) -> dict[str, Any]:
    """What the command says of each recording of a folder, by name."""
    report = json.loads(cli("ads", folder, "--store", store, "--json", *options, code=0).stdout)
    return {Path(one["path"]).stem: one for one in report["recordings"]}


def test_a_run_that_was_killed_goes_on(week: Path, tmp_path: Path) -> None:
    store, first = tmp_path / "store", week / "a.edl"
    with start("ads", week, "--store", store, "--output", ".edl") as process:
        until(first.exists, what="the first recording was not marked")
        process.kill()
    marks = first.read_bytes()
    assert not (week / "b.edl").exists()
    found = ads(week, store, "--output", ".edl", "--explain", tmp_path / "why")
    assert (found["a"]["remembered"], found["b"]["remembered"]) == (True, False)
    assert first.read_bytes() == marks
    np.testing.assert_allclose(np.loadtxt(week / "b.edl")[:2], TRUTH, atol=0.3)
    assert any("a.edl already exists and was kept" in note for note in found["a"]["notes"])
    assert str(first) not in found["a"]["written"]
    assert str(week / "b.edl") in found["b"]["written"]


def test_corrected_marks_stay_until_they_are_asked_for(week: Path, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", week / "a.edl"
    marks.write_text("10.000\t20.000\t3\n")
    (tmp_path / "why").mkdir()
    (tmp_path / "why" / "b.png").write_bytes(b"mine")
    shown = cli("ads", week, "--store", store, "--output", ".edl", "--explain", tmp_path / "why", code=0)
    assert "a.edl already exists and was kept; use --force" in shown.stdout
    assert marks.read_text() == "10.000\t20.000\t3\n"
    assert (tmp_path / "why" / "b.png").read_bytes() == b"mine"
    assert (tmp_path / "why" / "a.png").read_bytes().startswith(b"\x89PNG")
    ads(week, store, "--output", ".edl", "--merge", "theirs")
    np.testing.assert_allclose(np.loadtxt(marks)[:, :2], [(10.0, 20.0), TRUTH], atol=0.3)
    ads(week, store, "--output", ".edl", "--force")
    np.testing.assert_allclose(np.loadtxt(marks)[:2], TRUTH, atol=0.3)


def test_marks_of_another_recording_teach_nothing(week: Path, tmp_path: Path) -> None:
    """A break after the recording's end is not of this recording; one that runs past the end is."""
    (week / "a.edl").write_text("90.2\t125.2\t3\n")
    (week / "b.edl").write_text("300\t400\t3\n")
    options = ("--breaks", ".edl", "--output", tmp_path / "channel.json", "--store", tmp_path / "store")
    refused = cli("ads-learn", week, *options, code=1).stderr
    assert "b.mkv" in refused
    assert "300.00 to 400.00 s" in refused
    assert "ends at 210.00 s" in refused
    assert not (tmp_path / "channel.json").exists()
    (week / "b.edl").write_text("90.2\t125.2\t3\n200\t400\t3\n")
    cli("ads-learn", week, *options, code=0)


def test_breaks_that_were_corrected_in_the_studio_teach_the_channel(
    week: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, channel = tmp_path / "store", tmp_path / "channel.json"
    ads(week, store)
    with open_store(week, ["ad", "content"]) as labels:
        fill_items(labels)
        events = [
            LabelEvent("tab", number, "ann", item.id, "interval",
                       {"interval": f"i{number}", "label": "ad", "start": TRUTH[0], "end": TRUTH[1]}, 1.0)
            for number, item in enumerate(labels.items())
        ]  # fmt: skip
        assert not labels.append(events).refused

    def unexpected(*_: Any, **__: Any) -> Any:
        raise AssertionError("a recording was watched again")

    monkeypatch.setattr("cliplab.detect.recordings.observe", unexpected)
    shown = cli("ads-learn", week, "--breaks", week, "--output", channel, "--store", store, code=0).stdout
    assert "2 breaks of 2 recordings" in shown
    assert "each recording measured with a profile of the others" in shown
    learned, general = load_break_profile(channel), read_break_profile()
    assert learned.typical_break_seconds < general.typical_break_seconds
    assert learned.typical_programme_seconds < general.typical_programme_seconds
    found = ads(week, store, "--profile", channel)
    for one in found.values():
        assert one["remembered"]
        ((start_seconds, end_seconds),) = [(each["start_seconds"], each["end_seconds"]) for each in one["breaks"]]
        np.testing.assert_allclose((start_seconds, end_seconds), TRUTH, atol=0.3)
    refused = cli("ads-learn", week, "--breaks", week, "--output", channel, "--store", store, code=1)
    assert "--force" in refused.stderr
