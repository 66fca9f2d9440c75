"""Timestamps to a time that always grows, over joints, leaps and wrong stamps; files of several recordings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_patterns import number_of, write_numbered

from adapters.media import open_video
from adapters.media.clock import LONGEST_STILL_SECONDS, Clock, Lasting, may_be_joined


def times(clock: Clock, *stamps: float) -> list[float]:
    return [clock.advance(stamp) for stamp in stamps]


def test_timestamps_that_grow_are_left_alone() -> None:
    for joined in (False, True):
        assert times(Clock(0.5, joined), 3.0, 3.5, 3.6, 13.5, 23.5) == [3.0, 3.5, 3.6, 13.5, 23.5]
    clock = Clock(0.5, False)
    assert clock.last is None
    assert times(clock, 7.0) == [7.0] == [clock.last]


def test_three_recordings_each_from_zero_keep_their_own_uneven_steps() -> None:
    stamps = [0.0, 0.5, 2.0, 2.25]
    found = times(Clock(0.5, False), *stamps, *stamps, *stamps)
    assert found == [0.0, 0.5, 2.0, 2.25, 2.75, 3.25, 4.75, 5.0, 5.5, 6.0, 7.5, 7.75]


@given(
    starts=st.lists(st.sampled_from([0.0, 100.0, 1000.0, 5000.0]), min_size=1, max_size=6),
    steps=st.lists(st.sampled_from([0.25, 0.5, 1.0, 4.0]), min_size=4, max_size=9),
)
def test_any_number_of_joined_recordings_keep_their_steps(starts: list[float], steps: list[float]) -> None:
    """However each one's clock begins: before where the last one ended, or far ahead of it."""
    clock, found, expected = Clock(0.5, True), list[float](), list[float]()
    own = np.concatenate([[0.0], np.cumsum([*steps, 1.0])])
    for start in starts:
        found += times(clock, *(start + own))
        expected += (own + (expected[-1] + 0.5 if expected else start)).tolist()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_step_back_is_another_clock_from_more_than_a_second_on() -> None:
    assert times(Clock(0.5, False), 10.0, 9.0, 10.75) == [10.0, 10.25, 10.75]
    assert times(Clock(0.5, False), 10.0, 8.75, 9.25) == [10.0, 10.5, 11.0]
    assert times(Clock(0.5, False), 10.0, 10.0, 10.5) == [10.0, 10.25, 10.5], "the same stamp twice"


def test_the_last_frame_lasts_as_long_as_the_frames_whose_times_differ() -> None:
    lasting = Lasting(0.04)
    for seconds in (0.0, 0.0, 0.0, 0.5, 1.0):
        lasting.add(seconds, 0.0)
    assert lasting.seconds(1.0) == 0.5
    lasting.add(1.25, 0.75)
    assert lasting.seconds(1.25) == 0.75, "what is stored counts first"
    lasting.add(1.5, LONGEST_STILL_SECONDS)
    assert lasting.seconds(1.5) == LONGEST_STILL_SECONDS
    lasting.add(2.0, LONGEST_STILL_SECONDS + 1)
    assert lasting.seconds(2.0) == 0.5, "no still lasts that long"


def test_how_long_the_last_frame_lasts_is_known_from_three_frames_or_its_own_duration() -> None:
    lasting = Lasting(0.04)
    lasting.add(0.0, 0.0)
    assert lasting.seconds(0.0) == 0.04
    lasting.add(0.5, 0.0)
    assert not lasting.is_known()
    assert (lasting.seconds(0.5), lasting.seconds(0.0)) == (0.5, 0.04), "only frames up to the last one count"
    lasting.add(1.0, 0.0)
    assert lasting.is_known()
    other = Lasting(0.04)
    other.add(0.0, 0.25)
    assert other.is_known()


def test_a_step_ahead_is_another_clock_only_where_recordings_may_be_joined() -> None:
    assert times(Clock(0.5, False), 1.0, 5000.0, 5000.5) == [1.0, 5000.0, 5000.5]
    assert times(Clock(0.5, True), 1.0, 11.0, 11.5) == [1.0, 11.0, 11.5]
    assert times(Clock(0.5, True), 1.0, 11.25, 11.75) == [1.0, 1.5, 2.0]


@given(stamps=st.lists(st.floats(-1e4, 1e5), min_size=1, max_size=30), joined=st.booleans())
def test_time_always_grows(stamps: list[float], joined: bool) -> None:
    found = times(Clock(0.04, joined), *stamps)
    assert found[0] == stamps[0]
    assert all(before < after for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("name", "codec", "joined"),
    [
        ("a.ts", "libx264", True),
        ("a.mpg", "mpeg2video", True),
        ("a.mp4", "libx264", False),
        ("a.mkv", "libx264", False),
    ],
)
def test_program_and_transport_streams_may_be_joined(tmp_path: Path, name: str, codec: str, joined: bool) -> None:
    path = write_numbered(tmp_path / name, 60, codec=codec)
    with av.open(str(path)) as container:
        assert may_be_joined(container) is joined


@pytest.mark.parametrize(("name", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video")])
def test_three_recordings_in_one_file(tmp_path: Path, name: str, codec: str) -> None:
    """The second begins an hour later by its clock, the third anew."""
    data = b""
    for hours in (0, 1, 0):
        ticks = [hours * 90_000 + number for number in range(60)]
        options = {"options": {"preset": "ultrafast"}} if codec == "libx264" else {}
        data += write_numbered(tmp_path / f"part.{name}", 60, codec=codec, gop=20, ticks=ticks, **options).read_bytes()
    (tmp_path / f"joined.{name}").write_bytes(data)
    with open_video(tmp_path / f"joined.{name}") as video:
        frames = list(video.frames())
        assert video.info.duration_seconds == pytest.approx(7.2, abs=0.15)
    assert [number_of(frame) for _, frame in frames] == [*range(60)] * 3
    np.testing.assert_allclose(np.diff([seconds for seconds, _ in frames]), 1 / 25, atol=0.002)
