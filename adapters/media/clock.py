"""Timestamps to a time that always grows, over joints and damage."""

from __future__ import annotations

from av.container import InputContainer

# Timestamps that step back this far belong to another clock (two recordings joined), not to a misordered frame.
_CLOCK_RESET_SECONDS = 1.0
# In a stream that was cut together a step ahead of this much is another clock too; elsewhere it is a long still.
_CLOCK_LEAP_SECONDS = 10.0


class Clock:
    """Timestamps to source time that always grows.

    A far step back, and in program and transport streams a far step ahead, is a clock that starts anew (recordings
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


def may_be_joined(container: InputContainer) -> bool:
    """Whether the container is a program or transport stream, which may be cut and joined anywhere."""
    return bool({"mpegts", "mpeg"} & set(container.format.name.split(",")))
