"""Timestamps to a time that always grows, over joints and damage."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from av.container import InputContainer

# Timestamps that step back this far belong to another clock (two recordings joined), not to a misordered frame.
_CLOCK_RESET_SECONDS = 1.0
# Of a key frame in a stream that was cut together so many frames are enough: short recordings are joined, too.
_KEY_FRAMES_BACK, _NEXT_FRAMES = 2, 1.5
# In a stream that was cut together a step ahead of this much is another clock too; elsewhere it is a long still.
_CLOCK_LEAP_SECONDS = 10.0
# Frames are shown at most this many places from where they are decoded (H.264 and HEVC allow 16).
_REORDERED_FRAMES = 17
# Fewer packets after a leap do not prove damage: the last frame may be a long still.
_LEAST_WITNESSES = 3
# One frame is shown at most this long, and a pause between two is shorter than a day: more is a damaged number.
LONGEST_STILL_SECONDS = 3600.0
_LONGEST_GAP_SECONDS = 86_400.0
_TYPICAL_FRAMES = 32  # of which the typical distance is taken
# Timestamps of program and transport streams have 33 bits of a 90 kHz clock and begin again after 26.5 hours.
_MPEG_WRAP_SECONDS = 2**33 / 90_000


class Clock:
    """Timestamps to source time that always grows.

    A far step back, and in program and transport streams a far step ahead, is a clock that restarts (recordings
    joined, a damaged timestamp): time continues at the frame interval. A small step back is a wrong timestamp.

    Attributes:
        last: The last source time, in seconds; None before the first.
    """

    def __init__(self, interval: float, may_be_joined: bool) -> None:
        """Start before the first timestamp.

        Args:
            interval: Seconds from one frame to the next.
            may_be_joined: Whether the container may have been cut and joined anywhere.
        """
        self._interval, self._may_be_joined = interval, may_be_joined
        self._shift = 0.0
        self.last: float | None = None

    def advance(self, seconds: float) -> float:
        """The source time of the next timestamp, both in seconds."""
        last, time = self.last, seconds + self._shift
        if last is not None:
            leap = self._may_be_joined and time - last > _CLOCK_LEAP_SECONDS
            if leap or last - time > _CLOCK_RESET_SECONDS:
                self._shift += last + self._interval - time
                time = last + self._interval
            elif time <= last:
                time = last + self._interval / 2
        self.last = time
        return time


class PacketClock:
    """Presentation timestamps of packets, in the order of decoding, to source time.

    It follows the rules of :class:`Clock`, so that packets that are not decoded have the times of those that are. One
    stamp decides nothing: one that leaps is taken for another clock only where the packets after it agree with it, and
    for damage where they agree with those before.

    Attributes:
        interval: Seconds from one frame to the next.
        shift: What is added to timestamps at the present packet, in seconds.
        top: The largest source time so far; None before the first.
    """

    def __init__(self, interval: float, may_be_joined: bool, declared_end: float = -math.inf) -> None:
        """Start before the first packet.

        Args:
            interval: Seconds from one frame to the next.
            may_be_joined: Whether the container may have been cut and joined anywhere.
            declared_end: When the file ends by its header, in seconds: a pause up to there is as long as it says.
        """
        self.interval, self._may_be_joined, self._declared_end = interval, may_be_joined, declared_end
        self._back = max(_CLOCK_RESET_SECONDS, _REORDERED_FRAMES * interval)
        self._ahead = max(_CLOCK_LEAP_SECONDS, _REORDERED_FRAMES * interval)
        self._least_witnesses = 0 if may_be_joined else _LEAST_WITNESSES
        self.shift = 0.0
        self.top: float | None = None
        self._before_pause, self._since_pause = -math.inf, 0

    def advance(self, stamp: float, is_key: bool, read_following: Callable[[], Sequence[float]]) -> float | None:
        """The source time of the next packet; None where its stamp is damaged.

        Args:
            stamp: Its presentation timestamp, in seconds.
            is_key: Whether it is a key frame.
            read_following: Returns the timestamps of packets that follow, in the order of decoding.
        """
        if self.top is None:
            following = read_following()
            self.top = min(following) - self.interval if self._is_outlier(stamp, following) else stamp
            return self.top
        time = stamp + self.shift
        if wrap := self._wrap(time):
            self.shift += wrap
            time = stamp + self.shift
        self._since_pause += 1
        before_pause = not is_key and self._is_before_pause(time)
        if abs(time - self.top) > self._usual_distance(time < self.top, is_key) and not before_pause:
            others = [other + self.shift + self._wrap(other + self.shift) for other in read_following()]
            after = [other for other in others if abs(other - time) <= abs(other - self.top)]
            if self._may_be_joined and is_key and time < self.top and self._is_followed(time, others):
                others = after = [other for other in others if other >= time - _REORDERED_FRAMES * self.interval]
            # The last frame of a file may be a long still; in a broadcast it is damage rather.
            is_declared = 0 < time - self.top <= _LONGEST_GAP_SECONDS and time <= self._declared_end
            is_last = is_declared and self._declared_end - time <= self._back
            disagree = len(others) >= 2 * len(after) + 1 - self._may_be_joined
            if disagree and len(others) >= self._least_witnesses and not is_last:
                return None
            if time - self.top > LONGEST_STILL_SECONDS and len(after) < _LEAST_WITNESSES and not is_declared:
                return None
            if self._is_another_clock(time, self.top, is_key):
                move = self.top + self.interval - min(time, *after, time)
                self.shift += move
                time += move
        if time - self.top > self._back:
            self._before_pause, self._since_pause = self.top, 0
        self.top = max(self.top, time)
        return time

    def _is_before_pause(self, time: float) -> bool:
        """Whether a frame is shown before or within a long still, and was decoded after the frame that ends it."""
        assert self.top is not None
        is_near = abs(time - self._before_pause) <= self._back
        is_within = -math.inf < self._before_pause < time < self.top
        return (is_near or is_within) and not self._may_be_joined and self._since_pause <= _REORDERED_FRAMES

    def _usual_distance(self, is_before: bool, is_key: bool) -> float:
        """How far a time may be from the latest one without a doubt, in seconds."""
        if not is_key:
            return self._back
        # A key frame is shown after all that were decoded before it, another frame perhaps long before.
        joined = self._may_be_joined and is_before
        return min(_CLOCK_RESET_SECONDS, _KEY_FRAMES_BACK * self.interval) if joined else _CLOCK_RESET_SECONDS

    def _is_followed(self, time: float, others: Sequence[float]) -> bool:
        """Whether a frame comes next to a time: what follows a damaged one continues at the latest time instead."""
        return any(abs(other - time) <= _NEXT_FRAMES * self.interval for other in others)

    def _is_another_clock(self, time: float, top: float, is_key: bool) -> bool:
        if time < top:  # where nothing is joined it is the place of a frame that is shown early, except at a key frame
            return self._may_be_joined or is_key
        return time - top > (self._ahead if self._may_be_joined else _LONGEST_GAP_SECONDS)

    def _wrap(self, time: float) -> float:
        """What makes a time continue where the 33 bits of MPEG timestamps began again; 0 where they did not."""
        if not self._may_be_joined or self.top is None or abs(time - self.top) <= self._ahead:
            return 0.0
        wraps = (_MPEG_WRAP_SECONDS, -_MPEG_WRAP_SECONDS)
        return next((wrap for wrap in wraps if abs(time + wrap - self.top) <= self._ahead), 0.0)

    def _is_outlier(self, stamp: float, following: Sequence[float]) -> bool:
        """Whether the first stamp is far from all that follow, which agree with one another."""
        if len(following) < _LEAST_WITNESSES or max(following) - min(following) > self._ahead:
            return False
        still = self._back if self._may_be_joined else self._ahead  # how long the first frame may be shown
        return stamp > max(following) + self._back or stamp < min(following) - still


class Lasting:
    """How long the last of some frames is shown: as its packet says, otherwise as long as frames usually are."""

    def __init__(self, interval: float) -> None:
        """Begin without frames.

        Args:
            interval: Seconds from one frame to the next, where too few frames are known.
        """
        self._interval = interval
        self._times: deque[float] = deque(maxlen=_TYPICAL_FRAMES)
        self._stored, self._latest = 0.0, -math.inf

    def add(self, seconds: float, stored_seconds: float) -> None:
        """Add a frame; those near the end may be added in any order.

        Args:
            seconds: When it is shown.
            stored_seconds: Its duration as stored; 0 where none is.
        """
        self._times.append(seconds)
        if seconds >= self._latest:
            self._latest, self._stored = seconds, stored_seconds

    def is_known(self) -> bool:
        """Whether the duration of the last frame is stored, or that of others before it known."""
        return 0 < self._stored <= LONGEST_STILL_SECONDS or len(self._times) > 2

    def seconds(self, last: float) -> float:
        """The duration of the frame at a time, which is the latest one added."""
        if 0 < self._stored <= LONGEST_STILL_SECONDS:
            return self._stored
        times = sorted(time for time in self._times if time <= last)
        gaps = [after - before for before, after in pairwise(times) if after > before]
        return median(gaps) if gaps else self._interval


def may_be_joined(container: InputContainer) -> bool:
    """Whether the container is a program or transport stream, which may be cut and joined anywhere."""
    return bool({"mpegts", "mpeg"} & set(container.format.name.split(",")))
