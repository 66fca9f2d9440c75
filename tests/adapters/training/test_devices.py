"""Training on several devices and in 16 bits, with two virtual processors standing in for GPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python
from tiny_videos import render_dataset

from adapters.bundle import read_bundle
from adapters.errors import ConfigError, TrainingError
from adapters.training.devices import mixed_precision, pick_devices

tf = pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SMALL: dict[str, Any] = {
    "weights": "random",
    "imgz": 32,
    "n_frames": 2,
    "fps": 4,
    "num_epochs": 2,
    "batch_size": 3,
    "augment_views": 0,
    "early_stopping_patience": None,
    "head": [{"units": 16, "activation": "relu"}, {"dropout": 0.3}],
    "fine_tune_layers": 1,
    "fine_tune_epochs": 2,
    "fine_tune_learning_rate": 0.001,
}
# Two logical processors have to be asked for before TensorFlow first looks for devices, so a process of its own.
SCRIPT = """
import contextlib, json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from adapters.training.devices import mixed_precision, pick_devices
from adapters.base import TrainOptions
from adapters.errors import AdapterError
from adapters.training.fit_settings import FitData, FitSettings
from adapters.training.fitting import Fitter
from adapters.training.head import build_head
from adapters.inference.loading import open_model
from adapters.training.variables import random_variables

data, folder = json.loads(sys.argv[1])
RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(11, 2, 9, 9, 4)).astype(np.float32)
TARGETS = np.eye(2, dtype=np.float32)[(CLIPS.mean(axis=(1, 2, 3, 4)) > 0).astype(int)]
KERNEL = RNG.normal(size=(3, 3, 4, 8)).astype(np.float32)
HEAD = {"head": [{"units": 8, "activation": "relu"}, {"dropout": 0.5}], "positive_label": None, "task": "single_label"}

def told_to(epochs, stop_after):
    def told(log):
        epochs.append([log.phase, log.epoch, log.loss, log.accuracy, log.val_loss])
        if len(epochs) == stop_after:
            raise KeyboardInterrupt
    return told

# A convolution and a head with dropout, on a number of clips that neither batches nor devices divide.
def fit(name, devices, mixed=False, stop_after=None):
    replicas, epochs = pick_devices(devices), []
    with replicas.scope():
        kernel = tf.Variable(KERNEL)
        head, step = build_head(HEAD, 8, 2)
    for variable, value in zip(head.variables, random_variables(head, 1).values()):
        variable.assign(value)
    def forward(clips, training):
        items = tf.reshape(clips, [-1, 9, 9, 4])
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(items, kernel, 1, "SAME")), [1, 2])
        return tf.reshape(head(features, training=training), [-1, 2, 2])
    trained = [kernel, *head.trainable_variables]
    examples = FitData(lambda rows, epoch: CLIPS[rows], TARGETS, np.linspace(0.5, 2, 11).astype(np.float32))
    with mixed_precision(mixed) as scale, contextlib.suppress(KeyboardInterrupt):
        settings = FitSettings("fine_tune", 4, 0.01, 3, 7, None, True, "key", loss_scale=scale)
        Fitter(forward, trained, trained, step, settings, Path(folder, name), replicas).fit(
            examples, examples, told_to(epochs, stop_after)
        )
    return [epochs, [v.dtype.name for v in trained], [v.numpy().tolist() for v in trained]]

def train(name, devices, **changes):
    model, epochs = open_model("movinet_a0_stream", {**json.loads(sys.argv[2]), **changes}), []
    try:
        model.train(data, f"{folder}/{name}", told_to(epochs, None), TrainOptions(devices=devices))
    except AdapterError as error:
        return f"{type(error).__name__}: {error}"
    return epochs

print(json.dumps({"one": train("one", 1), "two": train("two", "all")} if "models" in sys.argv else {
    "fit 1": fit("fit1", 1), "fit 2": fit("fit2", 2),
    "stopped": fit("cut", 2, stop_after=2), "gone on": fit("cut", 2), "gone on alone": fit("fit2", 1),
    "16 bits": fit("bits", 2, mixed=True),
    "on three": train("never", 3), "small batch": train("never", 2, batch_size=1),
}))
"""


def told_by_a_process(folder: Path, *what: str) -> dict[str, Any]:
    data = render_dataset(folder / "data", train=4, validation=2, test=0)
    variables = {"CLIPLAB_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = python(SCRIPT, json.dumps([str(data), str(folder)]), json.dumps(SMALL), *what, env=variables)
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder, and what each training told: on one device, on two, stopped and gone on with, refused."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, told_by_a_process(folder)


def test_two_devices_fit_as_one_does(trained: tuple[Path, dict[str, Any]]) -> None:
    """Same clips in each batch, same dropout, same steps: what differs is the order of sums."""
    (epochs, _, alone), (shared_epochs, _, shared) = trained[1]["fit 1"], trained[1]["fit 2"]
    for one, two in zip(epochs, shared_epochs, strict=True):
        assert two == [*one[:2], *(pytest.approx(value, rel=1e-4) for value in one[2:])]
    for one, two in zip(alone, shared, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4)


@pytest.mark.slow
def test_a_model_trains_on_two_devices_as_on_one(tmp_path: Path) -> None:
    told, folder = told_by_a_process(tmp_path, "models"), tmp_path
    assert [epoch[:2] for epoch in told["one"]] == [["head", 0], ["head", 1], ["fine_tune", 0], ["fine_tune", 1]]
    for one, two in zip(told["one"], told["two"], strict=True):
        assert two == [*one[:2], *(pytest.approx(value, rel=1e-3) for value in one[2:])]
    alone, shared = read_bundle(folder / "one").weights(), read_bundle(folder / "two").weights()
    for key, value in alone.items():
        np.testing.assert_allclose(shared[key], value, atol=1e-3, err_msg=key)


def test_stopped_on_two_devices_goes_on_to_the_same_bits(trained: tuple[Path, dict[str, Any]]) -> None:
    told = trained[1]
    assert told["stopped"][0] == told["fit 2"][0][:2]
    assert told["gone on"][0] == told["fit 2"][0][2:]
    assert told["gone on"][2] == told["fit 2"][2]


def test_a_run_on_two_devices_may_go_on_with_one(trained: tuple[Path, dict[str, Any]]) -> None:
    epochs, _, weights = trained[1]["gone on alone"]
    assert epochs == [], "all epochs stand in the checkpoint"
    assert weights == trained[1]["fit 2"][2]


def test_mixed_precision_computes_otherwise_and_keeps_float32_variables(trained: tuple[Path, dict[str, Any]]) -> None:
    (exact, _, _), (rough, dtypes, _) = trained[1]["fit 2"], trained[1]["16 bits"]
    assert [epoch[2] for epoch in rough] == pytest.approx([epoch[2] for epoch in exact], rel=0.05)
    assert [epoch[2] for epoch in rough] != pytest.approx([epoch[2] for epoch in exact], rel=1e-6)
    assert set(dtypes) == {"float32"}


def test_more_devices_than_there_are_or_than_clips_in_a_batch(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, told = trained
    assert told["on three"].startswith(
        "TrainingError: 3 devices are requested, but TensorFlow sees 2: CPU:0, CPU:1. Use at most 2"
    )
    assert '"batch_size" is 1 and 2 devices share each batch' in told["small batch"]
    assert not list(folder.glob("never*"))


def test_devices_are_a_number_or_all() -> None:
    assert pick_devices(1).count == 1
    for wrong in (0, -1, True, "two", 1.5):
        with pytest.raises(ConfigError, match='at least 1, or "all"'):
            pick_devices(wrong)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="99 devices are requested, but TensorFlow sees"):
        pick_devices(99)


def test_mixed_precision_is_for_its_block_only() -> None:
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("on a GPU auto means 16 bits; run this where TensorFlow sees none")
    items = np.random.default_rng(0).normal(size=(2, 9, 9, 4)).astype(np.float32)
    kernel = tf.constant(np.random.default_rng(1).normal(size=(3, 3, 4, 4)).astype(np.float32))

    def twice(x: Any) -> Any:
        return tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), kernel, 1, "SAME")

    exact = twice(items).numpy()

    def difference(wanted: Any) -> float:
        function = tf.function(twice)
        with mixed_precision(wanted) as scale:
            assert scale == 1
            found = function(items)
        assert found.dtype == tf.float32
        return float(np.abs(found - exact).max() / np.abs(exact).max())

    assert difference("auto") < 1e-5
    assert 1e-5 < difference(True) < 0.05
    assert difference(False) < 1e-5
