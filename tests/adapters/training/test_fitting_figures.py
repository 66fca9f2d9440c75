"""The training loop's figures: losses, accuracies, weights of clips, order and what a step is given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.reports import EpochLog
from adapters.training.fit_settings import FitData, FitSettings, epoch_rank
from adapters.training.fitting import Fitter
from adapters.training.losses import clip_losses, cross_entropy

tf = pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SETTINGS: dict[str, Any] = {
    "phase": "head",
    "epochs": 1,
    "learning_rate": 0.5,
    "batch_size": 3,
    "seed": 7,
    "patience": None,
    "exclusive": False,
    "key": "figures",
}


def settings(**changes: Any) -> FitSettings:
    return FitSettings(**{**SETTINGS, **changes})


# Losses ---------------------------------------------------------------------------------------------------------------


def test_the_loss_of_one_right_class_is_minus_the_log_of_its_score() -> None:
    scores = tf.constant([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    targets = tf.constant([[1.0, 0, 0], [0, 1.0, 0]])
    np.testing.assert_allclose(cross_entropy(targets, scores, True), [-math.log(0.7), -math.log(0.1)], rtol=1e-5)


def test_the_loss_of_several_labels_is_the_mean_over_them() -> None:
    scores, targets = tf.constant([[0.7, 0.2]]), tf.constant([[1.0, 0.0]])
    np.testing.assert_allclose(cross_entropy(targets, scores, False), [-(math.log(0.7) + math.log(0.8)) / 2], rtol=1e-5)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_score_of_0_has_a_finite_loss(exclusive: bool) -> None:
    loss = cross_entropy(tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]]), exclusive)
    assert float(loss[0]) == pytest.approx(-math.log(1e-7), rel=0.02)


def test_items_are_right_one_by_one_or_together() -> None:
    """Of a clip with two items, of which one shows the label."""
    scores, targets = tf.constant([[[0.9], [0.1]]]), tf.constant([[1.0]])

    def loss(**changes: Any) -> float:
        return float(clip_losses(targets, scores, settings(**changes))[0])

    assert loss() == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2, rel=1e-5)
    assert loss(aggregation="max") == pytest.approx(-math.log(0.9), rel=1e-5)
    assert loss(aggregation="top_mean", top_fraction=1.0) == pytest.approx(-math.log(0.5), rel=1e-5)
    assert loss(aggregation="top_mean", top_fraction=0.5) == pytest.approx(-math.log(0.9), rel=1e-5)


# Which epoch is better -----------------------------------------------------------------------------------------------


def log(loss: float, accuracy: float, val_loss: float | None = None, val_accuracy: float | None = None) -> EpochLog:
    return EpochLog("head", 0, loss, accuracy, val_loss, val_accuracy, 0.0)


FIGURES = st.sampled_from([0.1, 0.2, 0.5, 0.9])


@given(FIGURES, FIGURES, FIGURES, FIGURES)
def test_epochs_compare_by_loss_or_by_accuracy_and_then_loss(a: float, b: float, c: float, d: float) -> None:
    first, second = log(9, 0, a, b), log(0, 1, c, d)
    assert (epoch_rank(first, "val_loss") < epoch_rank(second, "val_loss")) == (a < c)
    better = b > d or (b == d and a < c)
    assert (epoch_rank(first, "val_accuracy") < epoch_rank(second, "val_accuracy")) == better
    alone, other = log(a, b), log(c, d)  # without validation by training's own figures
    assert (epoch_rank(alone, "val_loss") < epoch_rank(other, "val_loss")) == (a < c)
    assert (epoch_rank(alone, "val_accuracy") < epoch_rank(other, "val_accuracy")) == better


# The loop -------------------------------------------------------------------------------------------------------------


class Probe:
    """A model whose scores are its inputs, moved by one variable; it notes what each step is given."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.offset = tf.Variable(0.0)
        self.step = tf.Variable([0, 0])
        self.inputs: list[tuple[list[int], int | None]] = []
        self.fitter = Fitter(
            self.forward, [self.offset], [self.offset], self.step, settings(**changes), folder / "x.safetensors"
        )

    def forward(self, inputs: Any, training: bool) -> Any:
        return (inputs + self.offset)[:, None]

    def examples(self, scores: Any, targets: Any, weights: Any = None) -> FitData:
        scores, targets = np.asarray(scores, np.float32), np.asarray(targets, np.float32)

        def inputs(rows: Any, epoch: int | None) -> Any:
            self.inputs.append((rows.tolist(), epoch))
            return scores[rows]

        counts = np.ones(len(scores)) if weights is None else weights
        return FitData(inputs, targets, np.asarray(counts, np.float32))


def test_losses_are_weighted_means_and_accuracies_plain_ones(tmp_path: Path) -> None:
    """Also where the last batch is not full."""
    probe = Probe(tmp_path, learning_rate=1e-12)
    scores, targets = [[0.9], [0.2], [0.6], [0.5], [0.3]], [[1], [1], [0], [1], [0]]
    weights = [1, 2, 0.5, 1, 3]
    data = probe.examples(scores, targets, weights)
    result = probe.fitter.fit(data, data, None)
    losses = [-math.log(s if t else 1 - s) for (s,), (t,) in zip(scores, targets, strict=True)]
    mean = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    [epoch] = result.logs
    assert epoch.loss == pytest.approx(mean, rel=1e-4)
    assert epoch.val_loss == pytest.approx(mean, rel=1e-4)
    assert epoch.accuracy == epoch.val_accuracy == pytest.approx(3 / 5)  # 0.5 is a yes
    assert (epoch.phase, epoch.epoch, epoch.best) == ("head", 0, True)


def test_a_clip_of_several_labels_is_right_where_all_are(tmp_path: Path) -> None:
    probe = Probe(tmp_path, learning_rate=1e-12)
    data = probe.examples([[0.9, 0.1], [0.9, 0.8], [0.2, 0.7]], [[1, 0], [1, 0], [0, 1]])
    assert probe.fitter.fit(data, None, None).logs[0].accuracy == pytest.approx(2 / 3)
    other = Probe(tmp_path / "exclusive", learning_rate=1e-12, exclusive=True)
    (tmp_path / "exclusive").mkdir()
    data = other.examples([[0.4, 0.3, 0.3], [0.2, 0.3, 0.5]], [[1, 0, 0], [0, 1, 0]])
    assert other.fitter.fit(data, None, None).logs[0].accuracy == pytest.approx(1 / 2)


def test_each_epoch_takes_every_clip_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    probe = Probe(tmp_path, epochs=3)
    data = probe.examples([[0.5]] * 8, [[1]] * 8)
    validation = probe.examples([[0.5]] * 5, [[1]] * 5)
    probe.fitter.fit(data, validation, None)
    epochs = [[rows for rows, epoch in probe.inputs if epoch == number] for number in range(3)]
    orders = [[row for rows in batches for row in rows] for batches in epochs]
    assert [[len(rows) for rows in batches] for batches in epochs] == [[3, 3, 2]] * 3
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    # Features are validated many at a time.
    assert [rows for rows, epoch in probe.inputs if epoch is None] == [[0, 1, 2, 3, 4]] * 3
    assert probe.step.numpy().tolist() == [7, 2 * 1_000_003 + 2]


def test_whole_clips_are_validated_a_batch_at_a_time(tmp_path: Path) -> None:
    probe = Probe(tmp_path, phase="fine_tune")
    data = probe.examples([[0.5]] * 8, [[1]] * 8)
    probe.fitter.fit(data, data, None)
    assert [rows for rows, epoch in probe.inputs if epoch is None] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_a_clip_of_more_weight_pulls_more(tmp_path: Path) -> None:
    """Two clips that pull against each other."""
    moved = []
    for name, weights in (("a", [1, 4]), ("b", [4, 1]), ("c", [0, 1])):
        (tmp_path / name).mkdir()
        probe = Probe(tmp_path / name, learning_rate=0.01)
        probe.fitter.fit(probe.examples([[0.5], [0.5]], [[1], [0]], weights), None, None)
        moved.append(float(probe.offset.numpy()))
    assert moved == [pytest.approx(-0.01, rel=1e-3), pytest.approx(0.01, rel=1e-3), pytest.approx(-0.01, rel=1e-3)]


def test_a_scaled_loss_gives_the_same_step(tmp_path: Path) -> None:
    found = []
    for number, scale in enumerate((1.0, 1024.0)):
        (tmp_path / str(number)).mkdir()
        probe = Probe(tmp_path / str(number), loss_scale=scale, epochs=3, learning_rate=0.01)
        result = probe.fitter.fit(probe.examples([[0.5], [0.3], [0.6]], [[1], [0], [1]]), None, None)
        found.append((float(probe.offset.numpy()), [item.loss for item in result.logs]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)


def test_without_validation_nothing_stops_early_and_the_least_loss_is_kept(tmp_path: Path) -> None:
    probe = Probe(tmp_path, epochs=6, patience=1, learning_rate=0.3)
    result = probe.fitter.fit(probe.examples([[0.5], [0.4]], [[1], [1]]), None, None)
    assert result.stopped == "finished"
    losses = [item.loss for item in result.logs]
    assert result.best_epoch == losses.index(min(losses))
    assert all(item.val_loss is None and item.val_accuracy is None for item in result.logs)
