"""Labelled clips for other people's networks: the same arrays as the project's own models get, one by one."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from places import ROOT
from tiny_videos import render_dataset, render_video

from adapters import ClipDataset
from adapters.data import read_dataset
from adapters.errors import ConfigError, DatasetError, MediaError
from adapters.inference import open_model
from adapters.media import read_clip
from adapters.records import InputSpec
from adapters.training.feature_cache import ExampleView, read_view

SPEC = InputSpec(height=24, width=24, n_frames=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("clips"), train=2, validation=1, test=1)


@pytest.mark.parametrize(
    "config, overrides",
    [
        ("efficientnet_lite0", {"imgz": 64, "n_frames": 3}),
        ("resnet18", {"n_frames": 2}),
        ("movinet_a0_base", {"imgz": 64, "n_frames": 4, "aspect": "pad"}),
        ("movinet_a0_stream", {"imgz": 64, "n_frames": 4, "fps": 5}),
    ],
)
def test_frames_are_what_training_and_prediction_give_the_model(
    data: Path, config: str, overrides: dict[str, Any]
) -> None:
    model: Any = open_model(config, {"weights": "random", "window_seconds": None, **overrides})
    spec, keys = model.input_spec, model.config
    clips = ClipDataset(data, spec, mean=keys["mean"], scale=keys["scale"])
    pixels = ClipDataset(data, spec, dtype="uint8")
    for index, example in enumerate(read_dataset(data)):
        trained = read_view(ExampleView(example, 0), spec, {}, 0)
        predicted = read_clip(example.path, spec, example.start_seconds, example.end_seconds)
        frames, target = clips[index]
        assert frames.dtype == np.float32
        assert np.array_equal(frames, model.items(trained).reshape(frames.shape))
        assert np.array_equal(frames, model.items(predicted).reshape(frames.shape))
        assert clips.labels[int(target)] == example.label
        levels = pixels[index][0]
        assert levels.dtype == np.uint8
        again = (levels.astype(np.float32) - np.float32(keys["mean"])) / np.asarray(keys["scale"], np.float32)
        assert np.array_equal(frames, again)


def test_it_is_a_sequence(data: Path) -> None:
    clips = ClipDataset(data, SPEC)
    assert len(clips) == 8
    assert "8 clips" in repr(clips)
    assert np.array_equal(clips[-1][0], clips[7][0])
    assert np.array_equal(clips[np.int64(-8)][0], clips[0][0])  # type: ignore[arg-type]
    assert [target for _, target in clips] == clips.targets.tolist()  # type: ignore[attr-defined]
    for index in (8, -9):
        with pytest.raises(IndexError, match="has 8 clips"):
            clips[index]
    with pytest.raises(TypeError, match=r"without\(\.\.\.\)"):
        clips[0:2]  # type: ignore[index]
    with pytest.raises(TypeError):
        clips["0"]  # type: ignore[index]


def test_splits_and_the_order_of_labels(data: Path) -> None:
    train = ClipDataset(data, SPEC, split="train")
    assert [example.split for example in train.examples] == ["train"] * 4
    assert train.labels == ("warm", "cold")
    assert train.targets.tolist() == [0, 0, 1, 1]
    turned = ClipDataset(read_dataset(data), SPEC, split="train", labels=["cold", "other", "Warm"])
    assert turned.labels == ("cold", "other", "Warm")  # the model's spelling of a label counts
    assert turned.targets.tolist() == [2, 2, 0, 0]
    hot = ClipDataset(data, SPEC, split="test", labels=["cold", "other", "warm"], task="multi_label")
    assert hot.targets.dtype == np.float32
    assert hot.targets.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert np.array_equal(hot[1][1], [1, 0, 0])


def test_stretches_of_a_video_and_clips_of_several_labels(tmp_path: Path) -> None:
    render_video(tmp_path / "a.mp4", "warm", 1, seconds=3)
    rows = [
        {"path": "a.mp4", "labels": ["a", "b"], "start": 1.0, "end": 2.0},
        {"path": "a.mp4", "labels": [], "start": 2.0, "end": 3.0},
    ]
    (tmp_path / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    clips = ClipDataset(tmp_path, SPEC, task="multi_label", dtype="uint8")
    assert clips.targets.tolist() == [[1, 1], [0, 0]]
    assert np.array_equal(clips[0][0], read_clip(tmp_path / "a.mp4", SPEC, 1.0, 2.0).frames)
    with pytest.raises(DatasetError, match=r"a\.mp4.*2 labels"):
        ClipDataset(tmp_path, SPEC)


def test_an_unreadable_clip_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    path = render_dataset(tmp_path, train=2, validation=0, test=0)
    (tmp_path / "warm1.mp4").write_bytes(b"no video at all")
    (tmp_path / "cold0.mp4").unlink()
    clips = ClipDataset(path, SPEC)
    for index, name in ((1, "warm1.mp4"), (2, "cold0.mp4")):
        with pytest.raises(MediaError, match=re.escape(name)):
            clips[index]
    seen: list[tuple[int, int]] = []
    found = clips.unreadable(on_progress=lambda *now: seen.append(now))
    assert [(item.index, item.path.name) for item in found] == [(1, "warm1.mp4"), (2, "cold0.mp4")]
    assert all(item.path.name in item.reason for item in found)
    assert seen[-1] == (4, 4)
    kept = clips.without(item.index for item in found)
    assert [example.path.name for example in kept.examples] == ["warm0.mp4", "cold1.mp4"]
    assert kept.targets.tolist() == [0, 1]
    assert kept.unreadable() == ()
    assert len(clips) == 4


def test_what_is_not_allowed_is_refused_when_it_is_made(data: Path) -> None:
    for changes, error, said in (
        ({"dtype": "float64"}, ConfigError, "float32, uint8"),
        ({"scale": 0.0}, ConfigError, "scale must not be 0"),
        ({"mean": [1.0, 2.0]}, ConfigError, "mean must be"),
        ({"split": "trian"}, DatasetError, "trian"),
        ({"task": "both"}, DatasetError, "single_label"),
        ({"labels": ["cold", "hot"]}, DatasetError, "'warm'"),
        ({"labels": ["cold", "warm", "warm"]}, DatasetError, "twice"),
    ):
        with pytest.raises(error, match=said):
            ClipDataset(data, SPEC, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="several models"):
        ClipDataset(data, InputSpec(24, 24, 8, parts=(SPEC, SPEC)))
    with pytest.raises(DatasetError, match=r"no clip is in the split 'train' \(it has 2 test\)"):
        ClipDataset(read_dataset(data).of_split("test"), SPEC, split="train")


def read_all(clips: ClipDataset) -> list[tuple[Any, int]]:
    return [(frames, int(target)) for frames, target in clips]  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_worker_processes_read_the_same(data: Path, way: str) -> None:
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system starts no process by {way}")
    clips = ClipDataset(data, SPEC, split="test")
    own = read_all(clips)  # so that a fork has decoded before
    with multiprocessing.get_context(way).Pool(1) as pool:
        (theirs,) = pool.map_async(read_all, [clips]).get(timeout=120)
    for (frames, target), (other, other_target) in zip(own, theirs, strict=True):
        assert np.array_equal(frames, other)
        assert target == other_target
    assert pickle.loads(pickle.dumps(clips)).targets.tolist() == clips.targets.tolist()


# The page -------------------------------------------------------------------------------------------------------------


def block(start: str) -> str:
    """The Python block of docs/clip_dataset.md that begins with a text."""
    text = (ROOT / "docs" / "clip_dataset.md").read_text(encoding="utf-8")
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if code.startswith(start)]
    return str(found)


class DataLoader:
    """What PyTorch's loader does with a map-style dataset, without PyTorch: indices, __getitem__, stacking."""

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = False, **others: Any) -> None:
        self._dataset, self._size = dataset, batch_size
        self._order: Sequence[int] = (
            np.random.default_rng(0).permutation(len(dataset)) if shuffle else range(len(dataset))
        )

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for first in range(0, len(self._order), self._size):
            rows = [self._dataset[index] for index in self._order[first : first + self._size]]
            yield np.stack([frames for frames, _ in rows]), np.array([target for _, target in rows])


def test_the_dataset_of_the_pytorch_example_works(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block as it is printed, with a loader in the place of PyTorch's."""
    module = ModuleType("torch.utils.data")
    module.DataLoader = DataLoader  # type: ignore[attr-defined]
    for name in ("torch", "torch.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "torch.utils.data", module)
    names = run(block("from torch.utils.data"), data)
    batches = list(names["train"])
    assert sum(len(targets) for _, targets in batches) == 4
    assert batches[0][0].dtype == np.float32


def test_the_pytorch_example_trains(data: Path) -> None:
    pytest.importorskip("torch", reason="pip install torch (the project does not need it)")
    names = run(block("from torch.utils.data") + block("import torch"), data)
    assert np.isfinite(float(names["loss"]))


@pytest.mark.extras
def test_the_tensorflow_example_trains(data: Path) -> None:
    pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
    names = run(block("import tensorflow"), data)
    assert np.isfinite(names["history"].history["loss"]).all()


def run(code: str, data: Path) -> dict[str, Any]:
    """A block of the page with the test's clips in the place of samples/, and a small input."""
    code = code.replace('"samples/dataset.jsonl"', repr(str(data))).replace("num_workers=2", "num_workers=0")
    names: dict[str, Any] = {}
    exec(compile(re.sub(r"height=\d+, width=\d+", "height=32, width=32", code), "clip_dataset.md", "exec"), names)
    return names


@pytest.mark.extras
def test_a_tf_dataset_has_the_same_clips_in_order(data: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
    clips = ClipDataset(data, SPEC)
    found = clips.to_tf_dataset()
    assert found.element_spec[0].shape == (4, 24, 24, 3)
    assert found.element_spec[1].dtype == tf.int64
    for (frames, target), (own, own_target) in zip(found.as_numpy_iterator(), clips, strict=True):  # type: ignore[call-overload]
        assert np.array_equal(frames, own)
        assert target == own_target
    shuffled = clips.to_tf_dataset(shuffle=True, seed=1)
    orders = [[int(target) for _, target in shuffled.as_numpy_iterator()] for _ in range(3)]
    assert all(sorted(order) == [0] * 4 + [1] * 4 for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    hot = ClipDataset(data, SPEC, task="multi_label", dtype="uint8").to_tf_dataset()
    assert hot.element_spec[1].shape == (2,)
    assert hot.element_spec[0].dtype == tf.uint8
    broken = render_dataset(tmp_path, train=1, validation=0, test=0)
    (tmp_path / "cold0.mp4").write_bytes(b"no video")
    with pytest.raises(tf.errors.OpError, match=r"cold0\.mp4"):
        list(ClipDataset(broken, SPEC).to_tf_dataset())
