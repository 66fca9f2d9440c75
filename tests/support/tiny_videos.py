"""Small videos of two kinds that a model can tell apart, rendered on the spot."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def render_video(path: Path, kind: str, seed: int, seconds: float = 1.0, fps: int = 8, size: int = 64) -> Path:
    """``warm``: a red disc on dark ground; ``cold``: blue stripes on bright ground. Both move."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    phase, speed = rng.uniform(0, size), rng.uniform(1, 4)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        stream.time_base = Fraction(1, fps)
        for index in range(round(seconds * fps)):
            at = (phase + speed * index) % size
            frame = np.empty((size, size, 3), np.uint8)
            if kind == "warm":
                frame[:] = 30
                frame[(x - at) ** 2 + (y - size / 2) ** 2 < (size / 4) ** 2] = (220, 40, 30)
            else:
                frame[:] = 210
                frame[(x + at) % 16 < 8] = (30, 60, 200)
            noisy = np.clip(frame + rng.integers(-12, 13, frame.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())
    return path


def render_dataset(folder: Path, train: int = 4, validation: int = 2, test: int = 1) -> Path:
    """dataset.jsonl of both kinds, each clip its own group. Returns the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in ("warm", "cold"):
        splits = ["train"] * train + ["validation"] * validation + ["test"] * test
        for number, split in enumerate(splits):
            name = f"{kind}{number}.mp4"
            render_video(folder / name, kind, seed=number + 100 * (kind == "cold"))
            rows.append({"path": name, "label": kind, "split": split, "group": name, "source": name})
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
