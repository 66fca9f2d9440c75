"""The arithmetic of reels: what is chosen, and where it stands, for any clips and limits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import ConfigError
from cliplab.reel.plan import RATES, ReelFormat, ReelLimits, check_options, choose_clips, common_format, place_clips
from cliplab.reel.run import _scan_notes
from cliplab.reel.sound import SAMPLE_RATE, sample_of, sound_of_clips
from cliplab.reel.sources import PerceptualHash, SkippedSource, SourceClip


def cut(
    number: int, start: float, seconds: float, width: int = 640, height: int = 360, fps: float = 25.0
) -> SourceClip:
    random = np.random.default_rng(number)
    look = PerceptualHash(random.random((3, 64)) > 0.5, random.uniform(0, 255, (3, 8, 8, 3)).astype(np.float32))
    return SourceClip(
        f"{number}.mp4", start, start + seconds, 0.9, width, height, fps, False, start + seconds, 0.0, 0.0, look
    )


CUTS = st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 12)), min_size=1, max_size=12).map(
    lambda rows: [cut(number, *row) for number, row in enumerate(rows)]
)
LIMITS = st.builds(ReelLimits, st.integers(1, 12), st.none() | st.floats(0.1, 60), st.sampled_from((0.0, 0.5)))


@given(cuts=CUTS, limits=LIMITS, fps=st.sampled_from(RATES))
def test_places_follow_one_another_and_keep_to_the_limits(
    cuts: list[SourceClip], limits: ReelLimits, fps: Fraction
) -> None:
    skipped: list[SkippedSource] = []
    chosen = choose_clips(cuts, limits, skipped)
    timeline = place_clips(chosen, ReelFormat(64, 36, fps), limits)
    assert not skipped
    assert 1 <= len(timeline) == len(chosen) <= limits.top
    assert [placed.clip.path for placed in timeline] == [cut.path for cut in cuts[: len(timeline)]]
    for placed, original in zip(timeline, cuts, strict=False):
        assert original.start - 1e-9 <= placed.clip.start < placed.clip.end <= original.end + 1e-9
        assert 0 <= placed.overlap < placed.frames or placed.frames == 1
    assert (timeline[0].first, timeline[0].overlap) == (0, 0)
    for before, placed in itertools.pairwise(timeline):
        assert placed.first == before.first + before.frames - placed.overlap
        assert before.overlap + placed.overlap <= before.frames  # its two crossfades do not meet
    total = timeline[-1].first + timeline[-1].frames
    if limits.duration is not None and limits.duration * fps >= 1 + timeline[-1].overlap + timeline[-1].first:
        assert total <= limits.duration * fps + 1e-6


@given(cuts=CUTS, overlap=st.sampled_from((0.0, 0.5)), fps=st.sampled_from(RATES))
def test_sound_is_exactly_as_long_as_the_pictures(cuts: list[SourceClip], overlap: float, fps: Fraction) -> None:
    form = ReelFormat(64, 36, fps)
    timeline = place_clips(cuts[:4], form, ReelLimits(50, None, overlap))
    pieces = list(sound_of_clips(timeline, form, []))
    done = 0
    for piece, placed in zip(pieces, timeline, strict=True):
        done += piece.shape[1]
        assert done <= sample_of(placed.first + placed.frames, form)
    total = timeline[-1].first + timeline[-1].frames
    assert done == sample_of(total, form)
    assert abs(done / SAMPLE_RATE - float(total / fps)) <= 1 / SAMPLE_RATE


def test_the_format_is_that_of_most_clips() -> None:
    wide, tall, huge = (cut(0, 0, 1, *size) for size in ((640, 360), (360, 641), (4096, 2160)))
    assert common_format([tall, wide, wide]) == ReelFormat(640, 360, Fraction(25))
    assert common_format([tall, wide]) == ReelFormat(360, 640, Fraction(25))  # the first of equals, even
    assert common_format([huge]) == ReelFormat(1920, 1012, Fraction(25))
    assert common_format([replace(wide, width=1, height=1)]) == ReelFormat(16, 16, Fraction(25))
    for fps, expected in (
        (29.96, Fraction(30000, 1001)),
        (14.9, 15),
        (240.0, 60),
        (8.3, 12),
        (59.94, Fraction(60000, 1001)),
    ):
        assert common_format([replace(wide, fps=fps)]).fps == expected


def test_the_same_look_is_left_out_and_the_next_comes_up() -> None:
    first, other = cut(1, 0, 2), cut(2, 0, 2)
    noisy = replace(
        cut(3, 0, 2),
        perceptual_hash=PerceptualHash(first.perceptual_hash.bits, np.clip(first.perceptual_hash.colours + 6, 0, 255)),
    )
    tinted = replace(
        cut(4, 0, 2), perceptual_hash=PerceptualHash(first.perceptual_hash.bits, 255 - first.perceptual_hash.colours)
    )
    bad = SkippedSource("bad.mp4", "bad.mp4: no such file", True)
    skipped: list[SkippedSource] = []
    chosen = choose_clips([first, noisy, bad, tinted, other], ReelLimits(3, None, 0.0), skipped)
    assert [found.path for found in chosen] == ["1.mp4", "4.mp4", "2.mp4"]
    assert [(source.path, source.failed) for source in skipped] == [("3.mp4", False), ("bad.mp4", True)]


def test_stretches_of_one_recording_are_the_same_footage_where_they_overlap() -> None:
    whole = cut(1, 0, 20)
    stretches = [replace(whole, start=start, end=start + 4) for start in (10.0, 2.0, 6.0, 14.0, 13.9, 17.5)]
    skipped: list[SkippedSource] = []
    chosen = choose_clips(stretches, ReelLimits(9, None, 0.0), skipped)
    assert [found.start for found in chosen] == [10.0, 2.0, 6.0, 14.0], "what follows at once is other footage"
    assert len(skipped) == 2
    assert len(choose_clips(stretches, ReelLimits(9, None, 0.0, keeps_alike=True), [])) == 6


def ranges(cuts: list[SourceClip]) -> list[tuple[float, float]]:
    return [(found.start, found.end) for found in cuts]


def test_the_last_clip_is_cut_to_its_middle() -> None:
    """Its best moment is in the middle of its window, so as much goes at either end."""
    cuts = [cut(1, 10, 4), cut(2, 20, 4), cut(3, 30, 4)]
    assert ranges(choose_clips(cuts, ReelLimits(9, 5.0, 0.0), [])) == [(10, 14), (21.5, 22.5)]
    # A crossfade is in both clips, so there is as much more of the last.
    assert ranges(choose_clips(cuts, ReelLimits(9, 5.0, 0.5), [])) == [(10, 14), (21.25, 22.75)]
    assert ranges(choose_clips(cuts, ReelLimits(9, 3.0, 0.0), [])) == [(10.5, 13.5)]


@pytest.mark.parametrize(
    ("duration", "count"),
    [
        (4.0, 1),
        (4.99, 1),  # less than a second of the next would be seen
        (5.0, 2),
        (8.0, 2),
        (12.0, 3),
        (99.0, 3),
    ],
)
def test_a_clip_is_taken_where_a_second_of_it_is_seen(duration: float, count: int) -> None:
    cuts = [cut(1, 0, 4), cut(2, 0, 4), cut(3, 0, 4)]
    assert len(choose_clips(cuts, ReelLimits(9, duration, 0.0), [])) == count


def test_short_clips_and_short_reels_are_taken_whole() -> None:
    assert ranges(choose_clips([cut(1, 0, 4), cut(2, 7, 0.5)], ReelLimits(9, 4.5, 0.0), [])) == [(0, 4), (7, 7.5)]
    assert ranges(choose_clips([cut(1, 1, 4)], ReelLimits(9, 0.5, 0.0), [])) == [(2.75, 3.25)]
    assert ranges(choose_clips([cut(1, 0, 4), cut(2, 7, 0.5)], ReelLimits(9, 4.4, 0.0), [])) == [(0, 4)]


def test_no_more_candidates_are_looked_at_than_are_needed() -> None:
    looked: list[str] = []

    def candidates() -> Iterator[SourceClip]:
        for number in range(9):
            looked.append(f"{number}.mp4")
            yield cut(number, 0, 2)

    assert len(choose_clips(candidates(), ReelLimits(3, None, 0.0), [])) == len(looked) == 3
    looked.clear()
    assert len(choose_clips(candidates(), ReelLimits(9, 4.0, 0.0), [])) == len(looked) == 2
    looked.clear()
    # Crossfades of half a second are counted once.
    assert ranges(choose_clips(candidates(), ReelLimits(9, 6.5, 0.5), [])) == [(0, 2)] * 4
    assert len(looked) == 4
    # Of a clip of 0.4 s only half is shared at either side: 4 + 0.2 s, and of the third 1.8 s and what is shared.
    assert ranges(choose_clips([cut(1, 0, 4), cut(2, 0, 0.4), cut(3, 0, 4)], ReelLimits(9, 6.0, 0.5), []))[
        2
    ] == pytest.approx((1, 3))


def test_a_crossfade_takes_half_of_a_short_clip_at_most() -> None:
    cuts, form = [cut(1, 0, 2), cut(2, 0, 0.4), cut(3, 0, 2)], ReelFormat(64, 36, Fraction(25))
    timeline = place_clips(cuts, form, ReelLimits(9, None, 0.5))
    assert [(placed.first, placed.frames, placed.overlap) for placed in timeline] == [
        (0, 50, 0),
        (45, 10, 5),
        (50, 50, 5),
    ]
    long = place_clips([cut(1, 0, 2), cut(2, 0, 2)], form, ReelLimits(9, None, 0.5))
    assert [(placed.first, placed.frames, placed.overlap) for placed in long] == [(0, 50, 0), (38, 50, 12)]
    apart = place_clips(cuts, form, ReelLimits(9, None, 0.0))
    assert [(placed.first, placed.frames, placed.overlap) for placed in apart] == [(0, 50, 0), (50, 10, 0), (60, 50, 0)]


def test_clips_are_whole_frames_and_the_last_gives_up_what_is_too_much() -> None:
    form = ReelFormat(64, 36, Fraction(25))
    rounded_up = [cut(1, 0, 0.1), cut(2, 0, 0.5), cut(3, 0, 0.03)]
    assert [placed.frames for placed in place_clips(rounded_up, form, ReelLimits(9, None, 0.0))] == [2, 12, 1]
    cuts = [cut(number, 0, 0.7) for number in range(3)]  # 17.5 frames, which are 18
    assert [placed.frames for placed in place_clips(cuts, form, ReelLimits(9, None, 0.0))] == [18, 18, 18]
    assert [placed.frames for placed in place_clips(cuts, form, ReelLimits(9, 2.1, 0.0))] == [18, 18, 16]
    assert [placed.frames for placed in place_clips(cuts, form, ReelLimits(9, 2.16, 0.0))] == [18, 18, 18]
    # But for what the crossfade before it takes, and one frame.
    assert place_clips([cut(1, 0, 2), cut(2, 0, 2)], form, ReelLimits(9, 1.6, 0.5))[1].frames == 13
    film = ReelFormat(64, 36, Fraction(30000, 1001))
    (placed,) = place_clips([cut(1, 0, 10)], film, ReelLimits(9, 10.0, 0.0))
    assert placed.frames == 299, "300 are longer than ten seconds"


def test_the_size_of_a_reel_is_at_most_full_hd() -> None:
    for size, expected in (
        ((1920, 1080), (1920, 1080)),
        ((3840, 2160), (1920, 1080)),
        ((2160, 3840), (1080, 1920)),
        ((2160, 2160), (1080, 1080)),
        ((2000, 500), (1920, 480)),
        ((853, 481), (852, 480)),
        ((1280, 720), (1280, 720)),
        ((1922, 4), (1920, 16)),
    ):
        found = common_format([cut(0, 0, 1, *size)])
        assert (found.width, found.height) == expected
    assert ReelFormat(64, 36, Fraction(30000, 1001)).to_json() == {"width": 64, "height": 36, "fps": 29.97}
    assert common_format([cut(0, 0, 1, fps=30), cut(1, 0, 1), cut(2, 0, 1)]).fps == 25
    assert common_format([cut(0, 0, 1, fps=30), cut(1, 0, 1)]).fps == 30, "the first of equals"
    for rate in RATES:
        assert common_format([cut(0, 0, 1, fps=float(rate))]).fps == rate


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"top": 0}, "--top"),
        ({"min_score": -0.01}, "--min-score"),
        ({"min_score": 1.01}, "--min-score"),
        ({"duration": 0.09}, "--duration"),
        ({"duration": 1e6}, "--duration"),
        ({"per_clip": 0.09}, "--per-clip-seconds"),
        ({"per_clip": float("nan")}, "--per-clip-seconds"),
        ({"order": "size"}, "--order"),
    ],
)
def test_numbers_that_are_not_allowed(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"top": 1, "min_score": 0, "duration": 0.1, "per_clip": 0.1, "order": "time"}
    check_options(**good)
    check_options(**{**good, "min_score": 1, "duration": None, "per_clip": None, "order": "score"})
    with pytest.raises(ConfigError, match=words):
        check_options(**{**good, **change})


@pytest.mark.parametrize(("least", "noted"), [(0.5, False), (0.6, False), (0.4, True)])
def test_videos_below_the_score_of_the_scan_are_not_known(least: float, noted: bool) -> None:
    notes = _scan_notes({"min_score": 0.5}, least)
    assert [("at least 0.5" in note, "--min-score 0.4" in note) for note in notes] == [(True, True)] * noted
