"""What is said of a recording while it is watched: each break once, and no candidate that a better one replaced."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from test_break_learning import GENERAL, evening

from cliplab.detect import AdBreak, Corrected, HighlightOptions, following, learn_profile
from cliplab.detect.highlights import finding
from cliplab.detect.highlights.candidates import Candidate

SEEN = evening(0, [10]).observations


def candidate(peak: float, score: float, before: float = 10.0, after: float = 20.0) -> Candidate:
    return Candidate(peak - before, peak + after, peak, "audio", "cheer", score, {}, score)


# Breaks of a recording that grows


class Followed:
    """Decides what a test says, at a length of the recording."""

    def __init__(self, patch: pytest.MonkeyPatch, delay: float = 30.0) -> None:
        self.breaks: list[AdBreak] = []
        patch.setattr(following, "decide_breaks", lambda _, profile: self.breaks if profile is GENERAL else [])
        self.reporter = following._Reporter(GENERAL, delay)

    def at(self, length: float, *breaks: tuple[float, float], ended: bool = False) -> list[tuple[str, float]]:
        self.breaks = [AdBreak(start, end, 0.87654321, ("why",)) for start, end in breaks]
        events = self.reporter.report(replace(SEEN, duration_seconds=length), math.inf if ended else length)
        self.events: list[dict[str, Any]] = [dict(event) for event in events]
        return [(str(event["event"]), float(str(event["start_seconds"]))) for event in events]


def test_a_break_begins_and_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Followed(monkeypatch)
    assert told.at(129.9, (100.0, 129.9)) == [], "it may still turn out to be none"
    assert told.at(130.0, (100.0, 130.0)) == [("begins", 100.0)]
    assert told.events == [{"event": "begins", "start_seconds": 100.0, "confidence": 0.8765, "now_seconds": 130.0}]
    assert told.at(150.0, (101.0, 150.0)) == []
    assert told.at(209.9, (100.5, 180.0)) == [], "it may go on"
    assert told.at(210.0, (100.12349, 180.0)) == [("break", 100.123)]
    assert told.events[0] | {"why": []} == {
        "event": "break", "start_seconds": 100.123, "end_seconds": 180.0, "confidence": 0.8765, "why": [],
        "now_seconds": 210.0,
    }  # fmt: skip
    assert told.events[0]["why"] == ("why",)
    assert told.at(260.0, (110.0, 179.0), (179.9, 215.0)) == [], "a later opinion on it is no other break"
    assert told.at(260.0, (180.0, 215.0)) == [("begins", 180.0), ("break", 180.0)]
    assert [(one.start_seconds, one.end_seconds) for one in told.reporter.ended] == [(100.12349, 180.0), (180.0, 215.0)]


def test_a_break_whose_beginning_moved_little_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for start, expected in ((130.0, []), (130.1, [("begins", 130.1)])):
        told = Followed(monkeypatch)
        assert told.at(130.0, (100.0, 130.0)) == [("begins", 100.0)]
        assert told.at(170.0, (start, 170.0)) == expected
    told = Followed(monkeypatch)
    told.at(130.0, (100.0, 130.0))
    assert told.at(140.0, (40.0, 100.0)) == [("begins", 40.0), ("break", 40.0)], "another one before it"


def test_at_the_end_a_break_that_is_on_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Followed(monkeypatch)
    assert told.at(200.0, (190.0, 200.0), ended=True) == [("begins", 190.0), ("break", 190.0)]


@pytest.mark.parametrize("delay", [5.0, 60.0])
def test_the_delay_is_that_of_the_caller(delay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Followed(monkeypatch, delay)
    assert told.at(99.9 + delay, (100.0, 99.9 + delay)) == []
    assert told.at(100.0 + delay, (100.0, 100.0 + delay)) == [("begins", 100.0)]


# Candidates of highlights


def test_a_candidate_is_told_unless_a_better_one_was_near() -> None:
    told: list[tuple[float, float]] = []
    latest = finding._Latest(30.0, lambda one: told.append((one.peak, one.score)))
    for one in ((100, 0.5), (110, 0.5), (120, 0.4), (129.9, 0.6), (159.8, 0.6), (159.9, 0.1), (170, 0.2)):
        latest.add(candidate(*one))
    assert told == [(100, 0.5), (129.9, 0.6), (159.9, 0.1), (170, 0.2)]
    finding._Latest(30.0, None).add(candidate(1, 1))


def test_the_best_are_kept_in_the_order_of_time() -> None:
    found = [candidate(peak, score) for peak, score in ((300, 0.9), (100, 0.5), (200, 0.5), (400, 0.7))]
    kept = finding.limited(found, HighlightOptions(most=3))
    assert [one.peak for one in kept] == [100, 300, 400]
    assert len(finding.limited(found, HighlightOptions(most=4))) == 4


@pytest.mark.parametrize(
    ("end", "expected"), [(130.0, (90.0, 120.0)), (120.0, (90.0, 120.0)), (110.5, (80.5, 110.5)), (20.0, (0.0, 20.0))]
)
def test_a_candidate_ends_with_its_source(end: float, expected: tuple[float, float]) -> None:
    found = finding._inside(candidate(100.0, 0.5), end)
    assert (found.start, found.end) == expected
    assert found.peak == 100.0


# Profiles


def learned(*breaks: tuple[float, float], times: int = 1) -> Any:
    return learn_profile([Corrected(SEEN, breaks)] * times)


def test_a_channel_that_is_always_alike_keeps_some_spread() -> None:
    breaks = [(100.0 * number + 5, 100.0 * number + 65) for number in range(13)]
    found = learned(*breaks, times=400)
    assert (found.break_spread, found.programme_spread) == (0.15, 0.15)
    assert found.typical_break_seconds == pytest.approx(60, rel=0.01)
    assert found.typical_programme_seconds == pytest.approx(40, rel=0.01)
    assert found.max_break_seconds == GENERAL.max_break_seconds
    assert found.min_break_seconds == min(GENERAL.min_break_seconds, 48.0)


def test_breaks_that_were_seen_are_within_the_bounds() -> None:
    long, short = learned((10.0, 1310.0)), learned((10.0, 12.0))
    assert long.max_break_seconds == max(GENERAL.max_break_seconds, 1950.0)
    assert short.min_break_seconds == pytest.approx(min(GENERAL.min_break_seconds, 1.6))
    # Of a break at an end of the recording the length is not known.
    for cut in ((1.0, 3.0), (1390.0, 1399.0)):
        assert learned(cut).min_break_seconds == GENERAL.min_break_seconds
        assert learned(cut).typical_break_seconds == pytest.approx(GENERAL.typical_break_seconds)


def test_one_length_counts_against_four_of_the_general_profile() -> None:
    for length in (30.0, 300.0):
        logs = (4 * math.log(GENERAL.typical_break_seconds) + math.log(length)) / 5
        assert learned((100.0, 100.0 + length)).typical_break_seconds == pytest.approx(math.exp(logs))
