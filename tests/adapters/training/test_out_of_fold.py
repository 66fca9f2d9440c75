"""Out-of-fold scores: nothing of the judged clips takes part, and unusual clips are said in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="training needs the train extra: pip install 'cliplab[train]'")

from adapters.config import check_config
from adapters.errors import DatasetError
from adapters.evaluation import calibration_error
from adapters.training import LabelledFeatures, OutOfFold, out_of_fold_scores, right_labels

NAMES = ("a", "b", "c")
ADAPTER = "adapters.models.efficientnet_lite:EfficientNetLiteAdapter"
CONFIG = check_config({"adapter": ADAPTER})


def clips(count: int = 36, groups: int = 4, noise: float = 2.0, seed: int = 0, classes: int = 3) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = rng.normal(size=(classes, 8))
    features = (centres[labels] + noise * rng.normal(size=(count, 8)))[:, None].astype(np.float32)
    targets = np.eye(classes, dtype=np.float32)[labels]
    return LabelledFeatures(features, targets, np.ones(count, np.float32), np.arange(count) * groups // count, True)


def scores(data: LabelledFeatures, **keys: Any) -> OutOfFold:
    return out_of_fold_scores(data, NAMES[: data.targets.shape[1]], CONFIG, **keys)


def accuracy(found: OutOfFold, data: LabelledFeatures) -> float:
    return float(right_labels(found.probabilities, data.targets > 0.5, data.exclusive).mean())


def test_every_clip_has_calibrated_scores_of_one_fold_and_groups_stay_whole() -> None:
    data = clips(96, 6)
    found = scores(data)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert accuracy(found, data) > 0.5
    assert calibration_error(found.probabilities.astype(np.float64), data.targets > 0.5, None, False) < 0.12
    for group in np.unique(data.groups):
        assert len(set(found.fold[data.groups == group])) == 1
    assert found.folds == len(found.temperatures) == len(np.unique(found.fold))
    assert found.warnings == ()


def test_a_seed_gives_the_same_bits() -> None:
    first, again, other = (scores(clips(9, groups=9), seed=seed).probabilities for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_judged_clips_have_no_part_in_their_scores() -> None:
    """Other labels of one fold's clips leave its scores as they were."""
    data = clips()
    division = data.groups % 3
    before = scores(data, division=division)
    turned = data.targets.copy()
    turned[division == 1] = np.roll(turned[division == 1], 1, axis=1)
    after = scores(replace(data, targets=turned), division=division)
    np.testing.assert_array_equal(before.probabilities[division == 1], after.probabilities[division == 1])
    assert (before.probabilities[division == 0] != after.probabilities[division == 0]).any()


def test_noise_is_not_learnt() -> None:
    rng = np.random.default_rng(1)
    data = clips(72)
    data = replace(data, features=rng.normal(size=(72, 1, 40)).astype(np.float32))
    found = scores(data)
    assert accuracy(found, data) < 0.5
    assert found.probabilities.max() < 0.75


def test_each_group_can_be_a_fold() -> None:
    calls: list[tuple[str, int, int]] = []
    found = scores(clips(12, groups=6), division="groups", on_progress=lambda *call: calls.append(call))
    assert found.fold.tolist() == clips(12, groups=6).groups.tolist()
    assert calls[0] == ("heads", 0, 6)
    assert calls[-1] == ("heads", 6, 6)


@pytest.mark.parametrize("division", ["folds", "groups"])
def test_one_group_is_divided_by_clips_and_says_so(division: Any) -> None:
    found = scores(clips(12, groups=1), division=division)
    assert found.folds > 2
    assert "one group" in found.warnings[0]


def test_a_class_of_one_group_says_so() -> None:
    data = clips()
    targets = np.eye(3, dtype=np.float32)[np.where(data.groups == 2, 2, np.arange(36) % 2)]
    (warning,) = scores(replace(data, targets=targets)).warnings
    assert "'c'" in warning
    assert "seen the class" in warning


def test_a_class_without_clips_says_so() -> None:
    data = clips(classes=2)
    data = replace(data, targets=np.pad(data.targets, ((0, 0), (0, 1))))
    found = out_of_fold_scores(data, NAMES, CONFIG)
    assert "'c'" in found.warnings[0]
    assert accuracy(found, data) > 0.5


def test_two_clips_of_each_of_many_classes_say_that_nothing_was_chosen() -> None:
    data = clips(40, 40, noise=0.1, classes=20)
    found = out_of_fold_scores(data, [str(number) for number in range(20)], CONFIG)
    assert "too few clips to choose" in found.warnings[-1]
    assert accuracy(found, data) > 0.3


def test_a_positive_label_and_many_labels_at_once() -> None:
    data = clips(classes=2, noise=0.5)
    binary = replace(data, targets=data.targets[:, 1:], exclusive=False)
    config = check_config({"adapter": ADAPTER, "labels": ["a", "b"], "positive_label": "b"})
    found = out_of_fold_scores(binary, ("a", "b"), config)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert right_labels(found.probabilities, data.targets > 0.5, True).mean() > 0.9
    several = replace(clips(noise=0.5), exclusive=False)
    config = check_config({"adapter": ADAPTER, "task": "multi_label"})
    found = out_of_fold_scores(several, NAMES, config)
    assert right_labels(found.probabilities, several.targets > 0.5, False).mean() > 0.8


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (clips(3), "at least 4"),
        (clips(9, classes=1), "same labels"),
        (replace(clips(9, 9), targets=np.eye(9, dtype=np.float32)), "single clip"),
        (replace(clips(9), features=np.full((9, 1, 8), np.nan, np.float32)), "finite"),
    ],
)
def test_what_cannot_be_divided_is_refused(data: LabelledFeatures, match: str) -> None:
    with pytest.raises(DatasetError, match=match):
        out_of_fold_scores(data, [str(n) for n in range(data.targets.shape[1])], CONFIG)


@pytest.mark.parametrize(
    ("division", "error"), [([0] * 36, DatasetError), ([0, 1], ValueError), ([0.5] * 36, ValueError)]
)
def test_a_division_that_does_not_fit_is_refused(division: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="division"):
        scores(clips(), division=division)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_identical_clips_have_the_scores_of_chance(value: float) -> None:
    data = replace(clips(), features=np.full((36, 1, 8), value, np.float32))
    found = scores(data)
    np.testing.assert_allclose(found.probabilities, 1 / 3, atol=0.05)
