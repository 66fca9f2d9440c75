"""Profiles learned from schedules and from corrected breaks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.errors import ConfigError
from cliplab.detect import (
    Corrected,
    Schedule,
    decide_breaks,
    learn_profile,
    profile_of_schedules,
    read_break_profile,
    read_schedules,
)
from tests.support.observations import adverts, simulate

GENERAL = read_break_profile()


def evening(seed: int, lengths: list[float]) -> Corrected:
    blocks = [adverts(start, lengths) for start in (200, 500, 800, 1100)]
    seen = simulate(1400, blocks, seed=seed, cues=True)
    return Corrected(seen, tuple((start, end) for start, end, _ in blocks))


def test_lengths_and_weights_move_towards_a_channel() -> None:
    recordings = [evening(seed, [15, 15]) for seed in range(3)]
    found = learn_profile(recordings)
    assert found.typical_break_seconds == pytest.approx(45, abs=15)
    assert found.break_spread < GENERAL.break_spread
    assert found.typical_programme_seconds < 400
    assert found.edge_weights["black"] > GENERAL.edge_weights["black"]
    assert found.second_weights["logo"] == GENERAL.second_weights["logo"]  # nothing was seen of it
    assert read_break_profile(json.loads(json.dumps(found.to_dict()))) == found
    again = evening(9, [15, 15])
    assert len(decide_breaks(again.observations, found)) == 4


def test_nothing_and_extremes_leave_a_usable_profile() -> None:
    unchanged = learn_profile([]).to_dict()
    for key, value in GENERAL.to_dict().items():
        assert unchanged[key] == (pytest.approx(value) if isinstance(value, float) else value)
    one = evening(0, [10])
    for breaks in ((), ((0.0, 1400.0),), ((1.0, 1.0),), ((5.0, 5.1), (5.2, 1399.9)), one.breaks * 20):
        found = learn_profile([Corrected(one.observations, breaks)])
        assert all(math.isfinite(value) for value in (*found.second_weights.values(), *found.edge_weights.values()))
        decide_breaks(one.observations, found)
    same = replace(one.observations, ad_scores=np.full(1400, 0.5, np.float32))
    assert np.isfinite(learn_profile([Corrected(same, one.breaks)]).second_weights["ad_scores"])


def test_schedules_give_lengths_and_nominal_adverts(tmp_path: Path) -> None:
    segments, at = [], 0.0
    for _ in range(6):
        segments.append((at, at + 600, "entertainment"))
        at += 600
        for length in (30, 30, 20, 30):
            segments.append((at, at + length, "advert"))
            at += length + 0.2
    path = tmp_path / "schedules.jsonl"
    path.write_text(json.dumps({"recording": "a", "channel": "x", "segments": segments}) + "\n")
    (schedule,) = read_schedules(path)
    assert isinstance(schedule, Schedule)
    assert len(schedule.blocks()) == 6
    found = profile_of_schedules([schedule])
    assert found.typical_break_seconds == pytest.approx(122, abs=8)
    assert found.adverts["30"] > GENERAL.adverts["30"]
    assert found.adverts["15"] < GENERAL.adverts["15"]
    assert sum(found.adverts.values()) == pytest.approx(1, abs=0.01)
    path.write_text('{"recording": 1}\n')
    with pytest.raises(ConfigError, match=r"schedules\.jsonl:1"):
        read_schedules(path)


def test_the_general_profile_says_where_it_is_from() -> None:
    from cliplab.detect import break_profile

    stored = json.loads(Path(break_profile.__file__).with_suffix(".json").read_text())
    assert "157 h" in stored["origin"]
    assert "MIT" in stored["origin"]
