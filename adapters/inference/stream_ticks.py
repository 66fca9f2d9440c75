"""Which frames of a source a stream consumes: those nearest to the ticks of its own rate, decided as they come."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A frame this little off a tick is on it: what rounding of timestamps does.
_EPSILON_PERIODS = 1e-6


@dataclass(frozen=True)
class FrameDecision:
    """What becomes of one frame.

    Attributes:
        taken: Whether it is consumed.
        repeats: How often the frame before it is consumed again, for ticks that passed without a frame.
        reset: Why the stream restarts before it; None if it does not.
    """

    taken: bool
    repeats: int = 0
    reset: str | None = None


class Ticks:
    """The ticks of one stream, ``fps`` a second from its first frame.

    A tick takes the frame nearest to it, as far as can be told when the frame comes: one that comes before its tick is
    taken where the next one, after as long as since the last, would be further off. A tick that more than one period
    passes without a frame takes the frame before again. After a gap of more than ``max_gap_seconds``, and where time
    goes back by more than one period, the stream restarts; a frame that is up to one period late is dropped.
    """

    def __init__(self, fps: float, max_gap_seconds: float) -> None:
        self.fps, self.max_gap_seconds = fps, max_gap_seconds
        self.restart()

    def restart(self) -> None:
        """Forget the source's time: the next frame is the first."""
        self._origin: float | None = None
        self._next = 0  # the number of the tick that waits for a frame
        self._last = -math.inf  # the time of the last frame, taken or not

    @property
    def begun_seconds(self) -> float:
        """The time of the first frame since the stream began; 0 before there is one."""
        return self._origin or 0.0

    def offer(self, seconds: float) -> FrameDecision:
        """Decide about the next frame.

        Args:
            seconds: The frame's time.
        """
        if self._origin is None:
            return self._begin(seconds, None)
        gap = seconds - self._last
        if gap > self.max_gap_seconds:
            return self._begin(seconds, f"no frame for {gap:.1f} s")
        if gap < -1 / self.fps:
            return self._begin(seconds, f"time went back by {-gap:.1f} s")
        if gap <= 0:
            return FrameDecision(False)
        place = (seconds - self._origin) * self.fps  # in periods
        self._last = seconds
        early = self._next - place
        if early > _EPSILON_PERIODS and early >= place + gap * self.fps - self._next:
            return FrameDecision(False)
        tick = max(self._next, math.floor(place + _EPSILON_PERIODS))
        repeats, self._next = tick - self._next, tick + 1
        return FrameDecision(True, repeats)

    def _begin(self, seconds: float, reset: str | None) -> FrameDecision:
        self._origin, self._next, self._last = seconds, 1, seconds
        return FrameDecision(True, 0, reset)
