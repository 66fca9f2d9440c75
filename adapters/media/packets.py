"""Packets of a video stream as they are read: past damage, and each with the time at which its frame is shown."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from adapters.media.clock import PacketClock, may_be_joined
from adapters.media.damage import Damage
from adapters.media.gif_end import is_whole_picture
from adapters.media.lost_frames import LostFrames
from adapters.media.matroska import MatroskaBlocks
from adapters.media.opening import ffmpeg_reason
from adapters.media.transport_codecs import other_video_follows
from adapters.media.untimed_packets import UntimedPackets

# A demuxer that fails more often than this is treated as ended.
_MAX_READ_ERRORS = 16
# Packets read ahead to distinguish a damaged timestamp from a new clock.
_READ_AHEAD = 8
# FFmpeg's demuxers of raw streams, which store no timestamps, use this time base.
_RAW_TIME_BASE = Fraction(1, 1_200_000)
_RAW_FORMATS = {"mjpeg", "jpeg_pipe"}
ASSUMED_RATE = Fraction(25)  # of a stream that stores no times and declares no rate
_FASTEST_GUESS = 1000
_ABOVE_BASE = Fraction(3, 2)
SLOWEST_FRAME_SECONDS = 60
# A gap longer than this in a transport stream is lost frames, not a still picture.
_HOLE_SECONDS = 0.5
# Packets without a presentation timestamp are numbered downwards from here.
NO_STAMP = -(1 << 60)
# A key frame is shown at most this long after those that were decoded before it.
_KEY_GUESS_SECONDS = 1.0
# A transport stream may have this much data after its last picture without a note: share of its size, and bytes.
_REST_SHARE, _REST_BYTES = 0.1, 65_536


@dataclass(eq=False)
class TimedPacket:
    """A packet and its time.

    Attributes:
        packet: As read; of a raw stream it has its number as its timestamp.
        stamp: Its presentation timestamp, in ticks of the stream; the decoding one where it has no other.
        seconds: Source time at which its frame is shown; None where that is unknown.
        pts: Its presentation timestamp, which its frame has too.
        out: Whether its frame came out of the decoder.
        passed: Whether a frame that is shown later, or its own, was returned.
        done: Whether its frame was returned to the reader of the video, or counted as lost.
        wanted: Whether its frame is one of those that are looked at, as far as a plan has chosen them.
        dropped: Whether it is not decoded, as nothing that is looked at depends on it.
        is_cut: Whether the file ends within it.
    """

    packet: Packet[VideoStream]
    stamp: int | None
    seconds: float | None
    pts: int | None
    out: bool = False
    passed: bool = False
    done: bool = False
    wanted: bool = False
    dropped: bool = False
    is_cut: bool = False


def is_filler(packet: Packet[Any]) -> bool:
    """Whether a packet has a time and no data: it stands for a frame like the one before, and brings none.

    A decoder takes it for the end of the stream, as which PyAV gives an empty packet without a time, and decodes
    nothing that follows.

    Args:
        packet: As read.
    """
    return not packet.size and (packet.pts is not None or packet.dts is not None)


def read_packets(container: Any, streams: Any) -> Iterator[Any]:
    """The packets of streams of an open container, to the end of the file.

    PyAV fails with an IndexError at the end of a transport stream in which other streams begin, as where a recorder
    changed the channel; that is an end like any other.

    Args:
        container: The container.
        streams: A stream, or several.
    """
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, IndexError):
            return
        yield packet


def is_raw(container: InputContainer, stream: VideoStream) -> bool:
    """Whether frames are timed by their number alone, as those of raw H.264, H.265 and MJPEG streams."""
    names = set(container.format.name.split(","))
    # The times of an AVI are numbers of frames, which a damaged header can make last for hours.
    slow_avi = "avi" in names and (stream.time_base or 0) > SLOWEST_FRAME_SECONDS
    return stream.time_base == _RAW_TIME_BASE or bool(_RAW_FORMATS & names) or slow_avi


def frame_rate(container: InputContainer, stream: VideoStream) -> tuple[Fraction | None, bool]:
    """Frames per second (None: unknown), and whether the rate of a raw stream is assumed since it declares none.

    Args:
        container: The open source.
        stream: Its video stream.
    """
    if is_raw(container, stream):  # the average rate is the demuxer's default
        declared = stream.codec_context.framerate
        return (declared, False) if declared else (ASSUMED_RATE, True)
    if times_are_doubtful(stream):
        return stream.base_rate or stream.average_rate, False
    average, base = stream.average_rate, stream.base_rate
    guessed = stream.guessed_rate
    if average is None and guessed and guessed * (stream.time_base or 0) == 1 and guessed > _FASTEST_GUESS:
        guessed = None  # the rate of the clock, where the picture begins long after the sound
    # No average is above the rate that all timestamps fit into: FFmpeg gives the clock's for raw DV, fields for GXF.
    if average and base and average > _ABOVE_BASE * base:
        return base, False
    return average or guessed, False


def times_are_doubtful(stream: VideoStream) -> bool:
    """Whether frames last so long, on average, that some timestamps are damaged rather."""
    rate = stream.average_rate
    return rate is not None and 0 < rate < Fraction(1, SLOWEST_FRAME_SECONDS)


def discard_other_streams(container: InputContainer, stream: VideoStream) -> None:
    """Keep the demuxer from reading other streams: it ends where one of them lies past the end of a file cut short."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def end_with_packet(packet: Packet[VideoStream], codec: str, extradata: bytes | None) -> None:
    """Let the last NAL unit of a packet end where the packet does, so that what is there of a cut frame is decoded.

    Args:
        packet: Of H.264 or H.265 in a container that stores the length before each NAL unit; changed in place.
        codec: FFmpeg's name.
        extradata: The codec's parameters as the container stores them.
    """
    at = {"h264": 4, "hevc": 21}.get(codec)
    if at is None or not extradata or len(extradata) <= at or extradata[0] != 1:
        return
    width, data, place = (extradata[at] & 3) + 1, bytearray(bytes(packet)), 0
    while place + width < len(data):
        length, left = int.from_bytes(data[place : place + width], "big"), len(data) - place - width
        if length > left:
            data[place : place + width] = left.to_bytes(width, "big")
            packet.update(bytes(data))
            return
        place += width + length


def _declared_end(container: InputContainer, stream: VideoStream) -> float:
    """When a file ends by a header that does not follow from its packets, in seconds; minus infinity: there is none."""
    names = container.format.name.split(",")
    stored = "matroska" in names or ("mov" in names and stream.frames > 0)
    if not stored or not container.duration:
        return -math.inf
    return ((container.start_time or 0) + container.duration) / av.time_base


class PacketReader:
    """The packets of a video stream in the order of decoding, the last one empty, to flush the decoder.

    Attributes:
        clock: Gives the times of the packets.
        raw: Whether the stream stores no timestamps; then packets have no times.
        may_be_joined: Whether it is a stream that may be cut and joined anywhere.
        dts_only: Whether the container stores no presentation times; frames then come out later than their packets.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        damage: Damage,
        interval: float,
        read_ahead: bool = True,
        path: Path | None = None,
        by_number: bool = False,
    ) -> None:
        """Begin where the container is.

        Args:
            container: The open source.
            stream: Its video stream.
            damage: Where failures to read are noted.
            interval: Seconds from one frame to the next, on average.
            read_ahead: Whether some packets are read ahead; not of a live source, which that would delay.
            path: Of a local file, searched for parts that cannot be read if it is Matroska; None: not searched.
            by_number: Whether frames are timed by their number alone although the container could store times.
        """
        self._container, self._stream, self._damage, self._interval = container, stream, damage, interval
        names = container.format.name.split(",")
        self.raw, self.dts_only = by_number or is_raw(container, stream), "avi" in names
        self.may_be_joined = self.raw or may_be_joined(container)
        self._tick = float(stream.time_base or 1e-6)
        self._read_ahead = _READ_AHEAD if read_ahead else 0
        self._is_gif = "gif" in names
        self._lost = LostFrames(container, stream, interval)
        self._declared_end = _declared_end(container, stream)
        # FFmpeg takes the durations of ASF from the rate, which ASF does not store.
        self._rate_is_guessed = "asf" in names
        self._is_matroska = "matroska" in names
        matroska = path is not None and self._is_matroska
        self._blocks = MatroskaBlocks(path, len(container.streams)) if path is not None and matroska else None
        transport = path is not None and "mpegts" in container.format.name.split(",")
        self._transport = path if transport else None
        self._pids = {other.id for other in container.streams}  # those of a programme that follows are not among them
        self.begin()
        if "mxf" in names and stream.codec_context.reorder_depth:
            self.dts_only = self._is_in_order_of_decoding()
        self._delay = stream.codec_context.reorder_depth * interval if self.dts_only else 0.0

    def begin(self) -> None:
        """Begin again where the container is, as after a jump."""
        self.clock = PacketClock(self._interval, may_be_joined(self._container), self._declared_end)
        self._ahead: deque[Packet[VideoStream]] = deque()
        self._packets: Iterator[Packet[VideoStream]] | None = self._container.demux(self._stream)
        self._untimed: UntimedPackets | None = None
        if self._is_matroska and self._read_ahead:
            in_order = not self._stream.codec_context.reorder_depth
            self._untimed = UntimedPackets(round(self._interval / self._tick), in_order)
        self._read_errors = self._count = 0
        self._read_to = 0  # the place in the file where the last packet begins
        self._last = 0.0  # the time of the last packet
        self._top: float | None = None  # the latest time so far
        self._key_delay: int | None = None  # of the last key frame, from decoding to presentation, in ticks
        self._lost.begin()
        if self._blocks is not None:
            self._blocks.begin()

    def close(self) -> None:
        """Close what was opened beside the container."""
        if self._blocks is not None:
            self._blocks.close()

    def read(self) -> TimedPacket | None:
        """The next packet; None after the empty one."""
        packet = self._ahead.popleft() if self._ahead else self._next()
        if packet is None:
            return None
        if self._blocks is not None and not self._blocks.follow(packet.pos if packet.size else None, packet.size):
            self._damage.gaps.add(self._last)
        if not packet.size:
            self._damage.lost |= self._lost.rest()
            return TimedPacket(packet, None, None, None)
        if packet.is_corrupt:  # the file ends within it
            end_with_packet(packet, self._stream.codec_context.name, self._stream.codec_context.extradata)
        if self.raw:
            packet.pts = packet.dts = self._count
            self._count += 1
            return TimedPacket(packet, packet.pts, None, packet.pts)
        stamp = self._stamp(packet)
        seconds = None if stamp is None else self._time(packet, stamp)
        self._damage.lost |= self._lost.follow(packet, seconds)
        self._last = self._last if seconds is None else seconds
        self._note_hole(seconds)
        if packet.pts is None:  # identifies its frame
            packet.pts = NO_STAMP - self._count
            self._count += 1
        return TimedPacket(packet, stamp, seconds, packet.pts, is_cut=self._is_cut(packet))

    def _is_cut(self, packet: Packet[VideoStream]) -> bool:
        """Whether the file ends within a packet. FFmpeg says so of an MP4; of a stream it means a joint."""
        if packet.is_corrupt:
            return not self.may_be_joined
        return self._is_gif and not is_whole_picture(bytes(packet))

    def _note_hole(self, seconds: float | None) -> None:
        """A broadcast has frames all the time: where none is for a while, they were lost."""
        if seconds is None or not self.may_be_joined:
            return
        if self._top is not None and seconds - self._top > max(_HOLE_SECONDS, 4 * self.clock.interval):
            self._damage.holes.add((self._top, seconds))
        self._top = seconds if self._top is None else max(self._top, seconds)

    def stored_duration(self, timed: TimedPacket) -> float:
        """How long a frame is shown, in seconds, as the container says; 0 where it does not."""
        if self.raw or self._rate_is_guessed:
            return 0.0
        return (timed.packet.duration or 0) * self._tick

    def following_is_later(self, stamp: int) -> bool:
        """Whether all packets that were read ahead are shown after a timestamp, so that none leans on what is before.

        Args:
            stamp: Of the present packet.
        """
        self._look_ahead()
        stamps = [packet.pts for packet in self._ahead if packet.size]
        return bool(stamps) and not self.dts_only and all(other is not None and other > stamp for other in stamps)

    def _stamp(self, packet: Packet[VideoStream]) -> int | None:
        stored, shown = packet.dts, packet.pts
        return stored if shown is None or (self.dts_only and stored is not None) else shown

    def _time(self, packet: Packet[VideoStream], stamp: int) -> float | None:
        if packet.is_discard:
            return stamp * self._tick + self.clock.shift
        seconds = self.clock.advance(stamp * self._tick, packet.is_keyframe, self._following)
        dts = packet.dts
        if seconds is not None:
            if packet.is_keyframe and dts is not None:
                self._key_delay = stamp - dts
            return seconds + self._delay
        return self._key_seconds(dts) if packet.is_keyframe else None

    def _is_in_order_of_decoding(self) -> bool:
        """Whether packets have times of decoding only, as in an MXF whose index does not say how frames are ordered."""
        while len(self._ahead) < _READ_AHEAD and (packet := self._next()) is not None:
            self._ahead.append(packet)
        return bool(self._ahead) and all(packet.pts == packet.dts for packet in self._ahead)

    def _look_ahead(self) -> None:
        """Read some packets ahead. Only where a timestamp is in doubt: a distant storage is not read in vain."""
        while len(self._ahead) < self._read_ahead and (packet := self._next()) is not None:
            self._ahead.append(packet)

    def _following(self) -> list[float]:
        self._look_ahead()
        ahead = (self._stamp(other) for other in self._ahead if other.size and not other.is_discard)
        return [other * self._tick for other in ahead if other is not None]

    def _key_seconds(self, dts: int | None) -> float | None:
        """The time of a key frame of which the stamp is damaged: the same if the frames before it are not decoded."""
        top, shift = self.clock.top, self.clock.shift
        if top is None:
            return None
        if dts is not None and self._key_delay is not None:
            guess = (dts + self._key_delay) * self._tick + shift
            if 0 < guess - top < _KEY_GUESS_SECONDS:
                return guess
        return top + self.clock.interval

    def _note_rest(self) -> None:
        """Say it where a transport stream goes on long after its picture, as where a recorder changed the channel."""
        if self._transport is None:
            return
        size = self._transport.stat().st_size
        left = size - self._read_to
        is_much = left > max(_REST_SHARE * size, _REST_BYTES)
        if is_much or other_video_follows(self._transport, self._read_to, self._pids):
            self._damage.note(
                f"the picture ends at {self._read_to / size:.0%} of the file: what follows is of another "
                "programme or has no picture, and is not read. Split the file there to read it"
            )

    def _next(self) -> Packet[VideoStream] | None:
        return self._fetch() if self._untimed is None else self._untimed.next(self._fetch)

    def _fetch(self) -> Packet[VideoStream] | None:
        while self._packets is not None:
            try:
                packet = next(self._packets)
                self._read_errors = 0
                if not is_filler(packet):
                    self._read_to = max(self._read_to, packet.pos or 0)
                    if not packet.size:  # the last one
                        self._note_rest()
                    return packet
            except (StopIteration, IndexError):
                # IndexError: raised by PyAV at the end of a transport stream with streams that begin late, or damage.
                self._note_rest()
                self._packets = None
            except av.ExitError:  # raised only with a timeout: the URL stopped sending
                self._damage.note("no data arrived for a long time, so the source is treated as ended")
                self._packets = None
            except (av.FFmpegError, OSError) as error:
                self._read_errors += 1
                self._damage.note(f"reading failed at one point in the file ({ffmpeg_reason(error)})")
                # An exception ends PyAV's generator; a new one continues where the demuxer stopped.
                self._packets = None if self._read_errors > _MAX_READ_ERRORS else self._container.demux(self._stream)
        return None
