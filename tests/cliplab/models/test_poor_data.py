"""Clips that hardly allow a model: each command gives a result with its warning, or an error that says what to do.

One clip a class, one group in all, clips that are all alike, many classes of two clips, labels at random, features that
are not numbers, a class of one recording. The backbone is EfficientNet-Lite's with random weights on tiny frames.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from mean_colors import MeanColors
from tiny_videos import render_video

from adapters.records import Clip, Float32Array

for _package in ("sklearn", "scipy", "threadpoolctl", "matplotlib"):
    pytest.importorskip(_package, reason="pip install 'cliplab[learn]'")

MODEL = "efficientnet_lite0"
SMALL = ("--set", "weights=random", "--set", "imgz=32", "--set", "n_frames=2")
ALL_CLIPS = ("--set", "split_fractions=[1,0,0]")
NO_BETTER = "not shown to be better than always answering the largest class"
NOTHING = "nothing was learned that helps with unseen"

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    kinds = ["warm", "cold"] * 4
    return [render_video(folder / f"{number}.mp4", kind, number, 0.5, size=32) for number, kind in enumerate(kinds)]


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_video(tmp_path_factory.mktemp("long") / "long.mp4", "warm", 99, 60, fps=4, size=32)


def row(path: Path, label: str, group: str, *span: float) -> dict[str, Any]:
    """A labelled clip, of a whole video or of a span of it in seconds."""
    times = dict(zip(("start_seconds", "end_seconds"), span, strict=True)) if span else {}
    return {"path": str(path), "label": label, "group": group, **times}


class Clips:
    """A dataset, and the commands on it."""

    def __init__(self, folder: Path, rows: Rows, model: tuple[str, ...] = SMALL) -> None:
        self.folder, self.data, self.model, self.settings = folder, folder / "data.jsonl", folder / "model", model
        self.data.write_text("".join(json.dumps(one) + "\n" for one in rows))

    def train(self, *words: str, code: int = 0) -> str:
        settings = (*self.settings, *words, "--set", "augment_views=0", "--force")
        return flat(cli("train", MODEL, self.data, self.model, *settings, code=code).output)

    def evaluate(self, *words: str, code: int = 0) -> str:
        return flat(cli("evaluate", self.model, self.data, *words, code=code).output)

    def compare(self, code: int = 0) -> str:
        return flat(cli("compare", self.data, "--models", MODEL, *self.settings, code=code).output)

    def advise(self, code: int = 0) -> str:
        return flat(cli("dataset", "advise", self.data, "--model", MODEL, *self.settings, code=code).output)

    def explain(self, video: Path) -> dict[str, Any]:
        found = cli("explain", self.model, video, "--output", self.folder / "explained", "--json", "--force", code=0)
        return dict(json.loads(found.stdout))

    def ensemble(self) -> str:
        """What evaluate says of an ensemble of the model and its copy."""
        shutil.copytree(self.model, self.folder / "copy")
        file, output = self.folder / "ensemble.yaml", self.folder / "both"
        file.write_text(f"ensemble:\n  models: [{self.model}, {self.folder / 'copy'}]\n  voting: average\n")
        cli("ensemble", file, "--output", output, code=0)
        return flat(cli("evaluate", output, self.data, code=0).output)


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture
def clips(tmp_path: Path) -> Callable[..., Clips]:
    def make(rows: Rows, *model: str) -> Clips:
        return Clips(tmp_path, rows, model or SMALL)

    return make


def test_one_clip_of_each_class(clips: Callable[..., Clips], videos: list[Path]) -> None:
    found = clips([row(path, f"class{number}", f"g{number}") for number, path in enumerate(videos[:5])])
    refused = found.train(code=1)
    assert "1 clip in all" in refused
    assert "split_fractions" in refused
    assert "no figure shows how the model does on new clips" in found.train(*ALL_CLIPS)
    measured = found.evaluate()
    assert "the figures say nothing about new clips" in measured
    assert "only one clip of 'class0'" in measured
    for refused in (found.evaluate("--cross-validate", code=1), found.compare(code=1)):
        assert "Label at least two clips of each class" in refused
    assert "no figures: the 5 clips cannot be divided" in found.advise()
    assert found.explain(videos[0])["label"].startswith("class")
    assert "the figures say nothing about new clips" in found.ensemble()


def test_one_group_in_all(clips: Callable[..., Clips], videos: list[Path]) -> None:
    found = clips([row(path, "ab"[number % 2], "tape") for number, path in enumerate(videos)])
    assert "split_fractions" in found.train(code=1)
    trained = found.train(*ALL_CLIPS)
    assert "8 clips of one group" in trained
    assert NO_BETTER in trained
    assert "all clips are of one group" in found.evaluate()
    assert "accuracy on new footage may be lower" in found.evaluate("--cross-validate")
    compared = found.compare()
    assert "8 clips in 1 group" in compared
    assert "no model is shown to be better" in compared
    assert "unseen groups could not be measured" in found.advise()


def test_clips_that_are_all_alike(
    clips: Callable[..., Clips], videos: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copies = [Path(shutil.copy(videos[0], tmp_path / f"copy{number}.mp4")) for number in range(8)]
    found = clips([row(path, "ab"[number % 2], f"g{number}") for number, path in enumerate(copies)])
    trained = found.train(*ALL_CLIPS)
    assert "identical files have different labels" in caplog.text
    assert f"{NOTHING} clips: {NO_BETTER}" in trained
    assert "solved in 1 iteration," in trained
    for text in (found.evaluate(), found.evaluate("--cross-validate")):
        assert f"{NO_BETTER}, 'a'" in text
        assert "not shown to be better than chance" in text
    assert "always answering 'a': 50%" in found.compare()
    assert "did not measurably learn anything" in found.advise()
    explained = found.explain(videos[1])
    assert explained["score"] == pytest.approx(0.5, abs=1e-3)


def test_features_that_never_vary(clips: Callable[..., Clips], videos: list[Path], tmp_path: Path) -> None:
    # Files that differ in bytes which are no picture: each clip shows the model the same.
    copies = [Path(shutil.copy(videos[0], tmp_path / f"{number}.mp4")) for number in range(8)]
    for number, path in enumerate(copies):
        path.write_bytes(path.read_bytes() + b"\0\0\0\x08free" * (number + 1))
    found = clips([row(path, "ab"[number % 2], f"g{number}") for number, path in enumerate(copies)])
    trained = found.train(*ALL_CLIPS)
    assert NOTHING in trained
    assert "not shown to be better than chance" in found.evaluate("--cross-validate")
    assert "no model is shown to be better" in found.compare()
    assert "did not measurably learn anything" in found.advise()


def test_labels_at_random(clips: Callable[..., Clips], long_video: Path) -> None:
    drawn = np.random.default_rng(3).integers(0, 3, 30)
    rows = [row(long_video, "abc"[kind], f"g{n // 2}", 2.0 * n, 2.0 * n + 1) for n, kind in enumerate(drawn)]
    found = clips(rows)
    trained = found.train(*ALL_CLIPS)
    assert f"{NOTHING} groups: {NO_BETTER}" in trained
    assert "not shown to be better than chance" in trained
    for text in (found.evaluate(), found.evaluate("--cross-validate")):
        assert NO_BETTER in text
        assert "answers at random reach 33%" in text
    assert "no model is shown to be better" in found.compare()
    advice = found.advise()
    assert "did not measurably learn anything" in advice
    assert "likely wrong labels and the benefit of more clips are not estimated" in advice


def test_a_class_of_one_recording(clips: Callable[..., Clips], videos: list[Path], long_video: Path) -> None:
    rows = [row(path, "ab"[number % 2], f"g{number // 2}") for number, path in enumerate(videos)]
    rows += [row(long_video, "rare", "only", 2.0 * number, 2.0 * number + 1) for number in range(4)]
    found = clips(rows)
    refused = found.train(code=1)
    assert "class 'rare' has 1 group" in refused
    assert "Add clips from other sources" in refused
    of_one = "all clips of 'rare' are of one group"
    assert of_one in found.train(*ALL_CLIPS)
    assert of_one in found.evaluate()
    for text in (found.evaluate("--cross-validate"), found.compare(), found.advise()):
        assert "clips of 'rare' are always judged by a head that has not seen the class" in text
    assert of_one in found.ensemble()


def test_many_classes_of_two_clips(clips: Callable[..., Clips], long_video: Path) -> None:
    spans = [(number * 0.5, number * 0.5 + 0.5) for number in range(80)]
    rows = [row(long_video, f"class {number // 2:02}", f"g{number}", *span) for number, span in enumerate(spans)]
    found = clips(rows)
    assert "it needs 3 groups" in found.train(code=1)
    trained = found.train(*ALL_CLIPS)
    assert "80 clips in 80 groups" in trained
    assert "answers at random reach 2%" in trained or NO_BETTER in trained
    assert "80 clips in 80 groups" in found.evaluate("--cross-validate")
    compared = found.compare()
    assert "too few clips to judge a class by: 'class 00' (2)" in compared
    assert "80 clips in 80 groups" in found.advise()


@pytest.mark.parametrize("every", [False, True])
def test_features_that_are_not_numbers(
    every: bool, clips: Callable[..., Clips], videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(clip: Clip, values: Float32Array) -> Float32Array:
        return values * np.float32(np.nan if every or clip.source.endswith("0.mp4") else 1)

    monkeypatch.setattr(MeanColors, "spoil", staticmethod(spoil))
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    found = clips([row(path, "ab"[number % 2], f"g{number}") for number, path in enumerate(videos)])
    colors = tmp_path / "colors.json"
    colors.write_text(json.dumps({"adapter": "mean_colors:MeanColors", "name": "colors"}))
    trust = ("--trust-adapter", "mean_colors:MeanColors")
    for words in (
        ("compare", found.data, "--models", colors),
        ("evaluate", colors, found.data, "--cross-validate"),
        ("dataset", "advise", found.data, "--model", colors),
    ):
        ran = cli(*words, *trust)
        said = flat(ran.output)
        assert ran.exit_code == 1 or not every
        assert "0.mp4: the backbone's features are not finite numbers" in said
        assert ("none of 8 clips can be read" in said) is every
