"""Recordings with known highlights: a quiet picture and a low hum, and at some moments a roar, a bang or a rush."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16_000
WIDTH, HEIGHT, FPS = 96, 64, 10


def sound_of(seconds: float, events: Sequence[tuple[float, str]], seed: int = 0) -> np.ndarray:
    """float32 [N]: a hum with a little noise; a "roar" is 4 s of loud noise, a "bang" a short one."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    samples = 0.01 * np.sin(2 * np.pi * 120 * np.arange(count) / RATE) + 0.003 * random.standard_normal(count)
    for start, kind in events:
        length = {"roar": 4.0, "bang": 0.15}.get(kind)
        if length is not None:
            first = round(start * RATE)
            stop = min(first + round(length * RATE), count)
            samples[first:stop] += 0.25 * random.standard_normal(stop - first)
    return samples.astype(np.float32).clip(-1, 1)


def picture_of(seconds: float, events: Sequence[tuple[float, str]]) -> np.ndarray:
    """uint8 [H, W, 3]: a slow bar on a gradient; in a "rush" of 4 s everything moves."""
    columns = np.arange(WIDTH)
    rushes = any(kind == "rush" and start <= seconds < start + 4.0 for start, kind in events)
    shift = int(seconds * 90) if rushes else int(seconds)
    brightness = 90 + 60 * np.sin((columns + shift * (7 if rushes else 1)) / (5.0 if rushes else 12.0))
    return np.repeat(np.broadcast_to(brightness, (HEIGHT, WIDTH))[..., None], 3, axis=2).astype(np.uint8)


def split_recording(path: Path, seconds: float, folder: Path, first: int) -> None:
    """Divide a recording into transport streams of some seconds each, at key frames, as a segmenter does."""
    with av.open(str(path)) as source:
        streams = [*source.streams.video, *source.streams.audio]
        packets = [packet for packet in source.demux(streams) if packet.pts is not None and packet.size]
        begin = min(float(packet.pts * packet.time_base) for packet in packets)
        by_segment: dict[int, list[av.Packet]] = {}
        for packet in packets:
            place = int((float(packet.pts * packet.time_base) - begin + 0.01) / seconds)
            by_segment.setdefault(place, []).append(packet)
        for place, found in by_segment.items():
            with av.open(str(folder / f"{first + place}.ts"), "w") as target:
                outs = {stream.index: target.add_stream_from_template(stream) for stream in streams}
                for packet in found:
                    packet.stream = outs[packet.stream.index]
                    target.mux(packet)


def write_recording(
    path: Path,
    seconds: float,
    events: Sequence[tuple[float, str]] = (),
    *,
    sound: bool = True,
    picture: bool = True,
    picture_at: Callable[[float, Sequence[tuple[float, str]]], np.ndarray] = picture_of,
    times: Sequence[float] | None = None,
    samples: np.ndarray | None = None,
    gop: int = 20,
    start: float = 0.0,
) -> Path:
    """Write a recording. times: of its frames, for a variable rate; start: its first timestamp, in seconds."""
    with av.open(str(path), "w") as container:
        streams = []
        if picture:
            video = container.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
            video.options = {"preset": "ultrafast", "g": str(gop), "bf": "0"}
            streams.append(video)
        if sound:
            audio = container.add_stream("aac", rate=RATE)
            audio.layout = "mono"
            streams.append(audio)
        moments = list(times) if times is not None else list(np.arange(round(seconds * FPS)) / FPS)
        heard = sound_of(seconds, events) if samples is None else samples
        place, step = 0, 1024
        for moment in moments if picture else [seconds]:
            while sound and place < len(heard) and place / RATE <= moment:
                piece = av.AudioFrame.from_ndarray(heard[None, place : place + step], format="fltp", layout="mono")
                piece.sample_rate, piece.pts = RATE, place + round(start * RATE)
                piece.time_base = Fraction(1, RATE)
                container.mux(audio.encode(piece))
                place += step
            if picture:
                frame = av.VideoFrame.from_ndarray(picture_at(moment, events), format="rgb24")
                frame.pts, frame.time_base = round((start + moment) * 1000), Fraction(1, 1000)
                container.mux(video.encode(frame))
        while sound and place < len(heard):
            piece = av.AudioFrame.from_ndarray(heard[None, place : place + step], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, place + round(start * RATE), Fraction(1, RATE)
            container.mux(audio.encode(piece))
            place += step
        for stream in streams:
            container.mux(stream.encode(None))
    return path
