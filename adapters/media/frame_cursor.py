"""The frame that is shown at a moment: moves a decoder forward and jumps where that is safe."""

from __future__ import annotations

from av.video.frame import VideoFrame

from adapters.media.decode import Decoder
from adapters.media.frame_times import DecodedFrame

# A jump costs the refilling of the decoder's pipeline: worth it from about this many frames that need no decoding.
_JUMP_GAIN_FRAMES = 24


class FrameCursor:
    """Moves over the frames of a decoder to the one that is shown at a moment.

    Frames between far-apart moments are jumped over where the file's index is sound; the frames are the same either
    way.
    """

    def __init__(self, decoder: Decoder, first: DecodedFrame | None = None, may_jump: bool = True) -> None:
        """Start before the first frame.

        Args:
            decoder: The pass to move over.
            first: The frame that was read from the decoder already; None: none was.
            may_jump: Whether frames may be jumped over.
        """
        self.decoder = decoder
        self._current: DecodedFrame | None = None
        self._previous: DecodedFrame | None = None  # of an interlaced frame
        self._upcoming = first or decoder.read()
        self._sound: bool | None = None if may_jump else False  # None: not looked at yet

    @property
    def first(self) -> DecodedFrame | None:
        """The frame that comes next, which is read already; None at the end."""
        return self._upcoming

    @property
    def neighbors(self) -> tuple[VideoFrame | None, VideoFrame | None]:
        """The frames before and after the one returned last, for an interlaced one; None where there is none."""
        near = (self._previous, self._upcoming)
        return near[0].frame if near[0] else None, near[1].frame if near[1] else None

    def at(self, moment: float) -> DecodedFrame | None:
        """The frame that is shown at a moment, or the one that the decoder's plan takes for it; None past the end.

        Args:
            moment: Source time in seconds, not before the moment of the last call.
        """
        # An interlaced frame is shown with the help of the one before it, which must be decoded too.
        interlaced = self._upcoming is not None and self._upcoming.frame.interlaced_frame
        plan = self.decoder.plan
        if plan is not None:
            plan.come_to(moment)
        self._jump_towards(moment - 1.5 * self.decoder.interval if interlaced else moment)
        goal = moment if plan is None else plan.goal(moment)
        while self._upcoming is not None and self.decoder.plan is plan:
            if self._current is not None and self._upcoming.seconds > goal + self.decoder.slack:
                break
            self.step()
        missed = plan is not None and (self._current is None or abs(self._current.seconds - goal) > self.decoder.slack)
        if missed and plan is not None and plan.is_active and self.decoder.plan is plan:
            self.decoder.decode_all()
            self._previous = self._current = None
            self._upcoming = self.decoder.read()
        if self.decoder.plan is not plan:  # the pass began again
            return self.at(moment)
        if self._upcoming is not None:
            return self._current
        end = self.decoder.end_seconds
        return None if end is None or moment > end + self.decoder.interval else self._current

    def step(self) -> DecodedFrame | None:
        """Move to the next frame and return it, or None at the end."""
        if self._upcoming is None:
            return None
        self._previous = self._current if self._upcoming.frame.interlaced_frame else None
        self._current, self._upcoming = self._upcoming, self.decoder.read()
        return self._current

    def _jump_towards(self, moment: float) -> None:
        here, gain = self._upcoming, _JUMP_GAIN_FRAMES * self.decoder.interval
        if self._sound is False or here is None or moment - here.seconds <= gain:
            return
        if self._sound is None:
            self._sound = self.decoder.index.is_sound()
        key = self.decoder.index.key_seconds(moment) if self._sound else None
        if key is None or key - here.seconds <= gain:
            return
        self._sound = self.decoder.jump(moment)
        if not self._sound:
            self.decoder.restart()
        self._previous = self._current = None
        self._upcoming = self.decoder.read()
