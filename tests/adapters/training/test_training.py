"""Training through the adapter: cache, head, fine-tuning, resume, and bad data."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import start_python
from small_network import SMALL_NETWORK
from tiny_videos import render_dataset, render_video

from adapters.base import TrainOptions
from adapters.bundle import read_bundle
from adapters.data import Example
from adapters.errors import DatasetError, StorageError
from adapters.inference import open_model
from adapters.media import read_clip
from adapters.models import ModelAdapter
from adapters.reports import EpochLog
from adapters.training.feature_cache import ExampleView, read_view

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SMALL: dict[str, Any] = {
    "weights": "random",
    "imgz": 32,
    "n_frames": 3,
    "num_epochs": 4,
    "batch_size": 4,
    "augment_views": 1,
    "early_stopping_patience": None,
    "head": [{"units": 16, "activation": "relu"}, {"dropout": 0.3}],
}


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"))


def fresh(**changes: Any) -> ModelAdapter:
    adapter = open_model(SMALL_NETWORK, {**SMALL, **changes})
    assert isinstance(adapter, ModelAdapter)
    return adapter


def weights_of(bundle: Path) -> dict[str, Any]:
    return read_bundle(bundle).weights()


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[EpochLog]]:
    logs: list[EpochLog] = []
    path = tmp_path_factory.mktemp("trained") / "model"
    return path, fresh().train(dataset, path, logs.append), logs


def test_report_and_bundle(trained: tuple[Path, Any, list[EpochLog]], dataset: Path) -> None:
    path, report, logs = trained
    assert report.labels == ("warm", "cold")
    assert report.clips == {"train": 8, "validation": 4, "test": 2}
    assert report.decoded_clips == 8 * 2 + 4
    assert [log.epoch for log in logs] == [0, 1, 2, 3]
    assert tuple(logs) == report.epochs
    bundle = read_bundle(path)
    assert {"curves/curves.json", "curves/curves.csv", "curves/curves.png"} <= set(bundle.extra)
    assert len(bundle.extra["curves/curves.csv"].read_text().splitlines()) == 5
    assert bundle.metrics["validation"]["accuracy"] == report.metrics["accuracy"]
    assert not path.with_name("model.training").exists()
    model = open_model(path)
    clip = read_clip(dataset.parent / "warm0.mp4", model.input_spec)
    assert model.predict([clip])[0].labels == ("warm", "cold")


def test_second_training_decodes_nothing_and_gives_the_same_bits(
    trained: tuple[Path, Any, list[EpochLog]], dataset: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(dataset.parent, tmp_path / "moved") / dataset.name
    report = fresh().train(moved, tmp_path / "again")
    assert report.decoded_clips == 0
    one, two = weights_of(trained[0]), weights_of(tmp_path / "again")
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def test_augmentation_follows_the_clip_and_not_its_place(dataset: Path, tmp_path: Path) -> None:
    adapter = fresh()
    spec, settings = adapter.input_spec, adapter.config["augmentation"]
    here, other = dataset.parent / "warm0.mp4", dataset.parent / "warm1.mp4"
    moved = Path(shutil.copy(here, tmp_path / "renamed.mp4"))

    def frames(path: Path, number: int) -> Any:
        return read_view(ExampleView(Example(path, ("warm",)), number), spec, settings, 0).frames

    np.testing.assert_array_equal(frames(here, 1), frames(moved, 1))
    assert not np.array_equal(frames(here, 1), frames(here, 2))
    assert not np.array_equal(frames(here, 1), frames(other, 1))


def test_interrupted_training_goes_on_to_the_same_bits(
    trained: tuple[Path, Any, list[EpochLog]], dataset: Path, tmp_path: Path
) -> None:
    def stop(log: EpochLog) -> None:
        if log.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh().train(dataset, tmp_path / "model", stop)
    assert not (tmp_path / "model").exists()
    later: list[EpochLog] = []
    fresh().train(dataset, tmp_path / "model", later.append)
    assert [log.epoch for log in later] == [2, 3]
    one, two = weights_of(trained[0]), weights_of(tmp_path / "model")
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def test_a_checkpoint_of_another_config_is_noted_once(dataset: Path, tmp_path: Path) -> None:
    def stop(log: EpochLog) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh().train(dataset, tmp_path / "model", stop)
    epochs: list[EpochLog] = []
    notes: list[str] = []
    options = TrainOptions(on_note=notes.append)
    fresh(learning_rate=0.02).train(dataset, tmp_path / "model", epochs.append, options)
    assert epochs[0].epoch == 0
    assert len([note for note in notes if "model.training" in note and "first epoch" in note]) == 1


def test_killed_training_goes_on(dataset: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json, time\n"
        "from adapters.inference.loading import open_model\n"
        "settings = json.loads(sys.argv[3]) | {'num_epochs': 100000}\n"
        "def told(log):\n"
        "    print(log.epoch, flush=True)\n"
        "open_model(sys.argv[4], settings).train(sys.argv[1], sys.argv[2], told)\n"
    )
    child = start_python(code, dataset, tmp_path / "model", json.dumps(SMALL), SMALL_NETWORK)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 3:
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    later: list[EpochLog] = []

    def stop_soon(log: EpochLog) -> bool:
        later.append(log)
        return len(later) < 2

    report = fresh(num_epochs=100000).train(dataset, tmp_path / "model", stop_soon)
    assert later[0].epoch >= 4, "the epochs before the kill are kept"
    assert [log.epoch for log in report.epochs] == list(range(later[-1].epoch + 1))
    assert report.stopped == "interrupted"
    assert open_model(tmp_path / "model").labels == ("warm", "cold")


def test_cached_head_equals_head_trained_through_the_network(dataset: Path, tmp_path: Path) -> None:
    """The same head, order, dropout and rate; once on cached LiteRT features, once on frames through TensorFlow."""
    from adapters.training import phases as training
    from adapters.training.fitting import Fitter
    from adapters.training.training_data import training_data

    adapter = fresh(augment_views=0, calibrate=False)
    adapter.train(dataset, tmp_path / "cached")
    clips = [read_clip(path, adapter.input_spec) for path in sorted(dataset.parent.glob("*.mp4"))]
    cached = np.stack([prediction.scores for prediction in adapter.predict(clips)])

    whole = fresh(augment_views=0)
    data = training_data(dataset, whole.config, None)
    run = training.start_run(whole, data, tmp_path / "whole", None)
    fitter = Fitter(
        lambda inputs, is_training: run.forward(inputs, is_training, through=run.network.backbone),
        run.network.head.trainable_variables,
        run.network.head.trainable_variables,
        run.network.dropout_step,
        run.settings("head"),
        tmp_path / "whole.safetensors",
    )
    plain = training.item_inputs(run, data.train, augmented=False)
    validation = training.item_inputs(run, data.validation, augmented=False)
    fitter.fit(training.fit_data(run, data.train, plain), training.fit_data(run, data.validation, validation), None)
    frames = np.stack([whole.items(clip) for clip in clips])
    through = np.asarray(run.forward(frames, False, through=run.network.backbone)).mean(axis=1)
    np.testing.assert_allclose(cached, through, atol=1e-3)


def test_fine_tuning_moves_the_last_layers_only(tmp_path: Path) -> None:
    # With validation clips, what the head reached would be kept where fine-tuning is no better.
    dataset = render_dataset(tmp_path / "data", train=2, validation=0, test=0)
    logs: list[EpochLog] = []
    adapter = fresh(fine_tune_layers=4, fine_tune_epochs=2, fine_tune_learning_rate=0.01, num_epochs=2)
    before = dict(fresh(labels=["warm", "cold"]).variables())
    report = adapter.train(dataset, tmp_path / "tuned", logs.append)
    assert [log.phase for log in report.epochs] == ["head", "head", "fine_tune", "fine_tune"]
    after = weights_of(tmp_path / "tuned")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    backbone = {name for name in moved if not name.startswith("scores_")}
    assert backbone
    assert backbone <= {"head_conv/kernel", "head_bn/gamma", "head_bn/beta"}, "batch statistics and early layers stay"
    model = open_model(tmp_path / "tuned")
    clip = read_clip(dataset.parent / "cold0.mp4", model.input_spec)
    np.testing.assert_allclose(model.predict([clip])[0].scores, adapter.predict([clip])[0].scores, atol=1e-6)


def test_fine_tuning_that_makes_it_worse_keeps_the_head(dataset: Path, tmp_path: Path) -> None:
    adapter = fresh(fine_tune_layers=4, fine_tune_epochs=2, fine_tune_learning_rate=10.0, num_epochs=6)
    before = dict(fresh(labels=["warm", "cold"]).variables())
    report = adapter.train(dataset, tmp_path / "tuned")
    assert [log.epoch for log in report.epochs if log.best and log.phase == "fine_tune"] == []
    assert report.epochs[report.best_epoch].phase == "head"
    after = weights_of(tmp_path / "tuned")
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {
        name for name in before if name.startswith("scores_")
    }


def test_freeze_layers_says_the_same(dataset: Path, tmp_path: Path) -> None:
    total = fresh().build_network().backbone.layer_count
    adapter = fresh(freeze_layers=total - 4, fine_tune_epochs=1, num_epochs=1, fine_tune_learning_rate=0.01)
    adapter.train(dataset, tmp_path / "tuned")
    before, after = fresh(labels=["warm", "cold"]).variables(), weights_of(tmp_path / "tuned")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name for name in moved if not name.startswith("scores_")} <= {
        "head_conv/kernel",
        "head_bn/gamma",
        "head_bn/beta",
    }


def test_a_trained_bundle_is_trained_on(
    trained: tuple[Path, Any, list[EpochLog]], dataset: Path, tmp_path: Path
) -> None:
    model = open_model(trained[0])
    report = model.train(dataset, tmp_path / "more")
    assert report.labels == ("warm", "cold")
    assert report.epochs[0].loss <= trained[1].epochs[0].loss
    other = render_dataset(tmp_path / "other", train=1, validation=1, test=0)
    other.write_text(other.read_text().replace('"label": "cold"', '"label": "icy"'))
    with pytest.raises(DatasetError, match="icy"):
        open_model(trained[0]).train(other, tmp_path / "never")


def test_int8_is_calibrated_on_training_clips(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On as many as the config says, of both classes, and on none of those that the model is judged by."""
    used: list[str] = []

    def noted(self: ModelAdapter, network: Any, quantize: Any, calibration: Any) -> bytes:
        if quantize == "int8":
            used.extend(Path(clip.source).name for clip in calibration)
        return convert(self, network, quantize, calibration)

    convert = ModelAdapter.convert_network
    monkeypatch.setattr(ModelAdapter, "convert_network", noted)
    fresh(quantize="int8", num_epochs=1, calibration_clips=4).train(dataset, tmp_path / "model")
    assert any(name.startswith("int8") for name in read_bundle(tmp_path / "model").programs)
    assert sorted(used) == ["cold0.mp4", "cold2.mp4", "warm0.mp4", "warm2.mp4"]


def test_a_clip_that_cannot_be_read_is_set_aside(dataset: Path, tmp_path: Path) -> None:
    path = render_dataset(tmp_path / "data", train=3, validation=1, test=0)
    (path.parent / "warm1.mp4").write_bytes(b"not a video")
    report = fresh(num_epochs=1, augment_views=0).train(path, tmp_path / "model")
    assert report.clips["train"] == 5
    assert len(report.skipped) == 1
    assert "warm1.mp4" in report.skipped[0]


def test_a_class_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = render_dataset(tmp_path / "data", train=1, validation=1, test=0)
    (path.parent / "warm0.mp4").write_bytes(b"not a video")
    with pytest.raises(DatasetError, match=r"'warm'.*warm0\.mp4"):
        fresh().train(path, tmp_path / "model")


def test_one_class_is_an_error(tmp_path: Path) -> None:
    path = render_dataset(tmp_path / "data", train=2, validation=1, test=0)
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"warm"' in line))
    with pytest.raises(DatasetError, match="warm"):
        fresh().train(path, tmp_path / "model")


def test_positive_label_must_be_there(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="hot"):
        fresh(positive_label="hot").train(dataset, tmp_path / "model")


def test_multi_label(tmp_path: Path) -> None:
    """Each label is learned by itself: a clip may show several."""
    folder = tmp_path / "data"
    folder.mkdir()
    shown = [["warm"], ["cold"], ["warm", "slow"], ["cold", "slow"], ["warm"], ["cold", "slow"]]
    rows = []
    for number, labels in enumerate(shown):
        render_video(folder / f"{number}.mp4", labels[0], number)
        split = "train" if number < 4 else "validation"
        rows.append({"path": f"{number}.mp4", "label": labels, "split": split})
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"head": [], "augment_views": 0, "num_epochs": 120, "learning_rate": 0.05}
    report = fresh(task="multi_label", **settings).train(folder / "dataset.jsonl", tmp_path / "model")
    assert report.labels == ("warm", "cold", "slow")
    assert report.epochs[-1].loss < 0.7 * report.epochs[0].loss
    model = open_model(tmp_path / "model")
    found = model.predict([read_clip(folder / f"{number}.mp4", model.input_spec) for number in range(6)])
    for labels, prediction in zip(shown, found, strict=True):
        assert (prediction.score_of("warm") > 0.5, prediction.score_of("cold") > 0.5) == (
            "warm" in labels,
            "cold" in labels,
        )
    assert max(abs(prediction.scores.sum() - 1) for prediction in found) > 0.1


def test_output_that_cannot_be_written(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        fresh(num_epochs=1).train(dataset, tmp_path / "file" / "model")
