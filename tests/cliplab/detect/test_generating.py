"""Clips of candidates: exact edges, sound in step with the picture, thumbnails, the database, resuming."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from highlight_files import HEIGHT, RATE, WIDTH, write_recording

from adapters.errors import ConfigError, MediaError, StorageError
from adapters.media import open_video, probe
from cliplab.detect import HighlightOptions, generate_clips
from cliplab.detect.highlights import cutting_clips

pytest.importorskip("sqlalchemy")
from cliplab.clips import ClipManager

SECONDS = 240.0
MARKS = (61.0, 64.0, 66.7, 181.3, 183.0)  # a click and a flash each


def _irregular_times() -> list[float]:
    """Frames 60 to 200 ms apart, one of them at each mark."""
    random = np.random.default_rng(5)
    times = np.cumsum(random.uniform(0.06, 0.20, round(SECONDS * 8)))
    return sorted({round(float(time), 3) for time in times if time < SECONDS - 0.5} | {0.0, *MARKS})


def _flashing(moment: float, _events: object) -> np.ndarray:
    lit = any(mark <= moment < mark + 0.05 for mark in MARKS)
    return np.full((HEIGHT, WIDTH, 3), 235 if lit else 30 + int(moment) % 7, np.uint8)


@pytest.fixture(scope="module")
def flashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = np.zeros(round(SECONDS * RATE), np.float32)
    for mark in MARKS:
        samples[round(mark * RATE) : round(mark * RATE) + 40] = 0.9
    path = tmp_path_factory.mktemp("flashes") / "variable.mp4"
    return write_recording(path, SECONDS, times=_irregular_times(), samples=samples, picture_at=_flashing, gop=60)


def _flash_and_click(clip: Path) -> tuple[list[float], list[float]]:
    with open_video(clip) as video:
        origin = video.info.start_seconds
        seen, lit = list[float](), False
        for seconds, picture in video.frames():
            bright = float(picture.mean()) > 130
            if bright and not lit:
                seen.append(seconds)
            lit = bright
    heard = list[float]()
    with av.open(str(clip)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.3)
            if len(loud):
                seconds = float(frame.time) + loud[0] / frame.sample_rate - origin
                if not heard or seconds - heard[-1] > 0.5:
                    heard.append(seconds)
    return seen, heard


def _candidates(path: Path, folder: Path, *stretches: tuple[float, float]) -> Path:
    rows = [{"start": start, "end": end, "kind": "audio", "score": 0.5, "cues": {}} for start, end in stretches]
    (folder / "found.json").write_text(json.dumps({"source": str(path), "candidates": rows}))
    return folder / "found.json"


def test_sound_and_picture_stay_in_step_at_a_variable_rate(flashes: Path, tmp_path: Path) -> None:
    stretches = ((59.37, 68.21), (180.11, 185.0))
    report = generate_clips(_candidates(flashes, tmp_path, *stretches), tmp_path / "out", database=None)
    assert [one.state for one in report.clips] == ["made", "made"]
    for one, (start, end) in zip(report.clips, stretches, strict=True):
        seen, heard = _flash_and_click(Path(one.path))
        marks = [mark for mark in MARKS if start <= mark < end]
        assert len(seen) == len(heard) == len(marks)
        assert np.abs(np.subtract(seen, heard)).max() <= 0.020
        # The first frame is the one that is shown at the beginning, so that edges are exact.
        assert np.abs(np.subtract(seen, np.subtract(marks, start))).max() <= 0.021
        assert (probe(one.path).duration_seconds or 0) == pytest.approx(end - start, abs=0.25)


def test_a_long_source_is_not_read_whole_for_one_clip(flashes: Path, tmp_path: Path) -> None:
    found = cutting_clips._copy_aside(flashes, 180.11, 185.0, tmp_path)
    assert found is not None
    aside, first = found
    assert first <= 180.11
    assert aside.stat().st_size < flashes.stat().st_size / 4


def test_clips_are_entered_with_their_source_and_kept_when_run_again(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "match.mp4", 60.0, [(30.0, "roar")])
    options = HighlightOptions(clip_seconds=6.0)
    database, out = tmp_path / "clips.db", tmp_path / "out"
    planned = generate_clips(path, out, database=database, options=options, dry_run=True)
    assert [one.state for one in planned.clips] == ["planned"]
    assert not out.exists()
    assert not database.exists()
    first = generate_clips(path, out, database=database, options=options)
    again = generate_clips(path, out, database=database, options=options)
    assert [one.state for one in first.clips + again.clips] == ["made", "kept"]
    assert first.clips[0].clip_id == again.clips[0].clip_id
    assert Path(first.clips[0].thumbnail or "").read_bytes()[:2] == b"\xff\xd8"
    with ClipManager(database) as manager:
        clip = manager.get_clip(first.clips[0].clip_id or 0)
        assert clip.source_url == str(path)
        assert clip.clip_type == "audio"
        assert clip.features["stage1_score"] == pytest.approx(first.clips[0].score, abs=1e-6)


def test_sound_alone_becomes_clips_of_sound(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "radio.m4a", 60.0, [(30.0, "roar")], picture=False)
    report = generate_clips(path, tmp_path / "out", database=None, options=HighlightOptions(clip_seconds=6.0))
    assert [Path(one.path).suffix for one in report.clips] == [".m4a"]
    one = report.clips[0]
    with av.open(one.path) as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(one.end - one.start, abs=0.15)


def test_a_hostile_name_stays_in_its_folder(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "..; rm -rf $HOME \n .mp4", 10.0)
    report = generate_clips(_candidates(path, tmp_path, (2.0, 4.0)), tmp_path / "out", database=None)
    assert Path(report.clips[0].path).parent == tmp_path / "out"
    assert set(Path(report.clips[0].path).name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )


def test_a_stretch_outside_the_source_is_that_clips_error(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "short.mp4", 10.0)
    found = _candidates(path, tmp_path, (2.0, 4.0), (50.0, 60.0))
    report = generate_clips(found, tmp_path / "out", database=None)
    assert [one.state for one in report.clips] == ["made", "failed"]
    assert report.failed == 1
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_changed_source_a_stream_and_a_full_disk_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recording(tmp_path / "a.mp4", 10.0)
    report = generate_clips(path, tmp_path / "out", database=None)
    assert report.clips == ()
    value = {"source": str(path), "fingerprint": "0" * 32, "candidates": [{"start": 1, "end": 2}]}
    (tmp_path / "old.json").write_text(json.dumps(value))
    with pytest.raises(MediaError, match="has changed"):
        generate_clips(tmp_path / "old.json", tmp_path / "out", database=None)
    with pytest.raises(ConfigError, match="stream"):
        generate_clips("rtmp://example.org/live", tmp_path / "out", database=None)

    def full(*_: object) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cutting_clips, "_copy_aside", full)
    with pytest.raises(StorageError, match="No space left"):
        generate_clips(_candidates(path, tmp_path, (2.0, 4.0)), tmp_path / "out", database=None)


def test_a_clip_gets_longer_and_keeps_what_was_said_of_it(tmp_path: Path) -> None:
    from cliplab.detect import clips_extend

    path = write_recording(tmp_path / "match.mp4", 60.0, [(30.0, "roar")])
    database = tmp_path / "clips.db"
    made = generate_clips(path, tmp_path / "out", database=database, options=HighlightOptions(clip_seconds=6.0))
    first = made.clips[0]
    assert first.clip_id is not None
    with ClipManager(database) as manager:
        manager.rate_clip(first.clip_id, 4)
        manager.tag(first.clip_id, "goal")
    planned = clips_extend(first.clip_id, 3.0, 2.0, database, dry_run=True)
    assert not Path(planned.path).exists()
    longer = clips_extend(first.clip_id, 3.0, 2.0, database)
    assert (longer.start, longer.end) == pytest.approx((first.start - 3.0, first.end + 2.0))
    assert (probe(longer.path).duration_seconds or 0) == pytest.approx(longer.end - longer.start, abs=0.25)
    with ClipManager(database) as manager:
        clip = manager.get_clip(first.clip_id)
        assert (clip.rating, clip.filepath, clip.start_time) == (4, longer.path, longer.start)
        assert manager.tags([clip.id])[clip.id] == ["goal"]
        assert clip.features["stage1_score"] > 0
    assert Path(first.path).exists()
    whole = clips_extend(first.clip_id, 600.0, 600.0, database)
    assert whole.start == 0.0
    assert any("s for this clip, not more" in note for note in whole.notes)
    with pytest.raises(ConfigError, match="would not change"):
        clips_extend(first.clip_id, 1.0, 1.0, database)
    with pytest.raises(ConfigError, match="at least"):
        clips_extend(first.clip_id, -30.0, -30.0, database)
    with pytest.raises(ConfigError, match="before"):
        clips_extend(first.clip_id, float("nan"), 0.0, database)
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(MediaError, match="has changed"):
        clips_extend(first.clip_id, -1.0, 0.0, database)
    path.unlink()
    with pytest.raises(MediaError, match="is gone"):
        clips_extend(first.clip_id, -1.0, 0.0, database)
