"""Cues of sound, from 16 kHz mono: level, onset strength, spectral flux, crowd and speech. NumPy alone.

Onset strength is the mean rise of the logarithmic band energies from one spectrum to the next, and spectral flux the
rise of the magnitudes themselves (Dixon, "Onset detection revisited", DAFx 2006). A crowd is wide-band noise: the
spectral flatness, the geometric over the arithmetic mean of the power (Johnston 1988), is high and its level steady.
Speech has syllables: its level rises and falls some four times per second (Scheirer and Slaney, ICASSP 1997).
"""

from __future__ import annotations

import numpy as np

from adapters.records import Float32Array
from cliplab.detect.highlights.cells import CELL_SECONDS, Cells

SAMPLE_RATE = 16_000
_WINDOW, _HOP = 1024, 800  # 64 ms each 50 ms
_PER_CELL = round(CELL_SECONDS * SAMPLE_RATE / _HOP)
_BANDS = 24
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7600.0
_CROWD_HZ = (350.0, 5500.0)
_CROWD_FLATNESS = (0.12, 0.40)  # of tones and speech below, of a cheering crowd above
_SYLLABLES_DB = (3.0, 8.0)  # spread of the level within a second: of a crowd below, of speech above
_FLOOR_DB = -80.0
_BEGIN_SPECTRA = 5  # AAC has 1024 to 2112 samples of silence first
_ROUNDING_SAMPLES = SAMPLE_RATE // 25  # segments of a stream meet within some 20 ms
_SECOND = SAMPLE_RATE // _HOP  # spectra


class Hearing:
    """Turns sound into cells, piece by piece, in the order of time."""

    def __init__(self, cells: Cells) -> None:
        """Begin before the first sample.

        Args:
            cells: Receives the cues.
        """
        self._cells = cells
        self._rest = np.zeros(0, np.float32)
        self._place = 0  # sample number of the first sample of the rest
        self._bands: Float32Array | None = None
        self._spectrum: Float32Array | None = None
        self._levels = np.zeros(0, np.float32)  # of the spectra before, for syllables
        self._begun = _BEGIN_SPECTRA  # that are still left out after a beginning
        self._mix = _band_weights()
        self._window = np.hanning(_WINDOW).astype(np.float32)
        hertz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
        self._crowd_bins = slice(*np.searchsorted(hertz, _CROWD_HZ))

    def restart(self) -> None:
        """What comes next is the beginning of other sound, as after the joint of a stream."""
        self._begun = _BEGIN_SPECTRA

    def add(self, position: int, samples: Float32Array) -> None:
        """Hear some sound.

        Args:
            position: Number of its first sample since the source's first frame; where it is not the one after the last,
                something is missing between.
            samples: float32 [N] in -1..1 at ``SAMPLE_RATE``.
        """
        due = self._place + len(self._rest)
        if abs(position - due) <= _ROUNDING_SAMPLES and due:
            position = due
        if position != due:
            self._rest, self._place = np.zeros(0, np.float32), -(-position // _HOP) * _HOP
            samples = samples[self._place - position :]
            self._bands = self._spectrum = None
            self.restart()
            self._levels = np.zeros(0, np.float32)
        self._rest = np.concatenate([self._rest, np.nan_to_num(samples, posinf=1.0, neginf=-1.0)])
        whole = _PER_CELL * _HOP
        count = max((len(self._rest) - (_WINDOW - _HOP)) // whole * _PER_CELL, 0)
        if self._place % whole and count:  # begin with a whole cell
            count -= _PER_CELL - (self._place // _HOP) % _PER_CELL
        if count <= 0:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._rest, _WINDOW)[::_HOP][:count]
        self._measure(frames, self._place // _HOP)
        used = count * _HOP
        self._rest, self._place = self._rest[used:].copy(), self._place + used

    def _measure(self, frames: Float32Array, number: int) -> None:
        spectra = np.abs(np.fft.rfft(frames * self._window, axis=1)).astype(np.float32)
        power = np.square(spectra)
        level = np.maximum(10 * np.log10(np.square(frames).mean(axis=1) + 1e-12), _FLOOR_DB).astype(np.float32)
        bands = np.log10(power @ self._mix + 1e-4)
        # In dB, so that the same step upward counts alike in every band; what is below the floor is not an onset.
        rise = np.maximum(np.diff(bands, axis=0, prepend=bands[:1] if self._bands is None else self._bands), 0.0)
        before = spectra[:1] if self._spectrum is None else self._spectrum
        flux = np.sqrt(np.square(np.maximum(np.diff(spectra, axis=0, prepend=before), 0.0)).sum(axis=1))
        self._bands, self._spectrum = bands[-1:], spectra[-1:]
        inside = power[:, self._crowd_bins] + 1e-9
        flat = np.exp(np.log(inside).mean(axis=1)) / inside.mean(axis=1)
        spread = self._syllables(level)
        noise = _ramp(flat, *_CROWD_FLATNESS) * (1 - 0.7 * _ramp(spread, *_SYLLABLES_DB))
        voice = _ramp(spread, *_SYLLABLES_DB) * (1 - _ramp(flat, *_CROWD_FLATNESS))
        heard = level > -55.0  # the noise of a quiet room is flat too
        self._put("level", number, level)
        onset, flux = 10 * rise.mean(axis=1), np.log1p(flux)
        # Where sound begins, an encoder begins with silence, which is not a quiet before an onset.
        begun, self._begun = min(self._begun, len(onset)), max(self._begun - len(onset), 0)
        onset[:begun] = flux[:begun] = np.nan
        self._put("onset", number, onset)
        self._put("flux", number, flux)
        self._put("crowd", number, np.where(heard, noise, 0.0))
        self._put("speech", number, np.where(heard, voice, 0.0))

    def _syllables(self, level: Float32Array) -> Float32Array:
        """The spread of the level in the second that ends with each spectrum, in dB."""
        joined = np.concatenate([self._levels, level])
        padded = np.concatenate([np.full(max(_SECOND - 1 - len(self._levels), 0), joined[0], np.float32), joined])
        spread = np.lib.stride_tricks.sliding_window_view(padded, _SECOND).std(axis=1)[-len(level) :]
        self._levels = joined[-(_SECOND - 1) :]
        return np.asarray(spread, np.float32)

    def _put(self, row: str, number: int, values: Float32Array) -> None:
        cell = number // _PER_CELL
        lead = number % _PER_CELL
        padded = np.concatenate([np.full(lead, np.nan, np.float32), values.astype(np.float32)])
        padded = np.concatenate([padded, np.full(-len(padded) % _PER_CELL, np.nan, np.float32)])
        self._cells.put(row, cell, np.fmax.reduce(padded.reshape(-1, _PER_CELL), axis=1))


def _ramp(values: Float32Array, low: float, high: float) -> Float32Array:
    """0 below low, 1 above high, straight between."""
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), np.float32)


def _band_weights() -> Float32Array:
    """float32 [513, 24]: triangles of equal width on a scale that is logarithmic above 700 Hz (O'Shaughnessy's mel)."""
    hertz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    low, high = (2595 * np.log10(1 + edge / 700) for edge in (_LOWEST_HZ, _HIGHEST_HZ))
    edges = 700 * (np.power(10, np.linspace(low, high, _BANDS + 2) / 2595) - 1)
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(np.minimum(rising, falling), 0.0), np.float32)
