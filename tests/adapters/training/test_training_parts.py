"""Parts of a training alone, without TensorFlow: variables, devices in words, which epoch is best, notes, weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from adapters.data import Example
from adapters.data.examples import PreparedFrames
from adapters.errors import DatasetError, StorageError, TrainingError, WeightsError
from adapters.reports import EpochLog
from adapters.training.calibration import clip_probabilities, fit_temperature
from adapters.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from adapters.training.clip_features import LabelledFeatures
from adapters.training.devices import PROCESSOR, Replicas, check_batch, describe_processor, out_of_memory
from adapters.training.feature_store import FeatureStore
from adapters.training.fit_settings import FitResult, FitSettings, epoch_rank, learning_rate_after
from adapters.training.head import head_layers, is_linear
from adapters.training.held_out_figures import held_out_notes, threshold_rows
from adapters.training.out_of_fold import divide_clips, division_warnings, right_labels
from adapters.training.training_data import TrainingData, clips_note, label_features, with_chosen_sources
from adapters.training.variables import random_values, require_variables

# Variables


def test_kernels_are_drawn_by_what_each_output_sees_and_norms_are_the_identity() -> None:
    shapes = {
        "a/kernel": (3, 3, 64, 64),
        "a/depthwise_kernel": (3, 3, 512, 1),
        "a/gamma": (5,),
        "a/moving_variance": (5,),
        "a/bias": (5,),
        "a/beta": (5,),
        "a/moving_mean": (5,),
    }
    found = random_values(shapes, 7)
    assert {name: value.shape for name, value in found.items()} == shapes
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    assert found["a/kernel"].std() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.05)
    assert found["a/depthwise_kernel"].std() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    for name, value in (("gamma", 1), ("moving_variance", 1), ("bias", 0), ("beta", 0), ("moving_mean", 0)):
        assert (found[f"a/{name}"] == value).all()


def test_a_variable_draws_by_the_seed_and_its_name_alone() -> None:
    alone = random_values({"a/kernel": (4, 4)}, 7)["a/kernel"]
    beside = random_values({"b/kernel": (4, 4), "a/kernel": (4, 4)}, 7)
    np.testing.assert_array_equal(beside["a/kernel"], alone)
    assert (beside["b/kernel"] != alone).any()
    assert (random_values({"a/kernel": (4, 4)}, 8)["a/kernel"] != alone).any()


@pytest.mark.parametrize(
    "values, words",
    [
        ({}, r"net: the weights have no 'x' \(2 are missing of 2\)"),
        ({"x": np.zeros(2)}, r"net: the weights have no 'yy' \(1 is missing of 2\)"),
        ({"x": np.zeros(2), "yy": np.zeros(3), "yyy": np.zeros(1)}, r"net has no variable 'yyy' \(1 is unknown of 3\)"),
        ({"x": np.zeros(3), "yy": np.zeros(3)}, r"net: 'x' is \[2\], but the weights have \[3\]"),
        ({"x": np.zeros(2), "yy": np.array([0, np.nan, 0])}, "net: the weights for 'yy' hold values"),
        ({"x": np.array(["a", "b"]), "yy": np.zeros(3)}, "net: the weights for 'x' hold values"),
    ],
)
def test_weights_that_do_not_fit_are_named(values: dict[str, Any], words: str) -> None:
    shapes = {"x": (2,), "yy": (3,)}
    with pytest.raises(WeightsError, match=words):
        require_variables(shapes, values, "net")
    require_variables(shapes, {"x": np.zeros(2), "yy": np.ones(3, np.int32)}, "net")


def test_variances_below_zero_are_refused_before_they_become_features() -> None:
    shapes = {"bn/moving_variance": (2,), "bn/beta": (2,)}
    good = {"bn/moving_variance": np.zeros(2), "bn/beta": -np.ones(2)}
    require_variables(shapes, good, "net")
    with pytest.raises(WeightsError, match=r"net: .*'bn/moving_variance' hold variances below 0 \(-0.5\)"):
        require_variables(shapes, {**good, "bn/moving_variance": np.array([1, -0.5])}, "net")


# Devices


@pytest.mark.parametrize("size, count, smaller", [(8, 1, 4), (9, 2, 4), (10, 4, 4), (3, 1, 1), (2, 2, 0), (1, 1, 0)])
def test_the_next_batch_size_is_half_and_a_multiple_of_the_devices(size: int, count: int, smaller: int) -> None:
    text = str(out_of_memory(size, Replicas(tuple(f"GPU:{n}" for n in range(count)), None), "head"))
    assert f"training the head on {', '.join(f'GPU:{n}' for n in range(count))} with a batch size of {size}" in text
    assert (f"Try --batch-size {smaller} (batch_size={smaller})" in text) is (smaller > 0)
    assert ("smallest batch size" in text) is (smaller == 0)
    assert "while fine-tuning on CPU:0" in str(out_of_memory(4, PROCESSOR, "fine_tune"))


def test_a_batch_has_a_clip_for_each_device() -> None:
    pair = Replicas(("GPU:0", "GPU:1"), None)
    check_batch(2, pair)
    with pytest.raises(TrainingError, match='"batch_size" is 1 and 2 devices'):
        check_batch(1, pair)
    assert describe_processor().startswith("CPU:0, ")


# Epochs


def log(loss: float, val_loss: float | None = None, val_accuracy: float | None = None, best: bool = False) -> EpochLog:
    return EpochLog("head", 0, loss, 0.5, val_loss, val_accuracy, 1.0, best)


def test_an_epoch_is_better_by_loss_or_by_accuracy_and_then_loss() -> None:
    assert epoch_rank(log(3, 2, 0.25), "val_loss") == (2,)
    assert epoch_rank(log(3, 2, 0.25), "val_accuracy") == (-0.25, 2)
    assert epoch_rank(log(3), "val_loss") == (3,)
    assert epoch_rank(log(3), "val_accuracy") == (-0.5, 3)
    assert epoch_rank(log(3, 2), "val_accuracy") == (2,)


@pytest.mark.parametrize(
    "best, patience, rate",
    [("", 1, 0.8), ("0", 1, 0.4), ("1", 1, 0.8), ("00", 1, 0.2), ("00", 2, 0.4), ("0100", 2, 0.4), ("0000", 2, 0.2),
     ("0010", 2, 0.4), ("0000", None, 0.8)],
)  # fmt: skip
def test_the_learning_rate_is_halved_after_epochs_without_a_better_one(
    best: str, patience: int | None, rate: float
) -> None:
    settings = FitSettings("head", 9, 0.8, 2, 0, None, True, "k", decay_patience=patience)
    assert learning_rate_after([log(1, best=mark == "1") for mark in best], settings) == pytest.approx(rate)


def test_the_kept_epoch_is_the_last_best_one_or_the_start() -> None:
    first, second, start = log(1, best=True), log(2, best=True), log(3)
    assert FitResult((first, second, log(4)), 1, "finished").kept is second
    assert FitResult((log(4),), None, "finished", start=start).kept is start
    assert FitResult((), None, "finished").kept is None


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "other"},
        {"saved": [(2,), (3,)]},
        {"saved": [(3,)]},
        {"optimizer": []},
        {"optimizer": [(9,)]},
    ],
)
def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, "key", Checkpoint([np.zeros(2)], [np.ones(2)], [np.full(1, 5.0)], (log(1),), None))
    own: dict[str, Any] = {"key": "key", "saved": [(2,)], "optimizer": [(1,)]}
    found = read_checkpoint(path, **own)
    assert found is not None
    assert (found.stopped, found.logs, found.optimizer[0][0]) == (None, (log(1),), 5)
    assert read_checkpoint(path, **{**own, **changes}) is None


def test_a_checkpoint_of_another_version_is_passed_over_and_a_damaged_one_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save

    path = tmp_path / "c.safetensors"
    arrays = {"now/0": np.zeros(2), "best/0": np.zeros(2)}
    for logs in ('[{"epoch": 1}]', "{", '[{"phase": "head", "new_field": 1}]'):
        path.write_bytes(save(arrays, metadata={"key": "key", "logs": logs, "stopped": "null"}))
        assert read_checkpoint(path, "key", [(2,)], []) is None
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(TrainingError, match=r"c\.safetensors: the checkpoint is damaged"):
        read_checkpoint(path, "key", [(2,)], [])


# Layers of a head


def test_dense_layers_are_named_in_order_and_the_last_is_the_output() -> None:
    layers = [{"units": 7, "activation": "relu"}, {"dropout": 0.5}, {"units": 5}]
    assert head_layers({"head": layers}, 3) == [
        ("scores_dense0", layers[0]),
        ("scores_dense1", layers[2]),
        ("scores_output", {"units": 3}),
    ]


@pytest.mark.parametrize(
    "layers, aggregation, linear",
    [([], "mean", True), ([{"dropout": 0.5}], "mean", True), ([{"units": 3}], "mean", False), ([], "max", False),
     ([], None, True)],
)  # fmt: skip
def test_a_head_is_linear_without_hidden_layers_where_items_are_averaged(
    layers: list[dict[str, Any]], aggregation: str | None, linear: bool
) -> None:
    config = {"head": layers} | ({} if aggregation is None else {"aggregation": aggregation})
    assert is_linear(config) is linear


# Clips


def example(name: str, *labels: str, group: str = "", frames: PreparedFrames | None = None) -> Example:
    return Example(Path(f"/v/{name}"), labels, group=group, frames=frames)


CONFIG: dict[str, Any] = {"task": "single_label", "positive_label": None, "class_weights": "balanced"}


def test_features_carry_targets_weights_groups_and_the_kind_of_loss() -> None:
    clips = [example("a.mp4", "x", group="g"), example("b.mp4", "y", group="f"), example("c.mp4", "x", group="g")]
    values = np.zeros((3, 1, 2), np.float32)
    found = label_features(values, clips, ("x", "y"), CONFIG)
    assert found.targets.tolist() == [[1, 0], [0, 1], [1, 0]]
    np.testing.assert_allclose(found.weights, [0.75, 1.5, 0.75])
    assert found.groups.tolist() == [1, 0, 1]
    assert found.exclusive
    by_others = label_features(values, clips, ("x", "y"), CONFIG, train=clips[:2])
    np.testing.assert_allclose(by_others.weights, [1, 1, 1])
    assert not label_features(values, clips, ("x", "y"), {**CONFIG, "task": "multi_label"}).exclusive
    taken = found.take(np.array([1]))
    assert (taken.groups.tolist(), taken.targets.tolist(), taken.weights.tolist()) == ([0], [[0, 1]], [1.5])
    assert taken.exclusive


def test_prepared_frames_are_counted_where_the_video_is_missing(tmp_path: Path) -> None:
    (tmp_path / "here.mp4").write_bytes(b"x")
    frames = PreparedFrames(tmp_path, ("1.jpg", "2.jpg"), 1.0)
    clips = tuple(Example(tmp_path / name, ("x",), frames=frames) for name in ("here.mp4", "gone.mp4", "also gone.mp4"))
    data = TrainingData(("x",), clips, (clips[1],), {"train": 3})
    seen = with_chosen_sources(data, single_frames=True)
    assert [item.frames is not None for item in (*seen.train, *seen.validation)] == [False, True, True, True]
    assert clips_note(seen) == (
        "clips: 3 train, 1 validation; for 3 the video is missing and the prepared frames are used"
    )
    assert clips_note(with_chosen_sources(data, single_frames=False)) == "clips: 3 train, 1 validation"


# Calibration


def features(targets: Any, groups: Any = None, exclusive: bool = True) -> LabelledFeatures:
    wanted = np.asarray(targets, np.float32)
    count = len(wanted)
    own = np.arange(count) if groups is None else np.asarray(groups)
    return LabelledFeatures(np.zeros((count, 1, 2), np.float32), wanted, np.ones(count, np.float32), own, exclusive)


def test_a_temperature_flattens_the_mean_of_items() -> None:
    logits = np.array([[[2.0, 0.0], [0.0, 0.0]]])
    sure = 1 / (1 + math.exp(-2))
    np.testing.assert_allclose(clip_probabilities(logits, 1.0, True), [[(sure + 0.5) / 2, (1.5 - sure) / 2]])
    flat = 1 / (1 + math.exp(-1))
    np.testing.assert_allclose(clip_probabilities(logits, 2.0, True)[0, 0], (flat + 0.5) / 2)
    np.testing.assert_allclose(clip_probabilities(logits, 1.0, False), [[(sure + 0.5) / 2, 0.5]])


@pytest.mark.parametrize("exclusive", [True, False])
def test_scores_that_are_too_sure_are_flattened_and_timid_ones_sharpened(exclusive: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 4000)
    right = rng.random(4000) < 0.8
    shown = np.where(right, truth, 1 - truth)
    wanted = math.log(4)  # of a share of 0.8
    for strength in (4.0, 0.25):
        gap = strength * wanted
        sign = np.eye(2)[shown] * 2 - 1
        logits = (sign * gap / (2 if exclusive else 1))[:, None, :]
        found, loss = fit_temperature(logits, features(np.eye(2)[truth], exclusive=exclusive))
        assert found == pytest.approx(strength, rel=0.15)
        assert loss == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)), abs=0.03)


def test_rows_that_are_not_finite_and_clips_of_no_weight_do_not_count() -> None:
    logits = np.array([[[3.0, 0.0]], [[np.nan, 0.0]], [[2.0, 0.0]]])
    targets = [[1, 0], [0, 1], [0, 1]]
    whole = fit_temperature(logits, features(targets))
    assert whole == fit_temperature(logits[[0, 2]], features([targets[0], targets[2]]))
    assert fit_temperature(logits[1:2], features(targets[1:2])) == (1.0, float("inf"))
    light = replace(features(targets), weights=np.array([1, 1, 0], np.float32))
    assert fit_temperature(logits, light) != whole


# Folds


def test_clips_that_cannot_be_divided_are_refused() -> None:
    for data, words in (
        (features(np.eye(2)[[0, 1, 0]]), "at least 4 readable clips, got 3"),
        (features(np.eye(2)[[0, 0, 0, 0]]), "all 4 readable clips have the same labels"),
        (replace(features(np.eye(2)[[0, 1, 0, 1]]), features=np.full((4, 1, 2), np.nan, np.float32)), "not finite"),
        (features(np.eye(4)), "each class has a single clip"),
    ):
        with pytest.raises(DatasetError, match=words):
            divide_clips(data, "folds", 0)
    four = features(np.eye(2)[[0, 1, 0, 1]])
    for division in ([0, 1, 0], [0.0, 1.0, 0.0, 1.0]):
        with pytest.raises(ValueError, match="4 whole numbers, one for each clip"):
            divide_clips(four, cast(Any, division), 0)
    with pytest.raises(DatasetError, match="all clips are in one fold"):
        divide_clips(four, [1, 1, 1, 1], 0)


def test_folds_of_given_numbers_and_of_groups() -> None:
    data = features(np.eye(2)[[0, 1, 0, 1]], [5, 5, 7, 7])
    for division in ("groups", [1, 1, 2, 2]):
        found = divide_clips(data, cast(Any, division), 0)
        assert [(learn.tolist(), judge.tolist()) for learn, judge in found] == [([2, 3], [0, 1]), ([0, 1], [2, 3])]
    several = divide_clips(features(np.eye(2)[[0, 1] * 8]), "folds", 0, most=4)
    assert len(several) == 4
    assert sorted(row for _, judge in several for row in judge.tolist()) == list(range(16))


@pytest.mark.parametrize(
    "groups, numbers, words",
    [
        ([1, 1, 1, 1], [0, 0, 1, 1], "all 4 clips are in one group"),
        ([1, 2, 1, 2], [0, 0, 1, 1], "clips of one group are in several folds"),
        ([1, 1, 2, 2], [0, 0, 1, 1], None),
    ],
)
def test_what_is_unusual_of_a_division_is_said(groups: list[int], numbers: list[int], words: str | None) -> None:
    data = features(np.eye(2)[[0, 1, 0, 1]], groups)
    found = division_warnings(data, ("x", "y"), CONFIG, divide_clips(data, numbers, 0))
    assert [words in sentence for sentence in found] == [True] if words else found == []


def test_classes_without_clips_and_classes_that_a_head_never_saw_are_named() -> None:
    data = features(np.eye(3)[[0, 1, 0, 0]], [1, 2, 3, 4])
    found = " ".join(division_warnings(data, ("x", "y", "z"), CONFIG, divide_clips(data, [0, 1, 0, 1], 0)))
    assert "no readable clip has the label 'z'" in found
    assert "clips of 'y' are always judged by a head that has not seen the class" in found
    binary = features([[1], [0], [0], [0]], [1, 2, 3, 4])
    config = {**CONFIG, "positive_label": "y"}
    (only,) = division_warnings(binary, ("x", "y"), config, divide_clips(binary, [0, 1, 0, 1], 0))
    assert "clips of 'y' are always judged" in only


def test_a_clip_is_right_by_its_top_class_or_by_every_class() -> None:
    scores = np.array([[0.6, 0.4], [0.5, 0.7], [0.2, 0.5]], np.float32)
    truth = np.array([[True, False], [True, False], [False, True]])
    assert right_labels(scores, truth, True).tolist() == [True, False, True]
    assert right_labels(scores, truth, False).tolist() == [True, False, True]
    assert right_labels(scores, ~truth, False).tolist() == [False, False, False]


# Words on figures


def figures(**changes: Any) -> dict[str, Any]:
    return {"accuracy": 0.8, "interval": [0.6, 0.9], "clips": 40, "groups": 8, "largest_class_share": 0.5, **changes}


def test_what_held_out_clips_say() -> None:
    report = {"notes": ["a remark", "worse than the largest class"]}
    calibration = {"temperature": 1.5, "clips": 30, "fitted_on": "out_of_fold", "error_before": 0.25}
    metrics: dict[str, Any] = {
        "cross_validation": figures(),
        "out_of_fold": report,
        "calibration": {**calibration, "error_after": 0.125},
    }
    notes = held_out_notes(metrics)
    assert notes[0] == (
        "cross-validation: accuracy 80% (95% interval 60% to 90%; 40 clips in 8 groups, each judged by a head that did "
        "not see its group)"
    )
    assert notes[1] == "a remark"
    assert "temperature 1.50 on 30" in notes[2]
    assert "calibration error 0.250 before, 0.125 after" in notes[2]
    assert len(notes) == 3
    one = held_out_notes({**metrics, "cross_validation": figures(groups=1)})
    assert "40 clips of one group" in one[0]
    for share, said in ((0.59, False), (0.6, True), (0.7, True)):
        found = " ".join(held_out_notes({**metrics, "cross_validation": figures(largest_class_share=share)}))
        assert ("always answering the largest class" in found) is said


def test_without_held_out_clips_that_is_said_and_thresholds_that_were_asked_for_too() -> None:
    assert held_out_notes({}) == [
        "no clip was held out, so no figure shows how the model does on new clips: label more clips"
    ]
    asked = held_out_notes({"cross_validation": figures(), "out_of_fold": {"notes": []}}, "f1")
    assert "no threshold is chosen for f1" in asked[-1]


def test_validation_figures_have_their_clips_groups_and_notes() -> None:
    names = ("accuracy", "precision", "recall", "f1")
    validation = {
        **dict.fromkeys(names, 0.5),
        "intervals": {key: [0.25, 0.75] for key in names},
        "clips": 9,
        "groups": 1,
    }
    first, second = held_out_notes({"validation": {**validation, "notes": ["few clips"]}})
    assert first.startswith("validation: accuracy 0.50 (95% interval 0.25 to 0.75)")
    assert first.endswith("9 clips in 1 group")
    assert second == "validation: few clips"
    (more,) = held_out_notes({"validation": {**validation, "groups": 2, "notes": []}})
    assert more.endswith("9 clips in 2 groups")


def test_chosen_thresholds_as_rows_of_a_report() -> None:
    entry = {"threshold": 0.5, "recall": 0.75, "value": 1, "reached": True, "held_out": True}
    assert threshold_rows({"classes": {"x": entry}}) == [{"label": "x", "threshold": 0.5, "recall": 0.75}]


# Features on disk


def test_a_store_is_made_with_its_folders_and_keeps_its_first_rows(tmp_path: Path) -> None:
    with FeatureStore(tmp_path / "new" / "deeper", (2,)) as store:
        store.append({"a": np.array([1, 2], np.float32)})
        store.append({"a": np.array([3, 4], np.float32), "b": np.array([5, 6], np.float32)})
        assert (len(store), "a" in store, "c" in store) == (2, True, False)
        assert store.array()[store.rows(["b", "a"])].tolist() == [[5, 6], [1, 2]]
        with pytest.raises(KeyError):
            store.rows(["c"])
        assert store.drop_damaged(["c", "a"]) == []
    with FeatureStore(tmp_path / "new" / "deeper", (2,)) as store:
        assert store.rows(["a", "b"]).tolist() == [0, 1]


def test_a_store_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr("adapters.training.feature_store.descriptor_lock", lambda number: nullcontext(False))
    with pytest.raises(StorageError, match="the file system has no locks"):
        FeatureStore(tmp_path, (2,))
