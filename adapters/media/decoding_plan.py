"""Which packets have to be decoded for the moments that are looked at, known a little ahead of the decoder.

The frame of a moment is the one that is shown then. Sparse sampling may take a reference frame near it in its place,
within a tolerance; its own time is reported. What none of these frames depends on is not decoded: frames that others
do not refer to, and references after the last frame that is wanted before the next entry. Frames that are decoded are
the same as ever. Where packets do not say enough (no time, an unknown role, two frames at one time), all are decoded
from there on; where the decoder reports damage, the pass starts again and decodes everything.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from adapters.media.nearby_frames import NearbyFrames
from adapters.media.packets import TimedPacket
from adapters.media.references import Classifier, Role

# Frames are decoded at most this many places from where they are shown (H.264 and H.265 allow 16).
_REORDERED_FRAMES = 17
# What is read ahead to find the next entry: the tail of a group of pictures, within bounded memory.
_MOST_PACKETS_AHEAD = 512
_MOST_BYTES_AHEAD = 4 << 20
# Where the index is sound, the pass jumps to moments that are further ahead than this.
_NEAR_SECONDS = 8.0
_TINY_SECONDS = 1e-9


@dataclass(eq=False, slots=True)
class _Entry:
    """A packet that was read. number: its place in the order of decoding; group: of the entry that it follows."""

    timed: TimedPacket
    seconds: float
    is_reference: bool
    number: int
    group: int
    leading: bool  # shown before the entry of its group


@dataclass(eq=False, slots=True)
class _Moment:
    seconds: float
    goal: float | None = None  # when the frame that is taken for it is shown


@dataclass(eq=False)
class _Shown:
    """Packets near the present one in the order of presentation."""

    times: list[float] = field(default_factory=list)
    entries: dict[float, _Entry] = field(default_factory=dict)

    def add(self, entry: _Entry, most_places: int) -> bool:
        """Add a packet; False where another has its time, or it comes too late to be in order."""
        seconds = entry.seconds
        if not self.times or self.times[-1] < seconds - _TINY_SECONDS:
            self.times.append(seconds)
            self.entries[seconds] = entry
            return True
        place = bisect_left(self.times, seconds - _TINY_SECONDS)
        if place < len(self.times) and self.times[place] <= seconds + _TINY_SECONDS:
            return False
        if len(self.times) - place > most_places:
            return False
        insort(self.times, seconds)
        self.entries[seconds] = entry
        return True

    def forget_before(self, seconds: float) -> None:
        """Forget packets, except the last that is shown at or before a time."""
        place = bisect_right(self.times, seconds) - 1
        if place > 0:
            for time in self.times[:place]:
                del self.entries[time]
            del self.times[:place]


class DecodingPlan:
    """Reads packets ahead of a decoder, and marks those that need not be decoded.

    Attributes:
        failed: Whether the pass has to start again without a plan.
    """

    def __init__(
        self, classify: Classifier, moments: Iterator[float], nearby: NearbyFrames, slack: float, may_jump: bool
    ) -> None:
        """Plan nothing yet; ``begin`` follows.

        Args:
            classify: Tells the roles of packets.
            moments: Source times in seconds, never decreasing, at which ``FrameCursor.at`` will be called; consumed as
                they are needed.
            nearby: Which frames may be taken in place of those that are shown.
            slack: Seconds by which a frame may be late.
            may_jump: Whether the pass jumps to moments that are far ahead.
        """
        self.failed = False
        self._classify, self._moments, self._nearby = classify, moments, nearby
        self._slack, self._may_jump = slack, may_jump
        self._pending: deque[_Moment] = deque()

    def begin(self, read: Callable[[], TimedPacket | None], sent: list[TimedPacket]) -> None:
        """Begin with the packets of another place in the file.

        Args:
            read: Returns the next packet in the order of decoding; the empty one is followed by None.
            sent: Packets before it that went to the decoder already.
        """
        self._read = read
        self._queue: deque[_Entry | TimedPacket] = deque()
        self._shown = _Shown()
        self._tops: deque[float] = deque(maxlen=_REORDERED_FRAMES + 1)  # the latest time up to each of the last packets
        self._number = self._group = self._bytes = self._oldest = 0
        self._keys: dict[int, float] = {}  # when the entry of a group is shown
        self._last: dict[int, float] = {}  # by group: the last packet of it that a wanted frame may depend on
        self._last_leading: dict[int, float] = {}
        self._broken = -1  # the group of which the last references were left out
        self._ended, self._active = False, True
        for moment in self._pending:
            moment.goal = None
        for timed in sent:
            self._add(timed)

    @property
    def is_active(self) -> bool:
        """Whether packets are still being left out."""
        return self._active

    # -- moments -----------------------------------------------------------------------------------------------------

    def come_to(self, moment: float) -> None:
        """Forget the moments before one."""
        while self._pending and self._pending[0].seconds < moment:
            self._pending.popleft()
        self._shown.forget_before(moment - self._nearby.tolerance - 2 * self._slack)

    def goal(self, moment: float) -> float:
        """When the frame that is taken for a moment is shown; the moment itself where everything is decoded.

        Args:
            moment: Source time in seconds, one of the moments.
        """
        self.come_to(moment)
        first = self._pending[0] if self._pending else self._pull()
        if first is None or first.seconds != moment:
            self._active = False
            return moment
        if first.goal is None and self._active:
            self._resolve(first)
        return moment if first.goal is None else first.goal

    def _pull(self) -> _Moment | None:
        last = self._pending[-1].seconds if self._pending else -math.inf
        seconds = next((seconds for seconds in self._moments if seconds > last), None)
        if seconds is None:
            return None
        self._pending.append(_Moment(seconds))
        return self._pending[-1]

    def _unresolved(self) -> _Moment | None:
        return next((moment for moment in self._pending if moment.goal is None), None) or self._pull()

    def _resolve(self, moment: _Moment) -> None:
        """Choose the frame of a moment, with the packets that this takes."""
        until = moment.seconds + self._nearby.tolerance + self._slack
        while self._active and not self._covers(until):
            self._look_ahead()
        if self._active and self._shown.times:
            entry = self._choose(moment.seconds)
            moment.goal = entry.seconds
            self._want(entry)

    def _covers(self, seconds: float) -> bool:
        """Whether all frames up to a time are known."""
        return self._ended or (len(self._tops) > _REORDERED_FRAMES and self._tops[0] > seconds)

    def _choose(self, moment: float) -> _Entry:
        times, entries, near = self._shown.times, self._shown.entries, self._nearby
        place = max(bisect_right(times, moment + self._slack) - 1, 0)
        exact = entries[times[place]]
        # The last frame is not replaced: whether the video ended before the moment depends on it.
        if exact.is_reference or not near.tolerance or place == len(times) - 1:
            return exact
        earliest = max(moment - near.tolerance, near.start - self._slack) - _TINY_SECONDS
        latest = moment + near.tolerance + _TINY_SECONDS
        found = list[_Entry]()
        for steps in (range(place - 1, -1, -1), range(place + 1, len(times))):
            for other in steps:
                if not (earliest <= times[other] <= latest and times[other] < near.end):
                    break
                if entries[times[other]].is_reference:
                    found.append(entries[times[other]])
                    break
        return min(found, key=lambda entry: abs(entry.seconds - moment)) if found else exact

    def _want(self, entry: _Entry) -> None:
        if entry.timed.dropped:  # it was decided too early
            self.failed = True
        self._last[entry.group] = max(self._last.get(entry.group, -1), entry.number)
        if entry.leading:
            self._last_leading[entry.group] = max(self._last_leading.get(entry.group, -1), entry.number)
            self._last[entry.group - 1] = math.inf
        entry.timed.wanted = True

    # -- packets -----------------------------------------------------------------------------------------------------

    def read(self) -> TimedPacket | None:
        """The next packet in the order of decoding, marked as dropped where it need not be decoded."""
        if not self._queue:
            self._look_ahead()
        if not self._queue:
            return None
        first = self._queue[0]
        if isinstance(first, TimedPacket):
            self._queue.popleft()
            return first
        needed = not self._active or self._is_needed(first)
        self._queue.popleft()
        self._bytes -= first.timed.packet.size
        if not needed:
            first.timed.dropped = True
            if first.is_reference and not first.leading:
                self._broken = first.group
        self._forget_groups_before(first.group - 1)
        return first.timed

    def _forget_groups_before(self, group: int) -> None:
        while self._oldest < group:
            for known in (self._keys, self._last, self._last_leading):
                known.pop(self._oldest, None)
            self._oldest += 1

    def _look_ahead(self) -> None:
        timed = self._read()
        if timed is None or not timed.packet.size:
            self._ended = True
            if timed is not None:
                self._queue.append(timed)
            return
        entry = self._add(timed)
        self._queue.append(timed if entry is None else entry)
        if entry is not None:
            self._bytes += timed.packet.size

    def _add(self, timed: TimedPacket) -> _Entry | None:
        """Take in a packet; None where nothing is left out any more."""
        role, seconds = self._classify(timed.packet) if self._active else Role.UNKNOWN, timed.seconds
        if seconds is None or role is Role.UNKNOWN or timed.packet.is_discard:
            self._active = False
            return None
        if role is Role.ENTRY:
            self._group += 1
            self._keys[self._group] = seconds
        self._number += 1
        leading = seconds < self._keys.get(self._group, -math.inf)
        entry = _Entry(timed, seconds, role is not Role.DISPOSABLE, self._number, self._group, leading)
        if not self._shown.add(entry, _REORDERED_FRAMES):
            self._active = False
            return None
        self._tops.append(max(seconds, self._tops[-1]) if self._tops else seconds)
        return entry

    def _is_needed(self, entry: _Entry) -> bool:
        self._resolve_shown_at(entry)
        if not self._active:
            return True
        if not entry.is_reference:
            return entry.timed.wanted
        if entry.leading:  # what is shown after the entry does not depend on it
            return self._last_leading.get(entry.group, -1) >= entry.number or (
                self._broken != entry.group - 1 and self._unresolved() is None
            )
        while self._last.get(entry.group, -1) < entry.number:
            moment = self._unresolved()
            if moment is None:
                return True  # the end is not searched for
            following = self._keys.get(entry.group + 1)
            if following is not None and following <= moment.seconds + self._slack:
                return False
            if self._covers(moment.seconds + self._nearby.tolerance + self._slack):
                self._resolve(moment)
                if self._is_after(moment, entry):
                    return False
            elif self._is_far(moment, entry):
                return True
            else:
                self._look_ahead()
            if not self._active:
                return True
        return True

    def _resolve_shown_at(self, entry: _Entry) -> None:
        """Choose the frames of all moments at which a frame is shown."""
        moment = self._unresolved()
        place = bisect_right(self._shown.times, entry.seconds)
        known = self._shown.times[place] if place < len(self._shown.times) else math.inf
        if moment is None or moment.seconds + self._slack >= known:
            return
        while self._active and not self._covers(entry.seconds):
            self._look_ahead()
        place = bisect_right(self._shown.times, entry.seconds)
        following = self._shown.times[place] if place < len(self._shown.times) else math.inf
        while self._active:
            moment = self._unresolved()
            if moment is None or moment.seconds + self._slack >= following:
                return
            self._resolve(moment)

    def _is_after(self, moment: _Moment, entry: _Entry) -> bool:
        """Whether the frame of a moment, and so those of all later ones, depends on nothing of a packet's group."""
        if moment.goal is None:
            return False
        found = self._shown.entries[moment.goal]
        return found.group > entry.group and self._last.get(entry.group, -1) < entry.number

    def _is_far(self, moment: _Moment, entry: _Entry) -> bool:
        if self._may_jump and moment.seconds - entry.seconds > _NEAR_SECONDS:
            return True
        return len(self._queue) >= _MOST_PACKETS_AHEAD or self._bytes >= _MOST_BYTES_AHEAD
