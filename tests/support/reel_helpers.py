"""Plain clips with sound for the tests of reels, the highlights that name them, and what a viewer sees and hears."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from adapters.errors import MediaError
from adapters.media import open_video, probe

RATE = 48_000
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (40, 50, 220), "white": (230, 230, 230)}
_FLASH_SECONDS = 0.12


def source(
    path: Path,
    colour: str | int,
    *,
    size: tuple[int, int] = (96, 64),
    fps: int | Fraction = 25,
    seconds: float = 2.0,
    tone: float = 440.0,
    sound_rate: int | None = RATE,
    flash: int | None = None,
    codec: str = "libx264",
    sound_codec: str = "aac",
    form: str = "mp4",
) -> Path:
    """A plain colour with a tone (sound_rate None: without sound); a number is a pattern of dark tiles of its own.

    flash: from this frame on 0.12 s of white and of a loud beep, else silence.
    """
    ground = np.full((size[1], size[0], 3), COLOURS[colour] if isinstance(colour, str) else 0, np.uint8)
    if isinstance(colour, int):
        tiles = np.random.default_rng(colour).integers(0, 120, (4, 4, 3)).astype(np.uint8)
        ground[:] = tiles[np.arange(size[1])[:, None] * 4 // size[1], np.arange(size[0]) * 4 // size[0]]
    shown = range(0) if flash is None else range(flash, flash + round(_FLASH_SECONDS * fps))
    with av.open(os.fsdecode(b"file:" + os.fsencode(path)), "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"g": "1000"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = 1 / Fraction(fps)
        audio: Any = None
        if sound_rate is not None:
            audio = container.add_stream(sound_codec, rate=sound_rate, layout="stereo")
        for index in range(round(seconds * fps)):
            picture = np.full_like(ground, 255) if index in shown else ground
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            at = np.arange(round(seconds * sound_rate)) / sound_rate  # type: ignore[operator]
            wave = 0.2 * np.sin(2 * np.pi * tone * at)
            if flash is not None:
                lit = (at >= float(shown.start / fps)) & (at < float(shown.stop / fps))
                wave = np.where(lit, 0.8 * np.sin(2 * np.pi * 1000 * at), 0)
            write_sound(container, audio, wave, sound_rate or RATE)
    return path


def write_sound(container: Any, stream: Any, wave: np.ndarray[Any, Any], rate: int) -> None:
    """Encode float [N] in -1..1 as both channels."""
    form = stream.codec_context.format.name
    samples = np.stack([wave, wave])
    if form.startswith("s16"):
        samples = (samples * 32767).astype(np.int16)
        samples = samples if form.endswith("p") else np.ascontiguousarray(samples.T).reshape(1, -1)
    else:
        samples = samples.astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format=form, layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def highlights(path: Path, *clips: tuple[Path, float, float], score: float = 0.99) -> Path:
    """highlights.json of (source, start, end), best first."""
    rows = [
        {
            "path": str(clip),
            "score": round(score - 0.001 * place, 6),
            "duration": _length(clip),
            "windows": [{"start": start, "end": end, "score": 0.9}],
        }
        for place, (clip, start, end) in enumerate(clips)
    ]
    head = {
        "format": "cliplab-highlights", "version": 1, "library": str(path.parent), "label": "highlight",
        "model": {"name": "", "adapter": "a:B", "digest": "0"}, "sampling": {"mode": "fps", "fps": 1.0},
        "aggregation": "mean", "min_score": 0.7, "window_seconds": 5.0, "total_scanned": len(rows),
        "highlights_found": len(rows), "failed": 0,
    }  # fmt: skip
    path.write_text(json.dumps({**head, "highlights": rows, "failures": []}))
    return path


def _length(path: Path) -> float:
    try:
        return round(probe(path).duration_seconds or 0.0, 3)
    except MediaError:
        return 2.0


def pictures(path: Path) -> list[tuple[float, np.ndarray[Any, Any]]]:
    """Every picture as it is shown, with its time in seconds."""
    with open_video(path) as video:
        return [(seconds, picture.copy()) for seconds, picture in video.frames()]


def colour_of(picture: np.ndarray[Any, Any]) -> str:
    """The nearest of COLOURS in the middle of a picture."""
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2].astype(float)
    return min(COLOURS, key=lambda name: float(np.abs(middle - COLOURS[name]).sum()))


def sound_of(path: Path) -> np.ndarray[Any, Any]:
    """The left channel as a player gives it, float32 [N] at 48 kHz, from time 0."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].time is not None
    sound = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0]
    begin = round(frames[0].time * RATE)
    return np.concatenate([np.zeros(begin, np.float32), sound]) if begin >= 0 else sound[-begin:]


def onsets(times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where bursts begin among ascending times, seconds."""
    return times[np.diff(times, prepend=-9.0) > 0.3]
