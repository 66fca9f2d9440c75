"""Looking for words: scan, detect and reel with prompts and a tiny pair of networks."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("tokenizers")

from command_line import cli
from highlight_files import write_recording
from prompt_pairs import write_pair

from adapters.errors import ConfigError, DatasetError
from cliplab.detect import Candidate, HighlightOptions, PromptStage, detect, read_report
from cliplab.library import read_highlights
from cliplab.reel import reel
from cliplab.scan import scan

GREY, RED, BLUE = (128, 128, 128), (230, 20, 20), (20, 20, 230)
WORDS = {"prompt": "red; blue", "neutral_prompt": "grey"}


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 8 s: one red from 2 to 5 s, one blue from 4 to 7 s, and one grey."""
    folder = tmp_path_factory.mktemp("library")
    for name, colour, first in (("evening", RED, 2), ("sea", BLUE, 4), ("road", GREY, 0)):
        render(folder / f"{name}.mp4", [colour if first <= at / 4 < first + 3 else GREY for at in range(32)])
    return folder


def render(path: Path, colours: list[tuple[int, int, int]], fps: int = 4) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            picture = np.full((48, 64, 3), colour, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def words_of(pair: Path) -> dict[str, Any]:
    return {**WORDS, "prompt_model": pair}


def test_scan_finds_what_words_describe(library: Path, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "highlights.json"
    report = scan(library, output=out, window_seconds=3, **words_of(pair))
    assert (report.videos, report.highlights, report.failed, report.scored) == (3, 2, 0, 3)
    found = read_highlights(out)
    assert found["label"] == "red; blue"
    rows = {Path(row["path"]).stem: row for row in found["highlights"]}
    assert sorted(rows) == ["evening", "sea"]
    assert rows["evening"]["labels"]["red"]["score"] > 0.9 > 0.1 > rows["evening"]["labels"]["blue"]["score"]
    best = rows["sea"]["labels"]["blue"]["windows"][0]
    assert 3.4 <= best["start"] <= 4.6
    # Other words are another model, and its scores stay beside these.
    again = scan(library, output=out, prompt="red; blue", prompt_model=pair, neutral_prompt="green")
    assert again.scored == 3
    one = scan(library, output=out, label="blue", **words_of(pair))
    assert (one.scored, one.highlights, read_highlights(out)["label"]) == (0, 1, "blue")
    with sqlite3.connect(tmp_path / "scan.db") as store:
        keys = [json.loads(key)["model"] for (key,) in store.execute("SELECT key FROM runs")]
    assert len(set(keys)) == 2


def test_a_reel_of_one_prompt(library: Path, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "highlights.json"
    scan(library, output=out, window_seconds=2, **words_of(pair))
    both = reel(out, tmp_path / "both.mp4", min_score=0.5)
    assert {Path(placed.clip.path).stem for placed in both.timeline} == {"evening", "sea"}
    blue = reel(out, tmp_path / "blue.mp4", label="blue", min_score=0.5)
    assert [Path(placed.clip.path).stem for placed in blue.timeline] == ["sea"]
    with pytest.raises(ConfigError, match=r"no scores of 'sunset'; it has those of red; blue, red, blue"):
        reel(out, tmp_path / "none.mp4", label="sunset")


def test_what_scan_refuses(library: Path, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "highlights.json"
    for options, words in (
        ({"prompt": "red"}, "--prompt-model DIR"),
        ({"prompt_model": pair}, "needs a prompt"),
        ({"bundle": "model", **words_of(pair)}, "both given"),
        ({}, "no model is given"),
        ({**words_of(pair), "engine": "ray"}, "on this machine"),
        ({**words_of(pair), "label": "sunset"}, "not a label of this model"),
    ):
        with pytest.raises(ConfigError, match=words):
            scan(library, output=out, **options)


def test_the_commands(library: Path, pair: Path, tmp_path: Path) -> None:
    words = ["--prompt", "red; blue", "--neutral-prompt", "grey", "--prompt-model", str(pair)]
    done = cli("scan", *words, str(library), str(tmp_path / "highlights.json"), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["highlights"] == 2
    done = cli("reel", str(tmp_path / "highlights.json"), str(tmp_path / "red.mp4"), "--label", "red", "--json")
    assert [Path(clip["path"]).stem for clip in json.loads(done.stdout)["clips"]] == ["evening"]
    missing = cli("scan", str(library))
    assert (missing.exit_code, "LIBRARY is missing" in missing.output) == (2, True)
    twice = cli("scan", *words, str(pair), str(library), str(tmp_path / "x.json"))
    assert (twice.exit_code, "no MODEL" in twice.output) == (2, True)
    without = cli("detect", "--prompt", "red", str(library / "sea.mp4"))
    assert without.exit_code == 2
    assert "image.onnx or image.tflite, text.onnx or text.tflite, tokenizer.json" in " ".join(without.output.split())


def colour_at(seconds: float, events: Any) -> np.ndarray:
    """Red from 20 to 26 s, blue at the roar, grey otherwise."""
    colour = RED if 20 <= seconds < 26 else BLUE if 60 <= seconds < 66 else GREY
    return np.full((64, 96, 3), colour, np.uint8)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "match.mp4"
    return write_recording(path, 90, [(60.0, "roar")], picture_at=colour_at)


def test_detect_orders_by_words_and_proposes_what_is_seen_alone(recording: Path, pair: Path, tmp_path: Path) -> None:
    options = {"clip_seconds": 8, "min_gap_seconds": 5, "rating_model": None}
    listed = tmp_path / "match.json"
    (report,) = detect(recording, output=listed, **words_of(pair), **options)
    assert report.model == "prompts"
    by_peak = {one.event: one for one in report.candidates if one.prompts and max(one.prompts.values()) > 0.5}
    seen = by_peak["prompt"]
    assert 20 <= seen.peak <= 26
    assert (seen.stage1, seen.prompts["red"] > 0.9, seen.kind) == (0.0, True, "video")
    heard = next(one for one in report.candidates if 58 <= one.peak <= 68)
    assert heard.prompts["blue"] > 0.9 > heard.prompts["red"]
    assert read_report(listed).candidates[0].prompts == report.candidates[0].prompts
    made = reel(listed, tmp_path / "red.mp4", label="red", min_score=0.5, audio="none")
    assert [round(placed.clip.start) for placed in made.timeline] == [round(seen.start)]
    # Several clips of one recording follow each other, also where they look alike.
    whole = reel(listed, tmp_path / "all.mp4", audio="none", order="time")
    assert len(whole.timeline) == len(report.candidates) > 1
    with pytest.raises(ConfigError, match="has the prompts red, blue"):
        reel(listed, tmp_path / "no.mp4", label="sunset")


def test_without_a_pair_a_reel_follows_from_stage_1(recording: Path, tmp_path: Path) -> None:
    listed = tmp_path / "match.json"
    (report,) = detect(recording, output=listed, clip_seconds=6, rating_model=None)
    made = reel(listed, tmp_path / "reel.mp4")
    assert len(made.timeline) == len(report.candidates) >= 1
    assert made.seconds == pytest.approx(sum(one.end - one.start for one in report.candidates), abs=0.5)
    content = recording.read_bytes()
    try:
        recording.write_bytes(content + b"\0")
        with pytest.raises(DatasetError, match="has changed since"):
            reel(listed, tmp_path / "again.mp4")
    finally:
        recording.write_bytes(content)


def test_candidates_of_a_piece_of_a_stream_have_its_times(recording: Path, pair: Path) -> None:
    stage = PromptStage("red; blue", pair, neutral="grey")
    one = Candidate(120.0, 126.0, 123.0, "audio", "cheer", 0.4, {}, 0.4)
    (found,), name, notes = stage.apply(recording, [one], offset=100.0)  # the file begins at 100 s
    assert (name, notes) == ("prompts", [])
    assert found.prompts is not None
    assert found.prompts["red"] > 0.9
    assert stage.propose(recording, HighlightOptions(clip_seconds=500 / 2), 90.0)[0].end <= 90.0
