"""One pass over an open video: its frames by time, scaled, one by one or as the clips of windows."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee

import numpy as np

from adapters.errors import MediaError
from adapters.media.damage import Damage
from adapters.media.decode import Decoder
from adapters.media.duration import EARLY_END_SECONDS, early_end
from adapters.media.frame_cursor import FrameCursor
from adapters.media.frame_times import DecodedFrame
from adapters.media.info import VideoInfo
from adapters.media.key_frames import OnKey, read_keys
from adapters.media.nearby_frames import NearbyFrames
from adapters.media.opening import MediaLimits, Source
from adapters.media.packets import TimedPacket
from adapters.media.sampling import EPSILON_SECONDS, Window, fill_clip, merged_moments
from adapters.media.scaling import Scaler
from adapters.records import Clip, InputSpec, UInt8Array

# A frame may be that of any number of moments: the limits are asked that often without a frame in between.
_MOMENTS_PER_STOP = 64
# Frames are decoded at most this many places from where they are shown (H.264 and HEVC allow 16).
_REORDERED_FRAMES = 17


class NothingShown(MediaError):
    """No frame is shown at the moments of any window."""

    def __init__(self, message: str, end_seconds: float) -> None:
        """Begin with the text.

        Args:
            message: The text.
            end_seconds: When the last frame stops being shown, in seconds since the first.
        """
        super().__init__(message)
        self.end_seconds = end_seconds


@dataclass(frozen=True, eq=False)
class VideoPass:
    """A pass from the start of the video. Each of its generators uses it up.

    Attributes:
        source: For messages.
        info: The properties of the video.
        damage: Where an early end is noted.
        decoder: The pass over the frames.
        cursor: Its place among them.
        scale: Makes the picture of a frame.
    """

    source: Source
    info: VideoInfo
    damage: Damage
    decoder: Decoder
    cursor: FrameCursor
    scale: Scaler

    def frames(self, fps: float | None, start: float, end: float) -> Iterator[tuple[float, UInt8Array]]:
        """Frames one by one, as ``Video.frames`` does.

        Args:
            fps: Frames per second; None: every frame.
            start: Where to begin, in seconds since the first frame.
            end: Where to end, in the same seconds.
        """
        cursor, origin = self.cursor, self.info.start_seconds
        shown = cursor.at(origin + start)
        count, last, picture = 0, None, None
        while shown is not None:
            moment = shown.seconds - origin if fps is None else start + count / fps
            if moment >= end - EPSILON_SECONDS and count:
                return
            if shown is not last or picture is None:
                last, picture = shown, self.scale(shown.frame, *cursor.neighbors)
            yield moment, picture
            count += 1
            shown = cursor.step() if fps is None else cursor.at(origin + start + count / fps)
        self._note_early_end(end)

    def stretches(
        self, ranges: Sequence[tuple[float, float]], fps: float | None, key_times: Sequence[float] | None
    ) -> Iterator[tuple[float, UInt8Array]]:
        """The frames of stretches, as ``Video.stretches`` does.

        Args:
            ranges: (start, end) in seconds since the first frame, in order.
            fps: Frames per second; None: every frame.
            key_times: When key frames are shown; None: unknown.
        """
        cursor, origin, decoder = self.cursor, self.info.start_seconds, self.decoder
        if key_times is not None and not decoder.index.is_sound() and decoder.index.packets_have_times():
            decoder.wants = wants_around(ranges, key_times, origin, decoder.interval)
        for start, end in ranges:
            shown, count = cursor.at(origin + start), 0
            while shown is not None:
                moment = shown.seconds - origin if fps is None else start + count / fps
                if moment >= end - EPSILON_SECONDS:
                    break
                if moment >= start - decoder.interval:
                    yield max(moment, 0.0), self.scale(shown.frame, *cursor.neighbors)
                count += 1
                shown = cursor.step() if fps is None else cursor.at(origin + start + count / fps)

    def clips(
        self, spec: InputSpec, windows: Iterator[Window], near: NearbyFrames, limits: MediaLimits | None
    ) -> Iterator[Clip]:
        """The clip of each window, in order.

        Args:
            spec: What the model needs.
            windows: In the order of their beginnings.
            near: Which frames may be taken in place of those that are shown.
            limits: Whose ``stop`` is asked meanwhile; None: none.

        Raises:
            NothingShown: Nothing is shown in any window.
            MediaError: A window is short and the spec says ``error``, or ``limits`` end
                the reading.
        """
        cursor, origin = self.cursor, self.info.start_seconds
        taken: dict[int, list[tuple[float, UInt8Array]]] = {}  # by window: what overlapping windows share is one array
        last: DecodedFrame | None = None
        picture: UInt8Array | None = None
        made = 0
        moments, ahead = tee(merged_moments(windows))
        interlaced = cursor.first is not None and bool(cursor.first.frame.interlaced_frame)
        self.decoder.plan_for((origin + moment for moment, *_ in ahead), near, interlaced)
        for looked, (moment, number, window) in enumerate(moments):
            if limits is not None and looked % _MOMENTS_PER_STOP == 0:
                limits.check_stop(self.source)
            pictures = taken.setdefault(number, [])
            shown = cursor.at(origin + moment)
            if shown is not None:
                if shown is not last or picture is None:
                    last, picture = shown, self.scale(shown.frame, *cursor.neighbors)
                pictures.append((max(shown.seconds - origin, 0.0), picture))
                if len(pictures) == len(window.times):
                    made += 1
                    yield self._assemble(spec, window, taken.pop(number))
                continue
            self._note_early_end(window.end)
            if pictures and moment == window.times[len(pictures)]:
                real_end = (self.decoder.end_seconds or 0.0) - origin
                made += 1
                cut = Window(window.start, max(real_end, window.start), window.times[: len(pictures)])
                yield self._assemble(spec, cut, taken.pop(number))
        if not made:
            real = (self.decoder.end_seconds or 0.0) - origin
            raise NothingShown(
                f"{self.source}: the range has no frames: the video ends at {real:.2f} s of "
                f"{self.info.duration_seconds or 0:.2f} s declared. Use an earlier range, or copy the file again.",
                real,
            )

    def _assemble(self, spec: InputSpec, window: Window, taken: list[tuple[float, UInt8Array]]) -> Clip:
        source = str(self.source)
        indices, times = fill_clip(spec, window, [seconds for seconds, _ in taken], self.info.fps, source)
        return Clip(np.stack([taken[i][1] for i in indices]), times, source, window.start, window.end)

    def key_frames(self, every_seconds: float, start: float, end: float, on_key: OnKey | None = None) -> Iterator[Clip]:
        """Clips of one key frame each, as ``Video.key_frames`` does.

        Args:
            every_seconds: Minimum time from one to the next.
            start: Where the range begins, in seconds since the first frame.
            end: Where it ends, in the same seconds; infinite where that is unknown.
            on_key: Called with the time of every key frame in the same seconds, also of those that are skipped.
        """
        decoder, origin = self.decoder, self.info.start_seconds
        tell: OnKey | None = None if on_key is None else (lambda seconds: on_key(seconds - origin))
        last: tuple[float, UInt8Array] | None = None
        for shown in read_keys(decoder, self.cursor.first, every_seconds, tell):
            seconds = max(shown.seconds - origin, start)
            if last is not None:
                yield self._one_frame(*last, seconds)
            last = seconds, self.scale(shown.frame)
        if last is not None:
            yield self._one_frame(*last, max(end, last[0]) if math.isfinite(end) else last[0] + decoder.interval)

    def _one_frame(self, seconds: float, picture: UInt8Array, end: float) -> Clip:
        return Clip(picture[None], np.array([seconds]), str(self.source), seconds, end)

    def _note_early_end(self, asked_end: float) -> None:
        declared = self.info.duration_seconds
        if self.decoder.end_seconds is None or declared is None:
            return
        real = self.decoder.end_seconds - self.info.start_seconds
        if real < min(asked_end, declared) - max(EARLY_END_SECONDS, self.decoder.interval):
            self.damage.note(early_end(real, declared))


def wants_around(
    ranges: Sequence[tuple[float, float]], key_times: Sequence[float], origin: float, interval: float
) -> Callable[[TimedPacket], bool]:
    """Whether a packet is needed for one of the ranges: from the last but one key frame before it, to a little after.

    Of an open group of pictures the first frames lean on the group before.

    Args:
        ranges: (start, end) in seconds since ``origin``, in order.
        key_times: When key frames are shown, in the same seconds.
        origin: Source time of 0, in seconds.
        interval: Seconds from one frame to the next.

    Returns:
        A function of a packet, which must be asked in the order of decoding.
    """
    keys = sorted(key_times)
    needed = list[tuple[float, float]]()
    for start, end in ranges:
        place = max(bisect_right(keys, start + interval / 2) - 2, 0)
        begin = keys[place] if keys else 0.0
        needed.append((origin + min(begin, start) - interval / 2, origin + end + _REORDERED_FRAMES * interval))
    place = 0

    def wants(timed: TimedPacket) -> bool:
        nonlocal place
        if timed.seconds is None:
            return True
        while place < len(needed) - 1 and timed.seconds > needed[place][1]:
            place += 1
        return any(begin <= timed.seconds <= end for begin, end in needed[place : place + 2])

    return wants
