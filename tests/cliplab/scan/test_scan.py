"""``cliplab scan``: what it finds, what it keeps, what it writes, and what it does about files that change."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from scan_helpers import render_library, save_model
from tflite_adapter import make_tflite
from tiny_videos import render_video
from typer.testing import CliRunner

import cliplab
from adapters.errors import BundleError, ConfigError, MediaError
from adapters.inference import open_model
from adapters.media import VideoFile, open_video
from cliplab.cli.app import app
from cliplab.scan import ScanReport, ScoringJob, scan, score_files

SCHEMA = json.loads((Path(cliplab.__file__).parent / "library" / "highlights.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of 2 s, warm and cold by turns. Not to be changed: copy it."""
    return render_library(tmp_path_factory.mktemp("videos"), 6, seconds=2)


@pytest.fixture
def library(videos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(videos, tmp_path / "library"))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [Path(item["path"]).name for item in found["highlights"]]


# Scores ---------------------------------------------------------------------------------------------------------------


def test_highlights_are_the_videos_over_the_threshold_best_first(library: Path, model: Path, tmp_path: Path) -> None:
    report = scan(library, model, output=tmp_path / "out" / "highlights.json", min_score=0.5)
    found = read(tmp_path / "out" / "highlights.json")
    assert sorted(names(found)) == ["000.mp4", "002.mp4", "004.mp4"]
    scores = [item["score"] for item in found["highlights"]]
    assert scores == sorted(scores, reverse=True)
    assert (report.videos, report.highlights, report.failed, report.scored) == (6, 3, 0, 6)
    assert (tmp_path / "out" / "scan.db").is_file()


def test_best_is_the_threshold_that_training_chose(library: Path, model: Path, tmp_path: Path) -> None:
    scan(library, model, output=tmp_path / "all.json", min_score=0.0)
    everything = read(tmp_path / "all.json")
    assert "best_min_score" not in everything
    third = everything["highlights"][2]["score"]
    chosen = save_model(tmp_path / "chosen", best_thresholds={"warm": third})
    report = scan(library, chosen, output=tmp_path / "best.json", min_score="best")
    found = read(tmp_path / "best.json")
    assert (found["min_score"], found["best_min_score"], report.highlights) == (third, third, 3)
    with pytest.raises(ConfigError, match="Train it with --optimize"):
        scan(library, model, output=tmp_path / "none.json", min_score="best")
    cold = save_model(tmp_path / "cold", best_thresholds={"cold": 0.5})
    with pytest.raises(ConfigError, match="no chosen threshold for 'warm'"):
        scan(library, cold, output=tmp_path / "none.json", min_score="best")


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({}, [0.0, 1.0]),
        ({"sample_fps": 4.0}, [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]),
        ({"frames": 3}, [1 / 3, 1.0, 5 / 3]),
        ({"keyframes": True}, [0.0]),
    ],
)
def test_a_videos_score_is_that_of_its_frames(
    library: Path, model: Path, tmp_path: Path, options: dict[str, Any], times: list[float]
) -> None:
    scan(library, model, output=tmp_path / "h.json", min_score=0, aggregation="max", **options)
    adapter = open_model(model)
    for item in read(tmp_path / "h.json")["highlights"]:
        with open_video(item["path"]) as video:
            clips = [video.clip(adapter.input_spec, at, at + 0.001) for at in times]
        expected = max(p.score_of("warm") for p in adapter.predict(clips))
        assert item["score"] == pytest.approx(expected, abs=2e-6)
        assert item["duration"] == pytest.approx(2.0)


def test_a_model_of_clips_is_scored_window_by_window(videos: Path, tmp_path: Path) -> None:
    tiny = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "window_seconds": 1.0, "stride_seconds": 0.5}
    open_model(tiny).save(tmp_path / "clips")
    scan(videos, tmp_path / "clips", output=tmp_path / "h.json", min_score=0, window_seconds=1.0)
    found = read(tmp_path / "h.json")
    assert found["sampling"] == {"mode": "clips", "window_seconds": 1.0, "stride_seconds": 0.5}
    assert all(len(item["windows"]) == 2 for item in found["highlights"])
    rate = {**tiny, "sampling": "rate", "fps": 8.0, "window_seconds": None, "stride_seconds": None}
    open_model(rate).save(tmp_path / "rate")
    scan(videos, tmp_path / "rate", output=tmp_path / "h.json", min_score=0, store=tmp_path / "rate.db")
    assert read(tmp_path / "h.json")["sampling"] == {"mode": "clips", "stride_seconds": 0.5}
    with pytest.raises(ConfigError, match="uses clips"):
        scan(videos, tmp_path / "clips", output=tmp_path / "h.json", keyframes=True)


def test_batches_mix_videos_and_keep_their_rows_apart(videos: Path, model: Path) -> None:
    """Whatever the number of decoders, each video gets its own scores."""
    adapter = open_model(model)
    from cliplab.scan.sampling import Sampling

    def scores(workers: int) -> dict[str, list[float]]:
        files = [VideoFile(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(videos.rglob("*.mp4"))]
        jobs = (ScoringJob(file, b"") for file in files * 5)
        found: dict[str, list[float]] = {}
        for scored in score_files(adapter, jobs, Sampling("fps", fps=5.0), workers):
            assert scored.scores.scores is not None
            rows = scored.scores.scores[:, 1].tolist()
            assert found.setdefault(scored.job.file.path, rows) == rows
        return found

    alone = scores(1)
    assert len(alone) == 6
    assert all(len(rows) == 10 for rows in alone.values())
    assert scores(4) == alone


# What is known --------------------------------------------------------------------------------------------------------


def test_a_second_run_decodes_nothing_and_other_thresholds_need_none(
    library: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "h.json"
    scan(library, model, output=output)
    before = output.read_bytes()
    assert scan(library, model, output=output).scored == 0
    assert output.read_bytes() == before
    assert scan(library, model, output=output, min_score=0.0, aggregation="max", window_seconds=1).scored == 0
    assert len(read(output)["highlights"]) == 6
    assert scan(library, model, output=output, label="cold").scored == 0
    assert sorted(names(read(output))) == ["001.mp4", "003.mp4", "005.mp4"]


def test_a_moved_video_is_known_a_changed_one_is_not(library: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "h.json"
    scan(library, model, output=output, min_score=0)
    (library / "new").mkdir()
    (library / "day0" / "000.mp4").rename(library / "new" / "moved.mp4")
    os.utime(library / "day0" / "003.mp4")
    shutil.copy(library / "day2" / "002.mp4", library / "copy.mp4")
    assert scan(library, model, output=output, min_score=0).scored == 0
    assert {"moved.mp4", "003.mp4", "copy.mp4"} < set(names(read(output)))
    assert "000.mp4" not in names(read(output))
    render_video(library / "day0" / "003.mp4", "warm", 77, seconds=2)
    assert scan(library, model, output=output, min_score=0.5).scored == 1
    assert "003.mp4" in names(read(output))


def test_another_model_scores_anew_and_the_old_scores_stay(library: Path, model: Path, tmp_path: Path) -> None:
    output, other, notes = tmp_path / "h.json", save_model(tmp_path / "other", contrast=0.5), list[str]()
    scan(library, model, output=output, on_note=notes.append)
    assert not notes
    assert scan(library, other, output=output, on_note=notes.append).scored == 6
    assert "another model" in notes[0]
    assert scan(library, model, output=output).scored == 0


def test_a_single_file_is_a_model_too(library: Path, tmp_path: Path) -> None:
    model, output = make_tflite(tmp_path / "m.tflite"), tmp_path / "h.json"
    assert scan(library, model, output=output, min_score=0.5).highlights == 3
    assert scan(library, model, output=output, min_score=0.5).scored == 0
    make_tflite(model, size_bytes=80)
    assert scan(library, model, output=output, min_score=0.5).scored == 6


def test_what_is_no_stored_model_is_refused(library: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a saved model"):
        scan(library, "efficientnet_lite0", output=tmp_path / "h.json")
    with pytest.raises(BundleError):
        scan(library, tmp_path / "missing.tflite", output=tmp_path / "h.json")


# Files that are odd or change -----------------------------------------------------------------------------------------


def test_bad_files_are_set_aside_listed_and_not_tried_again(library: Path, model: Path, tmp_path: Path) -> None:
    output, bad = tmp_path / "h.json", library / "day0" / "bad.mp4"
    bad.write_text("this is not a video")
    (library / "empty.mov").write_bytes(b"")
    report = scan(library, model, output=output, min_score=0)
    assert (report.videos, report.highlights, report.failed) == (8, 6, 2)
    failures = {Path(item["path"]).name: item["error"] for item in read(output)["failures"]}
    assert failures.keys() == {"bad.mp4", "empty.mov"}
    assert "not a video" in failures["bad.mp4"]
    again = scan(library, model, output=output, min_score=0)
    assert (again.scored, again.failed) == (0, 2)
    assert scan(library, model, output=output, retry_failed=True).scored == 2
    shutil.copy(library / "day0" / "000.mp4", bad)
    assert scan(library, model, output=output, min_score=0).failed == 1


def test_a_file_that_grows_or_vanishes_during_the_scan(library: Path, model: Path, tmp_path: Path) -> None:
    output, last = tmp_path / "h.json", sorted((library / "day2").iterdir())

    def meanwhile(progress: Any) -> None:
        if progress.to_score and not progress.done:  # the library is looked through, and nothing scored yet
            last[0].unlink()
            with last[1].open("ab") as file:
                file.write(bytes(1000))

    report = scan(library, model, output=output, min_score=0, workers=1, on_progress=meanwhile)
    assert (report.highlights, report.failed) == (4, 2)
    failures = {item["path"]: item["error"] for item in read(output)["failures"]}
    assert "was removed during the scan" in failures[str(last[0])]
    assert "still being written" in failures[str(last[1])]
    again = scan(library, model, output=output, min_score=0)
    assert (again.videos, again.scored, again.failed) == (5, 1, 0)


def test_a_file_written_to_while_it_is_decoded_has_no_scores(library: Path, model: Path) -> None:
    from cliplab.scan.sampling import Sampling

    path = library / "day0" / "000.mp4"
    stale = VideoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns - 1)
    [scored] = score_files(open_model(model), [ScoringJob(stale, b"")], Sampling("fps", fps=1.0))
    assert scored.changed is not None
    assert scored.scores.scores is None


def test_names_of_any_bytes_survive(library: Path, model: Path, tmp_path: Path) -> None:
    strange = [os.fsdecode(b"caf\xe9.mp4"), "two\nlines.mp4", "quo\"te'\\.MP4", " space .mp4"]
    for number, name in enumerate(strange):
        render_video(tmp_path / "v.mp4", "warm", 50 + number)
        (tmp_path / "v.mp4").rename(library / name)
    (library / os.fsdecode(b"bad\xff.mp4")).write_text("no video")
    report = scan(library, model, output=tmp_path / "h.json", min_score=0.5)
    found = read(tmp_path / "h.json")
    assert set(strange) < {Path(item["path"]).name for item in found["highlights"]}
    assert all(os.path.exists(item["path"]) for item in found["highlights"] + found["failures"])
    assert report.failed == 1
    assert scan(library, model, output=tmp_path / "h.json", min_score=0.5).scored == 0
    result = CliRunner().invoke(app, ["scan", str(model), str(library), "--output", str(tmp_path / "h.json")])
    assert result.exit_code == 1
    assert r"bad\udcff.mp4" in result.output


def test_a_library_without_videos_leaves_the_output_alone(library: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "h.json"
    scan(library, model, output=output)
    before = output.read_bytes()
    shutil.rmtree(library)
    library.mkdir()
    with pytest.raises(MediaError, match="no video was found"):
        scan(library, model, output=output)
    assert output.read_bytes() == before
    with pytest.raises(ConfigError, match="no such folder"):
        scan(library / "gone", model, output=output)


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("scan-decode")]


def test_what_the_model_raises_is_raised_and_what_was_scored_stays(library: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "broken", adapter="scan_helpers:StoppedAdapter")
    # As many frames as a batch holds come before it, so that a batch is through when it is reached.
    (library / "day2" / "005.mp4").rename(library / "day2" / "boom.mp4")
    output = tmp_path / "h.json"
    with pytest.raises(ZeroDivisionError):
        scan(library, model, output=output, min_score=0, sample_fps=8.0, workers=1)
    assert not decoders(), "decoders go on after the scan"
    assert not output.exists()
    (library / "day2" / "boom.mp4").unlink()
    report = scan(library, model, output=output, min_score=0, sample_fps=8.0)
    assert report.videos == 5
    assert report.scored <= 3, "what was scored before the fault was lost"


def test_a_model_that_fails_on_one_video_costs_that_video(library: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "broken", adapter="scan_helpers:BrokenAdapter")
    (library / "day2" / "005.mp4").rename(library / "day2" / "boom.mp4")
    report = scan(library, model, output=tmp_path / "h.json", min_score=0, workers=1)
    [(path, error)] = report.failures
    assert path.endswith("boom.mp4")
    assert "ZeroDivisionError" in error
    assert "report" in error
    assert (report.scored, report.highlights) == (6, 5)


def test_closing_ends_the_decoders(videos: Path, model: Path) -> None:
    from cliplab.scan.sampling import Sampling

    files = [VideoFile(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(videos.rglob("*.mp4"))]
    pulled: list[VideoFile] = []

    def jobs() -> Iterator[ScoringJob]:
        for file in files * 100:
            pulled.append(file)
            yield ScoringJob(file, b"")

    scored = score_files(open_model(model), jobs(), Sampling("fps", fps=8.0), 3)
    next(scored)
    assert len(decoders()) == 3
    scored.close()  # type: ignore[attr-defined]
    assert not decoders()
    assert len(pulled) < 60, "files are read far ahead of the model"


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_score": 1.2}, "--min-score must be a score"),
        ({"sample_fps": 0.0}, "sample_fps"),
        ({"sample_fps": float("nan")}, "sample_fps"),
        ({"frames": 0}, "frames"),
        ({"frames": 3, "keyframes": True}, "two ways"),
        ({"label": "tepid"}, "cold, warm"),
        ({"aggregation": "median"}, "aggregation"),
        ({"engine": "abacus"}, "one of: local"),
        ({"workers": 0}, "workers"),
        ({"window_seconds": -1.0}, "window_seconds"),
    ],
)
def test_options_that_cannot_be(videos: Path, model: Path, tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        scan(videos, model, output=tmp_path / "h.json", **options)


def test_the_command_shows_what_the_seed_shows(library: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "h.json"
    arguments = ["scan", str(model), str(library), "--output", str(output), "--min-score", "0.5"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Total scanned: 6 videos, 6 of them now" in result.stdout
    assert "Highlights found: 3" in result.stdout
    assert "Found 6 videos, 6 of them new or changed" in result.stderr
    (library / "bad.mp4").write_text("no video")
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["scored"] == 1
    assert [item["path"] for item in report["failures"]] == [str(library / "bad.mp4")]
    assert set(report) == set(ScanReport.__dataclass_fields__)


@pytest.mark.parametrize(
    ("contrast", "kind", "words"),
    [
        (0.02, "warm", "high confidence warm"),
        (1e6, "warm", "uncertain"),
        (0.02, "cold", "high confidence cold"),
    ],
)
def test_score_says_what_the_score_means(tmp_path: Path, contrast: float, kind: str, words: str) -> None:
    model, video = save_model(tmp_path / "m", contrast=contrast), render_video(tmp_path / "v.mp4", kind, 3)
    result = CliRunner().invoke(app, ["score", str(model), str(video)])
    assert result.exit_code == 0, result.output
    assert words in result.stdout
    row = json.loads(CliRunner().invoke(app, ["score", str(model), str(video), "--json"]).stdout)
    scan(tmp_path, model, output=tmp_path / "h.json", min_score=0)
    [listed] = read(tmp_path / "h.json")["highlights"]
    assert (row["score"], row["windows"]) == (listed["score"], listed["windows"])
    (tmp_path / "v.mp4").write_text("no video")
    result = CliRunner().invoke(app, ["score", str(model), str(video)])
    assert result.exit_code == 1
    assert "not a video" in result.stderr


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, "high confidence highlight"),
        (0.9, "high confidence highlight"),
        (0.899999, "likely highlight"),
        (0.7, "likely highlight"),
        (0.699999, "uncertain"),
        (0.5, "uncertain"),
        (0.499999, "likely normal"),
        (0.3, "likely normal"),
        (0.299999, "high confidence normal"),
        (0.0, "high confidence normal"),
    ],
)
def test_the_bands_are_the_seeds(value: float, words: str) -> None:
    from cliplab.scan.one_video import band

    assert band(value, "highlight", ("highlight", "normal")).partition(",")[0] == words
    assert band(value, "highlight", ("normal", "highlight")).partition(",")[0] == words
    several = band(value, "highlight", ("highlight", "normal", "other")).partition(",")[0]
    assert several == words.replace("normal", "not highlight")
