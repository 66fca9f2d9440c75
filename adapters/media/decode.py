"""Packets to frames: one pass over a video stream that continues past damage, counts it, and seeks where it is safe."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from adapters.errors import MediaError
from adapters.media.clock import Clock, Lasting
from adapters.media.damage import Damage
from adapters.media.opening import MediaLimits, Source, choose_stream, encrypted_message, ffmpeg_reason, open_container
from adapters.media.packets import PacketReader, TimedPacket, discard_other_streams, frame_rate
from adapters.media.single_thread import RecentPackets, decodes_in_parallel

# A frame comes out at most this many packets after its own.
_MOST_REORDERED = 32
# Frames that are held back until those that they may lean on came out: as many as can be shown before one of these.
_MOST_HELD = 16


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A frame and when it is shown.

    Attributes:
        seconds: Source time.
        frame: As stored: not scaled, turned or converted.
    """

    seconds: float
    frame: VideoFrame


class Decoder:
    """One pass over the frames of a video stream, in the order of presentation, with jumps ahead.

    Source time is used throughout: the stream's own timestamps in seconds.

    Attributes:
        container: The open source.
        stream: The video stream that is read.
        damage: What was skipped so far.
        wants: Whether to decode a packet; None: all of them.
        rate: Frames per second, on average; None where unknown.
        interval: Seconds from one frame to the next, on average.
        slack: Seconds by which a frame may be late, since containers round timestamps.
        packet_count: Packets decoded in this pass.
        frame_count: Frames that came out in this pass.
        closed: Whether ``close`` was called.
    """

    def __init__(
        self,
        source: Source,
        video_stream: int | None = None,
        allow_url: bool = False,
        damage: Damage | None = None,
        container: InputContainer | None = None,
        limits: MediaLimits | None = None,
        threads: int | None = None,
    ) -> None:
        """Open the source and begin a pass.

        Args:
            source: A path, an address or a stored file.
            video_stream: The index of the stream in the container; None: the container's default video stream.
            allow_url: Whether the source may be a URL.
            damage: Where to count what is skipped, shared by several passes; None: a new one.
            container: A live source, opened already; it is closed with the decoder. Its packets are decoded as they
                come.
            limits: For sources from someone unknown; None: no limits.
            threads: Of FFmpeg's decoder; None: FFmpeg's choice.

        Raises:
            MediaError: The source cannot be opened, or has no video stream that can be decoded.
        """
        self.source, self.allow_url, self.limits, self.threads = source, allow_url, limits, threads
        self.damage = damage or Damage()
        self.wants: Callable[[TimedPacket], bool] | None = None
        self._live = container is not None
        self._recent: RecentPackets | None = None
        self._open(video_stream, container)

    def _open(self, video_stream: int | None, container: InputContainer | None = None) -> None:
        self.container = container or open_container(self.source, self.allow_url, self.limits)
        try:
            self.stream = self._prepared_stream(self.container, video_stream)
        except BaseException:
            self.container.close()
            raise
        # In damage that goes unnoticed VP8 of several frames at a time gives other pictures on every machine.
        self.stream.thread_type = "SLICE" if self.stream.codec_context.name == "vp8" else "AUTO"
        if self.threads is not None:
            self.stream.codec_context.thread_count = self.threads
        base = self.stream.time_base
        self._tick = float(base) if base else 1e-6
        self.rate, assumed = frame_rate(self.container, self.stream)
        if assumed:
            self.damage.note(f"the stream declares no frame rate; {self.rate} frames per second are assumed")
        self.interval = float(1 / self.rate) if self.rate else 0.04
        # Containers round timestamps to their tick (Matroska: 1 ms), so a frame may be half a tick late.
        self.slack = min(self._tick / 2, 0.001) + 1e-6
        self.closed = False
        self._index_loaded = "matroska" not in self.container.format.name.split(",")
        if not self._live and self.threads != 1 and decodes_in_parallel(self.stream):
            self._recent = RecentPackets(self._open_again)
        self._begin()

    def _prepared_stream(self, container: InputContainer, video_stream: int | None) -> VideoStream:
        stream = choose_stream(container, self.source, video_stream)
        if self.limits is not None:
            context = stream.codec_context
            self.limits.check_size(self.source, context.width, context.height)
            context.options = {"max_pixels": str(self.limits.decoder_pixels)}
        discard_other_streams(container, stream)
        return stream

    def _open_again(self) -> tuple[InputContainer, VideoStream]:
        container = open_container(self.source, self.allow_url, self.limits)
        return container, self._prepared_stream(container, self.stream.index)

    def _begin(self) -> None:
        self._reader = PacketReader(self.container, self.stream, self.damage, self.interval, not self._live)
        # In the order of presentation, each with its packet where that is known.
        self._decoded: deque[tuple[VideoFrame, TimedPacket | None]] = deque()
        self._ready: deque[DecodedFrame] = deque()  # read already, to be read again
        self._ended = False
        self._waiting: list[TimedPacket] = []  # packets whose frames have not come out
        self._errors: list[tuple[TimedPacket, str]] = []  # failures, each at the packet where it was reported
        self._again: Counter[int | None] = Counter()  # timestamps of frames that come out again after they were done
        self._clock = Clock(self.interval, may_be_joined=False)  # packets have their times; this keeps them growing
        self._last_times: tuple[float, float] | None = None
        self._backwards_pts = self._backwards_dts = 0
        self._floor: float | None = None  # after a jump: frames before this lean on frames that were not decoded
        self._lost = 0
        if self._recent is not None:
            self._recent.end()
        self.packet_count = self.frame_count = 0
        self._lasting = Lasting(self.interval)

    def close(self) -> None:
        """Close the source. A later ``read`` raises MediaError."""
        self.closed = True
        self._decoded.clear()
        self._ready.clear()
        if self._recent is not None:
            self._recent.close()
        self.container.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def end_seconds(self) -> float | None:
        """When the last frame read so far stops being shown; None before the first."""
        last = self._clock.last
        return None if last is None else last + self._lasting.seconds(last)

    def read(self) -> DecodedFrame | None:
        """The next frame, or None at the end of the stream.

        Raises:
            MediaError: The decoder is closed, the video is encrypted, or ``limits`` ends the reading.
        """
        if self.closed:
            raise MediaError(f"{self.source}: was closed while it was being read. Keep the video open until the end.")
        if self._ready:
            return self._ready.popleft()
        while True:
            while not self._ended and not self._next_is_certain():
                if self.limits is not None:
                    self.limits.check_stop(self.source)
                self._advance()
            if not self._decoded:
                self._settle(None)
                return None
            if (decoded := self._accept(*self._decoded.popleft())) is not None:
                return decoded

    def _next_is_certain(self) -> bool:
        """Whether the next frame is there, and none that it may lean on can still turn out to be damaged."""
        if not self._decoded:
            return False
        if self._recent is None or self._recent.decoder is not None or len(self._decoded) > _MOST_HELD:
            return True
        own = self._decoded[0][1]
        for timed in self._waiting:  # in the order of decoding
            if timed is own:
                return True
            if not timed.out:
                return False
        return True

    def _advance(self) -> None:
        """Decode one packet."""
        timed = self._reader.read()
        if timed is None:
            self._ended = True
        else:
            self._decode(timed)

    def _decode(self, timed: TimedPacket) -> None:
        packet = timed.packet
        if packet.size:
            if self.wants is not None and not self.wants(timed):
                return
            self.packet_count += 1
            if self.packet_count == 1 and packet.has_sidedata("encryption_info"):
                raise MediaError(encrypted_message(self.source))
            self._return_to_threads(timed)
            if timed.stamp is not None and not packet.is_discard:
                self._waiting.append(timed)
            if self._recent is not None:
                self._recent.add(timed)
        if self._recent is not None and self._recent.decoder is not None:
            self._decode_alone(timed)
            return
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, av.EOFError) or self._decode_again(at_end=not packet.size):
                return
            self._fail(timed, error)
            return
        # At the end PyAV keeps an error for itself, and with it the frames that come after.
        lost_at_end = not packet.size and len(self._waiting) > len(self._decoded) + len(frames)
        damaged = lost_at_end or any(frame.is_corrupt for frame in frames)
        if damaged and self._decode_again(at_end=not packet.size):
            return
        self._collect(frames)

    def _collect(self, frames: list[VideoFrame]) -> None:
        """Keep frames that came out of the decoder, except those that come out again."""
        for frame in frames:
            if self._again and self._again[frame.pts] > 0:
                self._again[frame.pts] -= 1
                continue
            timed = self._packet_of(frame)
            if timed is not None:
                timed.out = True
            self._decoded.append((frame, timed))

    def _fail(self, timed: TimedPacket, error: av.FFmpegError | OSError) -> None:
        if not timed.done:
            self._errors.append((timed, ffmpeg_reason(error)))

    # -- damaged stretches -------------------------------------------------------------------------------------------

    def _decode_again(self, at_end: bool) -> bool:
        """Decode what was sent since a key frame by one thread, and what follows; False where it cannot be done."""
        packets = self._recent.begin() if self._recent is not None else []
        if not packets:
            return False
        self._decoded.clear()
        self._errors.clear()
        for timed in self._waiting:
            timed.out = False
        self._again = Counter(timed.pts for timed in packets if timed.done)
        for timed in packets:
            self._decode_alone(timed)
        if at_end:
            self._collect(self._recent.end() if self._recent is not None else [])
        return True

    def _decode_alone(self, timed: TimedPacket) -> None:
        assert self._recent is not None
        assert self._recent.decoder is not None
        try:
            frames = self._recent.decoder.decode(timed.packet if timed.packet.size else None)
        except (av.FFmpegError, OSError) as error:
            if not isinstance(error, av.EOFError):
                self._fail(timed, error)
            return
        self._collect(frames)

    def _return_to_threads(self, timed: TimedPacket) -> None:
        """At a key frame after which nothing leans on what was before, let several threads decode again."""
        recent, packet = self._recent, timed.packet
        if recent is None or recent.decoder is None or not packet.is_keyframe or self.wants is not None:
            return
        if recent.may_end() and timed.stamp is not None and self._reader.following_is_later(timed.stamp):
            self._collect(recent.end())
            self.stream.codec_context.flush_buffers()

    # -- times -------------------------------------------------------------------------------------------------------

    def _accept(self, frame: VideoFrame, timed: TimedPacket | None) -> DecodedFrame | None:
        """The frame with its time; None for one that leans on what was jumped over."""
        if timed is not None and not timed.done:
            self._settle(timed)
        self.frame_count += 1
        seconds = self._clock.advance(self._seconds_of(frame, timed))
        stored = 0 if self._reader.raw or timed is None else timed.packet.duration or 0
        self._lasting.add(seconds, stored * self._tick)
        if self._floor is not None and seconds < self._floor - self.slack:
            return None
        if frame.is_corrupt:
            self.damage.concealed.add(seconds)
        return DecodedFrame(seconds, frame)

    def _packet_of(self, frame: VideoFrame) -> TimedPacket | None:
        pts = frame.pts
        if pts is not None:
            return next((timed for timed in self._waiting if timed.pts == pts and not timed.out), None)
        dts = frame.dts
        return next(
            (timed for timed in self._waiting if timed.pts is None and timed.stamp == dts and not timed.out), None
        )

    def _seconds_of(self, frame: VideoFrame, timed: TimedPacket | None) -> float:
        """When a frame is shown by its timestamps: that of presentation, or of decoding where that is the better one.

        Frames come out in the order of presentation, so of the two the one that runs backwards less often is right.
        """
        following = 0.0 if self._clock.last is None else self._clock.last + self.interval
        if self._reader.raw:
            return (self.frame_count - 1 + self._lost) * self.interval
        pts, dts, shift = frame.pts, frame.dts, self._reader.clock.shift
        stored = None if dts is None else dts * self._tick + shift
        shown = None if pts is None else pts * self._tick + shift
        if timed is not None and not self._reader.dts_only:
            shown = timed.seconds
        if shown is not None and stored is not None:
            if self._last_times is not None:
                self._backwards_pts += shown <= self._last_times[0]
                self._backwards_dts += stored <= self._last_times[1]
            self._last_times = shown, stored
        if self._reader.dts_only and not self._backwards_dts:
            return following if stored is None else stored
        if self._backwards_pts <= self._backwards_dts or stored is None:
            return following if shown is None else shown
        return stored

    def _settle(self, timed: TimedPacket | None) -> None:
        """The frame of a packet came out (None: the stream ended): packets due before it gave none."""
        lost = list(self._waiting)
        if timed is not None:
            place = lost.index(timed)
            lost = [other for number, other in enumerate(lost) if self._is_before(other, timed, place - number)]
            timed.done = True
            self._waiting.remove(timed)
        for other in lost:
            self._waiting.remove(other)
            if self._errors:
                own = next((place for place, (failed, _) in enumerate(self._errors) if failed is other), 0)
                self._note_failure(other, self._errors.pop(own)[1])
        if timed is None:
            for failed, reason in self._errors:
                if not failed.done:
                    self._note_failure(failed, reason)
            self._errors = []

    def _is_before(self, other: TimedPacket, timed: TimedPacket, places: int) -> bool:
        """Whether a packet, so many places before another in the order of decoding, is shown before it."""
        if other.out:
            return False
        if other.seconds is None or timed.seconds is None or self._reader.dts_only:
            failed = places > 0 and any(packet is other for packet, _ in self._errors)
            return failed or places > _MOST_REORDERED
        return other.seconds < timed.seconds

    def _note_failure(self, timed: TimedPacket, reason: str) -> None:
        timed.done = True
        self._lost += 1
        seconds = timed.seconds
        if seconds is None and timed.stamp is not None:
            seconds = timed.stamp * (self.interval if self._reader.raw else self._tick)
        self.damage.failures[seconds] = reason

    # -- jumping -----------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Return to the first frame by opening the file again, which works with every container.

        Raises:
            MediaError: The file cannot be opened again.
        """
        index = self.stream.index
        self.close()
        self._open(index)

    def index_is_sound(self) -> bool:
        """Whether the container lists every key frame, so that a jump can land on the right one.

        True for MP4 and MOV with a complete index and no edit that hides frames, and for Matroska and WebM with cues.
        """
        names = self.container.format.name.split(",")
        entries = self.stream.index_entries
        if "mov" in names:
            return 0 < self.stream.frames == len(entries) and not any(entry.is_discard for entry in entries)
        return "matroska" in names

    def stores_times(self) -> bool:
        """Whether packets have timestamps at all, which those of raw streams have not."""
        return not self._reader.raw

    def packets_have_times(self) -> bool:
        """Whether the time of a frame can be known without decoding those before it.

        False for raw streams, and for AVI with frames out of order, of which neither stores the order of presentation.
        """
        reordered = self._reader.dts_only and self.stream.codec_context.reorder_depth > 0
        return not (self._reader.raw or reordered)

    def key_seconds(self, seconds: float) -> float | None:
        """The time of the last key frame at or before a time by the index, or None where it lists none.

        Args:
            seconds: Source time.
        """
        if not self._index_loaded:
            # Matroska reads its cues at the first seek, so the first jump is a guess that the rest profits from.
            self._index_loaded = True
            return seconds
        entries = self.stream.index_entries
        place = entries.search_timestamp(int(seconds / self._tick))
        return None if place < 0 else entries[place].timestamp * self._tick

    def jump(self, seconds: float) -> bool:
        """Go to a key frame at or before a time.

        Args:
            seconds: Source time.

        Returns:
            Whether it worked. False: the file does not seek as its index says, and ``restart`` must follow.
        """
        for back in (0.0, 1.0, 4.0, 16.0):
            target = int((seconds - back) / self._tick)
            self._settle(None)  # failures up to here are not forgotten
            try:
                self.container.seek(target, stream=self.stream)
            except (av.FFmpegError, OSError):
                return False
            self._begin()
            timed = self._reader.read()
            if timed is None or timed.pts is None or not timed.packet.is_keyframe:
                return False
            self._floor = timed.pts * self._tick
            if self._floor <= seconds + self.slack:
                self._decode(timed)
                return self._lands_on_key()
        return False

    def _lands_on_key(self) -> bool:
        first = self.read()
        if first is None:
            return False
        self._ready.append(first)
        exact = abs(first.seconds - (self._floor or 0.0)) <= self.slack
        return exact and (bool(first.frame.key_frame) or first.frame.pict_type == PictureType.I)
