"""The outline of a video's sound: the lowest and highest sample of each stretch, as a waveform is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from av import AudioFrame

from adapters.errors import MediaError
from adapters.media.opening import Source, ffmpeg_reason, open_container
from adapters.media.packets import is_filler, read_packets
from adapters.records import Float32Array, Int8Array

# Of a day at 20 bins per second; 2 bytes each.
MOST_BINS = 2_000_000
_BATCH_FRAMES = 64


def sound_peaks(
    source: Source, origin: float, duration: float, per_second: float, check_stop: Callable[[], None]
) -> Int8Array | None:
    """The lowest and highest sample of each bin of a source's sound, over all channels.

    Args:
        source: A path.
        origin: Source time of the first bin, in seconds.
        duration: Seconds that are covered.
        per_second: Bins per second.
        check_stop: Called now and then; raises where the reading has to end.

    Returns:
        int8 [bins, 2], the lowest and highest sample of each in -127..127, 0 where nothing is heard; None where the
        source has no sound. Sound that is damaged is left out.

    Raises:
        MediaError: The source cannot be opened, no sound can be decoded, or more than 2,000,000 bins are wanted.
    """
    bins = max(1, math.ceil(duration * per_second))
    if bins > MOST_BINS:
        raise MediaError(
            f"{source}: {bins} bins of sound are requested; at most {MOST_BINS} are allowed. Request fewer per second."
        )
    low, high = np.zeros(bins, np.float32), np.zeros(bins, np.float32)
    with open_container(source) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return None
        decoded = failed = 0
        reason = "it is empty"
        batch: list[AudioFrame] = []
        for packet in read_packets(container, stream):
            if is_filler(packet):
                continue
            try:
                frames = [frame for frame in packet.decode() if isinstance(frame, AudioFrame)]
            except MemoryError:
                raise
            except Exception as error:
                failed, reason = failed + 1, ffmpeg_reason(error)
                continue
            batch.extend(frames)
            if len(batch) >= _BATCH_FRAMES:
                check_stop()
                decoded += _add(batch, origin, per_second, low, high)
                batch = []
        decoded += _add(batch, origin, per_second, low, high)
    if not decoded:
        raise MediaError(f"{source}: its sound cannot be decoded ({reason}). Convert it first.")
    peaks: Int8Array = np.rint(np.stack([low, high], axis=1).clip(-1, 1) * 127).astype(np.int8)
    return peaks


def _add(batch: list[AudioFrame], origin: float, per_second: float, low: Float32Array, high: Float32Array) -> int:
    """Put frames into their bins; returns how many had a time."""
    count = 0
    for frame in batch:
        if frame.time is None or not frame.samples or not frame.sample_rate:
            continue
        samples = _planar(frame)
        times = (frame.time - origin) + np.arange(samples.shape[1]) / frame.sample_rate
        places = np.floor(times * per_second).astype(np.int64)
        starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
        lowest = np.minimum.reduceat(samples.min(axis=0), starts)
        highest = np.maximum.reduceat(samples.max(axis=0), starts)
        places = places[starts]
        inside = (places >= 0) & (places < len(low))
        np.minimum.at(low, places[inside], lowest[inside])
        np.maximum.at(high, places[inside], highest[inside])
        count += 1
    return count


def _planar(frame: AudioFrame) -> Float32Array:
    """Samples of a frame, float32 [channels, samples] in -1..1, whatever their format."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    whole = {"u1": 128.0, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}.get(samples.dtype.str[1:], 1.0)
    scaled = (samples.astype(np.float32) - (whole if samples.dtype == np.uint8 else 0.0)) / np.float32(whole)
    return np.nan_to_num(scaled.astype(np.float32), posinf=1.0, neginf=-1.0)
