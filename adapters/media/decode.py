"""Packets to frames: one pass over a video stream that continues past damage, counts it, and seeks where it is safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from adapters.errors import MediaError
from adapters.media.clock import Clock, may_be_joined
from adapters.media.damage import Damage
from adapters.media.opening import MediaLimits, Source, choose_stream, encrypted_message, ffmpeg_reason, open_container

# A demuxer that fails this often in a row is taken to be at its end.
_MAX_READ_ERRORS = 16


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
        interval: Seconds from one frame to the next, on average.
        slack: Seconds by which a frame may be late, since containers round timestamps.
        packet_count: Packets decoded in this pass.
        frame_count: Frames that came out in this pass.
        end_seconds: When the last frame read so far stops being shown; None before the first.
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
            container: The source, opened already; it is closed with the decoder.
            limits: For sources from someone unknown; None: no limits.
            threads: Of FFmpeg's decoder; None: FFmpeg's choice.

        Raises:
            MediaError: The source cannot be opened, or has no video stream that can be decoded.
        """
        self.source, self.allow_url, self.limits, self.threads = source, allow_url, limits, threads
        self.damage = damage or Damage()
        self.wants: Callable[[Packet[VideoStream]], bool] | None = None
        self._open(video_stream, container)

    def _open(self, video_stream: int | None, container: InputContainer | None = None) -> None:
        self.container = container or open_container(self.source, self.allow_url, self.limits)
        try:
            self.stream = choose_stream(self.container, self.source, video_stream)
            if self.limits is not None:
                context = self.stream.codec_context
                self.limits.check_size(self.source, context.width, context.height)
                context.options = {"max_pixels": str(self.limits.decoder_pixels)}
        except BaseException:
            self.container.close()
            raise
        self.stream.thread_type = "AUTO"
        if self.threads is not None:
            self.stream.codec_context.thread_count = self.threads
        base = self.stream.time_base
        self._tick = float(base) if base else 1e-6
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.interval = float(1 / rate) if rate else 0.04
        # Containers round timestamps to their tick (Matroska: 1 ms), so a frame may be half a tick late.
        self.slack = min(self._tick / 2, 0.001) + 1e-6
        names = self.container.format.name.split(",")
        self.closed = False
        self._stores_dts_only, self._index_loaded = "avi" in names, "matroska" not in names
        self._may_be_joined = may_be_joined(self.container)
        self._begin()

    def _begin(self) -> None:
        self._packets: Iterator[Packet[VideoStream]] | None = self.container.demux(self.stream)
        self._queue: deque[DecodedFrame] = deque()
        self._waiting: list[int] = []  # timestamps of packets whose frames have not come out
        self._errors: list[tuple[float | None, str]] = []  # failures whose frame is not known yet
        self._clock = Clock(self.interval, self._may_be_joined)
        self._last_stamps: tuple[int | None, int | None] = (None, None)
        self._backwards_pts = self._backwards_dts = 0
        self._floor: float | None = None  # after a jump: frames before this lean on frames that were not decoded
        self._expect_key = False
        self._read_errors = 0
        self.packet_count = self.frame_count = 0
        self.end_seconds: float | None = None

    def close(self) -> None:
        """Close the source. A later ``read`` raises MediaError."""
        self.closed = True
        self._packets = None
        self._queue.clear()
        self.container.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self) -> DecodedFrame | None:
        """The next frame, or None at the end of the stream.

        Raises:
            MediaError: The decoder is closed, the video is encrypted, or ``limits`` ends the reading.
        """
        if self.closed:
            raise MediaError(f"{self.source}: was closed while it was being read. Keep the video open until the end.")
        while not self._queue:
            if self.limits is not None:
                self.limits.check_stop(self.source)
            packet = self._next_packet()
            if packet is None:
                self._settle(None)
                return None
            self._decode(packet)
        return self._queue.popleft()

    def _next_packet(self) -> Packet[VideoStream] | None:
        while self._packets is not None:
            try:
                packet = next(self._packets)
                self._read_errors = 0
                return packet
            except (StopIteration, IndexError):
                # IndexError: PyAV at the end of a transport stream whose damage looks like new streams.
                self._packets = None
            except av.ExitError:  # only where PyAV was given a timeout: a URL that sends nothing any more
                self.damage.note("nothing came for so long that the source is taken to have ended")
                self._packets = None
            except (av.FFmpegError, OSError) as error:
                self._read_errors += 1
                self.damage.note(f"the file could not be read on at one point ({ffmpeg_reason(error)})")
                # An exception ends PyAV's generator; a new one continues where the demuxer stopped.
                self._packets = None if self._read_errors > _MAX_READ_ERRORS else self.container.demux(self.stream)
        return None

    def _decode(self, packet: Packet[VideoStream]) -> None:
        if packet.size and self.wants is not None and not self.wants(packet):
            return
        stamp = packet.pts if packet.pts is not None else packet.dts
        if packet.size:
            self.packet_count += 1
            if self.packet_count == 1 and packet.has_sidedata("encryption_info"):
                raise MediaError(encrypted_message(self.source))
            if stamp is not None and not packet.is_discard:
                self._waiting.append(stamp)
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, av.EOFError):
                return
            self._errors.append((None if stamp is None else stamp * self._tick, ffmpeg_reason(error)))
            return
        for frame in frames:
            self._accept(frame)

    def _accept(self, frame: VideoFrame) -> None:
        if frame.pts is not None:
            self._settle(frame.pts)
        stamp = self._stamp(frame)
        if stamp is None:
            seconds = 0.0 if self._clock.last is None else self._clock.last + self.interval
            self._clock.last = seconds
        else:
            seconds = self._clock.advance(stamp * self._tick)
        self.frame_count += 1
        # A packet's own duration where the container has one, otherwise the average interval.
        self.end_seconds = seconds + (frame.duration * self._tick if frame.duration else self.interval)
        if self._floor is None or seconds >= self._floor - self.slack:
            self._queue.append(DecodedFrame(seconds, frame))
            if frame.is_corrupt:
                self.damage.concealed.add(seconds)

    def _stamp(self, frame: VideoFrame) -> int | None:
        """The frame's timestamp in ticks: pts, or dts where the container keeps no pts or the pts run backwards.

        Frames come out in the order of presentation, so of the two the one that runs backwards less often is right.
        """
        pts, dts = frame.pts, frame.dts
        if pts is None or dts is None:
            return dts if pts is None else pts
        last_pts, last_dts = self._last_stamps
        self._backwards_pts += last_pts is not None and pts <= last_pts
        self._backwards_dts += last_dts is not None and dts <= last_dts
        self._last_stamps = (pts, dts)
        if self._stores_dts_only and not self._backwards_dts:
            return dts
        return pts if self._backwards_pts <= self._backwards_dts else dts

    def _settle(self, stamp: int | None) -> None:
        """A frame came out (None: the stream ended): packets due before it gave none; failures are theirs."""
        due = sorted(s for s in self._waiting if stamp is None or s < stamp)
        self._waiting = [] if stamp is None else [s for s in self._waiting if s > stamp]
        if stamp is not None and not due:
            return
        for lost, (_, reason) in zip(due, list(self._errors), strict=False):
            self.damage.failures[lost * self._tick] = reason
            self._errors.pop(0)
        if stamp is None:
            for seconds, reason in self._errors:
                self.damage.failures[seconds] = reason
            self._errors = []

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
            packet = self._next_packet()
            if packet is None or packet.pts is None or not packet.is_keyframe:
                return False
            self._floor = packet.pts * self._tick
            if self._floor <= seconds + self.slack:
                self._decode(packet)
                return self._lands_on_key()
        return False

    def _lands_on_key(self) -> bool:
        first = self.read()
        if first is None:
            return False
        self._queue.appendleft(first)
        exact = abs(first.seconds - (self._floor or 0.0)) <= self.slack
        return exact and (bool(first.frame.key_frame) or first.frame.pict_type == PictureType.I)
