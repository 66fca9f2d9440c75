"""Fingerprints of a recording by which the same advert is known again: of its sound and of its key frames.

Sound: the signs of differences of energy between neighbouring bands and moments, 32 bits each 16 ms (Haitsma and
Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002). Picture: the signs of the 64 lowest frequencies of a
key frame, split in four (perceptual hash, as pHash describes it), so that one of them is right where some bits are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapters.errors import MediaError
from adapters.media import open_video
from adapters.records import Float32Array, Float64Array, InputSpec
from cliplab.detect.sound import SAMPLE_RATE, mono_pieces

UInt32Array = npt.NDArray[np.uint32]
HOP_SECONDS = 0.016
_HOP, _WINDOW, _BANDS = round(SAMPLE_RATE * HOP_SECONDS), 6144, 33
_LOWEST_HZ, _HIGHEST_HZ = 300.0, 3000.0
_AUDIBLE = 1e-3  # RMS, about -60 dB; below it the bits are noise
_PICTURE, _LOW = 32, 8
_FLAT = 4.0  # grey levels of standard deviation; a black frame is like every other


@dataclass(eq=False)
class Fingerprint:
    """What a recording is known again by.

    Attributes:
        sound_times: float64 [N], seconds of each hash of sound; empty without sound.
        sound: uint32 [N].
        picture_times: float64 [M], seconds of each hash of a picture, four of each key frame.
        pictures: uint32 [M].
        seconds: Length of the recording.
    """

    sound_times: Float64Array = field(default_factory=lambda: np.zeros(0))
    sound: UInt32Array = field(default_factory=lambda: np.zeros(0, np.uint32))
    picture_times: Float64Array = field(default_factory=lambda: np.zeros(0))
    pictures: UInt32Array = field(default_factory=lambda: np.zeros(0, np.uint32))
    seconds: float = 0.0


def fingerprint_recording(path: str | Path) -> Fingerprint:
    """Decode the sound and the key frames of a recording to fingerprints; some MB per hour.

    Args:
        path: The video.

    Raises:
        MediaError: It cannot be opened.
    """
    spec = InputSpec(height=_PICTURE, width=_PICTURE, n_frames=1, aspect="stretch")
    frames: list[tuple[float, Float32Array]] = []
    with open_video(path) as video:
        start, duration = video.info.start_seconds, video.info.duration_seconds or 0.0
        for clip in video.key_frames(spec):
            frames.append((clip.start, clip.frames[0].mean(axis=2, dtype=np.float32)))
    seconds = max(duration, frames[-1][0] if frames else 0.0)
    times, hashes = _sound_hashes(path, start, int(np.ceil(seconds)))
    picture_times, pictures = picture_hashes(frames)
    return Fingerprint(times, hashes, picture_times, pictures, seconds)


def _sound_hashes(path: str | Path, start: float, seconds: int) -> tuple[Float64Array, UInt32Array]:
    times, hashes = [np.zeros(0)], [np.zeros(0, np.uint32)]
    rest, at = np.zeros(0, np.float32), 0
    try:
        for position, piece in mono_pieces(path, start, seconds):
            if position != at + len(rest):
                rest, at = np.zeros(0, np.float32), position
            rest = np.concatenate([rest, piece])
            here, found, used = sound_hashes(rest)
            times.append(at / SAMPLE_RATE + here)
            hashes.append(found)
            rest, at = rest[used:], at + used
    except (OSError, ValueError, MediaError):  # what was heard so far counts
        pass
    return np.concatenate(times), np.concatenate(hashes)


def sound_hashes(wave: Float32Array) -> tuple[Float64Array, UInt32Array, int]:
    """Hashes of a stretch of sound.

    Args:
        wave: float32 [M] at ``SAMPLE_RATE``.

    Returns:
        Seconds from the stretch's beginning float64 [N], hashes uint32 [N], silent moments left out, and how many
        samples the next stretch need not repeat.
    """
    count = (len(wave) - _WINDOW) // _HOP + 1
    if count < 2:
        return np.zeros(0), np.zeros(0, np.uint32), 0
    windows = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::_HOP][:count]
    energy = np.empty((count, _BANDS), np.float32)
    shape, edges = np.hanning(_WINDOW).astype(np.float32), _band_edges()
    for first in range(0, count, 256):  # in pieces: a window is 24 kB
        spectrum = np.abs(np.fft.rfft(windows[first : first + 256] * shape, axis=1)[:, : edges[-1]]) ** 2
        energy[first : first + 256] = np.add.reduceat(spectrum, edges[:-1], axis=1)
    level = np.sqrt(np.convolve(wave.astype(np.float64) ** 2, np.ones(_HOP) / _HOP, "valid")[::_HOP][:count])
    between = energy[:, :-1] - energy[:, 1:]
    bits = (between[1:] - between[:-1]) > 0
    hashes = (bits.astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    audible = level[1:count] > _AUDIBLE
    times = (np.arange(1, count) * _HOP + _WINDOW / 2) / SAMPLE_RATE
    return times[audible], hashes[audible], (count - 1) * _HOP


def _band_edges() -> npt.NDArray[np.intp]:
    hertz = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _BANDS + 1)
    return np.round(hertz * _WINDOW / SAMPLE_RATE).astype(np.intp)


def picture_hashes(frames: list[tuple[float, Float32Array]]) -> tuple[Float64Array, UInt32Array]:
    """Four hashes of each key frame; frames of one colour have none.

    Args:
        frames: Seconds and grey pictures float32 [32, 32].
    """
    basis = np.cos(np.pi / _PICTURE * (np.arange(_PICTURE) + 0.5)[None] * np.arange(_LOW)[:, None])
    times: list[float] = []
    hashes: list[int] = []
    for seconds, grey in frames:
        if grey.std() < _FLAT:
            continue
        low = (basis @ grey @ basis.T).reshape(-1)
        bits = low > np.median(low[1:])
        for part in range(4):
            value = int((bits[part * 16 : part * 16 + 16] << np.arange(16)).sum())
            times.append(seconds)
            hashes.append(part << 16 | value)
    return np.array(times, np.float64), np.array(hashes, np.uint32)
