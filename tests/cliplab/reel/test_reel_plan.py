"""The arithmetic of reels: what is chosen, and where it stands, for any clips and limits."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cliplab.reel.plan import RATES, Format, Limits, choose, common_format, lay_out
from cliplab.reel.sound import SAMPLE_RATE, sample_of, sound_of_clips
from cliplab.reel.sources import Cut, Look, SkippedSource


def cut(number: int, start: float, seconds: float, width: int = 640, height: int = 360, fps: float = 25.0) -> Cut:
    random = np.random.default_rng(number)
    look = Look(random.random((3, 64)) > 0.5, random.uniform(0, 255, (3, 8, 8, 3)).astype(np.float32))
    return Cut(f"{number}.mp4", start, start + seconds, 0.9, width, height, fps, False, start + seconds, 0.0, 0.0, look)


CUTS = st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 12)), min_size=1, max_size=12).map(
    lambda rows: [cut(number, *row) for number, row in enumerate(rows)]
)
LIMITS = st.builds(Limits, st.integers(1, 12), st.none() | st.floats(0.1, 60), st.sampled_from((0.0, 0.5)))


@given(cuts=CUTS, limits=LIMITS, fps=st.sampled_from(RATES))
def test_places_follow_one_another_and_keep_to_the_limits(cuts: list[Cut], limits: Limits, fps: Fraction) -> None:
    skipped: list[SkippedSource] = []
    chosen = choose(cuts, limits, skipped)
    places = lay_out(chosen, Format(64, 36, fps), limits)
    assert not skipped
    assert 1 <= len(places) == len(chosen) <= limits.top
    assert [place.cut.path for place in places] == [cut.path for cut in cuts[: len(places)]]
    for place, original in zip(places, cuts, strict=False):
        assert original.start - 1e-9 <= place.cut.start < place.cut.end <= original.end + 1e-9
        assert 0 <= place.overlap < place.frames or place.frames == 1
    assert (places[0].first, places[0].overlap) == (0, 0)
    for before, place in itertools.pairwise(places):
        assert place.first == before.first + before.frames - place.overlap
        assert before.overlap + place.overlap <= before.frames  # its two crossfades do not meet
    total = places[-1].first + places[-1].frames
    if limits.duration is not None and limits.duration * fps >= 1 + places[-1].overlap + places[-1].first:
        assert total <= limits.duration * fps + 1e-6


@given(cuts=CUTS, overlap=st.sampled_from((0.0, 0.5)), fps=st.sampled_from(RATES))
def test_sound_is_exactly_as_long_as_the_pictures(cuts: list[Cut], overlap: float, fps: Fraction) -> None:
    form = Format(64, 36, fps)
    places = lay_out(cuts[:4], form, Limits(50, None, overlap))
    pieces = list(sound_of_clips(places, form, []))
    done = 0
    for piece, place in zip(pieces, places, strict=True):
        done += piece.shape[1]
        assert done <= sample_of(place.first + place.frames, form)
    total = places[-1].first + places[-1].frames
    assert done == sample_of(total, form)
    assert abs(done / SAMPLE_RATE - float(total / fps)) <= 1 / SAMPLE_RATE


def test_the_format_is_that_of_most_clips() -> None:
    wide, tall, huge = (cut(0, 0, 1, *size) for size in ((640, 360), (360, 641), (4096, 2160)))
    assert common_format([tall, wide, wide]) == Format(640, 360, Fraction(25))
    assert common_format([tall, wide]) == Format(360, 640, Fraction(25))  # the first of equals, even
    assert common_format([huge]) == Format(1920, 1012, Fraction(25))
    assert common_format([replace(wide, width=1, height=1)]) == Format(16, 16, Fraction(25))
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
    noisy = replace(cut(3, 0, 2), look=Look(first.look.bits, np.clip(first.look.colours + 6, 0, 255)))
    tinted = replace(cut(4, 0, 2), look=Look(first.look.bits, 255 - first.look.colours))
    bad = SkippedSource("bad.mp4", "bad.mp4: no such file", True)
    skipped: list[SkippedSource] = []
    chosen = choose([first, noisy, bad, tinted, other], Limits(3, None, 0.0), skipped)
    assert [found.path for found in chosen] == ["1.mp4", "4.mp4", "2.mp4"]
    assert [(source.path, source.failed) for source in skipped] == [("3.mp4", False), ("bad.mp4", True)]
