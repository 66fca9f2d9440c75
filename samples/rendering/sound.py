"""Synthesised sound: a calm programme and loud jingles. float32 [samples] in -1..1, mono, 32 kHz."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .video import SAMPLE_RATE

Sound = npt.NDArray[np.float32]


def _time(seconds: float) -> npt.NDArray[np.float64]:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _hertz(note: float) -> float:
    """Frequency of a MIDI note number (69 is 440 Hz)."""
    return float(440.0 * 2 ** ((note - 69) / 12))


def _smooth(noise: npt.NDArray[np.float64], samples: int) -> npt.NDArray[np.float64]:
    """A moving average: a simple low pass."""
    total = np.cumsum(np.concatenate([np.zeros(samples), noise]))
    return np.asarray((total[samples:] - total[:-samples]) / samples)


def _edges(sound: npt.NDArray[np.float64], seconds: float = 0.02) -> Sound:
    """Fade both ends, so that a cut does not click."""
    count = min(round(seconds * SAMPLE_RATE), len(sound) // 2)
    shape = np.linspace(0, 1, count)
    sound[:count] *= shape
    sound[-count:] *= shape[::-1]
    return sound.astype(np.float32)


def programme(seconds: float, seed: int) -> Sound:
    """Room tone, a slow pad in minor, and a murmur with the rhythm of speech."""
    rng = np.random.default_rng(seed)
    t = _time(seconds)
    air = _smooth(rng.normal(0, 1, len(t)), 60) * 0.25
    root = int(rng.integers(45, 52))
    pad = sum(np.sin(2 * np.pi * _hertz(root + step) * t + step) for step in (0, 7, 15)) * (1 + 0.3 * np.sin(t * 0.9))
    voice = np.zeros_like(t)
    start = 0.4
    while start < seconds - 0.4:
        length = rng.uniform(0.10, 0.22)
        inside = (t >= start) & (t < start + length)
        shape = np.sin(np.pi * (t[inside] - start) / length)
        pitch = rng.uniform(110, 170)
        for harmonic, level in ((1, 1.0), (2, 0.7), (3, 0.5), (5, 0.35), (8, 0.2)):
            voice[inside] += level * shape * np.sin(2 * np.pi * pitch * harmonic * t[inside])
        start += length + rng.choice([0.03, 0.06, 0.5], p=[0.5, 0.35, 0.15])
    return _edges(0.10 * air + 0.02 * np.asarray(pad) + 0.05 * voice)


def jingle(seconds: float, seed: int) -> Sound:
    """A beat, a major arpeggio, a sweep in and a bell at the end: louder and denser than the programme."""
    rng = np.random.default_rng(seed)
    t = _time(seconds)
    beat = 60 / float(rng.uniform(112, 142))
    root = int(rng.integers(57, 66))
    phase = t % beat
    kick = np.sin(2 * np.pi * (52 * phase + 5 * (1 - np.exp(-phase * 40)))) * np.exp(-phase * 14)
    hat = rng.normal(0, 1, len(t)) * np.exp(-((t + beat / 2) % beat) * 60)
    chord = rng.permutation([0, 4, 7, 12, 16, 19])
    step = (t / (beat / 2)).astype(int)
    pitch = np.array([_hertz(root + note) for note in chord])[step % len(chord)]
    pluck = (np.sign(np.sin(2 * np.pi * pitch * t)) * 0.4 + np.sin(2 * np.pi * pitch * t)) * np.exp(
        -(t % (beat / 2)) * 9
    )
    bass = np.sin(2 * np.pi * _hertz(root - 24) * t)
    sweep = rng.normal(0, 1, len(t)) * np.clip(1 - t / 0.4, 0, 1) ** 2
    bell_at = np.clip(t - (seconds - 0.8), 0, None)
    bell = np.where(bell_at > 0, np.sin(2 * np.pi * _hertz(root + 24) * bell_at) * np.exp(-bell_at * 4), 0)
    mixed = 0.5 * kick + 0.12 * hat + 0.28 * pluck + 0.2 * bass + 0.15 * sweep + 0.4 * bell
    return _edges(np.tanh(mixed * 1.3) * 0.55)
