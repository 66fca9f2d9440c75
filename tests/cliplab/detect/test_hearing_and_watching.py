"""The cues of sound and pictures: what each measures, in which tenth of a second, and what is unknown."""

from __future__ import annotations

import math
from typing import Any

import av
import numpy as np
import pytest

from cliplab.detect.highlights.cells import CELL_SECONDS, ROWS, Cells
from cliplab.detect.highlights.hearing import SAMPLE_RATE, Hearing
from cliplab.detect.highlights.watching import Watching, brightness

RNG = np.random.default_rng(5)
NOISE = RNG.uniform(-0.5, 0.5, 6 * SAMPLE_RATE).astype(np.float32)


def tone(seconds: float, amplitude: float = 0.5, hertz: float = 440.0) -> Any:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype("f4")


def heard(*pieces: tuple[int, Any]) -> Cells:
    cells = Cells()
    hearing = Hearing(cells)
    for position, samples in pieces:
        hearing.add(position, samples)
    return cells


def row(cells: Cells, name: str) -> Any:
    return cells.rows(0, cells.end)[:, ROWS.index(name)]


# Cells


def test_the_larger_of_two_measures_counts_and_the_last_minutes_are_kept() -> None:
    cells = Cells(kept_seconds=1.0)
    cells.put("level", 0, np.array([1, 5, 2], np.float32))
    cells.put("level", 1, np.array([3, 4, np.nan], np.float32))
    assert (cells.first, cells.end) == (0, 4)
    assert row(cells, "level").tolist()[:3] == [1, 5, 4]
    cells.put("level", 10, np.arange(10, dtype=np.float32))
    assert (cells.first, cells.end) == (0, 20), "twice as much is kept until it is full"
    cells.put("level", 20, np.array([7], np.float32))
    assert (cells.first, cells.end) == (11, 21)
    assert cells.rows(9, 22)[:, 0].tolist()[2:12] == [*range(1, 10), 7]
    assert np.isnan(cells.rows(9, 22)[[0, 1, 12], 0]).all()
    cells.put("level", 5, np.array([9] * 7, np.float32))  # of which only the last is kept
    assert cells.rows(11, 13)[:, 0].tolist() == [9, 2]
    cells.put("chat", 100, np.array([6], np.float32))
    assert (cells.first, cells.end) == (91, 101)
    assert np.isnan(cells.rows(91, 101)[:, 0]).all()
    assert cells.rows(100, 101)[0, ROWS.index("chat")] == 6
    assert cells.rows(5, 5).shape == cells.rows(6, 5).shape == (0, len(ROWS))


# Sound


@pytest.mark.parametrize("amplitude", [1.0, 0.1, 0.01])
def test_the_level_is_that_of_the_sound(amplitude: float) -> None:
    expected = 20 * math.log10(amplitude / math.sqrt(2))
    assert row(heard((0, tone(2, amplitude))), "level") == pytest.approx(expected, abs=0.1)


def test_silence_has_a_floor_and_no_other_cue() -> None:
    cells = heard((0, np.zeros(2 * SAMPLE_RATE, np.float32)))
    assert row(cells, "level").tolist() == [-80.0] * cells.end
    for name in ("crowd", "speech"):
        assert row(cells, name).tolist() == [0.0] * cells.end
    assert np.nanmax(row(cells, "onset")) == np.nanmax(row(cells, "flux")) == 0


@pytest.mark.parametrize("size", [160, 1000, 1600, 7777])
def test_pieces_of_any_size_are_heard_as_one(size: int) -> None:
    sound = np.concatenate([tone(1), NOISE[:SAMPLE_RATE], tone(1, 0.05)])
    whole = heard((0, sound))
    parts = heard(*[(at, sound[at : at + size]) for at in range(0, len(sound), size)])
    assert parts.end == whole.end >= 29
    np.testing.assert_allclose(parts.rows(0, whole.end), whole.rows(0, whole.end), atol=1e-4)


def test_samples_that_are_no_numbers_do_no_harm() -> None:
    sound = tone(2)
    sound[100], sound[5000], sound[9000] = np.nan, np.inf, -np.inf
    cells = heard((0, sound))
    assert np.isfinite(row(cells, "level")).all()
    assert row(cells, "level")[15:] == pytest.approx(-9.03, abs=0.1)


def test_what_is_missing_is_unknown_and_what_follows_is_in_its_place() -> None:
    cells = heard((0, tone(2)), (5 * SAMPLE_RATE, tone(2, 0.05)))
    level = row(cells, "level")
    assert np.isfinite(level[:19]).all()
    assert np.isnan(level[20:50]).all()
    assert level[50:69] == pytest.approx(-29.03, abs=0.1)


@pytest.mark.parametrize(("shift", "new"), [(640, False), (-640, False), (641, True)])
def test_segments_meet_within_some_milliseconds(shift: int, new: bool) -> None:
    cells = heard((0, tone(2)), (2 * SAMPLE_RATE + shift, tone(2)))
    assert np.isnan(row(cells, "onset")[20:40]).any() == new
    assert not np.isnan(row(cells, "onset")[24:39]).any()


def test_a_beginning_is_no_onset() -> None:
    cells = Cells()
    hearing = Hearing(cells)
    hearing.add(0, tone(2))
    hearing.restart()
    hearing.add(2 * SAMPLE_RATE, tone(2))
    onset, flux, level = row(cells, "onset"), row(cells, "flux"), row(cells, "level")
    assert np.isfinite(level).all()
    for values in (onset, flux):  # five spectra are two cells and a half
        assert np.isnan(values[:2]).all()
        assert np.isfinite(values[2:19]).all()
        assert 2 <= np.isnan(values[19:]).sum() <= 3


def test_an_onset_is_where_the_sound_rises_and_not_where_it_falls() -> None:
    cells = heard((0, np.concatenate([tone(2, 0.001), NOISE[: 2 * SAMPLE_RATE], tone(2, 0.001)])))
    for name in ("onset", "flux"):
        values = row(cells, name)
        assert int(np.nanargmax(values)) in (19, 20)
        assert np.nanmax(values) > 4 * np.nanmax(np.concatenate([values[3:18], values[42:]]))
    assert 10 < np.nanmax(row(cells, "onset")) < 60, "the mean rise of the bands, in dB"


def test_a_crowd_is_steady_noise_and_speech_comes_in_syllables() -> None:
    syllables = tone(6, 0.5, 300.0) * (np.sin(2 * np.pi * 4 * np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE) > 0)
    crowd, speech = heard((0, NOISE)), heard((0, syllables.astype(np.float32) + tone(6, 0.002)))
    assert row(crowd, "crowd")[15:].min() > 0.9
    assert row(crowd, "speech")[15:].max() == 0
    assert row(speech, "speech")[15:].min() > 0.9
    assert row(speech, "crowd")[15:].max() < 0.1
    assert row(heard((0, tone(6))), "crowd")[15:].max() == 0


def test_the_noise_of_a_quiet_room_is_no_crowd() -> None:
    # -55 dB is the least that counts: uniform noise of 0.5 has -10.8 dB.
    for gain, counts in ((10 ** (-43 / 20), True), (10 ** (-46 / 20), False)):
        found = row(heard((0, NOISE * np.float32(gain))), "crowd")
        assert (found[15:].max() > 0.5) == counts


# Pictures

DARK, GREY, LIGHT = (np.full((36, 64), shade, np.uint8) for shade in (40, 100, 220))


def watched(*pictures: tuple[float, Any]) -> tuple[Cells, list[float]]:
    cells, cuts = Cells(), list[float]()
    watching = Watching(cells, cuts.append)
    for seconds, picture in pictures:
        watching.add(seconds, picture)
    return cells, cuts


def test_a_cut_is_a_picture_that_is_another_one_and_stays() -> None:
    cells, cuts = watched((0.0, GREY), (0.05, GREY), (1.04, DARK), (1.24, DARK), (1.35, DARK))
    assert cuts == [1.04]
    assert row(cells, "cut")[[0, 10, 12, 13]].tolist() == [0, 1, 0, 0]
    assert row(cells, "flash")[[0, 10, 12, 13]].tolist() == [0, 0, 0, 0]
    assert row(cells, "motion")[[0, 12, 13]].tolist() == [0, 0, 0]
    assert np.isnan(row(cells, "motion")[10]), "a cut is no motion"
    assert np.isnan(row(cells, "cut")[1:10]).all(), "no picture was shown there"


def test_a_little_motion_is_no_cut() -> None:
    gradient = np.tile(np.arange(64, dtype=np.uint8) * 3, (36, 1))
    cells, cuts = watched((0.0, gradient), (0.08, gradient + 2), (0.16, gradient + 4))
    assert not cuts
    # Two of 255 levels, between pictures of the usual distance.
    assert row(cells, "motion")[0] == pytest.approx(math.log1p(200 * 2 / 255), rel=1e-3)


def test_motion_is_scaled_to_the_time_between_pictures() -> None:
    for gap, factor in ((0.32, 0.5), (1.0, math.sqrt(0.08)), (0.02, 2.0), (0.01, 2.0)):
        cells, _ = watched((10.0, GREY), (10.0 + gap, GREY + 2))
        found = row(cells, "motion")[int((10 + gap) / CELL_SECONDS)]
        assert found == pytest.approx(math.log1p(200 * factor * 2 / 255), rel=1e-3), gap
    cells, _ = watched((10.0, GREY), (11.01, GREY + 2))
    assert np.isnan(row(cells, "motion")).all(), "too far apart to say"


@pytest.mark.parametrize(("back", "strength"), [(0.3, 120 / 255 / 0.4), (0.69, 120 / 255 / 0.4), (0.71, 0.0)])
def test_a_flash_rises_and_falls_within_a_moment(back: float, strength: float) -> None:
    cells, cuts = watched((0.9, GREY), (1.0, LIGHT), (1.0 + back, GREY), (2.2, GREY))
    flash = row(cells, "flash")
    assert np.nanmax(flash) == pytest.approx(min(strength, 1.0), rel=1e-3)
    if strength:
        assert np.nanargmax(flash) == int((1.0 + back) / CELL_SECONDS)
        assert cuts == [1.0], "the way back is not a cut"


def test_a_flash_is_as_strong_as_its_rise() -> None:
    for rise, strength in ((30, 0.0), (32, 32 / 255 / 0.4), (90, 90 / 255 / 0.4), (150, 1.0)):
        cells, _ = watched((0.9, GREY), (1.0, GREY + np.uint8(rise)), (1.1, GREY))
        assert np.nanmax(row(cells, "flash")) == pytest.approx(strength, rel=1e-3), rise
    # It must fall by more than six tenths of the rise.
    for fall, flash in ((59, False), (61, True)):
        cells, _ = watched((0.9, GREY), (1.0, GREY + np.uint8(100)), (1.1, GREY + np.uint8(100 - fall)))
        assert bool(np.nanmax(row(cells, "flash"))) == flash, fall


def test_pictures_out_of_order_and_of_another_stream_are_not_compared() -> None:
    cells, cuts = watched((1.0, GREY), (1.0, DARK), (0.9, GREY))
    assert not cuts
    assert np.isnan(row(cells, "cut")).all()
    cells, cuts = Cells(), []
    watching = Watching(cells, cuts.append)
    watching.add(1.0, GREY)
    watching.restart()
    watching.add(1.1, DARK)
    assert not cuts
    watching.add(1.3, GREY)
    assert cuts == [1.3]


def test_a_picture_is_new_where_the_minutes_before_had_none_like_it() -> None:
    pictures = [(number * 0.5, GREY) for number in range(120)]
    cells, _ = watched(*pictures, (60.0, LIGHT), (60.5, GREY), (66.0, LIGHT), (68.5, LIGHT), (90.0, LIGHT))
    novelty = row(cells, "novelty")
    # What was just now is not compared; 20 s must be remembered.
    known = np.flatnonzero(np.isfinite(novelty)) * CELL_SECONDS
    assert 27.0 <= known[0] <= 28.0
    assert novelty[600] == pytest.approx(1 - 0.12, abs=1e-3)
    assert novelty[605] == 0
    assert novelty[660] > 0.8, "seen six seconds ago only"
    assert novelty[685] == 0, "seen more than eight seconds ago"
    assert novelty[900] == 0


def test_what_was_seen_five_minutes_ago_is_forgotten() -> None:
    pictures = [(0.0, LIGHT), *((number * 0.5, GREY) for number in range(1, 700))]
    for at, new in ((299.0, False), (302.0, True)):
        shown = [one for one in pictures if one[0] < at]
        assert (row(watched(*shown, (at, LIGHT))[0], "novelty")[round(at * 10)] > 0.8) == new, at


def test_bytes_are_counted_where_they_are_shown() -> None:
    cells = Cells()
    watching = Watching(cells, lambda _: None)
    watching.add_bytes(-0.05, 10**6)
    watching.add_bytes(0.25, 999)
    watching.add_bytes(0.29, 99)
    assert cells.end == 3
    assert row(cells, "effort")[2] == pytest.approx(math.log(1000))
    assert np.isnan(row(cells, "effort")[:2]).all()


@pytest.mark.parametrize("name", ["yuv420p", "nv12", "gray", "rgb24", "yuv420p10le"])
def test_the_brightness_of_a_frame_of_any_format(name: str) -> None:
    pixels = np.zeros((90, 160, 3), np.uint8)
    pixels[:, 80:] = 255
    found = brightness(av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=name))
    assert (found.dtype, found.shape) == (np.uint8, (36, 64))
    assert found[:, :31].max() <= 20
    assert found[:, 33:].min() >= 230
