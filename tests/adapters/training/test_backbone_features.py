"""Features of any adapter's clips: cached as training caches them, and a bad clip is set aside. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mean_colors import MeanColors
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.data import Example
from adapters.errors import ConfigError, DatasetError
from adapters.records import Clip, Float32Array
from adapters.training import ExampleFeatures, example_features


@pytest.fixture(autouse=True)
def own_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    folder = tmp_path_factory.mktemp("clips")
    names = ["warm", "cold", "warm", "cold"]
    return [
        Example(render_video(folder / f"{number}.mp4", name, number, seconds=1), (name,))
        for number, name in enumerate(names)
    ]


def adapter(**keys: Any) -> MeanColors:
    return MeanColors({"labels": ["cold", "warm"], **keys})


def test_features_come_in_the_order_of_the_clips_and_once(clips: list[Example]) -> None:
    calls: list[tuple[str, int, int]] = []
    found = example_features(adapter(), clips, lambda *call: calls.append(call))
    assert found.features.shape == (4, 2, 3)
    assert found.features.dtype == np.float32
    assert found.examples == tuple(clips)
    assert found.skipped == ()
    assert (calls[0], calls[-1]) == (("features", 0, 4), ("features", 4, 4))
    again = example_features(adapter(), clips[::-1])
    assert (found.decoded, again.decoded) == (4, 0)
    np.testing.assert_array_equal(again.features[::-1], found.features)


def test_bad_clips_are_set_aside_by_name(clips: list[Example], tmp_path: Path) -> None:
    broken, missing = tmp_path / "broken.mp4", tmp_path / "missing.mp4"
    broken.write_bytes(b"no video")
    bad = [Example(broken, ("warm",)), Example(missing, ("cold",))]
    found = example_features(adapter(), [bad[0], *clips, bad[1]])
    assert found.examples == tuple(clips)
    assert [example for example, _ in found.skipped] == bad
    assert all(str(example.path) in reason for example, reason in found.skipped)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [np.s_[:], np.s_[-1, 0]], ids=["all", "one"])
def test_features_that_are_not_numbers_are_set_aside_by_name(clips: list[Example], wrong: float, where: Any) -> None:
    def spoil(clip: Clip, values: Float32Array) -> Float32Array:
        if clip.source == str(clips[1].path):
            values[where] = wrong
        return values

    model = adapter()
    model.spoil = spoil
    found = example_features(model, clips)
    assert found.examples == (clips[0], *clips[2:])
    assert "finite" in found.skipped[0][1]
    assert str(clips[1].path) in found.skipped[0][1]


def test_not_one_readable_clip_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of 1 clips.*gone\.mp4"):
        example_features(adapter(), [Example(tmp_path / "gone.mp4", ("warm",))])
    with pytest.raises(DatasetError, match="none of 0"):
        example_features(adapter(), [])


def test_a_model_without_a_backbone_is_refused(clips: list[Example]) -> None:
    with pytest.raises(ConfigError, match="no backbone"):
        example_features(TinyAdapter({"labels": ["cold", "warm"]}), clips)


def test_a_config_says_what_the_head_should_output(clips: list[Example]) -> None:
    found: ExampleFeatures = example_features(adapter(), clips)
    binary = adapter(positive_label="warm").config
    data = found.labelled(("cold", "warm"), binary)
    assert not data.exclusive
    assert data.targets[:, 0].tolist() == [1, 0, 1, 0]
    data = found.labelled(("warm", "cold"), adapter().config)
    assert data.exclusive
    assert data.targets.argmax(axis=1).tolist() == [0, 1, 0, 1]
    assert len(np.unique(data.groups)) == 4
