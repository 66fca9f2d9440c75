"""True breaks from files, breaks of recordings measured, and a profile learned, without decoding anything."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_videos import render_video

from adapters.errors import DatasetError, StorageError
from adapters.evaluation import RecordingBreaks, measure_breaks
from cliplab.detect import decide_breaks, learn_breaks, load_break_profile, measuring
from cliplab.detect.measuring import _gate_failures
from cliplab.detect.truth import breaks_beside, labelled_breaks
from cliplab.studio import LabelEvent, fill_items, open_store
from tests.support.observations import adverts, simulate

BLOCKS = [adverts(200, [15, 15, 15]), adverts(500, [15, 15, 15])]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings that nobody decodes, with marks beside them."""
    for number in range(2):
        (tmp_path / f"{number}.mkv").write_bytes(b"")
        lines = "".join(f"{start}\t{end}\t3\n" for start, end, _ in BLOCKS)
        (tmp_path / f"{number}.edl").write_text(lines)

    def watched(path: str, job: Any) -> SimpleNamespace:
        seen = simulate(800, BLOCKS, seed=int(Path(path).stem), cues=True)
        found = decide_breaks(seen, job.profile)
        return SimpleNamespace(observations=seen, breaks=found, duration_seconds=800.0, unknown=())

    monkeypatch.setattr(measuring, "find_in_recording", watched)
    return tmp_path


def test_a_profile_is_learned_and_used(folder: Path) -> None:
    found = learn_breaks(folder, ".edl", folder / "channel.json")
    assert (found.recordings, found.breaks, found.held_out) == (2, 4, True)
    assert found.after.f1 == 1.0
    profile = load_break_profile(folder / "channel.json")
    assert profile.typical_break_seconds < 110
    assert json.loads(json.dumps(found.to_json()))["breaks"] == 4
    with pytest.raises(StorageError, match="--force"):
        learn_breaks(folder, ".edl", folder / "channel.json")
    one = learn_breaks(folder / "0.mkv", folder / "0.edl", folder / "one.json")
    assert not one.held_out


def test_true_breaks_come_from_files_of_marks(folder: Path) -> None:
    videos = [str(folder / "0.mkv"), str(folder / "1.mkv")]
    expected = tuple((start, pytest.approx(end, abs=0.01)) for start, end, _ in BLOCKS)
    for marks in (".edl", folder):
        assert breaks_beside(videos, marks) == dict.fromkeys(videos, expected)
    assert set(labelled_breaks(folder, "ad")) == set(videos)
    (folder / "1.edl").write_text("")
    assert breaks_beside(videos, ".edl")[videos[1]] == ()
    (folder / "1.edl").unlink()
    with pytest.raises(DatasetError, match=r"1\.edl"):
        breaks_beside(videos, folder)
    with pytest.raises(DatasetError, match="one recording"):
        breaks_beside(videos, folder / "0.edl")


def test_true_breaks_come_from_the_studio(tmp_path: Path) -> None:
    """Intervals that somebody painted; a recording without an ad has no break, one without a label is refused."""
    for number, name in enumerate("abc"):
        render_video(tmp_path / f"{name}.mp4", "cold", number)
    videos = [str(tmp_path / f"{name}.mp4") for name in "abc"]
    painted = {"a.mp4": [("ad", 0.125, 0.375), ("ad", 0.625, 0.875), ("content", 0.375, 0.625)],
               "b.mp4": [("content", 0.0, 0.5)]}  # fmt: skip
    with open_store(tmp_path, ["ad", "content"]) as store:
        fill_items(store)
        numbers = {item.path: item.id for item in store.items()}
        rows = [(name, *span) for name, spans in painted.items() for span in spans]
        events = [
            LabelEvent("tab", place, "ann", numbers[name], "interval",
                       {"interval": f"i{place}", "label": label, "start": start, "end": end}, 1.0)
            for place, (name, label, start, end) in enumerate(rows)
        ]  # fmt: skip
        assert not store.append(events).refused
    for marks in (tmp_path, tmp_path / "labels.db"):
        found = breaks_beside(videos[:2], marks)
        assert found == {videos[0]: ((0.125, 0.375), (0.625, 0.875)), videos[1]: ()}
    with pytest.raises(DatasetError, match=r"c\.mp4: its breaks are unknown"):
        breaks_beside(videos, tmp_path)


def test_gates_judge_breaks() -> None:
    report = measure_breaks([RecordingBreaks(((0, 10),), ((0, 10), (50, 60)), 100.0)])
    failures = _gate_failures(report, {"min_precision": 0.95, "min_recall": 0.9, "max_size_bytes": 1})
    assert len(failures) == 1
    assert "recall 0.5 is below min_recall 0.9" in failures[0]
