"""Videos of one colour, of any size: small files that ask for large frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av


def flat_video(path: Path, width: int, height: int, frames: int = 2, options: dict[str, str] | None = None) -> Path:
    """Frames of one colour: a few hundred bytes, however large they are."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=8, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 8)
        for _ in range(frames):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
