"""What each row of evidence says of ads, second by second, and which moments may be edges, at known measures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cliplab.detect import Observations, read_break_profile
from cliplab.detect.adapting import SecondOpinion
from cliplab.detect.break_evidence import edge_evidence, find_candidates, second_evidence, usual_mark
from cliplab.detect.break_profile import SECOND_WEIGHTS

SECONDS = 60
NAN = math.nan


def recording(cuts: Any = (), kinds: Any = (), strength: Any = None, scores: Any = NAN, **rows: Any) -> Observations:
    """A minute of television. rows: a value for all seconds, or one for each."""
    given = {name: np.broadcast_to(np.asarray(row, np.float32), SECONDS).copy() for name, row in rows.items()}
    times = np.arange(SECONDS, dtype=float)
    return Observations(
        times=times, ad_scores=np.broadcast_to(np.asarray(scores, np.float32), SECONDS).copy(), rows=given,
        cuts=np.asarray(cuts, float), cut_kinds=tuple(kinds or ["shot"] * len(cuts)), duration_seconds=float(SECONDS),
        cut_strength=np.asarray([0.5] * len(cuts) if strength is None else strength, np.float32),
    )  # fmt: skip


def profile(**weights: float) -> Any:
    known = dict.fromkeys(SECOND_WEIGHTS, 0.0)
    return read_break_profile({"second_weights": {**known, **weights}})


def half(first: float, second: float) -> Any:
    return np.where(np.arange(SECONDS) < SECONDS // 2, first, second)


def said(name: str, values: Any, weight: float = 2.0) -> Any:
    seen = recording(scores=values) if name == "ad_scores" else recording(**{name: values})
    return second_evidence(seen, profile(**{name: weight}))[name]


# Seconds


@pytest.mark.parametrize(
    ("score", "odds"), [(0.5, 0.0), (0.75, math.log(3)), (0.25, -math.log(3)), (1.0, 4), (0.0, -4)]
)
def test_a_score_is_its_log_odds_within_bounds(score: float, odds: float) -> None:
    np.testing.assert_allclose(said("ad_scores", score), 2 * odds, atol=1e-5)


def test_what_is_unknown_adds_nothing_and_what_is_never_known_is_left_out() -> None:
    values = half(0.75, NAN)
    found = said("ad_scores", values)
    assert found[:30] == pytest.approx(2 * math.log(3))
    assert found[30:].tolist() == [0.0] * 30
    seen = recording(scores=0.75, cue=NAN, repetition=1.0)
    assert set(second_evidence(seen, profile(ad_scores=1.0, cue=1.0, repetition=0.0))) == {"ad_scores"}


def test_a_cue_speaks_both_ways_and_a_repetition_for_an_ad_only() -> None:
    assert said("cue", half(1.0, 0.25))[[0, 40]].tolist() == [2.0, -1.0]
    assert said("repetition", half(1.0, 0.0))[[0, 40]].tolist() == pytest.approx([2.0, -0.08])
    assert said("repetition", half(0.5, 0.49))[[0, 40]].tolist() == pytest.approx([0.0, -0.08])


def test_a_break_that_is_not_announced_may_have_been_left_out() -> None:
    """Far from what is announced a missing cue says little; near it, that the break ends there."""
    announced = (np.arange(SECONDS) < 10).astype(float)
    assert said("cue", announced)[[9, 10, 39]].tolist() == [2.0, -2.0, -2.0]
    assert said("cue", announced)[[40, 59]].tolist() == pytest.approx([-0.1, -0.1])


def test_a_logo_that_goes_speaks_for_an_ad_as_much_as_it_is_usually_there() -> None:
    for absent, seen in ((30, 0.5), (42, 0.3), (48, 0.2), (50, 10 / 60)):
        logo = np.where(np.arange(SECONDS) < absent, 0.0, 1.0)
        worth = min(max((seen - 0.2) / 0.3, 0), 1)
        assert said("logo", logo)[[0, 59]].tolist() == pytest.approx([2 * worth, -2 * worth], abs=1e-5), absent


@pytest.mark.parametrize(("gone", "share"), [(7, 0.1), (8, 1.0)])
def test_a_logo_that_is_hardly_ever_away_may_be_shown_in_breaks(gone: int, share: float) -> None:
    logo = np.where((np.arange(SECONDS) >= 20) & (np.arange(SECONDS) < 20 + gone), 0.0, 1.0)
    assert said("logo", logo)[[20, 59]].tolist() == pytest.approx([2 * share, -2 * share])


@pytest.mark.parametrize(("name", "sign", "least"), [("shot_rate", 1, 0.12), ("music", 1, 0.35), ("speech", -1, 0.35)])
def test_what_has_no_natural_zero_is_compared_with_the_recording(name: str, sign: int, least: float) -> None:
    values = np.where(np.arange(SECONDS) % 5 == 0, 0.9, 0.1)
    found = said(name, values, 1.0)
    spread = max(float(np.std(values)), least)
    high = min(0.8 / spread, 2.0)
    assert found[0] - found[1] == pytest.approx(sign * high, abs=1e-4)
    assert found.mean() == pytest.approx(0, abs=1e-4), "nothing of the recording as a whole"
    quiet = said(name, np.where(np.arange(SECONDS) % 5 == 0, 0.12, 0.1), 1.0)
    assert abs(quiet[0] - quiet[1]) == pytest.approx(0.02 / least, abs=1e-4), "a small spread is not blown up"


def test_seconds_that_could_not_be_read_say_nothing() -> None:
    seen = replace(recording(scores=0.75), damaged=[(10.0, 12.0), (40.5, 41.5)])
    found = second_evidence(seen, profile(ad_scores=1.0))["ad_scores"]
    assert np.flatnonzero(found == 0).tolist() == [9, 10, 11, 40, 41]


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_the_recordings_own_pictures_count_as_far_as_they_are_trusted(trust: float) -> None:
    opinion = SecondOpinion(np.full(SECONDS, -1.0), trust)
    found = second_evidence(recording(scores=0.75), profile(ad_scores=1.0), opinion)["ad_scores"]
    assert found == pytest.approx((1 - 0.7 * trust) * math.log(3) - 0.7 * trust)


# Edges


def test_what_there_is_at_a_cut_and_beside_it() -> None:
    seen = recording(
        [10.5, 20.5, 30.5], ["black+silence", "shot", "silence"], [1.0, 0.75, 0.0],
        black=np.where(np.arange(SECONDS) == 21, 0.8, 0.0), uniform=np.where(np.arange(SECONDS) == 32, 0.6, 0.0),
    )  # fmt: skip
    found = edge_evidence(seen, np.array([10.5, 20.5, 30.5, 45.0]))
    assert found["black"].tolist() == pytest.approx([1.0, 0.4, 0.0, 0.0]), "the second beside counts half"
    assert found["silence"].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert found["uniform"].tolist() == [0.0, 0.0, 0.0, 0.0], "two seconds away"
    assert found["cut_strength"].tolist() == pytest.approx([0.5, 0.25, -0.5, -0.5])
    moved = edge_evidence(seen, np.array([10.4, 10.6, 10.39, 31.0]))
    assert moved["silence"].tolist() == [1.0, 1.0, 0.0, 0.0], "a cut within a tenth of a second"
    assert moved["uniform"].tolist() == pytest.approx([0, 0, 0, 0.6])
    assert all(len(row) == 0 for row in edge_evidence(seen, np.zeros(0)).values())
    without = edge_evidence(recording(), np.array([5.0]))
    assert (without["cut_strength"].tolist(), without["black"].tolist()) == ([-0.5], [0.0])


def weights(**given: float) -> Any:
    known = dict.fromkeys(("black", "uniform", "silence", "loudness_jump", "aspect_change", "cut_strength"), 0.0)
    return replace(profile(ad_scores=1.0), edge_weights={**known, **given})


def test_what_most_cuts_have_tells_no_edge_from_them() -> None:
    seen = recording([10.0, 20.0, 30.0, 40.0], ["black", "shot", "black", "shot"])
    usual = math.log((20 + 2 * math.e**2 + 2) / (20 + 4))
    assert usual_mark(seen, weights(black=2.0), np.zeros(4)) == pytest.approx(usual)
    explained = np.array([1.0, 0.0, 0.5, 0.0])
    less = math.log((20 + 0.5 * math.e**2 + 2) / (20 + 2.5))
    assert usual_mark(seen, weights(black=2.0), explained) == pytest.approx(less)
    found = find_candidates(seen, weights(black=2.0), np.zeros(SECONDS))
    assert found.times.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 60.0]
    assert found.edge.tolist() == pytest.approx([0.0, 2 - usual, -usual, 2 - usual, -usual, 0.0])
    found = find_candidates(seen, weights(black=2.0), np.zeros(SECONDS), explained)
    assert found.edge[1] == pytest.approx(2 - less)


def test_cuts_at_the_ends_of_the_recording_are_no_edges() -> None:
    seen = recording([0.25, 0.26, 59.74, 59.75])
    assert find_candidates(seen, weights(), np.zeros(SECONDS)).times.tolist() == [0.0, 0.26, 59.74, 60.0]


def test_evidence_adds_up_and_cuts_have_a_rate() -> None:
    seen = recording([5.0, 20.5, 59.0])
    found = find_candidates(seen, weights(), half(1.0, -0.5))
    assert found.times.tolist() == [0.0, 5.0, 20.5, 30.0, 59.0, 60.0], "and where the evidence changes without a cut"
    assert found.is_cut.tolist() == [False, True, True, False, True, False]
    assert found.cumulative.tolist() == pytest.approx([0, 5, 20.5, 30, 30 - 14.5, 15])
    assert found.edge[3] == pytest.approx(-3.0)
    # Cuts within half a minute, over the seconds of it that the recording has; one at least.
    assert found.rate.tolist() == pytest.approx([2 / 30, 2 / 35, 2 / 50.5, 3 / 60, 1 / 31, 1 / 30])


def test_a_change_of_evidence_beside_a_cut_is_that_cut() -> None:
    for cut, expected in ((31.4, [0.0, 31.4, 60.0]), (31.6, [0.0, 30.0, 31.6, 60.0])):
        assert find_candidates(recording([cut]), weights(), half(1.0, -1.0)).times.tolist() == expected


def test_of_a_minute_the_strongest_cuts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = np.linspace(1, 59, 59)
    kinds = ["black" if number % 2 else "shot" for number in range(59)]
    assert find_candidates(recording(cuts, kinds), weights(black=1.0), np.zeros(SECONDS)).is_cut.sum() == 50
    monkeypatch.setattr("cliplab.detect.break_evidence._MOST_CUTS", 29)
    found = find_candidates(recording(cuts, kinds), weights(black=1.0), np.zeros(SECONDS))
    assert found.is_cut.sum() == 29
    assert found.times[found.is_cut].tolist() == cuts[1::2].tolist()
    monkeypatch.setattr("cliplab.detect.break_evidence._MOST_CUTS", 1)
    assert find_candidates(recording(cuts), weights(), np.zeros(SECONDS)).is_cut.sum() == 12, "at least so many"
