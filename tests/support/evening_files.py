"""Small recordings of programme and adverts, composed on the spot, with what tells them apart as asked for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT, FPS, RATE = 128, 72, 5, 16_000
BLACK_SECONDS = 0.4
SCENES = (("programme", 90.0), ("ad", 20.0), ("ad", 15.0), ("programme", 85.0))


def compose(
    path: Path,
    scenes: Sequence[tuple[str, float]] = SCENES,
    *,
    logo: bool = True,
    black: bool = True,
    sound: int = 1,
    letterbox: bool = False,
    codec: str = "libx264",
    gop: int = FPS,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Write a recording.

    Args:
        path: The file; its suffix chooses the container.
        scenes: Kind ("programme" or "ad") and seconds of each part.
        logo: Whether programme has a logo in a corner.
        black: Whether black frames and silence lie between parts.
        sound: How many sound streams.
        letterbox: Whether programme has black bars.
        codec: Of the picture.
        gop: Frames from one key frame to the next.
        seed: Of the pictures.

    Returns:
        The breaks (start, end) in seconds: adverts that follow one another, from the middle of the black before them.
    """
    rng = np.random.default_rng(seed)
    pictures, samples = [], []
    for number, (kind, seconds) in enumerate(scenes):
        frames = round(seconds * FPS)
        dark = round(BLACK_SECONDS * FPS) if black and number else 0
        shown = _programme(rng, frames - dark, logo, letterbox) if kind == "programme" else _advert(rng, frames - dark)
        pictures += [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * dark + shown
        samples += [np.zeros(dark * RATE // FPS, np.float32), _tone(rng, kind, (frames - dark) / FPS)]
    _write(path, pictures, np.concatenate(samples), sound, codec, gop)
    return breaks_of(scenes, BLACK_SECONDS / 2 if black else 0.0)


def breaks_of(scenes: Sequence[tuple[str, float]], shift: float = 0.0) -> list[tuple[float, float]]:
    """The breaks of a list of scenes, each edge moved by ``shift`` except at the recording's ends."""
    found: list[tuple[float, float]] = []
    at, total = 0.0, sum(seconds for _, seconds in scenes)
    for kind, seconds in scenes:
        if kind == "ad":
            start = at + shift if at else 0.0
            end = at + seconds + shift if at + seconds < total - 1e-6 else total
            if found and found[-1][1] >= start - 1e-6:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        at += seconds
    return found


def _programme(rng: np.random.Generator, frames: int, logo: bool, letterbox: bool) -> list[np.ndarray]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    made, ends, begun = [], 0, 0
    for number in range(frames):
        if number >= ends:  # a shot of 5 to 11 s
            begun, ends = number, number + int(rng.integers(5 * FPS, 11 * FPS))
            ground, center, speed = rng.integers(40, 110, 3), rng.uniform(20, 50), rng.uniform(0.4, 1.6)
        picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        picture[:] = ground
        picture[(x - center - speed * (number - begun)) ** 2 + (y - 36) ** 2 < 256] = 200 - ground
        if letterbox:
            picture[:11] = picture[-11:] = 0
        if logo:
            picture[6:16, 108:120] = 230
            picture[9:13, 111:117] = 20
        made.append(picture)
    return made


def _advert(rng: np.random.Generator, frames: int) -> list[np.ndarray]:
    made = []
    for number in range(frames):
        if number % 6 == 0:  # a shot of 1.2 s
            shot = np.kron(rng.integers(0, 256, (4, 8, 3)), np.ones((18, 16, 1))).astype(np.uint8)
        made.append(np.roll(shot, number * 4 % 16, axis=1))
    return made


def _tone(rng: np.random.Generator, kind: str, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    if kind == "ad":
        chord = sum(np.sin(2 * np.pi * f * time) for f in rng.choice([262, 330, 392, 523, 659], 3, replace=False))
        return np.asarray(0.2 * chord, np.float32)
    return (0.05 * rng.standard_normal(len(time)) * (0.3 + np.abs(np.sin(5 * time)))).astype(np.float32)


def _write(
    path: Path,
    pictures: list[np.ndarray],
    samples: np.ndarray,
    sounds: int,
    codec: str,
    gop: int,
) -> None:
    with av.open(str(path), "w") as container:
        quick = {"preset": "ultrafast", "crf": "26"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=FPS, options=quick)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, FPS)
        heard: list[Any] = [container.add_stream("aac", rate=RATE, layout="mono") for _ in range(sounds)]
        step = RATE // FPS
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            for one in heard:
                piece = samples[number * step : (number + 1) * step][None]
                sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), "fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE, number * step, Fraction(1, RATE)
                container.mux(one.encode(sound))
        for one in [stream, *heard]:
            container.mux(one.encode())


def remux(source: Path, path: Path, sounds: int = 1) -> Path:
    """The same packets in another container, with as many copies of the sound as asked for."""
    with av.open(str(path), "w") as output, av.open(str(source)) as container:
        picture = output.add_stream_from_template(container.streams.video[0])
        heard = [output.add_stream_from_template(container.streams.audio[0]) for _ in range(sounds)]
        for packet in container.demux():
            if not packet.size:
                continue
            targets = [picture] if packet.stream.type == "video" else heard
            stamps = packet.pts, packet.dts, packet.time_base
            for target in targets:
                packet.pts, packet.dts, packet.time_base = stamps
                packet.stream = target
                output.mux(packet)
    return path
