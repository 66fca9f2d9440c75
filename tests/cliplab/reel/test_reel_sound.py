"""Sound sample by sample: how fades and crossfades weigh, where a window begins, gaps, and what a file lacks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapters.errors import MediaError
from cliplab.reel.plan import PlacedClip, ReelFormat, ReelLimits, place_clips
from cliplab.reel.sound import read_sound, require_sound, sample_of, sound_of_clips, sound_of_file
from cliplab.reel.sources import PerceptualHash, SourceClip

RATE = 48_000
FORM = ReelFormat(64, 36, Fraction(25))
LOOK = PerceptualHash(np.zeros((3, 64), bool), np.zeros((3, 8, 8, 3), np.float32))


def write_wave(path: Path, *pieces: tuple[float, np.ndarray], form: str = "matroska") -> Path:
    """Uncompressed sound, the right channel at half the level. pieces: where each begins in seconds, float [N]."""
    with av.open(str(path), "w", format=form) as container:
        stream: Any = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        for begin, wave in pieces:
            for first in range(0, len(wave), 4800):
                part = np.round(wave[first : first + 4800] * 32768)
                samples = np.stack([part, part / 2], axis=1).astype(np.int16).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE, round(begin * RATE) + first, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def level(seconds: float, value: float = 0.5) -> np.ndarray:
    return np.full(round(seconds * RATE), value)


def cut_of(
    path: Path, start: float = 0.0, seconds: float = 2.0, has_audio: bool = True, origin: float = 0.0
) -> SourceClip:
    return SourceClip(str(path), start, start + seconds, 0.9, 64, 36, 25.0, has_audio, 9.0, origin, 0.0, LOOK)


def whole(pieces: Any) -> np.ndarray:
    return np.concatenate(list(pieces), axis=1)


def test_the_gains_of_a_crossfade_have_equal_power(tmp_path: Path) -> None:
    """One clip sounds and the other is silent, and the other way round: the squares of both gains sum to one."""
    loud, silent = write_wave(tmp_path / "a", (0, level(3))), write_wave(tmp_path / "b", (0, level(3, 0)))
    gains = []
    for one, other in ((loud, silent), (silent, loud)):
        timeline = place_clips([cut_of(one), cut_of(other)], FORM, ReelLimits(9, None, 0.5))
        assert timeline[1].overlap == 12
        sound = whole(sound_of_clips(timeline, FORM, []))
        assert sound.shape == (2, sample_of(88, FORM))
        np.testing.assert_allclose(sound[1], sound[0] / 2, atol=1e-4)
        first, last = sample_of(38, FORM), sample_of(50, FORM)
        gains.append(sound[0, first:last] / 0.5)
        assert (np.abs(sound[0, 1000 : first - 1000] - (0.5 if one == loud else 0)) < 1e-4).all()
        assert (np.abs(sound[0, last + 1000 : -1000] - (0.5 if other == loud else 0)) < 1e-4).all()
    np.testing.assert_allclose(gains[0] ** 2 + gains[1] ** 2, 1, atol=2e-3)
    np.testing.assert_allclose(gains[1] ** 2, np.linspace(0, 1, len(gains[1])), atol=2e-3)


def test_a_hard_cut_is_faded_for_five_milliseconds_at_both_sides(tmp_path: Path) -> None:
    loud = write_wave(tmp_path / "a", (0, level(3)))
    timeline = place_clips([cut_of(loud), cut_of(loud)], FORM, ReelLimits(9, None, 0.0))
    first, second = (piece[0] for piece in sound_of_clips(timeline, FORM, []))
    for sound in (first, second):
        assert len(sound) == 2 * RATE
        ramp = 0.5 * np.sqrt(np.linspace(0, 1, 240))
        np.testing.assert_allclose(sound[:240], ramp, atol=1e-3)
        np.testing.assert_allclose(sound[-240:], ramp[::-1], atol=1e-3)
        np.testing.assert_allclose(sound[240:-240], 0.5, atol=1e-4)


def test_a_clip_without_sound_is_silent_and_loud_ones_are_not_over_one(tmp_path: Path) -> None:
    loud = write_wave(tmp_path / "a", (0, level(3, 0.99)))
    silent = cut_of(tmp_path / "nothing", has_audio=False)
    timeline = place_clips([silent, cut_of(loud), cut_of(loud)], FORM, ReelLimits(9, None, 0.5))
    sound = whole(sound_of_clips(timeline, FORM, []))[0]
    assert not sound[: sample_of(38, FORM)].any()
    assert sound.max() == 1.0
    assert sound.min() == 0.0


RAMP = np.arange(4 * RATE) / (8 * RATE)  # 0 to 0.5 in 4 s: a sample's value says where it stands


@pytest.mark.parametrize("start", [0.0, 0.25, 0.9, 1.5, 2.999])
@pytest.mark.parametrize("form", ["matroska", "wav"])
def test_a_window_begins_at_its_sample(tmp_path: Path, start: float, form: str) -> None:
    path, notes = write_wave(tmp_path / "a", (0, RAMP), form=form), list[str]()
    sound = whole(read_sound(str(path), start, RATE // 2, notes))
    assert sound.shape == (2, RATE // 2)
    begin = round(start * RATE)
    np.testing.assert_allclose(sound[0], RAMP[begin : begin + RATE // 2], atol=2e-5 if form == "wav" else 2e-4)
    assert not notes


def test_a_window_is_of_source_time_and_a_cut_of_its_first_frame(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a", (0, RAMP))
    (placed,) = place_clips([cut_of(path, start=0.5, seconds=1.0, origin=0.25)], FORM, ReelLimits(9, None, 0.0))
    sound = whole(sound_of_clips([placed], FORM, []))[0]
    assert sound[RATE // 2] == pytest.approx(RAMP[round(1.25 * RATE)], abs=2e-4)


def test_a_gap_is_silent_and_rounded_timestamps_are_none(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "gap", (0, level(0.5)), (1.0, level(0.5)))
    sound = whole(read_sound(str(path), 0.0, 2 * RATE, []))[0]
    edges = np.flatnonzero(np.diff((sound > 0.25).astype(int))) / RATE
    np.testing.assert_allclose(edges, [0.5, 1.0, 1.5], atol=0.001)
    path = write_wave(tmp_path / "near", (0, level(0.5)), (0.515, level(0.5)))
    sound = whole(read_sound(str(path), 0.0, RATE, []))[0]
    np.testing.assert_allclose(sound, 0.5, atol=1e-4)


def test_a_file_that_ends_early_is_silent_from_there(tmp_path: Path) -> None:
    path, notes = write_wave(tmp_path / "a", (0, level(1))), list[str]()
    sound = whole(read_sound(str(path), 0.5, RATE, notes))[0]
    assert (sound[: RATE // 2] > 0.4).all()
    assert not sound[RATE // 2 + 10 :].any()
    assert not notes, "a clip's own sound may end before its pictures do"
    assert whole(read_sound(str(path), None, 2 * RATE, notes)).shape == (2, 2 * RATE)
    assert "ends after 1.00 s" in notes[0]


def test_a_file_under_the_reel_begins_with_its_sound_and_fades_over_its_last_second(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a", (0.75, level(4)))
    for seconds in (2.5, 0.5):
        length, fade = round(seconds * RATE), round(min(seconds, 1.0) * RATE)
        notes: list[str] = []
        sound = whole(sound_of_file(str(path), length, notes))[0]
        assert len(sound) == length
        np.testing.assert_allclose(sound[: length - fade], 0.5, atol=1e-4)
        np.testing.assert_allclose(sound[length - fade :], 0.5 * np.sqrt(np.linspace(1, 0, fade)), atol=1e-3)
        assert not notes


def test_sound_is_required_where_it_is_asked_for(tmp_path: Path) -> None:
    from reel_helpers import source

    require_sound(str(write_wave(tmp_path / "a", (0, level(0.1)))))
    with pytest.raises(MediaError, match="no sound"):
        require_sound(str(source(tmp_path / "b.mp4", "red", seconds=0.2, sound_rate=None)))
    with pytest.raises(MediaError, match="sound"):
        require_sound(str(write_wave(tmp_path / "c.wav", form="wav")))


def test_the_sample_of_a_frame() -> None:
    for fps, frame, sample in (
        (Fraction(25), 1, 1920),
        (Fraction(30000, 1001), 1, 1602),
        (Fraction(30000, 1001), 30000, 48_048_000),
        (Fraction(60), 7, 5600),
        (Fraction(24000, 1001), 5, 10010),
    ):
        assert sample_of(frame, replace(FORM, fps=fps)) == sample
    assert sample_of(0, FORM) == 0


def test_sound_follows_the_places_and_not_the_seconds(tmp_path: Path) -> None:
    """1.03 s are 26 frames: the sound is as long as these."""
    path = write_wave(tmp_path / "a", (0, level(3)))
    placed = PlacedClip(cut_of(path, seconds=1.03), 0, 26, 0)
    assert whole(sound_of_clips([placed], FORM, [])).shape[1] == 26 * 1920
