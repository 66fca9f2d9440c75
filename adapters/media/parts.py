"""Parts of a video joined in a new file: packets are copied, and only what leans on a cut is encoded again.

A part that begins at a key frame and ends before one is copied bit by bit. Elsewhere the frames from its beginning to
its next key frame, and from its last key frame to its end, are decoded and encoded with the same codec. Sound is copied
packet by packet (some 20 ms) at its own times, so that it stays in step however many parts there are.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from adapters.errors import MediaError
from adapters.media.clock import Clock, may_be_joined
from adapters.media.damage import Damage
from adapters.media.decode import Decoder
from adapters.media.frame_cursor import FrameCursor
from adapters.media.info import VideoInfo
from adapters.media.opening import ffmpeg_reason, inspection_of, open_container
from adapters.media.packets import PacketReader, TimedPacket, read_packets
from adapters.media.stream_choice import choose_stream
from adapters.media.video import probe
from adapters.media.video_pass import wants_around
from adapters.system import atomic_path, storage_error

# Encoder by the source's codec. With any other codec, every frame is encoded again, as H.264.
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg2video": "mpeg2video"}
_ANNEX_B = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
_QUALITY = {"libx264": {"crf": "18", "preset": "veryfast"}, "libx265": {"crf": "20", "preset": "veryfast"}}
_NEVER = -(1 << 60)
_BITS_PER_PIXEL = 0.25  # for encoders without a constant-quality mode


@dataclass(frozen=True)
class _Piece:
    """A stretch of the output, in source seconds. shift: subtracted from them. copied: its packets are copied."""

    start: float
    end: float
    shift: float
    copied: bool


@dataclass(frozen=True)
class _Key:
    """A key frame. leading: when the first frame before it is shown that leans on it; its own time if none does."""

    seconds: float
    leading: float


def copy_parts(source: str | Path, parts: Sequence[tuple[float, float]], output: str | Path) -> list[str]:
    """Write parts of a video, one after the other, to a new file. The source is only read.

    Args:
        source: The video.
        parts: (start, end) in seconds since the first frame, in order and without overlap.
        output: The file; its suffix chooses the container.

    Returns:
        Notes on what could not be copied, in sentences without a full stop.

    Raises:
        MediaError: The source cannot be read, no part has a frame, or the container cannot hold its codec.
        StorageError: The output cannot be written.
    """
    info = probe(source)
    origin, interval = info.start_seconds, 1 / (info.fps or 25.0)
    wanted = [(origin + start, origin + end) for start, end in parts if end - start > interval / 2]
    if not wanted:
        raise MediaError(f"{source}: nothing would remain of the video. Choose other parts.")
    notes: list[str] = []
    keys, last, delay = _read_keys(source, info)
    may_copy = info.codec in _ENCODERS and bool(keys)
    if not may_copy:
        notes.append(f"the whole video is re-encoded, since {info.codec} cannot be joined without re-encoding")
    pieces = list(_plan(wanted, keys if may_copy else [], last, interval))
    try:
        with atomic_path(output, suffix=Path(output).suffix) as temporary:
            _Joiner(source, info, pieces, wanted, delay, [key.seconds for key in keys], notes).write(temporary)
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise storage_error(output, OSError(error.errno, error.strerror)) from error
        raise MediaError(
            f"{output}: could not be written ({ffmpeg_reason(error)}). Use a name that ends in .mp4, .mkv or .ts."
        ) from None
    return notes


def _read_keys(source: str | Path, info: VideoInfo) -> tuple[list[_Key], float, int]:
    """Key frames in order, when the last frame is shown, and by how many ticks decoding is ahead of presentation."""
    keys: list[_Key] = []
    last, delay = -math.inf, 0
    with open_container(source) as container:
        for timed in _packets(container, source, info):
            packet, seconds = timed.packet, timed.seconds
            if seconds is None or not packet.size:
                continue
            last = max(last, seconds)
            if packet.dts is not None and packet.pts is not None:
                delay = max(delay, packet.pts - packet.dts if packet.is_keyframe else 0)
            if packet.is_keyframe:
                keys.append(_Key(seconds, seconds))
            elif keys and seconds < keys[-1].leading:
                keys[-1] = _Key(keys[-1].seconds, seconds)
    return keys, last, delay


def _packets(container: Any, source: str | Path, info: VideoInfo) -> Iterator[TimedPacket]:
    stream = choose_stream(container, source, info.video_stream)
    untimed = inspection_of(source).track(stream.index).no_tick_each
    reader = PacketReader(container, stream, Damage(), 1 / (info.fps or 25.0), by_number=untimed)
    reader.begin()
    while (timed := reader.read()) is not None:
        yield timed


def _plan(parts: Sequence[tuple[float, float]], keys: Sequence[_Key], last: float, interval: float) -> Iterator[_Piece]:
    """Which stretches are copied, from a key frame to before another, and which are encoded."""
    near, done = interval / 2, 0.0
    for start, end in parts:
        shift = start - done
        done += end - start
        first = next((key for key in keys if key.seconds >= start - near), None)
        to_the_end = end > last + near
        ending = None if to_the_end else next((key for key in reversed(keys) if key.seconds <= end + near), None)
        stop = math.inf if to_the_end else ending.seconds if ending is not None else -math.inf
        if first is None or first.seconds >= stop:
            yield _Piece(start, end, shift, False)
            continue
        if first.seconds - start > near:
            yield _Piece(start, first.seconds, shift, False)
        clean = stop if ending is None else ending.leading
        yield _Piece(first.seconds, clean, shift, True)
        if not to_the_end and end - clean > near:
            yield _Piece(clean, end, shift, False)


@dataclass(eq=False)
class _Joiner:
    """Writes the pieces of one source to one file."""

    source: str | Path
    info: VideoInfo
    pieces: Sequence[_Piece]
    parts: Sequence[tuple[float, float]]
    delay: int
    keys: Sequence[float]
    notes: list[str]

    def write(self, path: Path) -> None:
        with ExitStack() as stack:
            output = stack.enter_context(av.open(f"file:{path}", "w"))
            picture = stack.enter_context(open_container(self.source))
            stream = choose_stream(picture, self.source, self.info.video_stream)
            encodes = any(not piece.copied for piece in self.pieces)
            copies = any(piece.copied for piece in self.pieces)
            codec = self.info.codec if copies else "h264"
            out = self._video_out(output, stream, codec, copies)
            # In a transport stream, the codec parameters are already stored with the frames.
            packed = bytes(stream.codec_context.extradata or b"")[:1] == b"\x01"
            annex = _ANNEX_B.get(codec) if copies and encodes and packed else None
            # Copied and encoded frames have different parameters in one stream: store them with each key frame.
            joined = None if annex is None else BitStreamFilterContext(annex, stream, out)
            flows = [self._pictures(picture, stream, out, joined, codec)]
            for number, sound in enumerate(picture.streams.audio):
                if sound.codec_context is None or not _holds(output, sound.codec_context.codec.canonical_name):
                    self.notes.append(f"sound stream {number} is left out: {path.suffix} cannot hold its codec")
                    continue
                source = stack.enter_context(open_container(self.source))
                flows.append(
                    self._sounds(source, number, output.add_stream_from_template(source.streams.audio[number]))
                )
            if any(other.type not in ("video", "audio") for other in picture.streams):
                self.notes.append("subtitles and data are left out")
            for _, packet in heapq.merge(*flows, key=lambda row: row[0]):
                output.mux(packet)

    def _video_out(self, output: Any, stream: Any, codec: str, copies: bool) -> Any:
        if not _holds(output, codec):
            raise MediaError(
                f"{self.source}: its codec {codec} does not fit into this container. Use a name that ends in .mkv."
            )
        if copies:
            return output.add_stream_from_template(stream)
        out = output.add_stream("libx264", rate=Fraction(self.info.fps or 25).limit_denominator(90_000))
        context = stream.codec_context
        out.width, out.height, out.pix_fmt = context.width, context.height, context.pix_fmt or "yuv420p"
        out.codec_context.options = dict(_QUALITY["libx264"])
        out.codec_context.time_base = stream.time_base
        if stream.sample_aspect_ratio:
            out.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
        return out

    # -- pictures ----------------------------------------------------------------------------------------------------

    def _pictures(self, container: Any, stream: Any, out: Any, joined: Any, codec: str) -> Iterator[tuple[float, Any]]:
        """(output seconds, packet) of every piece in order."""
        tick = stream.time_base
        copied = _CopiedPackets(_packets(container, self.source, self.info))
        encoded = self._frames()
        before = _NEVER
        for piece in self.pieces:
            if piece.copied:
                found = copied.take(piece, tick, joined)
            else:
                found = self._encode(piece, next(encoded), stream, codec)
            for packet in found:
                if packet.dts is None:  # of the first ones of Matroska
                    packet.dts = packet.pts - self.delay if before == _NEVER else before + 1
                packet.dts = before = max(packet.dts, before + 1)
                packet.pts = max(packet.pts, packet.dts)
                seconds = float(packet.pts * tick)
                packet.stream, packet.time_base = out, tick
                yield seconds, packet

    def _frames(self) -> Iterator[Iterator[tuple[float, Any]]]:
        """The decoded frames of each piece that is encoded, in one pass over the source."""
        pieces = [piece for piece in self.pieces if not piece.copied]
        if not pieces:
            return
        decoder = Decoder(self.source, self.info.video_stream)
        try:
            ranges = [(piece.start, piece.end) for piece in pieces]
            cursor = FrameCursor(decoder)
            if not decoder.index.is_sound() and decoder.index.packets_have_times():
                decoder.wants = wants_around(ranges, self.keys, 0.0, decoder.interval)
            for piece in pieces:
                yield _shown(cursor, piece)
        finally:
            decoder.close()

    def _encode(self, piece: _Piece, frames: Iterator[tuple[float, Any]], stream: Any, codec: str) -> Iterator[Any]:
        """The packets of a piece, encoded by itself without frames out of order."""
        name, tick = _ENCODERS.get(codec, "libx264"), stream.time_base
        encoder: Any = None
        due = deque[int]()  # times by order of frames, since some encoders support only a few frame rates
        for seconds, frame in frames:
            if encoder is None:
                encoder = _encoder(name, frame, tick, self.info)
            due.append(round((seconds - piece.shift) / tick))
            frame.pts, frame.pict_type = round((seconds - piece.shift) / encoder.time_base), 0
            frame.time_base = encoder.time_base
            yield from self._ahead(encoder.encode(frame), due)
        if encoder is not None:
            yield from self._ahead(encoder.encode(None), due)

    def _ahead(self, packets: Sequence[Any], due: deque[int]) -> Iterator[Any]:
        """Packets at their times, decoded as much ahead as those that are copied."""
        for packet in packets:
            packet.pts = due.popleft()
            packet.dts = packet.pts - self.delay
            yield packet

    # -- sound -------------------------------------------------------------------------------------------------------

    def _sounds(self, container: Any, number: int, out: Any) -> Iterator[tuple[float, Any]]:
        stream = container.streams.audio[number]
        tick = stream.time_base
        clock, place, shift, before = Clock(0.02, may_be_joined(container)), 0, 0.0, _NEVER
        shifts, done = [], 0.0
        for start, end in self.parts:
            shifts.append(start - done)
            done += end - start
        for packet in read_packets(container, stream):
            if packet.pts is None or not packet.size:
                continue
            seconds = clock.advance(float(packet.pts * tick))
            middle = seconds + float((packet.duration or 0) * tick) / 2
            while place < len(self.parts) and middle >= self.parts[place][1]:
                place += 1
            if place == len(self.parts):
                return
            if middle < self.parts[place][0]:
                continue
            shift = shifts[place]
            packet.pts = max(round((seconds - shift) / float(tick)), before + 1)
            packet.dts, before = packet.pts, packet.pts
            packet.stream = out
            packet.time_base = tick
            yield seconds - shift, packet


class _CopiedPackets:
    """The packets of a source, read once in order; each piece takes those of its stretch."""

    def __init__(self, packets: Iterator[TimedPacket]) -> None:
        self._packets, self._next = packets, next(packets, None)

    def take(self, piece: _Piece, tick: Fraction, joined: Any) -> Iterator[Any]:
        """Packets from the piece's key frame to before the next one that is not part of it, with new times."""
        begun = False
        while self._next is not None:
            timed = self._next
            packet, seconds = timed.packet, timed.seconds
            if begun and packet.is_keyframe and seconds is not None and seconds >= piece.end - 1e-6:
                return
            self._next = next(self._packets, None)
            begun = begun or (packet.is_keyframe and seconds is not None and abs(seconds - piece.start) < 1e-6)
            if not begun or not packet.size or seconds is None or seconds < piece.start - 1e-6:
                continue
            if seconds >= piece.end - 1e-6:
                continue
            ahead = None if packet.dts is None or packet.pts is None else packet.pts - packet.dts
            packet.pts = round((seconds - piece.shift) / tick)
            packet.dts = None if ahead is None else packet.pts - ahead
            yield from [packet] if joined is None else joined.filter(packet)


def _shown(cursor: FrameCursor, piece: _Piece) -> Iterator[tuple[float, Any]]:
    """The frames of a piece, the first one at its beginning."""
    shown, first = cursor.at(piece.start), True
    while shown is not None and shown.seconds < piece.end - 1e-6:
        if shown.seconds >= piece.start - cursor.decoder.interval:
            yield max(shown.seconds, piece.start) if first else shown.seconds, shown.frame
            first = False
        shown = cursor.step()


def _encoder(name: str, frame: Any, tick: Fraction, info: VideoInfo) -> Any:
    encoder: Any = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base = tick
    rate = Fraction(info.fps or 25).limit_denominator(1001)
    encoder.framerate = rate
    if name == "mpeg2video":  # has a few rates only, and times come from the container
        encoder.time_base = 1 / rate
    encoder.max_b_frames = 0
    encoder.options = dict(_QUALITY.get(name, {}))
    if name not in _QUALITY:
        encoder.bit_rate = int(_BITS_PER_PIXEL * frame.width * frame.height * float(rate))
    for key in ("colorspace", "color_range"):
        setattr(encoder, key, getattr(frame, key))
    return encoder


def _holds(output: Any, codec: str) -> bool:
    """Whether a container can hold a codec. FFmpeg lists only a few of those that a transport stream can."""
    return output.format.name == "mpegts" or codec in output.supported_codecs
