"""`train` as a person watches it: short options, the device, a line for each epoch, and memory that runs out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import Ran, cli
from small_network import SMALL_NETWORK
from tiny_videos import render_dataset

from adapters.errors import TrainingError
from adapters.training.fit_settings import FitData, FitSettings
from adapters.training.fitting import Fitter

tf = pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SMALL = ("weights=random", "imgz=32", "n_frames=2", "augment_views=0", "early_stopping_patience=null")


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


def train(*arguments: object) -> Ran:
    settings = [word for key in SMALL for word in ("--set", key)]
    return cli("train", SMALL_NETWORK, *arguments, *settings)


def test_short_options_device_and_epochs(tmp_path: Path) -> None:
    data = render_dataset(tmp_path / "data", train=2, validation=1, test=0)
    out = tmp_path / "model"
    options = ("--epochs", 2, "--batch-size", 3, "--learning-rate", 0.02, "--output-dir", out, "--json")
    result = train(data, *options)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    config = json.loads((out / "config.json").read_text())
    assert (config["num_epochs"], config["batch_size"], config["learning_rate"]) == (2, 3, 0.02)
    device, clips, *lines = [
        line for line in result.stderr.splitlines() if line.startswith(("device", "clips", "epoch"))
    ]
    assert re.fullmatch(r"device: .PU:0, .+, \d+\.\d GiB", device)
    assert clips == "clips: 4 train, 2 validation"
    assert len(lines) == len(report["epochs"]) == 2
    for number, (line, log) in enumerate(zip(lines, report["epochs"], strict=True), 1):
        assert line == (
            f"epoch {number}/2: train loss {log['loss']:.4f}, accuracy {log['accuracy']:.2%}; validation loss "
            f"{log['val_loss']:.4f}, accuracy {log['val_accuracy']:.2%}{' (best)' if log['best'] else ''}"
        )


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    result = train(tmp_path, tmp_path / "out", "--epochs", 2, "--set", "num_epochs=3")
    assert result.exit_code == 2
    assert "--epochs is short for --set num_epochs=..., but both are given" in result.stderr


def fit(folder: Path, batch_size: int, failure: BaseException | None, inside: bool = False) -> None:
    """A fit that fails in its inputs or, inside, as the network is run.

    With failure None the network asks for more memory than there can be: TensorFlow waits 10 s for some to come free.
    """
    kernel = tf.Variable(np.ones((3, 1), np.float32))

    def fail(values: np.ndarray) -> np.ndarray:
        if failure is not None:
            raise failure
        return values

    def inputs(rows: np.ndarray, epoch: int | None) -> np.ndarray:
        values = np.ones((len(rows), 3), np.float32)
        return values if inside else fail(values)

    def forward(values: tf.Tensor, training: bool) -> tf.Tensor:
        if failure is None:
            values += tf.reduce_max(tf.random.uniform([tf.shape(values)[0] * 2**16, 2**16, 2**16]))
        elif inside:
            values = tf.reshape(tf.numpy_function(fail, [values], tf.float32), [-1, 3])
        return tf.sigmoid(tf.matmul(values, kernel))[:, None]  # one item of each clip

    settings = FitSettings("fine_tune", 2, 0.1, batch_size, 0, None, False, "key")
    fitter = Fitter(forward, [kernel], [kernel], tf.Variable([0, 0]), settings, folder / "state.safetensors")
    fitter.fit(FitData(inputs, np.ones((40, 1), np.float32), np.ones(40, np.float32)), None, None)


@pytest.mark.parametrize(
    ("failure", "inside"),
    [
        pytest.param(None, True, id="allocated", marks=pytest.mark.slow),
        pytest.param(MemoryError(), True, id="network"),
        pytest.param(MemoryError(), False, id="numpy"),
        pytest.param(tf.errors.ResourceExhaustedError(None, None, "OOM of a tensor"), False, id="tensorflow"),
    ],
)
def test_memory_that_runs_out_names_a_batch_size(tmp_path: Path, failure: BaseException | None, inside: bool) -> None:
    with pytest.raises(TrainingError, match=r"out of memory while fine-tuning on .PU:0 .* 32\. Try --batch-size 16 "):
        fit(tmp_path, 32, failure, inside)
    with pytest.raises(TrainingError, match=r"a batch size of 1\. This is the smallest batch size: lower imgz"):
        fit(tmp_path, 1, failure, inside)
