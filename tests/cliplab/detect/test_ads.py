"""Recordings to breaks: exact edges, the reasons, the outputs, and recordings that are not as they should be."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from command_line import cli
from evening_files import FPS, SCENES, compose, remux
from places import ROOT
from tiny_videos import render_video

from adapters.data import read_intervals
from adapters.errors import ConfigError, DatasetError, StorageError
from adapters.media import copy_parts
from cliplab.detect import AdsReport, Recording, find_ads
from cliplab.detect.observing import observe
from cliplab.detect.refining import refine

TRUTH = [(90.2, 125.2)]


@pytest.fixture(scope="module")
def evenings(tmp_path_factory) -> Path:
    """A recording of 210 s with one break."""
    folder = tmp_path_factory.mktemp("evenings")
    assert compose(folder / "all.mkv", SCENES) == TRUTH
    return folder


@pytest.fixture(autouse=True)
def without_speech(monkeypatch):
    """The detector of speech costs more than the rest together; tests/cliplab/detect/test_sound.py has it."""
    monkeypatch.setattr("cliplab.detect.sound.voice_detector", lambda notes: None)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Observations, shared by the tests of this module."""
    return tmp_path_factory.mktemp("observations")


def found_in(path: Path, store: Path, **options: object) -> Recording:
    report = find_ads(path, store=store, **options)  # type: ignore[arg-type]
    assert len(report.recordings) == 1
    assert report.recordings[0].error is None, report.recordings[0].error
    return report.recordings[0]


def edges(found: Recording) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in found.breaks]


def assert_near(found: Recording, truth: list[tuple[float, float]], within: float = 0.3) -> None:
    assert len(edges(found)) == len(truth), (edges(found), truth)
    np.testing.assert_allclose(edges(found), truth, atol=within)


def test_a_break_is_exact_and_says_why(evenings, store):
    found = found_in(evenings / "all.mkv", store)
    assert_near(found, TRUTH, 0.2)
    assert "silence" in " ".join(found.breaks[0].why)
    assert found.breaks[0].confidence > 0.8
    assert {"black", "silence", "shot_rate", "music"} <= set(found.evidence)
    assert found.unknown == ()


def test_what_was_watched_is_remembered(evenings, store):
    first = found_in(evenings / "all.mkv", store)
    again = found_in(evenings / "all.mkv", store)
    assert again.remembered
    assert edges(again) == edges(first)
    assert not found_in(evenings / "all.mkv", store, again=True).remembered


def test_a_damaged_store_is_made_anew(evenings, tmp_path):
    found_in(evenings / "all.mkv", tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-50])
    assert not found_in(evenings / "all.mkv", tmp_path).remembered


@pytest.mark.parametrize("name, sounds", [("no_sound.mp4", 0), ("broadcast.ts", 2)])
def test_less_evidence_lowers_only_the_confidence(evenings, tmp_path, store, name, sounds):
    found = found_in(remux(evenings / "all.mkv", tmp_path / name, sounds), store)
    assert_near(found, TRUTH, 0.6)
    assert any("sound" in note for note in found.notes)


def test_cuts_are_exact_where_key_frames_are_far_apart(tmp_path):
    scenes = (("programme", 20.0), ("ad", 10.0), ("programme", 15.0))
    truth = compose(tmp_path / "plain.mp4", scenes, logo=False, black=False, gop=100)
    observations, keys = observe(tmp_path / "plain.mp4")
    closer = refine(tmp_path / "plain.mp4", observations, [(17.0, 23.0), (27.0, 33.0)], keys)
    for edge in truth[0]:
        assert np.abs(closer.cuts - edge).min() < 0.05


@pytest.mark.parametrize(
    "part, truth",
    [
        ((100.0, 210.0), [(0.0, 25.2)]),
        ((0.0, 120.0), [(90.2, 120.0)]),
        ((0.0, 85.0), []),
    ],
    ids=["begins within a break", "ends within a break", "has none"],
)
def test_a_part_of_a_recording(evenings, tmp_path, store, part, truth):
    copy_parts(evenings / "all.mkv", [part], tmp_path / "part.mkv")
    found = found_in(tmp_path / "part.mkv", store, output=tmp_path / "part.edl")
    assert_near(found, truth, 0.6)
    assert len((tmp_path / "part.edl").read_text().splitlines()) == len(truth)


@pytest.mark.parametrize("part", [(91.0, 124.0), (3.0, 3.3)])
def test_one_break_or_one_moment_gives_an_answer(evenings, tmp_path, store, part):
    copy_parts(evenings / "all.mkv", [part], tmp_path / "odd.mkv")
    found = found_in(tmp_path / "odd.mkv", store)
    assert all(0 <= start < end <= found.duration_seconds + 0.1 for start, end in edges(found))


def test_a_recording_cut_short(evenings, tmp_path, store):
    whole = (evenings / "all.mkv").read_bytes()
    (tmp_path / "short.mkv").write_bytes(whole[: int(len(whole) * 0.9)])
    found = found_in(tmp_path / "short.mkv", store)
    assert any("cut short" in note or "damaged" in note for note in found.notes)
    assert len(found.breaks) == 1
    assert found.breaks[0].start_seconds == pytest.approx(90.2, abs=0.3)


def test_a_damaged_stretch_is_unknown_and_not_programme(evenings, tmp_path, store):
    data = bytearray(remux(evenings / "all.mkv", tmp_path / "a.ts").read_bytes())
    middle = len(data) * 9 // 10 // 188 * 188
    rng = np.random.default_rng(0)
    data[middle : middle + 188 * 60] = rng.integers(0, 256, 188 * 60, np.uint8).tobytes()
    (tmp_path / "b.ts").write_bytes(data)
    found = found_in(tmp_path / "b.ts", store)
    assert found.unknown
    assert found.observations is not None
    inside = (found.observations.times >= found.unknown[0][0]) & (found.observations.times + 1 <= found.unknown[0][1])
    assert np.isnan(found.observations.row("shot_rate")[inside]).all()
    assert found.breaks[0].start_seconds == pytest.approx(90.2, abs=0.3)


def test_a_recording_whose_clock_jumps(evenings, tmp_path, store):
    whole = evenings / "all.mkv"
    parts = [(0.0, 110.0), (110.0, 210.0)]
    for number, part in enumerate(parts):
        copy_parts(whole, [part], tmp_path / f"{number}.ts")
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    found = found_in(joined, store)
    assert found.duration_seconds == pytest.approx(210, abs=0.5)
    assert_near(found, TRUTH, 0.8)


def test_frames_of_another_size_in_the_middle(tmp_path, store):
    """A broadcast that changes from 4:3 to 16:9."""
    _resized(tmp_path / "sizes.ts")
    found = found_in(tmp_path / "sizes.ts", store)
    assert found.duration_seconds == pytest.approx(16, abs=0.5)


# Outputs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".edl", ".txt", ".json", ".xml", ".ffmeta", ".csv"])
def test_marks_in_every_format(evenings, tmp_path, store, suffix):
    found = found_in(evenings / "all.mkv", store, output=tmp_path / f"marks{suffix}")
    read = read_intervals(tmp_path / f"marks{suffix}", video=evenings / "all.mkv", frame_rate=float(FPS))
    marked = [(one.start_seconds, one.end_seconds) for one in read.intervals if one.label == "ad"]
    np.testing.assert_allclose(marked, edges(found), atol=0.21)
    if suffix == ".edl":
        assert (tmp_path / "marks.edl").read_text().split()[2] == "3"


def test_nothing_is_overwritten_unasked(evenings, tmp_path, store):
    (tmp_path / "a.edl").write_text("1.000\t2.000\t0\n")
    for name in ("output", "cut", "explain"):
        with pytest.raises(StorageError, match="already exists"):
            find_ads(evenings / "all.mkv", store=store, **{name: tmp_path / "a.edl"})
    assert (tmp_path / "a.edl").read_text() == "1.000\t2.000\t0\n"
    with pytest.raises(ConfigError, match="recording itself"):
        find_ads(evenings / "all.mkv", store=store, cut=evenings / "all.mkv", force=True)


@pytest.mark.parametrize(
    "rule, expected",
    [
        ("theirs", [(5.0, 6.0), (100.0, 150.0)]),
        ("ours", [(5.0, 6.0), (90.2, 125.2)]),
        ("union", [(5.0, 6.0), (90.2, 150.0)]),
    ],
)
def test_marks_of_another_tool_are_merged(evenings, tmp_path, store, rule, expected):
    (tmp_path / "a.edl").write_text("5.000\t6.000\t1\n100.000\t150.000\t0\n")
    found_in(evenings / "all.mkv", store, output=tmp_path / "a.edl", merge=rule)
    rows = [line.split() for line in (tmp_path / "a.edl").read_text().splitlines()]
    np.testing.assert_allclose([[float(row[0]), float(row[1])] for row in rows], expected, atol=0.2)
    assert rows[0][2] == "1"  # what mutes is not a break and stays


def test_a_copy_without_the_break(evenings, tmp_path, store):
    before = (evenings / "all.mkv").read_bytes()
    found_in(evenings / "all.mkv", store, cut=tmp_path / "cut.mkv")
    with av.open(str(tmp_path / "cut.mkv")) as container:
        frames = [frame.time for frame in container.decode(video=0)]
    assert len(frames) / FPS == pytest.approx(175.0, abs=0.5)
    assert (evenings / "all.mkv").read_bytes() == before


def test_a_folder_resumes_and_one_bad_file_does_not_end_it(evenings, tmp_path, store):
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.mkv", "more/b.mkv"):
        (folder / name).write_bytes((evenings / "all.mkv").read_bytes())
    (folder / "broken.mkv").write_bytes(b"nothing" * 100)
    report = find_ads(folder, store=store, output=".edl")
    assert [Path(one.path).name for one in report.recordings] == ["a.mkv", "broken.mkv", "b.mkv"]
    assert report.failed == 1
    assert (folder / "more" / "b.edl").read_text() == (folder / "a.edl").read_text() != ""
    assert not (folder / "broken.edl").exists()
    assert report.recordings[2].remembered  # the same content under another name
    with pytest.raises(ConfigError, match="suffix"):
        find_ads(folder, store=store, output=tmp_path / "one.edl")


def test_options_that_cannot_be(evenings, store):
    video = evenings / "all.mkv"
    with pytest.raises(ConfigError, match="profile"):
        find_ads(video, store=store, profile="cinema")
    with pytest.raises(ConfigError, match="merge"):
        find_ads(video, store=store, merge="best", output=".edl")
    with pytest.raises(DatasetError, match="docx"):
        find_ads(video, store=store, output="marks.docx")
    assert find_ads(evenings / "none.mkv", store=store).failed == 1
    with pytest.raises(ConfigError, match="audio-stream"):
        find_ads(video, store=store, audio_stream=7)


def test_cues_of_the_broadcaster_are_evidence(evenings, tmp_path, store):
    playlist = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:5"]
    for second in range(0, 210, 5):
        playlist += ["#EXT-X-CUE-OUT:35.0"] if second == 90 else ["#EXT-X-CUE-IN"] if second == 125 else []
        playlist += ["#EXTINF:5.0,", f"part{second}.ts"]
    (tmp_path / "live.m3u8").write_text("\n".join(playlist) + "\n#EXT-X-ENDLIST\n")
    found = found_in(evenings / "all.mkv", store, cues=tmp_path / "live.m3u8")
    assert "cue" in found.evidence
    assert_near(found, TRUTH, 0.3)


def test_the_command(evenings, tmp_path, store):
    video = evenings / "all.mkv"
    shown = cli("ads", video, "--store", store, "--output", tmp_path / "a.edl", code=0)
    assert "1 break" in shown.stdout
    assert "silence" in shown.stdout
    listed = cli("ads", video, tmp_path / "no.mkv", "--store", store, "--json", code=1)
    report = json.loads(listed.stdout)
    assert report["failed"] == 1
    assert report["recordings"][0]["breaks"][0]["why"]
    refused = cli("ads", video, "--store", store, "--output", tmp_path / "a.edl", code=1)
    assert "--force" in refused.stderr
    assert "--model" not in shown.stdout


def test_a_recording_without_breaks_names_what_would_find_more(store):
    shown = cli("ads", ROOT / "samples" / "broadcast.mp4", "--store", store, code=0)
    assert "no break" in shown.stdout
    assert "--model" in shown.stdout


def test_the_report_is_json(evenings, store):
    report: AdsReport = find_ads([evenings / "all.mkv"], store=store)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["failed"] == 0


def test_the_picture(evenings, tmp_path, store):
    pytest.importorskip("matplotlib")
    found_in(evenings / "all.mkv", store, explain=tmp_path / "why.png")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    found_in(evenings / "all.mkv", store, explain=tmp_path / "pictures")
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["all.png"], "a name without a suffix: a folder"


def test_a_very_short_video(tmp_path, store):
    render_video(tmp_path / "tiny.mp4", "warm", 1, seconds=0.5)
    pytest.importorskip("matplotlib")
    found = found_in(tmp_path / "tiny.mp4", store, explain=tmp_path / "why.png")
    assert found.breaks == ()


def _resized(path: Path) -> None:
    first, second = path.with_name("a.ts"), path.with_name("b.ts")
    for file, size in ((first, (128, 96)), (second, (160, 90))):
        with av.open(str(file), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for number in range(200):
                picture = np.full((size[1], size[0], 3), 60 + number % 50, np.uint8)
                picture[20:40, number % 80 : number % 80 + 20] = 220
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    path.write_bytes(first.read_bytes() + second.read_bytes())
