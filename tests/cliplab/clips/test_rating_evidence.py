"""Evidence for a model of ratings: rarely for luck, however often one looks, soon for a taste, and taken back."""

from __future__ import annotations

import numpy as np
import pytest
from rating_histories import Quick, make_history

pytest.importorskip("sklearn", reason="ratings need the clips extra: pip install 'cliplab[clips]'")

from cliplab.clips import learners
from cliplab.clips.evidence import FALSE_RATE, TAKEN_BACK_FACTOR, _bet, _references, _units, find_evidence, proven_since

RIDGE = ("ridge",)
HISTORIES = 80


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(learners.LEARNERS, "ridge", lambda rows, weight: Quick())


def evidence(kind: str, ratings: int, seed: int):
    rows, stars, sources = make_history(kind, ratings, seed)
    stage1 = np.random.default_rng(seed).random(ratings)
    return find_evidence(rows, stars, np.ones(ratings), stage1, sources, RIDGE)


@pytest.mark.parametrize("kind", ["random", "streams", "one stream", "drift"])
def test_luck_is_rarely_believed_in_a_whole_history(kind: str) -> None:
    # At a rate of 5% of histories, 11 or more of 80 have a probability of 0.003.
    assert FALSE_RATE == 0.05
    ever = sum(evidence(kind, 60, seed).path.max() >= -np.log(FALSE_RATE) for seed in range(HISTORIES))
    assert ever <= 10


@pytest.mark.parametrize(("kind", "ratings", "most"), [("taste 0.8", 50, 20), ("taste 0.5", 100, 12)])
def test_a_taste_is_believed(kind: str, ratings: int, most: int) -> None:
    assert sum(evidence(kind, ratings, seed).is_proven for seed in range(20)) >= most - 2


def test_what_comes_later_does_not_change_what_was_seen() -> None:
    rows, stars, sources = make_history("streams", 50, 1)
    whole = find_evidence(rows, stars, np.ones(50), stars, sources, RIDGE)
    part = find_evidence(rows[:33], stars[:33], np.ones(33), stars[:33], sources[:33], RIDGE)
    assert np.allclose(whole.path[:33], part.path)
    assert np.allclose(whole.stage1[:33], part.stage1)


def test_no_bet_wins_in_the_mean() -> None:
    """The mean of what a bet wins over all equally likely places of the rating is 1, also where ratings are alike."""
    known = np.array([0.1, 0.2, 0.2, 0.7, 0.9])
    for others in (np.arange(5) / 4, np.array([0.0, 0.0, 0.5, 0.5, 1.0])):
        # Ratings that are exchangeable: each of the six is as likely the last one.
        every = np.append(others, 0.5)
        strengths = np.array([0.0, 0.3, 0.75])
        won = [np.exp(_bet(0.5, known, every[last], np.delete(every, last), strengths)[0]) for last in range(6)]
        assert np.mean(won, axis=0) == pytest.approx(np.ones(3))


def test_clips_are_placed_among_their_own_source() -> None:
    units = _units(["a", "b", "a", "c", "b", "a"])
    assert [one.tolist() for one in _references(units)] == [[], [0], [0], [0, 1], [1], [0, 2]]


def test_stage_1_that_knows_better_is_seen() -> None:
    rows, stars, sources = make_history("taste 0.8", 60, 2)
    found = find_evidence(rows, stars, np.ones(60), stars, sources, RIDGE)
    assert found.is_proven
    assert not found.beats_stage1


def test_evidence_that_goes_is_taken_back() -> None:
    need, lost = -np.log(FALSE_RATE), np.log(TAKEN_BACK_FACTOR)
    fallen = need + 2.0 - lost - 0.1
    path = np.array([0.0, need / 2, need + 0.1, need + 2.0, fallen + 0.2, fallen])
    assert [proven_since(path[:count]) for count in range(7)] == [None, None, None, 2, 2, 2, None]
    assert proven_since(np.append(path, [fallen + need + 0.1])) == 6, "it can be shown again"


def test_a_taste_that_changes_is_taken_back() -> None:
    rng, rows = np.random.default_rng(0), np.random.default_rng(1).normal(size=(200, 3))
    liked = np.where(np.arange(200) < 70, rows[:, 0], -rows[:, 0]) + 0.3 * rng.normal(size=200)
    stars = (np.clip(np.rint(3 + liked), 1, 5) - 1) / 4
    found = find_evidence(rows, stars, np.ones(200), stars[::-1], [str(n) for n in range(200)], RIDGE)
    assert proven_since(found.path[:70]) is not None
    assert any(proven_since(found.path[:count]) is None for count in range(71, 110))


@pytest.mark.parametrize("ratings", [0, 1, 3, 4, 5])
def test_few_ratings_say_nothing(ratings: int) -> None:
    found = find_evidence(
        np.zeros((ratings, 2)), np.zeros(ratings), np.ones(ratings), np.zeros(ratings), ["one"] * ratings, RIDGE
    )
    assert not found.is_proven
    assert found.factor == 1.0
