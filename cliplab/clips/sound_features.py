"""What is heard in a clip as numbers: level, tempo, onsets and the shape of the spectrum, by librosa."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av import AudioFrame

from adapters.errors import MediaError, MissingExtraError
from adapters.media import ffmpeg_reason, is_filler, open_container, read_packets
from adapters.records import Float32Array

SAMPLE_RATE = 22_050  # librosa's own
_MOST_SECONDS = 300  # of a clip; more would only cost memory
_FEWEST_SAMPLES = 2048  # one window of the spectrum
_WINDOW, _HOP = 2048, 512
_SILENT = 1e-3  # RMS of full scale, -60 dB
_COEFFICIENTS = 13


def read_sound(path: str | Path) -> Float32Array | None:
    """The first five minutes of a clip's sound.

    Args:
        path: The file.

    Returns:
        float32 [N] in -1..1 at 22,050 samples per second, all channels as one; None where it has no sound that can be
        decoded. A damaged packet is left out.

    Raises:
        MediaError: The file cannot be opened.
    """
    pieces: list[Float32Array] = []
    count = 0
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return None
        resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
        for packet in read_packets(container, stream):
            if is_filler(packet):
                continue
            try:
                for frame in cast("list[AudioFrame]", packet.decode()):
                    frame.pts = None
                    try:
                        made = resampler.resample(frame)
                    except ValueError:  # the layout changed in the middle
                        resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
                        made = resampler.resample(frame)
                    pieces += [np.asarray(piece.to_ndarray()[0], np.float32) for piece in made]
                    count += sum(piece.samples for piece in made)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                continue
            if count >= _MOST_SECONDS * SAMPLE_RATE:
                break
    if not pieces:
        return None
    return np.nan_to_num(np.concatenate(pieces)[: _MOST_SECONDS * SAMPLE_RATE], posinf=1.0, neginf=-1.0)


def sound_features(samples: Float32Array) -> dict[str, Any]:
    """Numbers of a clip's sound.

    Args:
        samples: float32 [N] in -1..1 at 22,050 per second.

    Returns:
        By name: ``rms_*`` of full scale, ``loudest_at`` and ``silence_ratio`` in 0..1, ``tempo`` in beats per minute,
        ``onset_rate`` per second, ``spectral_*`` in Hz (flatness and flux without unit), ``mfcc_mean`` and ``mfcc_std``
        as 13 numbers each. Empty where there is less than 0.1 s of sound.

    Raises:
        MissingExtraError: librosa is not installed.
    """
    if len(samples) < _FEWEST_SAMPLES:
        return {}
    librosa = _librosa()
    spectrum = np.abs(librosa.stft(samples, n_fft=_WINDOW, hop_length=_HOP))
    level = np.asarray(librosa.feature.rms(S=spectrum, frame_length=_WINDOW)[0], np.float64)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=spectrum**2, sr=SAMPLE_RATE))
    onset = librosa.onset.onset_strength(S=mel, sr=SAMPLE_RATE)
    coefficients = librosa.feature.mfcc(S=mel, n_mfcc=_COEFFICIENTS)
    zero_crossings = librosa.feature.zero_crossing_rate(samples, frame_length=_WINDOW, hop_length=_HOP)
    return {
        **_level_features(level),
        "tempo": _first(librosa.feature.tempo(onset_envelope=onset, sr=SAMPLE_RATE)),
        "onset_strength_mean": float(onset.mean()),
        "onset_strength_max": float(onset.max()),
        "onset_rate": _onset_rate(onset),
        "spectral_centroid_mean": float(librosa.feature.spectral_centroid(S=spectrum, sr=SAMPLE_RATE).mean()),
        "spectral_bandwidth_mean": float(librosa.feature.spectral_bandwidth(S=spectrum, sr=SAMPLE_RATE).mean()),
        "spectral_rolloff_mean": float(librosa.feature.spectral_rolloff(S=spectrum, sr=SAMPLE_RATE).mean()),
        "spectral_flatness_mean": float(librosa.feature.spectral_flatness(S=spectrum).mean()),
        "spectral_flux_mean": _flux(spectrum),
        "zero_crossing_rate_mean": float(zero_crossings.mean()),
        "mfcc_mean": coefficients.mean(axis=1).tolist(),
        "mfcc_std": coefficients.std(axis=1).tolist(),
    }


def heard_in(path: str | Path) -> dict[str, Any]:
    """Numbers of the sound of a file; see ``sound_features``.

    Args:
        path: The file.

    Returns:
        As ``sound_features``, and ``has_sound`` as 0 or 1.

    Raises:
        MediaError: The file cannot be read.
        MissingExtraError: librosa is not installed.
    """
    try:
        samples = read_sound(path)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: its sound cannot be read ({ffmpeg_reason(error)})") from None
    found = {} if samples is None else sound_features(samples)
    return {"has_sound": float(bool(found)), **found}


def _level_features(level: Any) -> dict[str, float]:
    decibels = 20 * np.log10(np.maximum(level, 1e-5))
    return {
        "rms_mean": float(level.mean()),
        "rms_std": float(level.std()),
        "rms_max": float(level.max()),
        "dynamic_range_db": float(np.quantile(decibels, 0.95) - np.quantile(decibels, 0.05)),
        "loudest_at": float(np.argmax(level) / max(len(level) - 1, 1)),
        "silence_ratio": float((level < _SILENT).mean()),
    }


def _onset_rate(onset: Any) -> float:
    """Peaks of the onset strength per second: above both neighbours, the mean and half of the spread above it."""
    inner = onset[1:-1]
    high = inner > onset.mean() + 0.5 * onset.std()
    peaks = int((high & (inner > onset[:-2]) & (inner >= onset[2:])).sum())
    return peaks * SAMPLE_RATE / (_HOP * max(len(onset), 1))


def _flux(spectrum: Any) -> float:
    """The mean rise from one spectrum to the next, each scaled to a sum of 1, so that loudness does not count."""
    share = spectrum / np.maximum(spectrum.sum(axis=0, keepdims=True), 1e-9)
    return float(np.maximum(np.diff(share, axis=1), 0.0).sum(axis=0).mean()) if share.shape[1] > 1 else 0.0


def _first(value: Any) -> float:
    return float(np.ravel(value)[0])


def _librosa() -> Any:
    try:
        import librosa
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "librosa", "clips", "features of sound") from error
    return librosa
