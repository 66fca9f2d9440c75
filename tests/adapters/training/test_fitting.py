"""The training loop on a toy: a logistic regression whose data and answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from adapters.errors import TrainingError
from adapters.records import aggregate
from adapters.reports import EpochLog
from adapters.training.fit_settings import FitData, FitResult, FitSettings, clear_gain
from adapters.training.fitting import Fitter
from adapters.training.losses import aggregate_items, cross_entropy

tf = pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

KEY = "toy"


def toy_examples(count: int, seed: int) -> FitData:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    targets = (points @ np.array([1.0, -2.0, 0.5], np.float32) > 0).astype(np.float32)[:, None]
    return FitData(lambda rows, epoch: points[rows], targets, np.ones(count, np.float32))


def make_fitter(folder: Path, forward: Any = None, **changes: Any) -> tuple[Fitter, Any]:
    kernel = tf.Variable(np.full((3, 1), 0.1, np.float32))
    step = tf.Variable([0, 0])

    def logistic(inputs: Any, training: bool) -> Any:
        if training:  # as dropout does: noise that follows from the step alone
            inputs = inputs + 0.1 * tf.random.stateless_normal(tf.shape(inputs), seed=step)
        return tf.sigmoid(tf.matmul(inputs, kernel))[:, None]

    notes: list[str] = changes.pop("notes", [])
    settings = FitSettings("head", 6, 0.05, 16, 7, None, False, KEY)
    settings = FitSettings(**{**vars(settings), **changes})
    chosen = logistic if forward is None else lambda inputs, training: forward(kernel, inputs)
    checkpoint = folder / "state.safetensors"
    return Fitter(chosen, [kernel], [kernel], step, settings, checkpoint, on_note=notes.append), kernel


def stop_after(epoch: int) -> Callable[[EpochLog], None]:
    def hook(log: EpochLog) -> None:
        if log.epoch == epoch:
            raise KeyboardInterrupt

    return hook


def run(folder: Path, hook: Any = None, **changes: Any) -> tuple[FitResult, Any]:
    folder.mkdir(exist_ok=True)
    fitter, kernel = make_fitter(folder, **changes)
    result = fitter.fit(toy_examples(50, 0), toy_examples(30, 1), hook)
    return result, kernel.numpy()


def test_learns(tmp_path: Path) -> None:
    result, _ = run(tmp_path, epochs=30)
    assert result.stopped == "finished"
    assert result.logs[-1].loss < 0.5 * result.logs[0].loss
    assert result.logs[-1].val_accuracy is not None
    assert result.logs[-1].val_accuracy >= 0.9


def test_same_seed_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    first, one = run(tmp_path / "a")
    second, two = run(tmp_path / "b")
    _, three = run(tmp_path / "c", seed=8)
    np.testing.assert_array_equal(one, two)
    assert [log.loss for log in first.logs] == [log.loss for log in second.logs]
    assert np.abs(one - three).max() > 0


@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_interrupted_and_resumed_is_as_if_it_had_not_been(tmp_path: Path, epoch: int) -> None:
    whole, expected = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after(epoch))
    resumed, found = run(tmp_path / "cut")
    np.testing.assert_array_equal(found, expected)
    assert [(log.epoch, log.loss, log.val_loss) for log in resumed.logs] == [
        (log.epoch, log.loss, log.val_loss) for log in whole.logs
    ]


def test_a_checkpoint_of_another_run_is_not_gone_on_from(tmp_path: Path) -> None:
    notes: list[str] = []
    run(tmp_path, epochs=2, notes=notes)
    assert notes == []
    result, _ = run(tmp_path, key="another", notes=notes)
    assert [log.epoch for log in result.logs] == list(range(6))
    assert len(notes) == 1
    assert str(tmp_path) in notes[0]
    assert "first epoch" in notes[0]


def drop_a_variable(arrays: dict[str, Any], about: dict[str, str]) -> None:
    del arrays["optimizer/0"]


def change_a_shape(arrays: dict[str, Any], about: dict[str, str]) -> None:
    arrays["best/0"] = arrays["best/0"].ravel()


def add_a_figure(arrays: dict[str, Any], about: dict[str, str]) -> None:
    about["logs"] = json.dumps([row | {"perplexity": 1.0} for row in json.loads(about["logs"])])


@pytest.mark.parametrize("change", [drop_a_variable, change_a_shape, add_a_figure])
def test_a_checkpoint_of_another_version_is_noted_and_not_gone_on_from(
    change: Callable[[dict[str, Any], dict[str, str]], None], tmp_path: Path
) -> None:
    run(tmp_path, epochs=2)
    path = tmp_path / "state.safetensors"
    with safe_open(path, framework="np") as file:
        about = dict(file.metadata())
    arrays = load_file(path)
    change(arrays, about)
    save_file(arrays, path, metadata=about)
    notes: list[str] = []
    result, kernel = run(tmp_path, notes=notes)
    whole, expected = run(tmp_path / "whole")
    assert "first epoch" in notes[0]
    assert [log.loss for log in result.logs] == [log.loss for log in whole.logs]
    np.testing.assert_array_equal(kernel, expected)


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    run(tmp_path, epochs=2)
    (tmp_path / "state.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 no json here!")
    with pytest.raises(TrainingError, match=r"state\.safetensors.*Delete"):
        run(tmp_path)


def test_early_stopping_restores_the_best_epoch(tmp_path: Path) -> None:
    # So high a rate that the validation loss swings.
    result, kernel = run(tmp_path, epochs=40, patience=3, learning_rate=3.0)
    assert result.stopped == "early_stopping"
    losses = [log.val_loss for log in result.logs if log.val_loss is not None]
    assert result.best_epoch == int(np.argmin(losses))
    assert result.best_epoch is not None
    assert len(result.logs) == result.best_epoch + 4
    data = toy_examples(30, 1)
    scores = 1 / (1 + np.exp(-data.inputs(np.arange(30), None) @ kernel))
    loss = float(np.mean(np.asarray(cross_entropy(data.targets, scores, False))))
    assert loss == pytest.approx(min(losses), rel=1e-5)


def test_best_by_accuracy_and_of_equal_ones_by_loss(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"epochs": 40, "patience": 4, "learning_rate": 0.3, "seed": 2}
    result, kernel = run(tmp_path / "accuracy", keep_best="val_accuracy", **changes)
    by_loss, _ = run(tmp_path / "loss", **changes)
    figures = [(-(log.val_accuracy or 0), log.val_loss) for log in result.logs]
    assert result.best_epoch == figures.index(min(figures)) != by_loss.best_epoch
    assert result.best_epoch is not None
    assert [log.best for log in result.logs] == [not n or figures[n] < min(figures[:n]) for n in range(len(figures))]
    assert result.stopped == "early_stopping"
    assert len(result.logs) == result.best_epoch + 5
    data = toy_examples(30, 1)
    right = (data.inputs(np.arange(30), None) @ kernel > 0) == (data.targets > 0.5)
    assert float(right.mean()) == pytest.approx(-min(figures)[0])


def test_resumed_it_knows_the_best_accuracy_of_before(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"epochs": 12, "learning_rate": 1.0, "keep_best": "val_accuracy"}
    _, expected = run(tmp_path / "whole", **changes)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after(5), **changes)
    _, found = run(tmp_path / "cut", **changes)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("keep_best", ["val_loss", "val_accuracy"])
def test_a_phase_that_makes_it_worse_keeps_what_it_began_with(tmp_path: Path, keep_best: Any) -> None:
    fitter, kernel = make_fitter(tmp_path, patience=2, keep_best=keep_best)
    began = kernel.numpy()
    perfect = EpochLog("head", 3, 0.0, 1.0, 0.0, 1.0, 1.0, best=True)
    result = fitter.fit(toy_examples(50, 0), toy_examples(30, 1), None, perfect)
    assert result.best_epoch is None
    assert (result.stopped, len(result.logs)) == ("early_stopping", 2)
    np.testing.assert_array_equal(kernel.numpy(), began)


def contrary_examples(count: int, contrary: int, seed: int) -> FitData:
    """Two groups: in one the labels are the toy's, in the other the opposite. What helps one harms the other."""
    data = toy_examples(count, seed)
    turned = (np.arange(count) < contrary)[:, None]
    groups = turned[:, 0].astype(np.int64)
    return replace(data, targets=np.where(turned, 1 - data.targets, data.targets), groups=groups)


@pytest.mark.parametrize("keep_best", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_gain_within_the_noise_of_the_clips_keeps_what_it_began_with(
    tmp_path: Path, keep_best: Any, interrupted: bool
) -> None:
    notes: list[str] = []
    train, validation = toy_examples(50, 0), contrary_examples(24, 9, 1)

    def fitted(hook: Any = None) -> tuple[FitResult, Any]:
        fitter, kernel = make_fitter(tmp_path, epochs=8, keep_best=keep_best, notes=notes)
        return fitter.fit(train, validation, hook, fitter.measure(validation)), kernel.numpy()

    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            fitted(stop_after(4))
    result, kernel = fitted()
    assert (result.best_epoch, result.kept) == (None, result.start)
    assert not any(log.best for log in result.logs)
    np.testing.assert_array_equal(kernel, np.full((3, 1), 0.1, np.float32))
    assert any("within its noise" in note for note in notes)


def test_a_clear_gain_is_kept(tmp_path: Path) -> None:
    notes: list[str] = []
    validation = replace(toy_examples(30, 1), groups=np.arange(30) // 5)
    fitter, kernel = make_fitter(tmp_path, epochs=20, notes=notes)
    result = fitter.fit(toy_examples(50, 0), validation, None, fitter.measure(validation))
    assert result.best_epoch is not None
    assert (kernel.numpy() != 0.1).all()
    assert notes == []


def test_clips_of_one_group_count_once() -> None:
    before, weights = np.full(12, 0.7, np.float32), np.ones(12, np.float32)
    after = np.array([0.2] * 6 + [0.9] * 6, np.float32)
    assert clear_gain(before, after, weights)[0]
    clear, gain, error = clear_gain(before, after, weights, np.arange(12) // 6)
    assert (clear, gain) == (False, pytest.approx(0.15))
    assert error == pytest.approx(0.35)  # of two groups, +0.5 and -0.2: half of what they differ by
    assert clear_gain(before, after, weights, np.zeros(12, np.int64))[0], "of one group the clips count"
    assert clear_gain(before[:1], after[:1], weights[:1])[0]
    assert not clear_gain(before, before, weights)[0]


def test_non_finite_loss_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    def breaks_when_moved_far(kernel: Any, inputs: Any) -> Any:
        scores = tf.sigmoid(tf.matmul(inputs, kernel))
        return tf.where(tf.norm(kernel) > 1.5, np.float32(np.nan), scores)[:, None]

    result, kernel = run(tmp_path, forward=breaks_when_moved_far, epochs=50, learning_rate=0.1)
    assert result.stopped == "non_finite_loss"
    assert 0 < len(result.logs) < 50
    assert np.isfinite(kernel).all()


def test_non_finite_from_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="learning rate"):
        run(tmp_path, forward=lambda kernel, inputs: tf.matmul(inputs, kernel)[:, None] * np.float32(np.nan))


def test_false_from_the_hook_stops(tmp_path: Path) -> None:
    result, _ = run(tmp_path, lambda log: log.epoch < 1)
    assert result.stopped == "interrupted"
    assert len(result.logs) == 2


@pytest.mark.parametrize("how", ["mean", "max", "top_mean"])
def test_aggregation_trains_as_it_predicts(how: Any) -> None:
    scores = np.random.default_rng(0).random((4, 7, 3)).astype(np.float32)
    expected = np.stack([aggregate(clip, how, 0.3) for clip in scores])
    np.testing.assert_allclose(aggregate_items(tf.constant(scores), how, 0.3), expected, atol=1e-6)
