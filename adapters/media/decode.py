"""Packets to frames: one pass over a video stream that continues past damage, counts it, and seeks where it is safe."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame

from adapters.errors import MediaError
from adapters.media.container_index import ContainerIndex, has_table, rate_without_times
from adapters.media.damage import Damage
from adapters.media.decoding_plan import DecodingPlan
from adapters.media.frame_times import DecodedFrame, FrameTimes
from adapters.media.nearby_frames import NearbyFrames
from adapters.media.opening import MediaLimits, Source, StoredFile, ffmpeg_reason, inspection_of, open_container
from adapters.media.packets import NO_STAMP, PacketReader, TimedPacket, frame_rate, times_are_doubtful
from adapters.media.references import classifier_of
from adapters.media.single_thread import RecentPackets, decodes_in_parallel
from adapters.media.stream_choice import encrypted_message, open_stream, prepare_stream

# Packets kept from the start of a pass until it is planned: more than any decoder holds at a time.
_MOST_OPENING_PACKETS = 64
# A pass is planned if the sampled times are at least this many frames apart.
_LEAST_FRAMES_APART = 2


class Decoder:
    """One pass over the frames of a video stream, in the order of presentation, with jumps ahead.

    Source time is used throughout: the stream's own timestamps in seconds.

    Attributes:
        container: The open source.
        stream: The video stream that is read.
        damage: What was skipped so far.
        index: What the container lists of its packets.
        wants: Whether to decode a packet; None: all of them.
        plan: Which packets are needed; None: all of them. See ``plan_for``.
        rate: Frames per second, on average; None where unknown.
        interval: Seconds from one frame to the next, on average.
        slack: Seconds by which a frame may be late, since containers round timestamps.
        packet_count: Packets decoded in this pass.
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
        self.plan: DecodingPlan | None = None
        self._live = container is not None
        self._recent: RecentPackets | None = None
        self._open(video_stream, container)

    def _open(self, video_stream: int | None, container: InputContainer | None = None) -> None:
        source = self.source
        self.container = container or open_container(source, self.allow_url, self.limits)
        try:
            self.stream = prepare_stream(self.container, source, self.limits, video_stream)
        except BaseException:
            self.container.close()
            raise
        # With frame threads, undetected damage in VP8 gives pictures that differ between machines: use slices.
        self.stream.thread_type = "SLICE" if self.stream.codec_context.name == "vp8" else "AUTO"
        if self.threads is not None:
            self.stream.codec_context.thread_count = self.threads
        base = self.stream.time_base
        self._tick = float(base) if base else 1e-6
        self.rate, assumed = frame_rate(self.container, self.stream)
        if assumed:
            self.damage.note(f"the stream declares no frame rate; {self.rate} frames per second are assumed")
        if inspection_of(source).track(self.stream.index).hides_all:
            self.damage.note("the file's edit list shows no frame of this track, so it is not followed")
        untimed = None if self._live else rate_without_times(source, self.stream, self.damage)
        self.rate = untimed or self.rate
        self.interval = float(1 / self.rate) if self.rate else 0.04
        # Containers round timestamps to their tick (Matroska: 1 ms), so a frame may be half a tick late.
        self.slack = min(self._tick / 2, 0.001) + 1e-6
        self.closed = False
        local = not self._live and isinstance(source, str | Path) and self.container.name.startswith("file:")
        self._reader = PacketReader(
            self.container,
            self.stream,
            self.damage,
            self.interval,
            # Each block of a remote MP4 costs a request, and its timestamps come from one table: do not read ahead.
            read_ahead=not self._live
            and not (isinstance(source, StoredFile) and has_table(self.container, self.stream)),
            path=Path(str(source)) if local else None,
            by_number=untimed is not None,
        )
        self.index = ContainerIndex(self.container, self.stream, self._reader, self._tick)
        if not self._live and self.threads != 1 and decodes_in_parallel(self.stream):
            self._recent = RecentPackets(
                # Not a method of this object: the reference cycle would keep the decoder's threads alive.
                partial(open_stream, source, self.allow_url, self.limits, self.stream.index)
            )
            # With frame threads, the marks on repaired frames arrive too late: let the decoder raise an error instead.
            context = self.stream.codec_context
            context.options = {**context.options, "err_detect": "explode"}
        self._begin(moved=False)

    def _begin(self, moved: bool = True) -> None:
        if moved:
            self._reader.begin()
        self._times = FrameTimes(self._reader, self.damage, self._tick, self.interval)
        # In presentation order, each frame with its packet if known.
        self._decoded: deque[tuple[VideoFrame, TimedPacket | None]] = deque()
        self._ready: deque[DecodedFrame] = deque()  # frames to return again before decoding continues
        self._again: Counter[int | None] = Counter()  # timestamps of finished frames that are decoded again
        self._ended = False
        self._floor: float | None = None  # after a seek: frames before this refer to frames that were not decoded
        if self._recent is not None:
            self._recent.end()
            self._recent.clear()
        self.packet_count = 0
        self._opening: list[TimedPacket] | None = [] if self.plan is None and not self._live else None
        if self.plan is not None:
            self.plan.begin(self._reader.read, [])

    def close(self) -> None:
        """Close the source. A later ``read`` raises MediaError."""
        self.closed = True
        self._decoded.clear()
        self._ready.clear()
        if self._recent is not None:
            self._recent.close()
        self._reader.close()
        self.container.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def end_seconds(self) -> float | None:
        """When the last frame read so far stops being shown; None before the first."""
        return self._times.end_seconds

    @property
    def frame_count(self) -> int:
        """Frames that came out in this pass."""
        return self._times.frame_count

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
            while not self._ended and not self._decoded:
                if self.limits is not None:
                    self.limits.check_stop(self.source)
                self._advance()
                if self.plan is not None and self.plan.failed:
                    self.decode_all()
            if not self._decoded:
                self._times.settle(None)
                return None
            if (decoded := self._accept(*self._decoded.popleft())) is not None:
                return decoded

    # -- planning ----------------------------------------------------------------------------------------------------

    def plan_for(self, moments: Iterator[float], near: NearbyFrames, interlaced: bool) -> None:
        """From here on decode only what the frames of some moments depend on, where packets say what that is.

        Args:
            moments: Source times in seconds, never decreasing, at which a ``FrameCursor`` will look.
            near: Which frames may be taken in place of those that are shown at the moments.
            interlaced: Whether frames are shown with the help of their neighbours.
        """
        classify, sent, recent = classifier_of(self.stream), self._opening, self._recent
        self._opening = None
        if classify is None or sent is None or interlaced or self.wants is not None:
            return
        if near.gap < _LEAST_FRAMES_APART * self.interval:  # nearly all are needed
            return
        damaged = self.damage.failures or self.damage.concealed or (recent is not None and recent.decoder is not None)
        if damaged or times_are_doubtful(self.stream) or not self.index.packets_have_times():
            return
        plan = DecodingPlan(classify, moments, near, self.slack, self.index.is_sound())
        plan.begin(self._reader.read, sent)
        self.plan = plan if plan.is_active else None

    def decode_all(self) -> None:
        """Begin the pass again without a plan: what is missing for it was not decoded.

        Raises:
            MediaError: The file cannot be opened again.
        """
        self.plan = None
        self.restart()

    def _next_packet(self) -> TimedPacket | None:
        return self._reader.read() if self.plan is None else self.plan.read()

    def _advance(self) -> None:
        """Decode one packet."""
        timed = self._next_packet()
        if timed is None:
            self._ended = True
        else:
            self._decode(timed)

    def _decode(self, timed: TimedPacket) -> None:
        packet = timed.packet
        if packet.size:
            if self.wants is not None and not self.wants(timed):
                return
            if timed.dropped:
                self._times.waiting.append(timed)
                return
            if self._opening is not None:
                self._opening.append(timed)
                self._opening = self._opening if len(self._opening) <= _MOST_OPENING_PACKETS else None
            self.packet_count += 1
            if self.packet_count == 1 and packet.has_sidedata("encryption_info"):
                raise MediaError(encrypted_message(self.source))
            self._return_to_threads(timed)
            if timed.stamp is not None and not packet.is_discard:
                self._times.waiting.append(timed)
            if self._recent is not None:
                self._recent.add(timed)
        if self._recent is not None and self._recent.decoder is not None:
            self._decode_alone(timed)
            return
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, MemoryError):  # too little memory is not a fault of this packet
                raise
            if isinstance(error, av.EOFError) or self._decode_again(at_end=not packet.size):
                return  # _decode_again is also true if the pass restarts without a plan
            self._times.fail(timed, ffmpeg_reason(error))
            return
        # At the end, PyAV swallows an error together with the frames after it.
        lost_at_end = not packet.size and self._times.waiting_count > len(self._decoded) + len(frames)
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
            self._decoded.append((frame, self._times.packet_of(frame)))

    # -- damaged stretches -------------------------------------------------------------------------------------------

    def _decode_again(self, at_end: bool) -> bool:
        """Decode what was sent since a key frame by one thread, and what follows; False where it cannot be done."""
        if self.plan is not None:
            self.plan.failed = True
            return True
        packets = self._recent.begin() if self._recent is not None else []
        if not packets:
            return False
        self._decoded.clear()
        self._times.decode_again()
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
            if isinstance(error, MemoryError):
                raise
            if not isinstance(error, av.EOFError):
                self._times.fail(timed, ffmpeg_reason(error))
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

    def count_key_frame(self, frame: VideoFrame, seconds: float) -> None:
        """Count a frame that was decoded on its own, with the damage in it.

        Args:
            frame: The frame.
            seconds: Source time.
        """
        self._times.frame_count += 1
        if frame.is_corrupt:
            self.damage.concealed.add(seconds)

    def _accept(self, frame: VideoFrame, timed: TimedPacket | None) -> DecodedFrame | None:
        """The frame with its time; None for one that comes too late, or leans on what was jumped over."""
        if self._times.is_late(frame, timed):
            return None
        seconds = self._times.next_seconds(frame, timed)
        if self._floor is not None and seconds < self._floor - self.slack:
            return None
        damaged = frame.is_corrupt or (timed is not None and timed.is_cut)
        if damaged and (self.wants is None or frame.key_frame):
            self.damage.concealed.add(seconds)
        return DecodedFrame(seconds, frame)

    # -- jumping -----------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Return to the first frame by opening the file again, which works with every container.

        Raises:
            MediaError: The file cannot be opened again.
        """
        index = self.stream.index
        self.close()
        self._open(index)

    def jump(self, seconds: float) -> bool:
        """Go to a key frame at or before a time.

        Args:
            seconds: Source time.

        Returns:
            Whether it worked. False: the file does not seek as its index says, and ``restart`` must follow.
        """
        for back in (0.0, 1.0, 4.0, 16.0):
            target = int((seconds - back) / self._tick)
            self._times.settle(None)  # record the failures so far before seeking
            try:
                self.container.seek(target, stream=self.stream)
            except (av.FFmpegError, OSError):
                return False
            self._begin()
            timed = self._next_packet()
            if timed is None or timed.pts is None or timed.pts <= NO_STAMP or not timed.packet.is_keyframe:
                return False
            self._floor = timed.pts * self._tick
            if self._floor <= seconds + self.slack:
                timed.dropped = False
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
