"""What stands out in the measures of a recording: each cue makes its kind of peak, in time, and apart from others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliplab.detect.highlights.cells import CELL_SECONDS, Cells
from cliplab.detect.highlights.proposing import (
    AHEAD_SECONDS,
    LiveChoice,
    Peak,
    Proposer,
    keep_apart,
    live_waits,
)

# The measures of a recording in which nothing happens.
STILL = {
    "level": -40.0, "onset": 0.1, "flux": 0.1, "crowd": 0.0, "speech": 0.0, "motion": 0.1, "effort": 0.1, "cut": 0.0,
    "flash": 0.0, "chat": 0.0,
}  # fmt: skip
# What one of them is while something happens, and what that is.
EVENTS = [
    ("level", -5.0, "audio", "cheer"), ("onset", 4.0, "audio", "bang"), ("flux", 4.0, "audio", "bang"),
    ("motion", 3.0, "video", "motion"), ("effort", 4.0, "video", "motion"), ("flash", 1.0, "video", "flash"),
    ("cut", 1.0, "video", "cuts"), ("chat", 4.0, "video", "chat"),
]  # fmt: skip


def cells(seconds: float, at: float = 0.0, length: float = 5.0, **changed: float) -> Cells:
    found = Cells()
    count = round(seconds / CELL_SECONDS)
    for name, usual in STILL.items():
        values = np.full(count, usual, np.float32)
        if name in changed:
            values[round(at / CELL_SECONDS) : round((at + length) / CELL_SECONDS)] = changed[name]
        found.put(name, 0, values)
    return found


def peaks(found: Cells, least: float = 0.05, ahead: float | None = None, at_end: bool = True) -> list[Peak]:
    return list(Proposer(found, least, ahead).peaks(at_end))


@pytest.mark.parametrize(("name", "value", "kind", "event"), EVENTS)
def test_each_cue_makes_its_kind_of_peak_where_it_is(name: str, value: float, kind: str, event: str) -> None:
    (found, *more) = peaks(cells(200.0, 100.0, **{name: value}))
    assert not [one for one in more if one.seconds > 110.0]
    assert 98.0 <= found.seconds <= 106.0
    assert found.event == event
    assert found.kind == kind or event == "chat"
    cue = "cuts" if name == "cut" else name
    assert found.cues[cue] > 0.3
    others = {key: strength for key, strength in found.cues.items() if key not in (cue, "crowd", "speech")}
    assert max(others.values()) == 0.0
    assert 0.0 < found.score <= 1.0


def test_nothing_stands_out_of_a_recording_in_which_nothing_happens() -> None:
    assert peaks(cells(200.0)) == []
    assert peaks(Cells()) == []


def test_a_crowd_and_speech_count_where_they_are_loud() -> None:
    for name, event in (("crowd", "cheer"), ("speech", "speech")):
        loud = cells(200.0, 100.0, **{name: 1.0})
        found = peaks(loud)
        assert [one.event for one in found if 98.0 <= one.seconds <= 106.0][:1] == [event]
        quiet = Cells()
        quiet.put("level", 0, np.full(2000, -60.0, np.float32))
        quiet.put(name, 0, np.where(np.arange(2000) // 50 == 20, 1.0, 0.0).astype(np.float32))
        assert peaks(quiet) == []


def test_sound_and_picture_together_are_more_than_either() -> None:
    sound, picture, both = (
        max(one.score for one in peaks(cells(200.0, 100.0, **changed)))
        for changed in ({"level": -25.0}, {"motion": 1.0}, {"level": -25.0, "motion": 1.0})
    )
    assert both > max(sound, picture)
    assert both < 1 - (1 - sound) * (1 - picture), "the weaker one counts less"


@pytest.mark.parametrize("least", [0.1, 0.3, 0.5])
def test_peaks_below_the_least_score_are_left_out(least: float) -> None:
    found = peaks(cells(200.0, 100.0, level=-30.0))
    assert all(one.score >= least for one in peaks(cells(200.0, 100.0, level=-30.0), least))
    assert [one for one in found if one.score >= least] == peaks(cells(200.0, 100.0, level=-30.0), least)


@pytest.mark.parametrize("live_ahead", [None, 3.0, 6.0])
def test_a_peak_is_decided_when_enough_after_it_is_known(live_ahead: float | None) -> None:
    ahead = live_ahead or AHEAD_SECONDS
    whole = cells(100.0 + ahead + 20.0, 100.0, level=-5.0)
    at = peaks(whole, ahead=live_ahead)[0].seconds
    step = 5.0 if live_ahead is None else 1.0
    for more, decided in ((-2 * step, False), (2 * step, True)):
        known = cells(at + ahead + more, 100.0, level=-5.0)
        proposer = Proposer(known, 0.05, live_ahead)
        found = list(proposer.peaks())
        assert bool(found) is decided, more
        assert proposer.known_seconds <= at + more + 1e-6
        assert list(proposer.peaks()) == [], "each peak once"


def peak(seconds: float, score: float = 0.5) -> Peak:
    return Peak(seconds, "audio", "cheer", score, {})


PEAKS = st.lists(st.builds(peak, st.integers(0, 200).map(float), st.integers(1, 9).map(lambda n: n / 10)), max_size=30)


@given(found=PEAKS, gap=st.sampled_from((0.0, 0.05, 1.0, 7.5, 30.0)))
def test_peaks_that_are_kept_lie_apart_and_each_other_has_a_better_one_near(found: list[Peak], gap: float) -> None:
    kept = keep_apart(found, gap)
    assert [one.seconds for one in kept] == sorted(one.seconds for one in kept)
    for one, other in itertools.pairwise(kept):
        assert other.seconds - one.seconds >= gap - 1e-6
    for left_out in found:
        better = [one for one in kept if abs(one.seconds - left_out.seconds) < gap and one.score >= left_out.score]
        assert any(left_out is one for one in kept) or better


def test_peaks_exactly_a_gap_apart_are_both_kept() -> None:
    assert len(keep_apart([peak(0.0), peak(10.0), peak(20.0)], 10.0)) == 3
    assert [one.seconds for one in keep_apart([peak(0.0), peak(9.9, 0.9)], 10.0)] == [9.9]
    assert [one.seconds for one in keep_apart([peak(3.0), peak(1.0)], 10.0)] == [1.0], "of equal ones the first"


@pytest.mark.parametrize("after", [0.0, 0.5, 3.0, 6.0, 9.0, 15.0, 90.0])
def test_a_clip_of_a_live_stream_is_decided_soon_after_its_end(after: float) -> None:
    ahead, patience = live_waits(after)
    assert 3.0 <= ahead <= 6.0, "enough to know a peak by"
    assert patience >= 2.0, "a better peak may follow"
    assert ahead + patience + 1.0 - after == pytest.approx(max(3.0, 6.0 - after)), "the tick of a second included"


def test_a_live_peak_waits_for_a_better_one_and_no_longer() -> None:
    choice = LiveChoice(gap_seconds=10.0, patience_seconds=4.0)
    assert choice.add([peak(10.0, 0.5)], 13.9) == []
    assert [one.seconds for one in choice.add([], 14.0)] == [10.0]
    assert choice.add([peak(15.0, 0.9)], 30.0) == [], "too near the one that is certain"
    assert [one.seconds for one in choice.add([peak(20.0, 0.4)], 30.0)] == [20.0]
    waiting = LiveChoice(gap_seconds=10.0, patience_seconds=60.0)
    assert waiting.add([peak(10.0, 0.5)], 19.0) == []
    assert [one.seconds for one in waiting.add([peak(19.0, 0.9)], 29.0)] == [19.0], "the better one replaces it"
    assert waiting.add([peak(40.0, 0.5)], 41.0) == []
    assert [one.seconds for one in waiting.add([], 41.0, at_end=True)] == [40.0]
