"""A recording that is still being made: breaks are reported once, after the stated delay, and a file may grow."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import cli
from evening_files import compose, remux
from waiting import PATIENT, until

from adapters.errors import ConfigError, MediaError
from adapters.media import copy_parts, open_video
from adapters.records import InputSpec
from cliplab.detect import find_ads
from cliplab.detect.following import _Watcher, follow_ads
from cliplab.detect.growing_sound import GrowingSound
from cliplab.detect.logo import LogoFinder
from cliplab.detect.sound import hear


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A transport stream of 240 s with a break from 165.2 s to 195.2 s."""
    folder = tmp_path_factory.mktemp("live")
    compose(folder / "a.mkv", (("programme", 165.0), ("ad", 10.0), ("ad", 20.0), ("programme", 45.0)))
    return remux(folder / "a.mkv", folder / "a.ts")


def test_a_file_that_grows(recording, tmp_path, monkeypatch):
    """The command on a file that is still written: one line for each event, each after the delay, and the marks."""
    monkeypatch.setattr("cliplab.detect.following.GROWING_SECONDS", 1.0)
    monkeypatch.setattr("cliplab.detect.following._DECIDE_SECONDS", 15.0)
    monkeypatch.setattr("cliplab.detect.growing_sound._WAIT_SECONDS", PATIENT)
    data, growing, output = recording.read_bytes(), tmp_path / "growing.ts", tmp_path / "a.edl"
    growing.write_bytes(data[: len(data) // 3])

    def write() -> None:
        with growing.open("ab") as file:
            for part in range(5):
                time.sleep(0.05)
                begin, end = (len(data) // 3 + len(data) * 2 // 15 * step for step in (part, part + 1))
                file.write(data[begin : end if part < 4 else len(data)])
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    ran = cli("ads", growing, "--follow", "--delay", "10", "--output", output, code=0)
    writer.join()
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    begins, ended = events[0], events[-1]
    assert [event["event"] for event in events].count("break") == 1
    assert begins["event"] == "begins"
    assert begins["now_seconds"] >= begins["start_seconds"] + 10.0
    assert ended["start_seconds"] == pytest.approx(165.2, abs=0.5)
    assert ended["end_seconds"] == pytest.approx(195.2, abs=0.5)
    assert ended["end_seconds"] + 10.0 <= ended["now_seconds"] <= ended["end_seconds"] + 45.0
    assert "silence" in " ".join(ended["why"])  # the sound of a file is heard beside its picture
    assert output.read_text().count("\n") == 1


def test_a_recording_that_ends_within_a_break(recording, tmp_path, monkeypatch):
    monkeypatch.setattr("cliplab.detect.following._DECIDE_SECONDS", 60.0)
    part = tmp_path / "part.ts"
    copy_parts(recording, [(0.0, 190.0)], part)
    events = list(follow_ads(str(part), delay_seconds=5.0, growing_seconds=0.3))
    assert events[-1]["event"] == "break"
    assert events[-1]["start_seconds"] == pytest.approx(165.2, abs=0.5)


def test_what_cannot_be_followed(recording, tmp_path):
    with pytest.raises(ConfigError, match="follow"):
        find_ads(recording, follow=True, cut=tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match="one recording"):
        find_ads([recording, recording], follow=True)
    with pytest.raises(ConfigError, match="delay"):
        follow_ads(str(recording), delay_seconds=0)
    with pytest.raises(MediaError, match=r"none\.ts"):
        list(follow_ads(str(tmp_path / "none.ts"), growing_seconds=0.2))
    (tmp_path / "words.ts").write_text("no video")
    with pytest.raises(MediaError, match=r"words\.ts"):
        list(follow_ads(str(tmp_path / "words.ts"), growing_seconds=0.2))


def test_each_second_is_looked_at_once_whatever_the_rate() -> None:
    spec = InputSpec(height=48, width=64, n_frames=1)
    with LogoFinder() as logo:
        watcher = _Watcher(None, None, spec, "a.ts", logo)
        for number in range(80):
            watcher.add(0.3 * number + 0.05, np.full((48, 64, 3), number, np.uint8))
    assert [int(seconds) for seconds in watcher.seen.looks.seconds] == list(range(24))


def test_the_sound_of_a_growing_file_is_that_of_the_complete_one(recording, monkeypatch):
    monkeypatch.setattr("cliplab.detect.growing_sound.voice_detector", lambda notes: None)
    monkeypatch.setattr("cliplab.detect.sound.voice_detector", lambda notes: None)
    with open_video(recording) as video:
        start, length = video.info.start_seconds, video.info.duration_seconds
    whole = hear(recording, start, length)
    with GrowingSound(str(recording), start, 0.1) as ears:
        until(lambda: np.isfinite(ears.until(length).levels[-20]), what="the end was not heard")
        found = ears.until(length)
    np.testing.assert_allclose(found.levels, whole.levels, atol=1e-4)
    np.testing.assert_allclose(found.music, whole.music, atol=1e-4)


def test_a_growing_file_without_sound(recording, tmp_path):
    silent = remux(recording, tmp_path / "silent.ts", 0)
    with GrowingSound(str(silent), 0.0, 0.1) as ears:
        until(lambda: ears.until(3.0).notes, what="it was not said that it has no sound")
        assert np.isnan(ears.until(3.0).levels).all()
        assert any("no sound" in note for note in ears.until(3.0).notes)
