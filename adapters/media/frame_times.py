"""When decoded frames are shown, and which packets gave none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from av.video.frame import VideoFrame

from adapters.media.clock import Clock, Lasting
from adapters.media.damage import Damage
from adapters.media.packets import NO_STAMP, PacketReader, TimedPacket

# A frame comes out at most this many packets after its own.
_MOST_REORDERED = 32


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A frame and when it is shown.

    Attributes:
        seconds: Source time.
        frame: As stored: not scaled, turned or converted.
    """

    seconds: float
    frame: VideoFrame


class FrameTimes:
    """The times of the frames of one pass, in the order of presentation, by those of their packets.

    Attributes:
        waiting: The packets whose frames were not returned yet, in the order of decoding.
        frame_count: Frames that were given a time.
    """

    def __init__(self, reader: PacketReader, damage: Damage, tick: float, interval: float) -> None:
        """Begin before the first frame.

        Args:
            reader: Where the packets come from.
            damage: Where packets that gave no frame are counted.
            tick: Seconds of one unit of the timestamps.
            interval: Seconds from one frame to the next, on average.
        """
        self.waiting: list[TimedPacket] = []
        self.frame_count = 0
        self._reader, self._damage, self._tick, self._interval = reader, damage, tick, interval
        self._errors: list[tuple[TimedPacket, str]] = []  # each at the packet where it was reported
        self._clock = Clock(interval, may_be_joined=False)  # packets have their times; this keeps them growing
        self._lasting = Lasting(interval)
        self._lost_stamps: set[int | None] = set()
        self._reason: str | None = None  # of the last failure, which may cost more frames up to the next key frame
        self._last: tuple[float, float] | None = None
        self._last_dropped = -math.inf  # when the last frame is shown that was not decoded, at the end
        self._backwards_pts = self._backwards_dts = self._lost = 0

    @property
    def end_seconds(self) -> float | None:
        """When the last frame so far stops being shown; None before the first."""
        last = self._clock.last
        if last is None:
            return None
        last = max(last, self._last_dropped)
        return last + self._lasting.seconds(last)

    @property
    def waiting_count(self) -> int:
        """How many packets were decoded and gave no frame yet."""
        return sum(not timed.dropped for timed in self.waiting)

    def fail(self, timed: TimedPacket, reason: str) -> None:
        """Note that decoding failed at a packet; the frame that is lost may be that of another."""
        if not timed.done:
            self._errors.append((timed, reason))

    def decode_again(self) -> None:
        """Forget what came out of the decoder and was not returned, and its errors."""
        self._errors.clear()
        for timed in self.waiting:
            timed.out = False

    def packet_of(self, frame: VideoFrame) -> TimedPacket | None:
        """The packet of a frame that came out of the decoder; None where it is unknown."""
        pts = frame.pts
        found = next((timed for timed in self.waiting if timed.pts == pts and not timed.out), None)
        if found is not None:
            found.out = True
        return found

    def is_late(self, frame: VideoFrame, timed: TimedPacket | None) -> bool:
        """Whether a frame comes out of order, after damage, when it was counted as lost: its time is over."""
        if timed is None:
            return frame.pts is not None and frame.pts in self._lost_stamps
        return timed.pts in self._lost_stamps and timed.done

    def next_seconds(self, frame: VideoFrame, timed: TimedPacket | None) -> float:
        """The source time of the next frame in the order of presentation.

        Args:
            frame: As it came out of the decoder.
            timed: Its packet; None: unknown.
        """
        if timed is not None and not timed.passed:
            self.settle(timed)
        if timed is not None:
            timed.done = True
        seconds = self._clock.advance(self._seconds_of(frame, timed))
        self.frame_count += 1
        self._lasting.add(seconds, 0.0 if timed is None else self._reader.stored_duration(timed))
        return seconds

    def _seconds_of(self, frame: VideoFrame, timed: TimedPacket | None) -> float:
        """By the timestamp of presentation, or that of decoding where it is the better one.

        Frames come out in the order of presentation, so of the two the one that runs backwards less often is right.
        """
        if self._reader.raw:
            return (self.frame_count + self._lost) * self._interval
        following = 0.0 if self._clock.last is None else self._clock.last + self._interval
        pts, dts, shift = frame.pts, frame.dts, self._reader.clock.shift
        stored = None if dts is None else dts * self._tick + shift
        shown = None if pts is None or pts <= NO_STAMP else pts * self._tick + shift
        if timed is not None and not self._reader.dts_only:
            shown = timed.seconds
        if shown is not None and stored is not None:
            if self._last is not None:
                self._backwards_pts += shown <= self._last[0]
                self._backwards_dts += stored <= self._last[1]
            self._last = shown, stored
        if self._reader.dts_only and not self._backwards_dts:
            return following if stored is None else stored
        if self._backwards_pts <= self._backwards_dts or stored is None:
            return following if shown is None else shown
        return stored

    def settle(self, timed: TimedPacket | None) -> None:
        """Count the packets that gave no frame.

        Args:
            timed: The packet of the frame that is returned: those due before it gave none. None: the stream ended.
        """
        waiting = self.waiting
        if timed is None:
            lost = [other for other in waiting if not other.out]
            self.waiting = []
        else:
            place = waiting.index(timed)
            lost = [other for number, other in enumerate(waiting) if self._is_before(other, timed, place - number)]
            timed.done = timed.passed = True
            waiting.remove(timed)
            if timed.packet.is_keyframe:
                self._reason = None
        for other in lost:
            other.passed = True
            if timed is not None:
                waiting.remove(other)
            if other.dropped:
                self._note_dropped(other, at_end=timed is None)
            elif self._errors:
                own = next((place for place, (failed, _) in enumerate(self._errors) if failed is other), 0)
                self._note_failure(other, self._errors.pop(own)[1])
            elif self._reason is not None and not self._reader.may_be_joined:
                # Of a packet a frame, except in streams, where it may be a field.
                self._note_failure(other, self._reason)
        if timed is None:
            for failed, reason in self._errors:
                if not failed.done:
                    self._note_failure(failed, reason)
            self._errors = []

    def _note_dropped(self, timed: TimedPacket, at_end: bool) -> None:
        """Frames that are not decoded count for how long frames are shown."""
        if timed.seconds is not None:
            self._lasting.add(timed.seconds, self._reader.stored_duration(timed))
            if at_end:
                self._last_dropped = max(self._last_dropped, timed.seconds)

    def _is_before(self, other: TimedPacket, timed: TimedPacket, places: int) -> bool:
        """Whether a packet is shown before another, which is decoded that many places after it."""
        if other is timed:
            return False
        if other.seconds is None or timed.seconds is None or self._reader.dts_only:
            failed = places > 0 and any(packet is other for packet, _ in self._errors)
            return failed or places > _MOST_REORDERED
        return other.seconds < timed.seconds

    def _note_failure(self, timed: TimedPacket, reason: str) -> None:
        timed.done = True
        self._reason = reason
        self._lost += 1
        seconds = timed.seconds
        if seconds is None and self._reader.raw and timed.stamp is not None:
            seconds = timed.stamp * self._interval
        elif seconds is None:
            seconds = (
                self._clock.last if timed.stamp is None or self._clock.last is not None else timed.stamp * self._tick
            )
        self._damage.failures[seconds] = reason
        self._lost_stamps.add(timed.pts)
