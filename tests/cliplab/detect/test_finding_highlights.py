"""Highlights of recordings: what is found, where clips begin and end, and what is said of bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from highlight_files import write_recording

from adapters.errors import ConfigError, MediaError
from cliplab.detect import Candidate, HighlightOptions, detect_all, find_highlights, highlight_options, read_report

EVENTS = ((30.0, "roar"), (70.0, "rush"), (100.0, "bang"))
OPTIONS = HighlightOptions(clip_seconds=10.0, min_gap_seconds=12.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("highlights") / "match.mp4", 130.0, EVENTS)


def test_events_of_sound_and_picture_are_found_and_nothing_else(recording: Path) -> None:
    report = find_highlights(recording, OPTIONS)
    found = [(one.kind, one.event) for one in report.candidates]
    assert found == [("audio", "cheer"), ("video", "motion"), ("audio", "bang")]
    for one, (start, _) in zip(report.candidates, EVENTS, strict=True):
        assert start - 1 <= one.peak <= start + 5
        assert one.start < start < one.end
        assert 0 < one.score <= 1
        assert all(0 <= value <= 1 for value in one.cues.values())
    cheer = report.candidates[0]
    assert cheer.peak - cheer.start > cheer.end - cheer.peak


def test_candidates_are_written_and_read_again(recording: Path, tmp_path: Path) -> None:
    reports = detect_all(recording, OPTIONS, output=tmp_path / "found.json")
    again = read_report(tmp_path / "found.json")
    assert again.to_json() == reports[0].to_json()
    changed = {"source": str(recording), "candidates": [{"start": 2, "end": 5}]}
    (tmp_path / "page.json").write_text(json.dumps(changed))
    assert read_report(tmp_path / "page.json").candidates[0].kind == "video"


def test_a_score_of_zero_is_a_score() -> None:
    one = Candidate(0.0, 5.0, 2.0, "audio", "cheer", 0.0, {"loud": 0.0}, 0.0)
    assert not {"stage2", "rating", "why", "prompts"} & set(one.to_json())
    said = replace(one, stage2=0.0, rating=0.0, prompts={"a goal": 0.0}).to_json()
    assert (said["stage2"], said["rating"], said["prompts"]) == (0.0, 0.0, {"a goal": 0.0})


def test_shares_and_the_least_gap_are_settable(recording: Path) -> None:
    late = HighlightOptions(clip_seconds=10, min_gap_seconds=60, snap_seconds=0, before_shares={"cheer": 0.1})
    report = find_highlights(recording, late)
    peaks = [one.peak for one in report.candidates]
    assert all(later - earlier >= 60 for earlier, later in pairwise(peaks))
    cheers = [one for one in report.candidates if one.event == "cheer"]
    assert all(one.peak - one.start == pytest.approx(1.0, abs=0.01) for one in cheers)
    assert len(find_highlights(recording, HighlightOptions(most=1)).candidates) == 1


@pytest.mark.parametrize(("sound", "picture", "word"), [(False, True, "no sound"), (True, False, "no picture")])
def test_one_of_sound_and_picture_is_enough(tmp_path: Path, sound: bool, picture: bool, word: str) -> None:
    name = "half.mp4" if picture else "half.m4a"
    path = write_recording(tmp_path / name, 60.0, [(30.0, "roar"), (30.0, "rush")], sound=sound, picture=picture)
    report = find_highlights(path, OPTIONS)
    assert len(report.candidates) == 1
    assert report.candidates[0].kind == ("audio" if sound else "video")
    assert any(word in note for note in report.notes)


def test_a_damaged_recording_is_read_as_far_as_it_goes(recording: Path, tmp_path: Path) -> None:
    data = bytearray(recording.read_bytes())
    for place in range(len(data) // 4, len(data) // 2, 997):
        data[place] ^= 0x5A
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    report = find_highlights(path, OPTIONS)
    assert any("damaged" in note for note in report.notes)
    assert report.duration_seconds > 100


def test_what_is_no_video_is_that_sources_error(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m.mp4").write_bytes(b"no video at all")
    reports = detect_all([tmp_path / "a\x1b[31m.mp4", recording], OPTIONS)
    assert [one.error is None for one in reports] == [False, True]
    with pytest.raises(MediaError, match="no such file"):
        find_highlights(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    "values",
    [{"clip_seconds": 0}, {"min_gap_seconds": -1}, {"min_score": float("nan")}, {"most": 0}, {"frames": "all"},
     {"before": "cheer"}, {"before": "chear=0.5"}, {"before": "cheer=2"}, {"headers": ["a"]},
     {"headers": ["a: b\r\nc: d"]}],
)  # fmt: skip
def test_options_that_are_not_allowed_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        highlight_options(**values)  # type: ignore[arg-type]
