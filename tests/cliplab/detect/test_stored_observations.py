"""Where observations of a recording are kept: by its content and by all that they follow from."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.errors import MediaError
from cliplab.detect import read_break_profile, recordings
from cliplab.detect.recordings import Job, _Stored


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, Job]:
    path = tmp_path / "evening.mp4"
    path.write_bytes(bytes(range(256)) * 40)
    return path, Job(None, "d1", "ad", read_break_profile(), store=tmp_path / "kept")


def test_each_thing_that_observations_follow_from_has_a_place_of_its_own(
    watched: tuple[Path, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, job = watched
    places = [_Stored(path, job).file]
    assert places[0] == _Stored(path, replace(job, again=True)).file, "nothing else changes it"
    for number, extent in enumerate(("60 90 3", "60 91 3")):
        (tmp_path / f"{number}.edl").write_text(f"{extent}\n")
    changes = [
        {"digest": "d2"},
        {"label": "content"},
        {"label": None},
        {"audio_stream": 0},
        {"audio_stream": 1},
        {"cues": tmp_path / "0.edl"},
        {"cues": tmp_path / "1.edl"},
    ]
    places += [_Stored(path, replace(job, **change)).file for change in changes]  # type: ignore[arg-type]
    for name, value in (("OBSERVER", "another"), ("VERSION", -1)):
        with monkeypatch.context() as patch:
            patch.setattr(recordings, name, value)
            places.append(_Stored(path, job).file)
    find: Callable[[str], object] = importlib.util.find_spec
    for known in (None, object()):  # with and without the package that hears speech
        with monkeypatch.context() as patch:
            patch.setattr(recordings, "find_spec", lambda name, known=known: known if "vad" in name else find(name))
            places.append(_Stored(path, job).file)
    path.write_bytes(bytes(range(256)) * 39 + bytes(256))
    places.append(_Stored(path, job).file)
    assert len(set(places)) == len(places) - 1, "of the last but one pair one is what there was at first"


def test_the_same_recording_under_another_name_is_known(watched: tuple[Path, Job], tmp_path: Path) -> None:
    path, job = watched
    before = _Stored(path, job).file
    os.rename(path, tmp_path / "other.mp4")
    assert _Stored(tmp_path / "other.mp4", job).file == before
    assert before is not None
    assert before.parent == tmp_path / "kept"
    with pytest.raises(MediaError, match=r"evening\.mp4: no such file"):
        _Stored(path, job)


def test_what_is_damaged_or_to_be_watched_again_is_not_known(watched: tuple[Path, Job]) -> None:
    path, job = watched
    stored = _Stored(path, job)
    assert stored.load() is None
    assert stored.file is not None
    stored.file.parent.mkdir()
    stored.file.write_bytes(b"half")
    assert stored.load() is None
