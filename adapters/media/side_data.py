"""What a decoded frame carries beside its picture, also where PyAV does not know all of it."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

_MOST_UNKNOWN_TYPES = 16  # FFmpeg 8 has five that PyAV 18 does not know


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The display matrix of a frame, nine integers in the order of ISO/IEC 14496-12, or None if it has none.

    Args:
        frame: As decoded; it does not change.
    """
    data = _side_data(frame).get("DISPLAYMATRIX")
    values = () if data is None else tuple(int(value) for value in np.frombuffer(bytes(data), dtype="<i4"))
    return values if len(values) == 9 else None


def _side_data(frame: VideoFrame) -> Any:
    """The side data that PyAV can name.

    PyAV reads all side data of a frame or none: one type that it does not know, such as Exif or a view's position in
    spatial video, raises ValueError. FFmpeg's filter removes such types from a reference to the frame.
    """
    for _ in range(_MOST_UNKNOWN_TYPES):
        try:
            return frame.side_data
        except ValueError as error:
            unknown = re.match(r"\d+", str(error))
            if unknown is None:
                raise
            frame = _without(frame, int(unknown.group()))
    return {}


def _without(frame: VideoFrame, kind: int) -> VideoFrame:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1))
    remove, sink = graph.add("sidedata", mode="delete", type=str(kind)), graph.add("buffersink")
    source.link_to(remove)
    remove.link_to(sink)
    graph.configure()
    graph.push(frame)
    found = graph.pull()
    assert isinstance(found, VideoFrame)
    return found
