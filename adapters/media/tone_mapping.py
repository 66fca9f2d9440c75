"""HDR and wide gamut to BT.709 for pictures of full size: the conversion of :mod:`adapters.media.color` as a 3D table.

For a frame of 1920x1080 the exact conversion takes ten times as long. The table is off by 0.3 levels of 255 on average,
and by up to 3 in 99 of 100 pixels of random colours.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from adapters.media.color import ColorInfo, to_bt709

WHITE_16 = 255 << 8  # where libswscale puts the white of luma and chroma in 16-bit RGB
_SIZE = 65


class ToneTable:
    """Converts frames of one size in gbrp16le, as libswscale makes them, to BT.709 in the same layout."""

    def __init__(self, color: ColorInfo) -> None:
        """Prepare for frames of one colour description."""
        self._color = color
        self._graph: Graph | None = None
        self._count = 0

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        if self._graph is None:
            self._graph = self._configured(frame)
        # The filter accepts only frames with the properties that it was configured for.
        plain: Any = frame
        plain.colorspace, plain.color_range = 2, 0
        plain.pts, plain.time_base = self._count, Fraction(1, 1)
        self._count += 1
        self._graph.push(plain)
        toned = self._graph.pull()
        assert isinstance(toned, VideoFrame)
        return toned

    def _configured(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        with tempfile.NamedTemporaryFile("w", suffix=".cube") as file:
            file.write(_cube(self._color))
            file.flush()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
            )
            table = graph.add("lut3d", file=file.name, interp="tetrahedral")
            sink = graph.add("buffersink")
            source.link_to(table)
            table.link_to(sink)
            graph.configure()
        return graph


@lru_cache(maxsize=2)
def _cube(color: ColorInfo) -> str:
    """The table in the .cube form of Adobe's specification 1.0: red changes fastest, values in 0..1."""
    codes = np.minimum(np.rint(np.linspace(0, 65535, _SIZE)), WHITE_16).astype(np.uint16)
    codes += codes >> 8  # to the full 16 bits: x * 257 / 256
    blue, green, red = np.meshgrid(codes, codes, codes, indexing="ij")
    out = to_bt709(np.stack([red, green, blue], -1).reshape(-1, 3), color)
    words = np.array([f"{code / 255 * WHITE_16 / 65535:.5f}" for code in range(256)])
    return f"LUT_3D_SIZE {_SIZE}\n" + "".join(" ".join(row) + "\n" for row in words[out].tolist())


__all__ = ["WHITE_16", "ToneTable"]
