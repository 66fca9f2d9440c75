"""Videos and a store of a few items for tests of the studio's frame service and pages."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from media_patterns import numbered_frame, write_numbered, write_video

from adapters.errors import DatasetError
from cliplab.library import fingerprint

NTSC = Fraction(30000, 1001)
VARIABLE = [0, 1, 4, 5, 9, 20, 21, 22, 40, 41, 43, 60, 61, 62, 64, 90, 91, 92, 93, 120]


@dataclass(frozen=True)
class FileItem:
    """An item as the store gives it, as far as the frame service needs it."""

    id: int
    kind: str
    path: str
    fingerprint: str
    start_seconds: float | None = None
    end_seconds: float | None = None


class FileStore:
    """Items of a folder by number."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._items = folder, {}

    def add(self, path: Path, kind: str = "video", start: float | None = None, end: float | None = None) -> int:
        number = len(self._items) + 1
        self._items[number] = FileItem(
            number, kind, path.name, fingerprint(str(path), path.stat().st_size).hex(), start, end
        )
        return number

    def item(self, number: int) -> FileItem:
        if number not in self._items:
            raise DatasetError(f"there is no item {number} in {self.folder}")
        return self._items[number]

    def media_path(self, item: FileItem) -> Path:
        return self.folder / item.path


def write_ntsc(path: Path, count: int = 70) -> Path:
    """Numbered frames at 30000/1001 per second, with frames out of order."""
    return write_numbered(path, count, fps=NTSC, gop=12, b_frames=2)


def write_variable(path: Path) -> Path:
    """Numbered frames at the times of VARIABLE, in thirtieths of a second."""
    pictures = [numbered_frame(number) for number in range(len(VARIABLE))]
    return write_video(path, pictures, ticks=VARIABLE, time_base=Fraction(1, 30), gop=6, b_frames=2)


def write_shots(path: Path, lengths: tuple[int, ...] = (25, 40, 30), fps: int = 10, sound: bool = True) -> Path:
    """Shots of one colour each with a moving block, and a tone in every second one."""
    colors = ((200, 40, 40), (40, 160, 60), (50, 60, 210), (220, 200, 60), (20, 20, 20))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size = 20
        heard = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        number = 0
        for shot, length in enumerate(lengths):
            for place in range(length):
                picture = np.full((96, 160, 3), colors[shot % len(colors)], np.uint8)
                picture[30:60, place * 3 % 120 : place * 3 % 120 + 30] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
                if heard is not None:
                    tone = np.sin(np.arange(16000 // fps) / 5) * (12000 if shot % 2 else 900)
                    frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
                    frame.sample_rate, frame.pts = 16000, number * (16000 // fps)
                    container.mux(heard.encode(frame))
                number += 1
        container.mux(stream.encode())
        if heard is not None:
            container.mux(heard.encode())
    return path
