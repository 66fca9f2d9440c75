"""Frames in class folders: what is written, what a second call decodes, what a bad file does, what training takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Ran, cli, start_python
from small_network import SMALL_NETWORK
from tiny_videos import render_video
from waiting import until

from adapters.data import prefer_video, read_dataset, read_prepared_clip
from adapters.errors import ConfigError, DatasetError, MediaError, StorageError
from adapters.inference import open_model
from adapters.media import read_clip
from adapters.records import InputSpec
from adapters.training.training_data import training_data
from cliplab.datasets import dataset_prepare, prepare

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
    with pytest.raises(DatasetError, match="unknown to the model: 'highlights'"):
        training_data(labels, open_model("drone_resnet18").config, ["highlight", "normal"])


def test_a_video_that_was_written_anew_is_decoded_again_though_it_is_as_long(labels: Path, tmp_path: Path) -> None:
    out, video = tmp_path / "out", tmp_path / "flight 0.mp4"
    dataset_prepare(labels, out)
    assert dataset_prepare(labels, out, merge=True).decoded == 0
    os.utime(video, (1e9, 1e9))
    assert dataset_prepare(labels, out, merge=True).decoded == 1


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
    with pytest.raises(ConfigError, match="has 2 frames per second, got 1"):
        dataset_prepare(labels, out, fps=1, merge=True)


def test_a_bad_video_is_set_aside(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "flight 3.mp4").write_bytes(b"no video")
    change(labels, normal=["gone.mp4", *(f"flight {n}.mp4" for n in range(0, 10, 2))])
    result = cli("dataset", "prepare", labels, tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert "27 frames of 9 clips" in result.stdout
    assert "- normal: 15" in result.stdout
    assert result.stdout.count("left out: ") == 2
    assert len(read_dataset(tmp_path / "out")) == 9
    assert not list((tmp_path / "out").rglob(".*"))


def test_killed_it_goes_on(labels: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    dataset_prepare(labels, whole)
    code = "import sys; from cliplab.datasets.prepare import dataset_prepare; dataset_prepare(*sys.argv[1:])"
    process = start_python(code, labels, out, stdout=None)
    until(lambda: len(list(out.glob("*/[!.]*"))) >= 2 or process.poll() is not None, 300, every=0.002)
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
    with pytest.raises(StorageError, match="already exists"):
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
    with pytest.raises(DatasetError, match="cannot be the name of a folder"):
        dataset_prepare(labels, tmp_path / "out")
    assert not (tmp_path / "up").exists()


# Without the videos ---------------------------------------------------------------------------------------------------


def without_videos(labels: Path) -> None:
    for video in labels.parent.glob("*.mp4"):
        video.unlink()


@pytest.mark.parametrize(("sampling", "n_frames"), [("rate", 5), ("spread", 4), ("every", 6)])
def test_frames_show_what_the_video_does(labels: Path, tmp_path: Path, sampling: Any, n_frames: int) -> None:
    video = "flight 1.mp4"
    change(labels, highlights=[{"path": video, "start_seconds": 0.5, "end_seconds": 2.5}, "flight 3.mp4"])
    dataset_prepare(labels, tmp_path / "out", fps=8)
    spec = InputSpec(height=32, width=40, n_frames=n_frames, sampling=sampling, fps=4.0)
    for example in read_dataset(tmp_path / "out").examples:
        for start, end in ((example.start_seconds, example.end_seconds), (1.0, 2.125)):
            shown, found = read_clip(example.path, spec, start, end), read_prepared_clip(example, spec, start, end)
            np.testing.assert_allclose(found.times, shown.times, atol=1e-6)
            assert (found.start, found.end) == pytest.approx((shown.start, shown.end))
            assert found.frames.shape == shown.frames.shape
            assert np.abs(found.frames.astype(int) - shown.frames).mean() < 6, "but for JPEG's losses"


def test_a_range_outside_the_frames_is_moved_into_them(labels: Path, tmp_path: Path) -> None:
    dataset_prepare(labels, tmp_path / "out")
    example = read_dataset(tmp_path / "out").examples[0]
    spec = InputSpec(height=32, width=32, n_frames=3, sampling="spread")
    for start, end in ((2.9, 9.0), (7.0, 9.0), (2.0, 2.0)):
        clip = read_prepared_clip(example, spec, start, end)
        assert clip.frames.shape == (3, 32, 32, 3)
        assert 0 <= clip.start < clip.end <= SECONDS


def test_a_model_of_frames_is_trained_where_the_videos_have_gone(labels: Path, tmp_path: Path, own_cache: Path) -> None:
    """The folder alone, copied elsewhere; and a picture that is missing costs its clip."""
    pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")
    dataset_prepare(labels, tmp_path / "out")
    there = (tmp_path / "out").rename(tmp_path / "elsewhere")
    without_videos(labels)
    keys = ("weights=random", "imgz=32", "n_frames=3", "augment_views=1", "num_epochs=2")
    settings = [word for key in keys for word in ("--set", key)]
    command = ["train", SMALL_NETWORK, str(there), "--json", *settings]
    result = cli(*command, "--output", tmp_path / "model")
    assert result.exit_code == 0, result.output
    assert "clips: 8 train, 2 validation; for 10 the video is missing and the prepared frames are used" in result.stderr
    assert json.loads(result.stdout)["decoded_clips"] == 8 * 2 + 2
    lost = next(item for item in read_dataset(there).examples if item.split == "train")
    assert lost.frames is not None
    (lost.frames.folder / lost.frames.names[1]).unlink()
    result = cli(*command, "--output", tmp_path / "again")
    assert result.exit_code == 1, result.output
    report = json.loads(result.stdout)
    assert report["clips"]["train"] == 7
    assert report["decoded_clips"] == 0, "the others are in the cache"
    assert report["skipped"] == [
        f"{lost.frames.folder / lost.frames.names[1]}: cannot be read (No such file or directory)"
    ]


def test_a_video_is_read_while_it_is_there_and_clip_models_need_it(labels: Path, tmp_path: Path) -> None:
    dataset_prepare(labels, tmp_path / "out")
    example = read_dataset(tmp_path / "out").examples[0]
    assert example.frames is not None
    assert prefer_video(example, single_frames=True).frames is None
    example.path.unlink()
    assert prefer_video(example, single_frames=True).frames == example.frames
    assert prefer_video(example, single_frames=False).frames is None


def test_a_damaged_picture_is_named(labels: Path, tmp_path: Path) -> None:
    dataset_prepare(labels, tmp_path / "out")
    example = read_dataset(tmp_path / "out").examples[0]
    assert example.frames is not None
    (example.frames.folder / "000002.jpg").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"000002\.jpg: is missing or is not a picture"):
        read_prepared_clip(example, InputSpec(height=32, width=32, n_frames=3, sampling="spread"))


def test_merging_keeps_clips_whose_videos_have_gone(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset_prepare(labels, out)
    before = read_dataset(out)
    without_videos(labels)
    render_video(tmp_path / "new.mp4", "cold", 50, seconds=SECONDS)
    moved = str(tmp_path / "flight 0.mp4")
    labels.write_text(json.dumps({"highlights": [moved], "normal": ["new.mp4"]}))
    report = dataset_prepare(labels, out, merge=True)
    assert (report.decoded, report.skipped) == (1, ())
    assert report.clips == {"highlights": 6, "normal": 5}
    assert report.frames == {"highlights": 18, "normal": 15}
    after = {item.path: item for item in read_dataset(out).examples}
    for item in before.examples:
        assert after[item.path].split == item.split
        assert after[item.path].label == ("highlights" if str(item.path) == moved else item.label)
    kept = after[Path(moved)].frames
    assert kept is not None
    assert kept.folder.parent.name == "highlights"
    assert not list((out / "normal").glob("flight 0*"))
    named = [
        name for entry in json.loads((out / "dataset.json").read_text())["annotations"] for name in entry["frames"]
    ]
    assert sorted(named) == list(frames(out))


# A full disk ----------------------------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
"""


def limited(size_bytes: int, *arguments: object) -> Ran:
    """The command in a process that cannot write a file larger than that."""
    return cli(size_bytes, "dataset", "prepare", *arguments, before=LIMITED)


def test_a_full_disk_is_one_line_and_no_half_dataset(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset_prepare(labels, tmp_path / "whole")
    sizes = {name: len(data) for name, data in frames(tmp_path / "whole").items()}
    between = (min(sizes.values()) + max(sizes.values())) // 2
    full = limited(between, labels, out)
    assert full.exit_code == 1
    [line] = full.stderr.splitlines()
    assert line.startswith(f"error: {out}/")
    assert "could not be written (File too large)" in line
    assert not (out / "dataset.json").exists()
    assert not list(out.rglob(".*"))
    whole = [name for name, size in sizes.items() if size > between]
    assert not any(Path(name).parent in {Path(found).parent for found in frames(out)} for name in whole)
    assert dataset_prepare(labels, out).splits == {"train": 8, "validation": 2}
    assert frames(out) == frames(tmp_path / "whole")


def test_a_disk_that_fills_after_some_clips_is_no_fault_of_the_others(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = prepare._write_frames, []

    def until_full(item: Any, folder: Path, fps: float) -> None:
        if len(written) == 2:
            raise StorageError(f"{folder}: could not be written (no space left)")
        written.append(folder)
        write(item, folder, fps)

    monkeypatch.setattr(prepare, "_write_frames", until_full)
    with pytest.raises(StorageError, match="no space left"):
        dataset_prepare(labels, tmp_path / "out")
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_full_disk_while_merging_leaves_the_dataset_as_it_was(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset_prepare(labels, out)
    before, listing = frames(out), (out / "dataset.json").read_bytes()
    assert len(listing) > max(len(data) for data in before.values()), "the limit lets frames pass"
    render_video(tmp_path / "new.mp4", "warm", 50, seconds=SECONDS)
    change(labels, highlights=["new.mp4"])
    full = limited(len(listing), labels, out, "--merge")
    assert full.exit_code == 1
    assert full.stderr.startswith(f"error: {out}/dataset.json: could not be written (File too large)")
    assert (out / "dataset.json").read_bytes() == listing
    assert before.items() <= frames(out).items()
    assert dataset_prepare(labels, out, merge=True).decoded == 0, "the new clip's frames were there"
