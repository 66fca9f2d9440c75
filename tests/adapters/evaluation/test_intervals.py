"""Intervals that count groups."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.evaluation import difference_interval, share_interval


def test_it_covers_the_true_share_about_as_often_as_it_says() -> None:
    """200 sets of 20 groups of 5 clips, each group right with a chance of its own around 0.7."""
    rng = np.random.default_rng(0)
    covered = 0
    for number in range(200):
        chance = rng.beta(7, 3, size=20)
        right = rng.uniform(size=(20, 5)) < chance[:, None]
        low, high = share_interval(right.ravel(), np.repeat(np.arange(20), 5), seed=number)
        covered += low <= 0.7 <= high
    assert covered >= 175


def test_clips_of_few_groups_say_less_than_clips_of_many() -> None:
    right = np.arange(100) % 4 != 0
    blocks = np.sort(right)
    few = share_interval(blocks, np.arange(100) // 10)
    many = share_interval(blocks, np.arange(100))
    assert few[1] - few[0] > 2 * (many[1] - many[0])
    assert few[0] < 0.75 < few[1]


@pytest.mark.parametrize(("share", "low", "high"), [(True, 0.7225, 1.0), (False, 0.0, 0.2775)])
def test_all_right_of_ten_groups_is_wilsons_interval(share: bool, low: float, high: float) -> None:
    """10 of 10: Wilson's interval is (0.7225, 1) (Newcombe 1998, method 3)."""
    found = share_interval([share] * 30, np.arange(30) // 3)
    assert found == pytest.approx((low, high), abs=5e-4)


def test_no_clips_say_nothing() -> None:
    assert share_interval([], []) == (0.0, 1.0)


def test_a_difference_covers_the_true_one_about_as_often_as_it_says() -> None:
    """200 pairs of models, right with 0.8 and 0.7 on clips that are hard or easy for both."""
    rng = np.random.default_rng(0)
    covered = 0
    for number in range(200):
        hard = rng.uniform(-0.2, 0.2, size=(20, 1))
        one, two = (rng.uniform(size=(20, 5)) < share + hard for share in (0.8, 0.7))
        mean, low, high = difference_interval(one.ravel(), two.ravel(), np.repeat(np.arange(20), 5), seed=number)
        assert low <= mean <= high
        covered += low <= 0.1 <= high
    assert covered >= 175


def test_what_is_hard_for_both_cancels_out() -> None:
    hard = np.random.default_rng(0).uniform(size=200) < 0.5
    other = hard.copy()
    other[:4] = ~other[:4]
    _, low, high = difference_interval(hard, other, np.arange(200))
    single = share_interval(hard, np.arange(200))
    assert high - low < (single[1] - single[0]) / 2


def test_a_difference_has_a_sign_and_a_seed() -> None:
    one, two = np.arange(40) % 4 != 0, np.arange(40) % 2 != 0
    mean, low, high = difference_interval(one, two, np.arange(40), seed=1)
    assert difference_interval(two, one, np.arange(40), seed=1) == pytest.approx((-mean, -high, -low), abs=1e-6)
    assert difference_interval(one, two, np.arange(40), seed=1) == (mean, low, high)
    assert mean == 0.25


def test_models_that_never_differ_may_still_differ_elsewhere() -> None:
    right = [True] * 30
    mean, low, high = difference_interval(right, right, np.arange(30) // 3)
    assert mean == 0
    assert -0.3 < low < 0 < high < 0.3
    assert difference_interval(right, right, ["one"] * 30) == (0.0, -1.0, 1.0)
    assert difference_interval([], [], []) == (0.0, -1.0, 1.0)
    with pytest.raises(ValueError, match="same clips"):
        difference_interval([True], [True, False], ["a"])
