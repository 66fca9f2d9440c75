"""Which windows a conversion is measured on, and that its report says how many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_adapter import TinyAdapter
from tiny_videos import render_dataset, render_video

from adapters.errors import DatasetError
from cliplab.models.held_out import held_out_windows


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 held-out clips of 1 s, 8 for training, and a file in the test split that is not a video."""
    path = render_dataset(tmp_path_factory.mktemp("data"), train=4, validation=2, test=1)
    (path.parent / "text.mp4").write_text("no video")
    with path.open("a") as file:
        file.write(json.dumps({"path": "text.mp4", "label": "warm", "split": "test", "group": "text"}) + "\n")
    return path


def tiny(**keys: Any) -> TinyAdapter:
    return TinyAdapter({"labels": ["warm", "cold"], **keys})


def dataset_of(folder: Path, splits: dict[str, str]) -> Path:
    """Two files of one class each, the first of "warm"."""
    rows = [
        {"path": p, "split": s, "label": label} for (p, s), label in zip(splits.items(), ("warm", "cold"), strict=True)
    ]
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def held_out_sources(data: Path) -> list[str]:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    return [row["path"] for row in rows if row["split"] != "train" and row["path"] != "text.mp4"]


def test_each_held_out_clip_is_a_window_and_what_cannot_be_read_is_told(data: Path) -> None:
    clips, which = held_out_windows(tiny(), data)
    assert sorted(Path(clip.source).name for clip in clips) == sorted(held_out_sources(data))
    assert which.startswith(f"validation and test clips of {data}; 1 could not be read, the first: ")
    assert "text.mp4" in which


def test_windows_of_the_config_are_measured_each(data: Path) -> None:
    clips, which = held_out_windows(tiny(window_seconds=0.5, stride_seconds=0.25), data)
    assert len(clips) == 6 * 3
    assert [(clip.start, clip.end) for clip in clips[:3]] == [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0)]
    assert "windows" not in which


def test_beyond_the_bound_they_stay_evenly_over_the_dataset(data: Path, tmp_path: Path) -> None:
    model = tiny(window_seconds=0.5, stride_seconds=0.25)
    clips, which = held_out_windows(model, data, most_windows=10)
    assert 5 <= len(clips) <= 10
    assert {Path(clip.source).name for clip in clips} == set(held_out_sources(data))
    assert ", one in 2 of 18 windows" in which
    few, which = held_out_windows(tiny(), data, most_windows=3)
    assert len(few) <= 3
    assert ", 3 of 7" in which
    render_video(tmp_path / "long.mp4", "warm", seed=0, seconds=6)
    render_video(tmp_path / "other.mp4", "cold", seed=0)
    clips, _ = held_out_windows(model, dataset_of(tmp_path, {"long.mp4": "test", "other.mp4": "train"}), most_windows=4)
    assert 2 <= len(clips) <= 4
    assert clips[-1].start >= 3, "the end of a long clip counts as its start does"


def test_a_dataset_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    data = dataset_of(tmp_path, {"text.mp4": "test", "missing.mp4": "test"})
    with pytest.raises(DatasetError, match=r"none of 2 clips can be read; the first: .*text\.mp4"):
        held_out_windows(tiny(), data)
