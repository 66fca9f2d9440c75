"""The decoder of breaks: what it finds, what it says of it, and recordings of all kinds."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from adapters.errors import ConfigError
from cliplab.detect import AdBreak, Observations, break_probabilities, decide_breaks, read_break_profile
from cliplab.detect.break_evidence import find_candidates
from cliplab.detect.break_lattice import Lattice, best_path
from tests.support.observations import Block, adverts, simulate


def extents(breaks: list[AdBreak]) -> list[tuple[float, float]]:
    return [(each.start_seconds, each.end_seconds) for each in breaks]


@pytest.mark.parametrize("cues", [True, False])
def test_breaks_are_found_to_the_cut(cues: bool) -> None:
    blocks = [adverts(300, [20, 30, 15, 10]), adverts(900, [30, 30, 20, 15, 15])]
    found = decide_breaks(simulate(1500, blocks, cues=cues))
    assert len(found) == 2
    for each, (start, end, _) in zip(found, blocks, strict=True):
        assert each.start_seconds == pytest.approx(start, abs=0.3)
        assert each.end_seconds == pytest.approx(end, abs=0.3)
        assert each.confidence > 0.9
        assert "Begins at" in each.why[0]
        assert ("black picture" in each.why[0]) == cues
        assert "Unknown here: logo, silence, repetition." in each.why
        assert all(0 <= option.probability <= 1 for option in each.alternatives)


def test_an_uncertain_break_says_what_else_it_may_be() -> None:
    found = decide_breaks(simulate(900, [adverts(300, [20, 30, 15])], separation=0.9, seed=3, cuts_per_second=0.4))
    assert found[0].alternatives
    assert found[0].alternatives[0].what


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([(0.0, 80.0, [20.2, 50.4])], 1),  # it begins within a break
        ([(700.0, 800.0, [720.2, 750.4])], 1),  # it ends within one
        ([(0.0, 800.0, [float(edge) for edge in np.arange(20.2, 800, 20.2)])], 1),  # it is one
        ([], 0),
    ],
)
def test_breaks_at_the_ends_of_a_recording(blocks: list[tuple[float, float, list[float]]], expected: int) -> None:
    found = decide_breaks(simulate(800, blocks, cues=True))
    assert len(found) == expected
    for each, (start, end, _) in zip(found, blocks, strict=True):
        assert each.start_seconds == pytest.approx(start, abs=0.5)
        assert each.end_seconds == pytest.approx(end, abs=0.5)
        assert "recording" in each.why[0] + each.why[1]


def test_what_is_unknown_is_no_evidence() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])])
    nothing = np.full(len(seen.times), np.nan, np.float32)
    assert decide_breaks(replace(seen, ad_scores=nothing)) == []
    hidden = seen.ad_scores.copy()
    hidden[310:330] = np.nan
    damaged = replace(seen, ad_scores=hidden, damaged=[(310.0, 330.0)])
    (found,) = decide_breaks(damaged)
    assert (found.start_seconds, found.end_seconds) == pytest.approx((300, 365.6), abs=0.3)
    assert "20.0 s of it could not be read." in found.why


def test_recordings_without_cuts_and_without_length() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])], separation=3.5)
    bare = replace(seen, cuts=np.zeros(0), cut_strength=np.zeros(0, np.float32), cut_kinds=())
    (found,) = decide_breaks(bare)
    assert (found.start_seconds, found.end_seconds) == pytest.approx((300, 365.6), abs=2.5)
    assert "without a clear cut" in found.why[0]
    empty = Observations(np.zeros(0), np.zeros(0, np.float32), {}, np.zeros(0), np.zeros(0, np.float32), (), 0.0)
    assert decide_breaks(empty) == []
    assert len(break_probabilities(empty)) == 0


def test_rows_alone_find_a_break() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])])
    logo = np.ones(900, np.float32)
    logo[300:366] = 0
    unknown = replace(seen, ad_scores=np.full(900, np.nan, np.float32), rows={"logo": logo})
    (found,) = decide_breaks(unknown)
    assert (found.start_seconds, found.end_seconds) == pytest.approx((300, 365.6), abs=1.5)
    assert any("logo is absent" in sentence for sentence in found.why)
    cue = replace(unknown, rows={"cue": 1 - logo})
    assert len(decide_breaks(cue)) == 1


def test_deciding_a_busy_evening_takes_little_memory() -> None:
    """Two hours with a cut each second, the largest lattice that there is: one copy of it and its evidence."""
    evening = simulate(
        2 * 3600, [adverts(600 + 900 * place, [15, 20, 30, 20, 15]) for place in range(8)], cuts_per_second=0.9
    )
    tracemalloc.start()
    try:
        assert len(decide_breaks(evening)) == 8
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 190e6


def test_every_break_of_a_long_evening_is_found() -> None:
    blocks = [adverts(start, [30, 20, 15, 30, 10, 20]) for start in range(900, 14000, 1300)]
    evening = simulate(4 * 3600, blocks, cuts_per_second=0.2)
    assert len(decide_breaks(evening)) == len(blocks)


def test_probabilities_agree_with_the_decision() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])])
    chance = break_probabilities(seen)
    assert chance.shape == seen.times.shape
    assert chance[320:350].min() > 0.9
    assert chance[:280].max() < 0.2


def test_a_profile_changes_the_decision_and_is_checked() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])])
    assert decide_breaks(seen, read_break_profile({"min_break_seconds": 400.0})) == []
    assert decide_breaks(seen, read_break_profile({"second_weights": {"ad_scores": 0.0}})) == []
    for changes, words in (
        ({"typical_brake_seconds": 3}, "typical_brake_seconds"),
        ({"typical_break_seconds": -1}, "typical_break_seconds"),
        ({"second_weights": {"smell": 1}}, "smell"),
        ({"adverts": {"30": 0.2}}, "sum to 1"),
        ({"adverts": {"half": 1.0}}, "half"),
        ({"edge_weights": 3}, "edge_weights"),
        ({"min_break_seconds": 1000.0}, "min_break_seconds"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_break_profile(changes)


def test_pauses_at_most_cuts_are_no_break() -> None:
    """Speech pauses at three of four cuts of a short programme, and no logo, model or black frame."""
    for seed in range(4):
        seen = simulate(225, [], seed=seed, cuts_per_second=0.5)
        kinds = tuple("shot" if number % 4 == 0 else "shot+silence" for number in range(len(seen.cuts)))
        rng = np.random.default_rng(seed)
        rows = {name: np.repeat(rng.uniform(0, 0.1, 23), 10)[:225].astype(np.float32) for name in ("speech", "music")}
        unknown = np.full(225, np.nan, np.float32)
        seen = replace(seen, ad_scores=unknown, cut_kinds=kinds, rows=rows)
        assert sum(each.end_seconds - each.start_seconds for each in decide_breaks(seen)) < 45


def test_speech_that_is_hardly_heard_is_no_reason() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])])
    faint = np.full(900, 0.02, np.float32)
    faint[300:366] = 0.1
    (found,) = decide_breaks(replace(seen, rows={"speech": faint}))
    assert not any("speech" in sentence for sentence in found.why)


def test_an_edge_that_may_be_elsewhere_is_unsure() -> None:
    block = adverts(300, [20, 30, 15])
    sure = decide_breaks(simulate(900, [block], cues=True))[0]
    assert sure.start_confidence is not None
    assert sure.start_confidence > 0.8
    vague = simulate(900, [block], separation=1.0, cuts_per_second=1.0)
    found = decide_breaks(vague, read_break_profile({"min_confidence": 0.0}))
    assert all(each.start_confidence < sure.start_confidence for each in found if each.start_confidence is not None)


@pytest.mark.parametrize(("gap", "seed"), [(30, 0), (66, 0), (78, 0), (86, 1), (94, 1), (106, 2), (140, 1)])
def test_ads_are_reported_where_two_breaks_may_be_one(gap: float, seed: int) -> None:
    """Nothing is known between two breaks, so that neither two nor one is likelier by much: both have ads."""
    one = adverts(300, [20, 30, 15])
    two = adverts(one[1] + gap, [20, 15, 10])
    seen = simulate(900, [one, two], cues=True, seed=seed)
    scores = seen.ad_scores.copy()
    scores[int(one[1]) + 1 : int(two[0])] = np.nan
    found = decide_breaks(replace(seen, ad_scores=scores))
    for start, end, _ in (one, two):
        assert sum(max(min(each.end_seconds, end) - max(each.start_seconds, start), 0) for each in found) > 0.9 * (
            end - start
        )
    assert sum(each.end_seconds - each.start_seconds for each in found) < two[1] - one[0] + 5


def without_model(seconds: float, blocks: list[Block], seed: int, fades: int = 0) -> Observations:
    """Cuts, black at the edges of adverts and at some fades of the programme, and a rate of shots; no scores."""
    rng = np.random.default_rng(seed)
    seen = simulate(seconds, blocks, seed=seed, cues=True, cuts_per_second=0.2)
    kinds, plain = list(seen.cut_kinds), [n for n, kind in enumerate(seen.cut_kinds) if kind == "shot"]
    for place in rng.permutation(plain)[:fades]:
        kinds[place] = "shot+black+silence"
    # Fast scenes now and then: far from the median on one side.
    rate = np.where(np.arange(len(seen.times)) % 400 < 60, 0.5, 0.1) + 0.05 * rng.normal(size=len(seen.times))
    rows = {"shot_rate": np.clip(rate, 0, 1).astype(np.float32)}
    return replace(seen, ad_scores=np.full(len(seen.times), np.nan, np.float32), cut_kinds=tuple(kinds), rows=rows)


@pytest.mark.parametrize("seconds", [90, 360, 1200])
@pytest.mark.parametrize("fades", [0, 0.01])
def test_programme_alone_has_no_break(seconds: float, fades: float) -> None:
    for seed in range(6):
        seen = without_model(seconds, [], seed, fades=round(fades * seconds))
        assert [each.confidence for each in decide_breaks(seen)] == [], seed


def test_a_logo_that_is_always_there_hides_no_break() -> None:
    block = adverts(400, [20, 30, 15, 20, 30])
    seen = without_model(900, [block], 0)
    seen = replace(seen, rows={**seen.rows, "logo": np.ones(len(seen.times), np.float32)})
    assert extents(decide_breaks(seen)) == [pytest.approx(block[:2], abs=0.3)]


def test_programme_between_two_breaks_is_not_joined_to_them() -> None:
    blocks = [adverts(300, [20, 30, 15, 20, 30]), adverts(500, [30, 20, 15, 20])]
    seen = without_model(900, blocks, 1)
    inside = np.zeros(len(seen.times), bool)
    for start, end, _ in blocks:
        inside |= (seen.times + 0.5 > start) & (seen.times + 0.5 < end)
    seen = replace(seen, rows={**seen.rows, "logo": (~inside).astype(np.float32)})
    assert extents(decide_breaks(seen)) == [pytest.approx(block[:2], abs=0.3) for block in blocks]


def test_the_likeliest_path_is_that_of_lengths_and_evidence_together() -> None:
    """What is seen speaks for the short break, and with its length the long one is likelier."""
    times = np.array([0.0, 600.0, 630.0, 660.0, 1500.0])
    breaks, evidence = np.full((5, 4), -1e9), np.zeros((5, 4))
    breaks[1, :2], evidence[1, :2] = (50.0, 80.0), (90.0, 60.0)
    assert best_path(Lattice(breaks, evidence, times, read_break_profile({}))) == [(1, 3)]
    nothing = np.full((5, 4), -1e9)
    assert best_path(Lattice(nothing, evidence, times, read_break_profile({}))) == []


def test_candidates_know_which_of_them_are_cuts() -> None:
    seen = simulate(900, [adverts(300, [20, 30, 15])])
    found = find_candidates(seen, read_break_profile({}), np.zeros(len(seen.times)))
    assert (found.times[0], found.times[-1]) == (0.0, seen.duration_seconds)
    assert not found.is_cut[[0, -1]].any()
    assert found.is_cut.sum() > 5
    np.testing.assert_array_equal(found.is_cut, np.isin(found.times, seen.cuts))
