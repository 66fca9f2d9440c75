"""The recording's own pictures as a second opinion, and a channel's head, on features that are made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adapters.errors import ConfigError
from cliplab.detect import Corrected, Observations, decide_breaks, learn_profile, read_break_profile
from cliplab.detect.adapting import SHORT, LabelledSeconds, ScoreHead, learn_head, second_opinion, short_features
from cliplab.detect.measuring import choose_profile
from cliplab.detect.profiles import profile_for_model
from tests.support.observations import Block, adverts, simulate


def inside_of(seen: Observations, blocks: list[Block]) -> np.ndarray:
    middles = seen.times + 0.5
    return np.any([(middles > start) & (middles < end) for start, end, _ in blocks], axis=0)


def with_features(seen: Observations, blocks: list[Block], seed: int = 0, apart: float = 1.8) -> Observations:
    """Features by shot of about 4 s, whose mean in breaks is ``apart`` in eight directions."""
    rng = np.random.default_rng(seed)
    shots = np.repeat(rng.normal(size=(len(seen.times) // 4 + 1, SHORT)), 4, axis=0)[: len(seen.times)]
    rows = shots + 0.3 * rng.normal(size=shots.shape)
    rows[inside_of(seen, blocks), :8] += apart
    return replace(seen, features=rows.astype(np.float16))


def fooled(seed: int = 0) -> tuple[Observations, list[Block]]:
    """A recording of two breaks whose last advert of the first the model takes for programme."""
    blocks = [adverts(300, [20, 30, 15, 20]), adverts(700, [30, 20, 15, 20])]
    seen = simulate(1000, blocks, seed=seed, separation=3.0)
    scores = seen.ad_scores.copy()
    scores[int(blocks[0][1]) - 20 : int(blocks[0][1])] = 0.1
    return replace(seen, ad_scores=scores), blocks


def test_short_features_are_the_same_everywhere() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 1280)).astype(np.float32)
    short = short_features(np.arange(4, dtype=np.float32))
    assert short.shape == (SHORT,)
    assert short.dtype == np.float16
    assert set(np.unique(np.round(np.float32(short) * 8).astype(int))) <= {-6, -4, -2, 0, 2, 4, 6}  # sums of signs
    distance = np.linalg.norm(short_features(one).astype(np.float32) - short_features(other).astype(np.float32))
    assert distance == pytest.approx(np.linalg.norm(one - other), rel=0.35)
    assert np.isfinite(short_features(np.array([np.nan, np.inf, 1e30], np.float32))).all()


@pytest.mark.parametrize("seed", range(3))
def test_an_advert_that_the_model_misses_is_found_by_the_others(seed: int) -> None:
    plain, blocks = fooled(seed)
    end = blocks[0][1]
    assert decide_breaks(plain)[0].end_seconds < end - 5
    found = decide_breaks(with_features(plain, blocks, seed))
    assert [(each.start_seconds, each.end_seconds) for each in found] == [
        (pytest.approx(start, abs=0.3), pytest.approx(end, abs=0.3)) for start, end, _ in blocks
    ]


def test_features_that_tell_nothing_change_nothing() -> None:
    blocks = [adverts(300, [20, 30, 15, 20])]
    seen = simulate(900, blocks)
    expected = [(each.start_seconds, each.end_seconds) for each in decide_breaks(seen)]
    for features in (
        np.zeros((900, SHORT)),
        np.full((900, SHORT), np.nan),
        np.random.default_rng(1).normal(size=(900, SHORT)),
    ):
        found = decide_breaks(replace(seen, features=features.astype(np.float16)))
        assert [(each.start_seconds, each.end_seconds) for each in found] == expected


def test_programme_alone_stays_programme() -> None:
    for seed in range(4):
        seen = with_features(simulate(700, [], seed=seed), [], seed)
        assert decide_breaks(seen) == []


def test_too_little_has_no_opinion() -> None:
    features = np.random.default_rng(0).normal(size=(100, SHORT)).astype(np.float16)
    assert second_opinion(features[:0], np.zeros(100), 1.0) is None
    assert second_opinion(features, np.zeros(100), 1.0) is None
    assert second_opinion(features, np.ones(100), 1.0) is None
    chance = (np.arange(100) < 35).astype(float)
    found = second_opinion(features, chance, 1.0)
    assert found is not None
    assert np.isfinite(found.logits).all()
    assert found.trust < 0.5


def corrected(seed: int, apart: float = 1.8) -> Corrected:
    seen, blocks = fooled(seed)
    return Corrected(with_features(seen, blocks, seed, apart), tuple((start, end) for start, end, _ in blocks))


def test_a_head_is_learned_and_serves_only_if_it_is_better() -> None:
    recordings = [corrected(seed) for seed in range(3)]
    found = learn_profile(recordings, model="abc")
    assert found.score_head is not None
    assert found.score_head.model == "abc"
    assert read_break_profile(found.to_dict()) == found
    assert learn_profile(recordings).score_head is None
    # On a recording that it has not seen the head alone tells most seconds.
    other = corrected(7)
    logits, known = found.score_head.logits(other.observations.features)
    assert known.all()
    inside = np.any([(other.observations.times + 0.5 > a) & (other.observations.times < b) for a, b in other.breaks], 0)
    assert ((logits > 0) == inside).mean() > 0.9
    noise = [corrected(seed, apart=0.0) for seed in range(3)]
    assert learn_profile(noise, model="abc").score_head is None
    chosen = choose_profile(noise, read_break_profile(), "abc")
    assert chosen.profile.score_head is None
    assert any("no head" in each for each in chosen.notes)


def test_a_profile_that_makes_breaks_worse_does_not_serve() -> None:
    """Marks that are wrong in all but the recording that is judged."""
    blocks = [adverts(300, [20, 30, 15, 20])]
    good = [Corrected(simulate(900, blocks, seed=seed), ((300.0, blocks[0][1]),)) for seed in range(2)]
    bad = [Corrected(each.observations, ((0.0, 299.0), (390.0, 900.0))) for each in good]
    chosen = choose_profile([*good, *bad], read_break_profile())
    assert chosen.after.f1 is not None
    assert chosen.before.f1 is not None
    assert chosen.after.f1 >= chosen.before.f1


def test_a_head_of_another_model_is_left_out() -> None:
    head = ScoreHead("abc", (0.5,) * SHORT, 0.0, 0.5)
    profile = replace(read_break_profile(), score_head=head)
    assert profile_for_model(profile, "abc") == (profile, ())
    for model in ("other", ""):
        kept, notes = profile_for_model(profile, model)
        assert kept.score_head is None
        assert len(notes) == 1
    for broken in ({}, {"model": "a", "kernel": [1], "bias": 0, "share": 0.5}, 3, [],
                   {"model": "a", "kernel": ["x"] * SHORT, "bias": 0, "share": 0.5},
                   {"model": "a", "kernel": [0.0] * SHORT, "bias": 0, "share": 5}):  # fmt: skip
        with pytest.raises(ConfigError, match="score_head"):
            read_break_profile({"score_head": broken})


def test_a_head_of_few_seconds_is_not_learned() -> None:
    seen = np.random.default_rng(0).normal(size=(20, SHORT)).astype(np.float16)
    few = LabelledSeconds(seen, np.zeros(20), np.arange(20) < 10, 1.0)
    assert learn_head([few], "abc") is None
    assert learn_head([], "abc") is None
