"""Frames in class folders: what is written, what a second call decodes, what a bad file does, what training takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
from tiny_videos import render_video
from typer.testing import CliRunner

from adapters.dataset import read_dataset
from adapters.errors import ConfigError, DatasetError, StorageError
from adapters.loading import open_model
from adapters.training_data import training_data
from cliplab.cli import app
from cliplab.dataset_prepare import dataset_prepare

SECONDS = 3.0


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """labels.json of 5 videos of each class, 3 s long."""
    content: dict[str, list[str]] = {"highlights": [], "normal": []}
    for number in range(10):
        name = f"flight {number}.mp4"
        render_video(tmp_path / name, "warm" if number % 2 else "cold", number, seconds=SECONDS)
        content["highlights" if number % 2 else "normal"].append(name)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json"


def change(labels: Path, **content: list[Any]) -> None:
    labels.write_text(json.dumps({**json.loads(labels.read_text()), **content}))


def frames(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.jpg"))}


def test_frames_counts_and_split(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = dataset_prepare(labels, out)
    assert report.frames == {"highlights": 15, "normal": 15}
    assert report.splits == {"train": 8, "validation": 2}
    assert (report.decoded, report.skipped) == (10, ())
    content = json.loads((out / "dataset.json").read_text())
    named = [name for entry in content["annotations"] for name in entry["frames"]]
    assert sorted(named) == list(frames(out))
    assert {Path(name).parts[0] for name in named} == {"highlights", "normal"}
    # The warm ones are dark with a red disc: red is more than blue, as it is not where channels are swapped.
    blue, _, red = cv2.imread(str(out / next(name for name in named if name.startswith("highlights")))).mean(
        axis=(0, 1)
    )
    assert red > blue + 5


def test_training_takes_it_under_the_configs_label(labels: Path, tmp_path: Path) -> None:
    dataset_prepare(labels, tmp_path / "out")
    config = open_model("drone_resnet18").config
    for data in (tmp_path / "out", tmp_path / "out" / "dataset.json"):
        found = training_data(data, config, None)
        assert set(found.labels) == {"highlight", "normal"}
        assert (len(found.train), len(found.validation)) == (8, 2)
    direct = training_data(labels, config, ["highlight", "normal"])
    assert {item.label for item in direct.train} == {"highlight", "normal"}


def test_labels_of_two_spellings_are_not_joined(labels: Path) -> None:
    change(labels, Highlight=["flight 0.mp4"], normal=["flight 2.mp4", "flight 4.mp4"])
    with pytest.raises(DatasetError, match="labels that the model has not: 'highlights'"):
        training_data(labels, open_model("drone_resnet18").config, ["highlight", "normal"])


def test_merging_decodes_only_what_is_new(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset_prepare(labels, out, fps=2)
    before = {item.path: item.split for item in read_dataset(out)}
    old = frames(out)
    render_video(tmp_path / "new.mp4", "warm", 50)
    labels.write_text(json.dumps({"highlights": ["new.mp4", "flight 0.mp4"]}))  # one new, one of the other class before
    report = dataset_prepare(labels, out, merge=True)
    assert report.decoded == 2
    assert report.clips == {"highlights": 7, "normal": 4}
    after = {item.path: item.split for item in read_dataset(out)}
    assert {path: after[path] for path in before} == before
    now = frames(out)
    moved = {name for name in old if "flight 0" in name}
    assert {name: now[name] for name in old if name not in moved} == {k: v for k, v in old.items() if k not in moved}
    assert not moved & set(now)
    assert dataset_prepare(labels, out, merge=True).decoded == 0
    with pytest.raises(ConfigError, match="has 2 frames a second, got 1"):
        dataset_prepare(labels, out, fps=1, merge=True)


def test_a_bad_video_is_set_aside(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "flight 3.mp4").write_bytes(b"no video")
    change(labels, normal=["gone.mp4", *(f"flight {n}.mp4" for n in range(0, 10, 2))])
    result = CliRunner().invoke(app, ["dataset", "prepare", str(labels), str(tmp_path / "out")])
    assert result.exit_code == 1, result.output
    assert "27 frames of 9 clips" in result.stdout
    assert "- normal: 15" in result.stdout
    assert result.stdout.count("left out: ") == 2
    assert len(read_dataset(tmp_path / "out")) == 9
    assert not list((tmp_path / "out").rglob(".*"))


def test_killed_it_goes_on(labels: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    dataset_prepare(labels, whole)
    code = "import sys; from cliplab.dataset_prepare import dataset_prepare; dataset_prepare(*sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, str(labels), str(out)])
    deadline = time.monotonic() + 60
    while len(list(out.glob("*/[!.]*"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    done = len(list(out.glob("*/[!.]*")))
    assert done >= 2
    if done < 10:
        assert not (out / "dataset.json").exists()
        assert dataset_prepare(labels, out).decoded == 10 - done
    assert frames(out) == frames(whole)


def test_what_is_there_is_not_replaced_unasked(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(StorageError, match="no dataset to merge with"):
        dataset_prepare(labels, out, merge=True)
    dataset_prepare(labels, out)
    with pytest.raises(StorageError, match="is there already"):
        dataset_prepare(labels, out)
    change(labels, normal=[f"flight {n}.mp4" for n in range(2, 10, 2)])
    assert dataset_prepare(labels, out, force=True).decoded == 0
    assert not [name for name in frames(out) if "flight 0" in name]


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none(labels: Path, tmp_path: Path, fps: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        dataset_prepare(labels, tmp_path / "out", fps=fps)


def test_a_class_that_is_no_folder(labels: Path, tmp_path: Path) -> None:
    change(labels, **{"../up": ["flight 1.mp4", "flight 3.mp4"], "highlights": ["flight 5.mp4", "flight 7.mp4"]})
    with pytest.raises(DatasetError, match="cannot be a folder's name"):
        dataset_prepare(labels, tmp_path / "out")
    assert not (tmp_path / "up").exists()
