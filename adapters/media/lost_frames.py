"""Frames that are missing from a stream without an error: times of decoding that skip where frames follow evenly."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

# Soft telecine spaces frames by up to 1.25 of the average interval; one missing frame doubles it.
_FRAMES_APART = 1.75
# After 24 evenly spaced frames a skip is a loss; before, the stream's own frames may be unevenly spaced.
_EVEN_FRAMES, _EVEN = 24, 1.3
# A longer jump is a new clock, see clock.py.
_MOST_SECONDS = 10.0
# A key frame whose decoding time is this much before the expected one begins a new clock.
_LATE_SECONDS = 0.5
# Shortest skip of a fragmented MP4: rounded durations leave shorter ones.
_LEAST_FRAGMENT_SECONDS = 0.1
# Frames are decoded at most this many places from where they are shown (H.264 and H.265 allow 16).
_REORDERED_FRAMES = 17
_SAME_RATE = Fraction(101, 100)


class LostFrames:
    """Looks at the packets of a transport stream or a fragmented MP4, in the order of the file.

    Of other files nothing is said: there a frame may be shown for long.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, interval: float) -> None:
        """Begin before the first packet.

        Args:
            container: The open source.
            stream: Its video stream.
            interval: Seconds from one frame to the next, on average.
        """
        names = container.format.name.split(",")
        self._tick, self._interval = float(stream.time_base or 1e-6), interval
        rates = [rate for rate in (stream.average_rate, stream.base_rate) if rate]
        steady = len(rates) == 2 and max(rates) <= _SAME_RATE * min(rates)
        self._is_even = "mpegts" in names and steady
        look: Callable[[Packet[Any], float], float] | None = None
        if "mpegts" in names:
            look = self._in_transport
        elif "mov" in names and not stream.frames:
            look = self._in_fragments
        self._look = look
        self.begin()

    def begin(self) -> None:
        """Begin again at any packet."""
        self._shown: deque[float] = deque(maxlen=2 * _REORDERED_FRAMES + 2)
        self._from, self._to = -math.inf, math.inf  # between these times all frames that came are among them
        self._wait = 0  # packets until all frames around a skip are known
        self._restart()

    def _restart(self) -> None:
        self._end: float | None = None  # when the frame of the last packet is over, by its own clock
        self._before, self._even, self._damaged = 0.0, 0, False
        self._skip: tuple[float, bool] | None = None  # the last one: from where by that clock, and whether it is a loss

    def follow(self, packet: Packet[Any], shown: float | None) -> dict[float, int]:
        """How many frames are missing before which times, as far as the packets up to this one show it.

        Args:
            packet: The next packet of the stream.
            shown: Source time of its frame, in seconds; None: unknown.
        """
        if self._look is None or packet.dts is None:
            return {}
        if shown is not None:
            if len(self._shown) == self._shown.maxlen:
                self._from = max(self._from, self._shown[0])
            self._shown.append(shown)
        if self._skips(packet, packet.dts * self._tick) and not self._wait:
            self._wait = _REORDERED_FRAMES
        elif self._wait:
            self._wait -= 1
            if self._wait == _REORDERED_FRAMES // 2:  # frames up to here have come when the waiting ends
                self._to = max(self._shown, default=0.0)
            return {} if self._wait else self._holes(self._to)
        return {}

    def rest(self) -> dict[float, int]:
        """The same at the end of the file."""
        return self._holes(math.inf) if self._wait else {}

    def _holes(self, last: float) -> dict[float, int]:
        """The holes between the frames around a skip: where parts were joined, only times of decoding skip."""
        gaps = {after: after - before for before, after in pairwise(sorted(self._shown))}
        return {
            after: round(gap / self._interval) - 1
            for after, gap in gaps.items()
            if after - gap >= self._from and after <= last and _FRAMES_APART * self._interval < gap <= _MOST_SECONDS
        }

    def _skips(self, packet: Packet[Any], seconds: float) -> bool:
        """Whether times of decoding have skipped before the packet before this one, and go on from there."""
        assert self._look is not None
        (before, is_loss), self._skip = self._skip or (None, False), None
        if before is not None and seconds <= self._before:  # one damaged time, and not a loss
            self._before = self._end = before + self._interval
            is_loss = False
        if self._end is not None and seconds < self._end - _LATE_SECONDS:
            if not packet.is_keyframe:  # one that comes late, or whose time is damaged
                self._before, self._end = self._before + self._interval, self._end + self._interval
                return False
            self._restart()  # another clock
        last, began = self._before, self._end is not None
        missing = self._look(packet, seconds)
        is_known = 0 < missing <= _MOST_SECONDS
        if is_known or (began and seconds - last > _MOST_SECONDS):
            self._skip = last, is_known
        return is_loss

    def _in_transport(self, packet: Packet[Any], seconds: float) -> float:
        gap = 0.0 if self._end is None else seconds - self._before
        damaged = self._damaged or packet.is_corrupt
        is_lost = gap > _FRAMES_APART * self._interval and (damaged or (self._is_even and self._even >= _EVEN_FRAMES))
        self._even = self._even + 1 if gap <= _EVEN * self._interval else 0
        # A loss is marked at the packet in which it begins, or at the one before it.
        self._damaged = packet.is_corrupt or (self._damaged and gap <= _EVEN * self._interval and self._even < 2)
        self._before = self._end = seconds
        return gap - self._interval if is_lost else 0.0

    def _in_fragments(self, packet: Packet[Any], seconds: float) -> float:
        gap = 0.0 if self._end is None else seconds - self._end
        self._before = seconds
        self._end = max(seconds + (packet.duration or 0) * self._tick, self._end or 0.0)
        return gap if gap > max(_FRAMES_APART * self._interval, _LEAST_FRAGMENT_SECONDS) else 0.0
