"""The shots of the four footage files, cut, slowed, cropped and graded.

A shot is one camera take; SHOTS lists every one with the file that holds it. Cuts were found where
consecutive frames differ by more than half of the largest difference, and checked by eye. vtest.avi is
one fixed camera for 79 s, so all of it is one shot, whatever part or crop is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from .drawing import HEIGHT, WIDTH, Canvas

# name: (file, start, end) in seconds; the end is where the next shot begins.
SHOTS: dict[str, tuple[str, float, float]] = {
    "bikes/1": ("bikes.mp4", 0.0, 1.20),
    "bikes/2": ("bikes.mp4", 1.20, 3.04),
    "bikes/3": ("bikes.mp4", 3.04, 5.48),
    "bikes/4": ("bikes.mp4", 5.48, 7.48),
    "bikes/5": ("bikes.mp4", 7.48, 9.68),
    "bikes/6": ("bikes.mp4", 9.68, 10.0),
    "carphone/1": ("carphone_pristine.mp4", 0.0, 4.0),
    "bigbuckbunny/1": ("bigbuckbunny.mp4", 0.0, 5.28),
    "vtest/1": ("vtest.avi", 0.0, 79.5),
}
FILES = ("bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4", "vtest.avi")

# saturation, contrast, (red, green, blue) gain
GRADES: dict[str, tuple[float, float, tuple[float, float, float]]] = {
    "plain": (1.0, 1.0, (1.0, 1.0, 1.0)),
    "vivid": (1.5, 1.08, (1.0, 1.0, 1.0)),
    "muted": (0.5, 0.92, (1.0, 1.0, 1.0)),
    "warm": (1.1, 1.0, (1.1, 1.0, 0.86)),
    "cool": (1.0, 1.0, (0.88, 1.0, 1.12)),
    "grey": (0.0, 1.05, (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True)
class Take:
    """A part of a shot as it is shown.

    start: seconds into the shot. speed: 1 is real time, 0.6 slow motion, 0 a still.
    crop: centre x, centre y and width as shares of the picture, at the start; drift: what is added by the end.
    """

    shot: str
    start: float = 0.0
    speed: float = 1.0
    crop: tuple[float, float, float] = (0.5, 0.5, 1.0)
    drift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grade: str = "plain"
    flip: bool = False


@lru_cache(maxsize=4)
def _read(path: Path, start: float, end: float) -> tuple[npt.NDArray[np.float64], list[Canvas]]:
    """Times from the shot's start and frames, uint8 [h, w, 3] RGB, of one stretch of a file."""
    times: list[float] = []
    frames: list[Canvas] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time is None or frame.time < start - 1e-6:
                continue
            if frame.time >= end - 1e-6:
                break
            times.append(frame.time - start)
            frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    return np.array(times), frames


def render(folder: Path, take: Take, t: float, duration: float) -> Canvas:
    """The take at t seconds of its duration, as a canvas. A shot that runs out is played back and forth."""
    name, start, end = SHOTS[take.shot]
    if take.shot == "vtest/1":  # 80 s do not fit in memory at once
        start, end = start + take.start, start + take.start + duration * take.speed + 0.2
    times, frames = _read(folder / name, start, end)
    offset = 0.0 if take.shot == "vtest/1" else take.start
    wanted = offset + t * take.speed
    length = float(times[-1]) or 1.0
    wanted = length - abs(length - wanted % (2 * length))
    frame = frames[max(0, int(np.searchsorted(times, wanted + 1e-6, side="right")) - 1)]
    return grade(_crop(frame, take, t / duration), take.grade)


def _crop(frame: Canvas, take: Take, done: float) -> Canvas:
    """A 16:9 part of the frame, as large as the crop says and never past its edges."""
    height, width = frame.shape[:2]
    cx, cy, share = (value + change * done for value, change in zip(take.crop, take.drift, strict=True))
    full = min(width, height * WIDTH / HEIGHT)
    w = max(full * share, 16.0)
    h = w * HEIGHT / WIDTH
    x = min(max(cx * width, w / 2), width - w / 2)
    y = min(max(cy * height, h / 2), height - h / 2)
    scale = WIDTH / w
    matrix = np.array([[scale, 0, WIDTH / 2 - x * scale], [0, scale, HEIGHT / 2 - y * scale]])
    if scale < 0.75:  # reduce by area first, else thin lines shimmer
        frame = np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = np.array([[1, 0, WIDTH / 2 - x * scale], [0, 1, HEIGHT / 2 - y * scale]])
    out = cv2.warpAffine(frame, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(out[:, ::-1]) if take.flip else np.asarray(out, np.uint8)


def grade(image: Canvas, name: str) -> Canvas:
    """The image with a colour grade of GRADES."""
    saturation, contrast, gain = GRADES[name]
    if name == "plain":
        return image
    values = image.astype(np.float32)
    grey = (values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    values = (grey + (values - grey) * saturation) * np.array(gain, np.float32)
    return np.asarray(np.clip((values - 118) * contrast + 118, 0, 255).round(), np.uint8)
