"""Recordings that are not as they should be, through the command: a clear answer, and nothing is replaced unasked."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command_line import cli
from evening_files import SCENES, compose, remux
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.media import copy_parts

TRUTH = (90.2, 125.2)


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 210 s with one break."""
    path = tmp_path_factory.mktemp("evening") / "evening.mkv"
    assert compose(path, SCENES) == [TRUTH]
    return path


@pytest.fixture(autouse=True)
def without_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector of speech costs more than the rest together; tests/cliplab/detect/test_sound.py has it."""
    monkeypatch.setattr("cliplab.detect.sound.voice_detector", lambda notes: None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def found_in(video: Path, store: Path, *options: object) -> dict[str, Any]:
    """What the command says of a recording that it can read."""
    report = json.loads(cli("ads", video, "--store", store, "--json", *options, code=0).stdout)
    assert report["failed"] == 0
    (recording,) = report["recordings"]
    return dict(recording)


def breaks_of(recording: dict[str, Any]) -> list[tuple[float, float]]:
    return [(one["start_seconds"], one["end_seconds"]) for one in recording["breaks"]]


def marked(path: Path) -> list[tuple[float, float, int]]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(float(start), float(end), int(action)) for start, end, action in rows]


@pytest.mark.parametrize(
    ("part", "truth"),
    [
        ((100.0, 210.0), [(0.0, 25.2)]),
        ((0.0, 120.0), [(90.2, 120.0)]),
        ((0.0, 85.0), []),
    ],
    ids=["begins within a break", "ends within a break", "has none"],
)
def test_a_part_of_an_evening(evening: Path, tmp_path: Path, store: Path, part: Any, truth: Any) -> None:
    video, marks = tmp_path / "part.mkv", tmp_path / "part.edl"
    copy_parts(evening, [part], video)
    found = found_in(video, store, "--output", marks)
    np.testing.assert_allclose(np.array(breaks_of(found)).reshape(-1, 2), np.array(truth).reshape(-1, 2), atol=0.6)
    assert len(marked(marks)) == len(truth)  # a file without a mark says that there is none
    assert all(action == 3 for _, _, action in marked(marks))
    shown = cli("ads", video, "--store", store, code=0).stdout
    assert ("1 break" if truth else "no break") in shown
    if truth and truth[0][0] == 0.0:
        assert "recording" in found["breaks"][0]["why"][0]  # it begins with the recording, not on a cut


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls red an ad."""
    path = tmp_path_factory.mktemp("model") / "model"
    config = {
        "schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "name": "red is an ad",
        "labels": ["content", "ad"], "positive_label": "ad", "imgz": 32, "n_frames": 1,
    }  # fmt: skip
    TinyAdapter(config).save(path)
    return path


@pytest.mark.parametrize(("kind", "expected"), [("warm", [(0.0, 60.0)]), ("cold", [])])
def test_one_break_from_start_to_end(tmp_path: Path, store: Path, model: Path, kind: str, expected: Any) -> None:
    """All ads is one break and nothing is left to cut; no ads is none and a copy has it all."""
    video, copy = render_video(tmp_path / "only.mp4", kind, 1, seconds=60.0), tmp_path / "copy.mp4"
    options = ("--model", model, "--trust-adapter", "tiny_adapter:TinyAdapter")
    np.testing.assert_allclose(
        np.array(breaks_of(found_in(video, store, *options))).reshape(-1, 2),
        np.array(expected).reshape(-1, 2),
        atol=0.2,
    )
    ran = cli("ads", video, "--store", store, *options, "--cut", copy, code=1 if expected else 0)
    if expected:
        assert "nothing would remain" in ran.stdout
        assert not copy.exists()
    else:
        with av.open(str(copy)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 60 * 8


def test_an_evening_cut_short(evening: Path, tmp_path: Path, store: Path) -> None:
    video = tmp_path / "short.mkv"
    whole = evening.read_bytes()
    video.write_bytes(whole[: len(whole) * 9 // 10])
    found = found_in(video, store)
    (extent,) = breaks_of(found)
    np.testing.assert_allclose(extent, TRUTH, atol=0.3)
    assert any("cut short" in note or "damaged" in note for note in found["notes"])
    # What is missing is unknown, or the recording ends where its footage ends; never programme that nobody saw.
    assert found["unknown"] or found["duration_seconds"] < 200


def test_a_damaged_stretch_within_a_break(evening: Path, tmp_path: Path, store: Path) -> None:
    video = remux(evening, tmp_path / "damaged.ts")
    data = bytearray(video.read_bytes())
    middle = int(len(data) * 0.8) // 188 * 188
    data[middle : middle + 188 * 80] = np.random.default_rng(0).integers(0, 256, 188 * 80, np.uint8).tobytes()
    video.write_bytes(data)
    found = found_in(video, store)
    assert found["unknown"]
    assert all(0 <= start < end <= found["duration_seconds"] + 0.1 for start, end in found["unknown"])
    shown = cli("ads", video, "--store", store, code=0).stdout
    assert "unknown:" in shown
    assert "could not be read" in shown
    assert breaks_of(found)[0][0] == pytest.approx(TRUTH[0], abs=0.3)


def test_a_clock_that_jumps(evening: Path, tmp_path: Path, store: Path) -> None:
    """Two recordings of one evening in one file: the second's times begin anew."""
    for number, part in enumerate([(0.0, 110.0), (110.0, 210.0)]):
        copy_parts(evening, [part], tmp_path / f"{number}.ts")
    video = tmp_path / "joined.ts"
    video.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    found = found_in(video, store)
    assert found["duration_seconds"] == pytest.approx(210, abs=0.5)
    np.testing.assert_allclose(breaks_of(found), [TRUTH], atol=0.8)


def encoded(source: Path, path: Path, part: tuple[float, float], size: tuple[int, int], **options: str) -> Path:
    """A stretch of a recording as MPEG-2 of another size, with its sound, in a transport stream."""
    with av.open(str(source)) as container, av.open(str(path), "w", options=options) as target:
        made: Any = target.add_stream("mpeg2video", rate=25)
        made.width, made.height, made.pix_fmt, made.bit_rate = *size, "yuv420p", 900_000
        heard = target.add_stream_from_template(container.streams.audio[0])
        number, samples = 0, 0
        for packet in container.demux(video=0, audio=0):
            if packet.stream.type == "audio":
                if packet.size and part[0] <= packet.pts * packet.time_base < part[1]:
                    packet.stream, packet.time_base = heard, Fraction(1, 16_000)
                    packet.pts = packet.dts = samples
                    samples += 1024
                    target.mux(packet)
                continue
            for frame in packet.decode():
                if part[0] <= frame.time < part[1]:
                    for _ in range(5):  # of 5 frames per second
                        again = frame.reformat(*size, format="yuv420p")
                        again.pts, again.time_base = number, Fraction(1, 25)
                        again.pict_type = av.video.frame.PictureType.NONE
                        target.mux(made.encode(again))
                        number += 1
        target.mux(made.encode(None))
    return path


@pytest.mark.parametrize("change", ["size", "programme"])
def test_a_size_or_a_programme_that_changes(evening: Path, tmp_path: Path, store: Path, change: str) -> None:
    """From 4:3 to 16:9 in the middle of a break, or to other streams of the same multiplex: all of it is looked at,
    or what is not is said."""
    other = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4352", "mpegts_service_id": "7"}
    first = encoded(evening, tmp_path / "0.ts", (0.0, 110.0), (128, 96))
    second = encoded(evening, tmp_path / "1.ts", (110.0, 210.0), (160, 90), **(other if change == "programme" else {}))
    video = tmp_path / "joined.ts"
    video.write_bytes(first.read_bytes() + second.read_bytes())
    found = found_in(video, store)
    if change == "size":
        assert found["duration_seconds"] == pytest.approx(210, abs=0.5)
        np.testing.assert_allclose(breaks_of(found), [TRUTH], atol=1.0)
    else:
        assert found["duration_seconds"] == pytest.approx(210, abs=0.5) or found["notes"], found


@pytest.mark.parametrize("sounds", [0, 2])
def test_no_sound_or_several(evening: Path, tmp_path: Path, store: Path, sounds: int) -> None:
    video = remux(evening, tmp_path / f"{sounds}.ts", sounds)
    found = found_in(video, store)
    np.testing.assert_allclose(breaks_of(found), [TRUTH], atol=0.6)
    if sounds:
        assert any("sound stream" in note and "--audio-stream" in note for note in found["notes"]), found["notes"]
        chosen = found_in(video, store, "--audio-stream", "1")
        assert not any("--audio-stream" in note for note in chosen["notes"])
        refused = cli("ads", video, "--store", store, "--audio-stream", "5", code=2)
        assert "sound streams 0 to 1" in refused.stderr
    else:
        assert any("no sound" in note for note in found["notes"])
        assert "silence" not in found["evidence"]


@pytest.mark.parametrize("option", ["--output", "--cut", "--explain"])
def test_what_exists_stays(evening: Path, tmp_path: Path, store: Path, option: str) -> None:
    """Refused before anything is watched, with the way out."""
    target = tmp_path / {"--output": "a.edl", "--cut": "a.mkv", "--explain": "a.png"}[option]
    target.write_bytes(b"someone's")
    refused = cli("ads", evening, "--store", tmp_path / "empty", option, target, code=1)
    assert str(target) in refused.stderr
    assert "--force" in refused.stderr
    assert target.read_bytes() == b"someone's"
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("theirs", [(5, 6, 1), (40, 41, 2), (100, 150, 0)]),
        ("ours", [(5, 6, 1), (40, 41, 2), (90.2, 125.2, 3)]),
        ("union", [(5, 6, 1), (40, 41, 2), (90.2, 150, 3)]),
    ],
)
def test_marks_of_another_tool_by_rule(evening: Path, tmp_path: Path, store: Path, rule: str, expected: Any) -> None:
    """Kodi's actions: 0 cut, 1 mute, 2 scene, 3 commercial. What is not a break stays by every rule."""
    marks = tmp_path / "a.edl"
    marks.write_text("5.000\t6.000\t1\n40.000\t41.000\t2\n100.000\t150.000\t0\n")
    found = found_in(evening, store, "--output", marks, "--merge", rule)
    assert any("3 existing marks" in note for note in found["notes"])
    rows = marked(marks)
    assert [row[2] for row in rows][:2] == [1, 2]
    np.testing.assert_allclose([row[:2] for row in rows], [row[:2] for row in expected], atol=0.2)
    refused = cli("ads", evening, "--store", store, "--output", marks, "--merge", "newest", code=2)
    assert "theirs, ours, union" in refused.stderr
    assert marked(marks) == rows
    marks.write_text("no marks at all\n")
    broken = cli("ads", evening, "--store", store, "--output", marks, "--merge", rule, code=1)
    assert "a.edl" in broken.output
    assert marks.read_text() == "no marks at all\n"
