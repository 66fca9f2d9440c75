"""Which stretches come again, by hashes at moments: how long, how dense, how far apart, and in what of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cliplab.detect import RepetitionIndex
from cliplab.detect.fingerprints import Fingerprint

LENGTH = 120.0
NOTHING: tuple[Any, Any] = (np.zeros(0), np.zeros(0, np.uint32))


def marks(begin: float, end: float, step: float, first: int, at: float = 0.0) -> tuple[Any, Any]:
    """Hashes of a stretch in steps, whose numbers begin with one, shown from a moment on."""
    count = round((end - begin) / step) + 1
    return at + np.arange(count) * step, (first + np.arange(count)).astype(np.uint32)


def seen(sound: tuple[Any, Any] = NOTHING, pictures: tuple[Any, Any] = NOTHING) -> Fingerprint:
    return Fingerprint(sound[0], sound[1], pictures[0], pictures[1], LENGTH)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[RepetitionIndex]:
    with RepetitionIndex(tmp_path / "index.sqlite") as found:
        yield found


def shown(index: RepetitionIndex, one: Fingerprint, other: Fingerprint) -> list[tuple[int, int]]:
    """The stretches of the first recording that come again in the other, in whole seconds."""
    index.add("one", one)
    index.add("other", other)
    row = index.row("one")
    assert len(row) == LENGTH
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def pictures_of(length: float, at: float, step: float = 1.0) -> Fingerprint:
    return seen(pictures=marks(0, length, step, 100, at))


# Seconds of a stretch, seconds from one hash of its pictures to the next, and whether it is an advert.
LENGTHS = [(7, 1.0, False), (8, 1.0, True), (100, 1.0, True), (101, 1.0, False), (24, 6.0, True), (28, 7.0, False)]


@pytest.mark.parametrize(("length", "step", "found"), LENGTHS)
def test_an_advert_has_a_length_and_no_long_pauses(
    length: float, step: float, found: bool, index: RepetitionIndex
) -> None:
    again = shown(index, pictures_of(length, 10, step), pictures_of(length, 3, step))
    assert again == ([(10, 10 + length)] if found else [])


@pytest.mark.parametrize(("moments", "found"), [(3, False), (4, True)])
def test_pictures_agree_at_four_moments_at_least(moments: int, found: bool, index: RepetitionIndex) -> None:
    times, hashes = marks(0, 4.0 * (moments - 1), 4.0, 100)
    assert bool(shown(index, seen(pictures=(20 + times, hashes)), seen(pictures=(5 + times, hashes)))) == found


@pytest.mark.parametrize(("step", "count", "found"), [(2.0, 5, False), (2.0, 6, True), (3.0, 6, True), (3.5, 6, False)])
def test_sound_agrees_at_six_moments_without_long_pauses(
    step: float, count: int, found: bool, index: RepetitionIndex
) -> None:
    times, hashes = np.arange(count) * step, np.arange(count, dtype=np.uint32)
    # Of the other recording's sound one hash of four is looked up among.
    every = np.repeat(hashes, 4)
    again = shown(index, seen((20 + times, hashes)), seen((np.repeat(5 + times, 4), every)))
    assert again == ([(20, 20 + round((count - 1) * step))] if found else [])


@pytest.mark.parametrize(("away", "found"), [(0.0, True), (0.2, True), (0.9, False)])
def test_places_agree_at_one_distance_in_time(away: float, found: bool, index: RepetitionIndex) -> None:
    times, hashes = marks(0, 20, 1.0, 100)
    drifting = times + away * np.arange(len(times))
    assert bool(shown(index, seen(pictures=(10 + times, hashes)), seen(pictures=(30 + drifting, hashes)))) == (
        found and away == 0.0
    )
    shifted = times + away * (np.arange(len(times)) % 2)  # each other one comes later
    index.add("one", seen(pictures=(10 + times, hashes)))
    index.add("other", seen(pictures=(30 + shifted, hashes)))
    assert index.row("one").any(), "each half agrees by itself"


def test_what_stands_still_is_no_repetition_of_itself(index: RepetitionIndex) -> None:
    times, hashes = marks(0, 10, 1.0, 100)
    for apart, found in ((4.0, False), (6.0, True)):
        both = (np.concatenate([20 + times, 20 + apart + times]), np.concatenate([hashes, hashes]))
        index.add("one", seen(pictures=both))
        assert index.row("one").any() == found, apart


def test_a_hash_that_is_everywhere_is_of_no_use(index: RepetitionIndex) -> None:
    times, hashes = marks(0, 10, 1.0, 100)
    for copies, found in ((19, True), (401, False)):
        index.add("other", seen(pictures=(np.tile(times, copies), np.tile(hashes, copies))))
        index.add("one", seen(pictures=(20 + times, hashes)))
        assert index.row("one").any() == found, copies


# What agrees with the other recording, in which kinds both have hashes, and what comes again.
BOTH = [
    ({"sound": 0.0, "pictures": 0.0}, [(20, 40)]),
    ({"sound": 0.0}, []),  # the other's pictures are others
    ({"pictures": 0.0}, []),
    ({"sound": 0.0, "pictures": 0.55}, [(20, 40)]),  # half the spacing of key frames, and sound that is 0.1 s late
    ({"sound": 0.0, "pictures": 0.7}, []),
    ({"sound": 0.0, "pictures": 1.1}, []),  # at another distance in time
]


@pytest.mark.parametrize(("agree", "expected"), BOTH)
def test_where_both_have_sound_and_pictures_both_agree(
    agree: dict[str, float], expected: list[tuple[int, int]], index: RepetitionIndex
) -> None:
    times = np.arange(0, 20.5, 0.5)
    heard, looks = np.arange(len(times), dtype=np.uint32), 1000 + np.arange(len(times), dtype=np.uint32)
    one = seen((20 + times, heard), (20 + times, looks))
    other = seen(
        (np.repeat(60 + times + agree.get("sound", 0.0), 4), np.repeat(heard + (0 if "sound" in agree else 500), 4)),
        (60 + times + agree.get("pictures", 0.0), looks + (0 if "pictures" in agree else 500)),
    )
    assert shown(index, one, other) == expected


def test_both_count_where_they_agree_with_some_seconds_to_spare(index: RepetitionIndex) -> None:
    times = np.arange(0, 40.5, 0.5)
    heard, looks = np.arange(len(times), dtype=np.uint32), 1000 + np.arange(len(times), dtype=np.uint32)
    part = slice(20, 61)  # pictures agree from 10 to 30 s of the stretch, sound in all of it
    other = seen((np.repeat(60 + times, 4), np.repeat(heard, 4)), (60 + times[part], looks[part]))
    assert shown(index, seen((20 + times, heard), (20 + times, looks)), other) == [(28, 52)]


def both(seconds: float, at: float, step: float = 0.25) -> tuple[Any, Any]:
    """Sound of a stretch, shown from a moment on, each hash so often that one of four is enough."""
    times, hashes = marks(0, seconds, step, 0)
    return np.repeat(at + times, 4), np.repeat(hashes, 4)


# Seconds of sound that agree, seconds of pictures that agree from its beginning on, and what comes again.
SHARES = [
    (7.75, 7.5, []),  # a shot and a noise that came again together
    (8.25, 8.0, [(20, 28)]),
    (40.0, 18.0, []),  # a shot beside a noise of a minute
    (40.0, 24.0, [(20, 46)]),
]


@pytest.mark.parametrize(("heard", "looked", "expected"), SHARES)
def test_an_advert_begins_and_ends_in_sound_and_picture(
    heard: float, looked: float, expected: list[tuple[int, int]], index: RepetitionIndex
) -> None:
    times, looks = marks(0, looked, 0.5, 1000)
    one = seen(both(heard, 20), (20 + times, looks))
    assert shown(index, one, seen(both(heard, 60), (60 + times, looks))) == expected


@pytest.mark.parametrize(("apart", "found"), [(0.0, True), (0.09, False)])
def test_the_same_sound_is_at_one_distance(apart: float, found: bool, index: RepetitionIndex) -> None:
    """Words that come again one after the other, each by chance at nearly the distance of the one before."""
    times, hashes = np.arange(0, 20, 0.25), np.arange(80, dtype=np.uint32)
    shifted = times + apart * (np.arange(80) // 10 % 3)  # 2.5 s at each distance
    one, other = seen((20 + times, hashes)), seen((np.repeat(60 + shifted, 4), np.repeat(hashes, 4)))
    assert bool(shown(index, one, other)) == found


@pytest.mark.parametrize(("late", "expected"), [(1.05, [(20, 40)]), (1.2, [])])
def test_key_frames_that_are_far_apart_meet_less_closely(
    late: float, expected: list[tuple[int, int]], index: RepetitionIndex
) -> None:
    """Key frames each 2 s: those of the other showing lie up to 1 s beside these, and sound up to 0.1 s."""
    times, looks = np.arange(0, 20.5, 0.5), 1000 + np.arange(11, dtype=np.uint32)
    heard = np.arange(len(times), dtype=np.uint32)
    one = seen((20 + times, heard), (20 + times[::4], looks))
    other = seen((np.repeat(60 + times, 4), np.repeat(heard, 4)), (60 + times[::4] + late, looks))
    assert shown(index, one, other) == expected


def test_a_recording_without_sound_is_compared_by_its_pictures(index: RepetitionIndex) -> None:
    times, looks = marks(0, 20, 0.5, 1000)
    with_sound = seen((np.arange(100.0), np.arange(5000, 5100, dtype=np.uint32)), (20 + times, looks))
    assert shown(index, with_sound, seen(pictures=(50 + times, looks))) == [(20, 40)]
    assert shown(index, seen(pictures=(20 + times, looks)), with_sound) == [(20, 40)]


def test_only_the_same_other_recording_counts_for_both(index: RepetitionIndex) -> None:
    times = np.arange(0, 20.5, 0.5)
    heard, looks = np.arange(len(times), dtype=np.uint32), 1000 + np.arange(len(times), dtype=np.uint32)
    index.add("sound", seen((np.repeat(60 + times, 4), np.repeat(heard, 4)), (60 + times, looks + 500)))
    index.add("pictures", seen((60 + times, heard + 500), (60 + times, looks)))
    index.add("one", seen((20 + times, heard), (20 + times, looks)))
    assert not index.row("one").any()
