"""Times of packets of Matroska that have none: frames that share a block with others, or that begin before 0."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from av.packet import Packet

_MOST_IN_A_ROW = 256


class UntimedPackets:
    """Passes packets on, and spreads those without a time evenly between their neighbours with one."""

    def __init__(self, interval_ticks: int, in_order: bool) -> None:
        """Begin before the first packet.

        Args:
            interval_ticks: From one frame to the next on average, in ticks of the stream.
            in_order: Whether frames are shown in the order of decoding; otherwise only the time of decoding is set.
        """
        self._in_order = in_order
        self._queue: deque[Packet[Any]] = deque()
        self._last: int | None = None
        self._step = max(interval_ticks, 1)

    def next(self, fetch: Callable[[], Packet[Any] | None]) -> Packet[Any] | None:
        """The next packet, None at the end.

        Args:
            fetch: Returns the next packet as it is read, None at the end.
        """
        packet = self._queue.popleft() if self._queue else fetch()
        if packet is None or not packet.size:
            return packet
        if (stamp := _stamp_of(packet)) is not None:
            self._last = stamp
            return packet
        run, following = [packet], fetch()
        while following is not None and following.size and _stamp_of(following) is None and len(run) < _MOST_IN_A_ROW:
            run.append(following)
            following = fetch()
        self._spread(run, None if following is None or not following.size else _stamp_of(following))
        self._queue.extend(run[1:] if following is None else [*run[1:], following])
        self._last = _stamp_of(packet)
        return packet

    def _spread(self, run: list[Packet[Any]], following: int | None) -> None:
        count, last = len(run), self._last
        if last is not None and following is not None and following > last:
            self._step = max((following - last) // (count + 1), 1)
            stamps = [last + (following - last) * place // (count + 1) for place in range(1, count + 1)]
        elif last is not None:
            stamps = [last + self._step * place for place in range(1, count + 1)]
        elif following is not None:
            stamps = [following - self._step * (count - place) for place in range(count)]
        else:
            return
        for packet, stamp in zip(run, stamps, strict=True):
            packet.dts = stamp
            if self._in_order:
                packet.pts = stamp


def _stamp_of(packet: Packet[Any]) -> int | None:
    return packet.dts if packet.pts is None else packet.pts
