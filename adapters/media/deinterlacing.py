"""Interlaced frames to whole ones: the lines of the second field, which show a later moment, are made again."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.filter import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """Makes whole frames of the interlaced frames of one stream, each at the time of its first field.

    FFmpeg's bwdif compares a frame with the ones before and after it: where nothing moves both fields stay, elsewhere
    the second is interpolated. Without a frame before, all of the second field is.
    """

    def __init__(self) -> None:
        """Start without a frame."""
        self._graph: Graph | None = None
        self._kind: tuple[Any, ...] = ()
        self._last: VideoFrame | None = None

    def __call__(self, frame: VideoFrame, before: VideoFrame | None, after: VideoFrame | None) -> VideoFrame:
        """The frame with the picture of its first field.

        Args:
            frame: As decoded; a progressive one is returned as it is.
            before: The frame before it; None: unknown.
            after: The frame after it; None: unknown.
        """
        if not frame.interlaced_frame:
            return frame
        before, after = (near if near is not None and _kind(near) == _kind(frame) else None for near in (before, after))
        if before is None or self._graph is None or self._kind != _kind(frame):
            self._graph, self._kind, self._last = _graph(frame), _kind(frame), None
        if before is None:  # the filter makes its first frame from this one alone, as where a key frame is alone
            pushed = [frame, frame]
        elif self._last is frame:
            pushed = [after or frame]
        else:
            pushed = [before, frame, after or frame]
        self._last = after if before is not None else None
        found: VideoFrame | None = None
        # The filter is a frame late: what comes out at last is the frame before the one that was pushed last.
        for one in pushed:
            self._graph.push(one)
            found = _pulled(self._graph) or found
        return found or frame


def _kind(frame: VideoFrame) -> tuple[Any, ...]:
    return frame.width, frame.height, frame.format.name


def _graph(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1))
    whole, sink = graph.add("bwdif", mode="send_frame", deint="interlaced"), graph.add("buffersink")
    source.link_to(whole)
    whole.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: Graph) -> VideoFrame | None:
    """The last frame that is ready."""
    found: VideoFrame | None = None
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return found
        if isinstance(frame, VideoFrame):
            found = frame
