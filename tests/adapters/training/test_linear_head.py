"""Heads that are solved: the same as scikit-learn's regression, and chosen on groups that they did not see."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="training needs the train extra: pip install 'cliplab[train]'")

from adapters.training.calibration import clip_probabilities, fit_temperature
from adapters.training.clip_features import LabelledFeatures, item_probabilities
from adapters.training.fold_division import group_folds, stratified_folds
from adapters.training.linear_head import cross_validate
from adapters.training.regression import LinearHead, Problem, feature_scale, solve


def clips(count: int = 60, size: int = 12, classes: int = 3, items: int = 1, seed: int = 0, noise: float = 1.0) -> Any:
    """Classes around centres of their own, ten clips a group."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    centres = rng.normal(size=(classes, size))
    features = centres[labels][:, None] + noise * rng.normal(size=(count, items, size)) * rng.uniform(0.5, 3, size)
    targets = np.eye(classes, dtype=np.float32)[labels]
    weights = rng.uniform(0.5, 2, count).astype(np.float32)
    return LabelledFeatures(features.astype(np.float32), targets, weights, np.arange(count) // 10, True)


@pytest.mark.parametrize("items", [1, 3])
@pytest.mark.parametrize("size", [12, 200])
def test_it_is_scikit_learns_logistic_regression(items: int, size: int) -> None:
    from sklearn.linear_model import LogisticRegression

    data, strength = clips(size=size, items=items), 0.5
    head = solve(data, 1 / (strength * len(data.targets)))
    rows = data.features.reshape(-1, size)
    weights = np.repeat(data.weights / items, items)
    weights *= len(data.targets) / weights.sum()
    mean, scale = feature_scale(data)
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-8)
    reference.fit((rows - mean) * scale, np.repeat(data.targets.argmax(axis=1), items), sample_weight=weights)
    expected = reference.predict_proba((rows - mean) * scale)
    np.testing.assert_allclose(item_probabilities(head.logits(rows), True), expected, atol=2e-3)


def test_sigmoids_are_one_regression_per_class() -> None:
    data = clips(classes=3)
    several = LabelledFeatures(data.features, data.targets, data.weights, data.groups, False)
    together = solve(several, 0.1).logits(data.features)
    for unit in range(3):
        alone = LabelledFeatures(data.features, data.targets[:, unit : unit + 1], data.weights, data.groups, False)
        np.testing.assert_allclose(solve(alone, 0.1).logits(data.features)[..., 0], together[..., unit], atol=0.02)


def test_clips_that_are_all_there_twice_give_the_same_head() -> None:
    once = clips(30, size=300)  # fewer rows than features, and half of them add no direction
    twice = once.take(np.tile(np.arange(30), 2))
    one, two = (item_probabilities(solve(data, 0.1).logits(once.features), True) for data in (once, twice))
    np.testing.assert_allclose(one, two, atol=2e-3)


def test_each_penalty_is_solved_as_if_it_were_the_only_one() -> None:
    data = clips(60, size=100)
    found = cross_validate(data, 0)
    for learn, judge in group_folds(data.groups, data.targets, 0):
        alone = solve(data.take(learn), found.penalty).logits(data.features[judge])
        expected, own = (item_probabilities(logits, True) for logits in (alone, found.logits[judge]))
        np.testing.assert_allclose(own, expected, atol=5e-3)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("size", [12, 200])
@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_a_few_iterations_solve_features_that_hang_together(size: int, exclusive: bool, penalty: float) -> None:
    data = clips(90, size=size)
    shared = np.random.default_rng(5).normal(size=(90, 1, 2)) @ (30 * np.random.default_rng(6).normal(size=(2, size)))
    data = LabelledFeatures(
        (data.features + shared).astype(np.float32), data.targets, data.weights, data.groups, exclusive
    )
    losses: list[float] = []
    head = solve(data, penalty, None, lambda head, loss: losses.append(loss))
    assert len(losses) <= 40

    def objective(flat: np.ndarray) -> float:
        """Written out in 64 bits: the penalty is on the weights of standardised features."""
        kernel, bias = flat[:-3].reshape(-1, 3), flat[-3:]
        logits = (data.features[:, 0].astype(np.float64) - mean) * scale @ kernel + bias
        if exclusive:
            each = np.log(np.exp(logits).sum(axis=1)) - (logits * data.targets).sum(axis=1)
        else:
            each = (np.logaddexp(0, -logits) + (1 - data.targets) * logits).mean(axis=1)
        strength = penalty if exclusive else penalty / 3
        return float(data.weights @ each / data.weights.sum() + strength / 2 * np.square(kernel).sum())

    mean, scale = feature_scale(data)
    kernel = head.kernel / scale[:, None]
    found = np.concatenate([kernel.ravel(), head.bias + mean @ head.kernel]).astype(np.float64)
    value = objective(found)
    assert value == pytest.approx(losses[-1], abs=1e-5)
    for step in np.random.default_rng(7).normal(scale=0.01, size=(20, len(found))):
        assert objective(found + step) > value - 1e-7, "it is the least objective around"


@pytest.mark.parametrize("size", [12, 64])
def test_no_step_is_looked_for_that_32_bits_cannot_show(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    losses: list[float] = []
    computed = Problem.objective

    def counted(problem: Problem, flat: Any, penalty: float) -> Any:
        tries.append(penalty)
        return computed(problem, flat, penalty)

    monkeypatch.setattr(Problem, "objective", counted)
    head = None
    for penalty in (1.0, 0.3, 0.1, 0.03, 0.01):
        head = solve(clips(90, size=size), penalty, head, lambda head, loss: losses.append(loss))
    assert len(tries) < 2.5 * len(losses)


def test_where_it_starts_does_not_matter() -> None:
    data = clips()
    start = LinearHead(np.ones((12, 3), np.float32), np.zeros(3, np.float32))
    one, two = (solve(data, 0.1, first).logits(data.features) for first in (start, None))
    np.testing.assert_allclose(item_probabilities(one, True), item_probabilities(two, True), atol=2e-3)


def test_every_iteration_is_reported_and_can_be_the_last() -> None:
    seen: list[float] = []

    def stop(head: LinearHead, loss: float) -> bool:
        seen.append(loss)
        return len(seen) < 3

    solve(clips(), 0.01, None, stop)
    assert len(seen) == 3
    assert seen == sorted(seen, reverse=True)


def test_a_feature_that_never_varies_gets_no_weight() -> None:
    data = clips()
    data.features[..., 4] = 1000.1
    head = solve(data, 0.1)
    assert not head.kernel[4].any()
    assert np.isfinite(head.kernel).all()


@settings(deadline=None, max_examples=30)
@given(
    groups=st.lists(st.integers(0, 6), min_size=4, max_size=40),
    classes=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_no_group_is_on_both_sides(groups: list[int], classes: int, seed: int) -> None:
    names = np.array(groups)
    targets = np.eye(classes, dtype=np.float32)[np.arange(len(names)) % classes]
    judged = []
    for learn, judge in group_folds(names, targets, seed):
        if len(set(groups)) > 1:
            assert not set(names[learn]) & set(names[judge])
        assert not set(learn) & set(judge)
        judged += list(judge)
    assert judged == [] or sorted(judged) == list(range(len(names)))


@settings(deadline=None, max_examples=60)
@given(
    groups=st.lists(st.integers(0, 12), min_size=6, max_size=60),
    kinds=st.lists(st.integers(0, 3), min_size=60, max_size=60),
    count=st.integers(2, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_folds_are_those_of_scikit_learn(groups: list[int], kinds: list[int], count: int, seed: int) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    kind = np.unique(kinds[: len(groups)], return_inverse=True)[1].reshape(-1)
    assume(count <= len(set(groups)))
    assume(count <= np.bincount(kind).max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splits = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(kind, kind, groups))
    found = stratified_folds(kind, np.array(groups), count, seed)
    for number, (_, judge) in enumerate(splits):
        assert list(np.flatnonzero(found == number)) == list(judge)


def test_more_noise_wants_a_stronger_penalty() -> None:
    clear, noisy = cross_validate(clips(200, noise=0.3), 0), cross_validate(clips(200, noise=6), 0)
    assert noisy.penalty > clear.penalty
    assert np.isfinite(noisy.logits).all()


def test_labels_at_random_are_found_out() -> None:
    data = clips(120, size=40)
    rng = np.random.default_rng(3)
    random = LabelledFeatures(data.features, rng.permutation(data.targets), data.weights, data.groups, True)
    found = cross_validate(random, 0)
    temperature, _ = fit_temperature(found.logits, random)
    scores = clip_probabilities(found.logits, temperature, True)
    assert scores.max(axis=1).mean() < 0.6, "scores of a head that learned nothing are near even"


def test_three_clips_are_too_few_to_choose_on() -> None:
    data = clips(3)
    found = cross_validate(data, 0)
    assert found.folds == 0
    assert fit_temperature(found.logits, data)[0] == 1.0


# Calibration ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_found(exclusive: bool, true_temperature: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2, size=(4000, 1, 3)).astype(np.float32)
    scores = item_probabilities(logits, exclusive)[:, 0]
    if exclusive:
        targets = np.eye(3, dtype=np.float32)[[rng.choice(3, p=row / row.sum()) for row in scores.astype(np.float64)]]
    else:
        targets = (rng.uniform(size=scores.shape) < scores).astype(np.float32)
    data = LabelledFeatures(logits, targets, np.ones(4000, np.float32), np.arange(4000), exclusive)
    found, _ = fit_temperature(logits * true_temperature, data)
    assert found == pytest.approx(true_temperature, rel=0.1)


def test_a_few_clips_that_are_all_right_do_not_make_scores_certain() -> None:
    logits = np.tile(np.array([4.0, 0, 0], np.float32), (8, 1, 1))
    targets = np.tile(np.array([1.0, 0, 0], np.float32), (8, 1))
    data = LabelledFeatures(logits, targets, np.ones(8, np.float32), np.arange(8), True)
    temperature, _ = fit_temperature(logits, data)
    assert clip_probabilities(logits, temperature, True).max() < 0.99
