"""The key frames of a video alone: no other is decoded and, where the container has an index, no other is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from adapters.media.decode import Decoder
from adapters.media.frame_times import DecodedFrame
from adapters.media.opening import ffmpeg_reason
from adapters.media.packets import TimedPacket, read_packets

# The distance of two key frames in decoding may differ from that in presentation by up to this many frames.
_REORDERED_FRAMES = 4
# Of an index, key frames that must have been read to know the delay from decoding to presentation of the others.
_LEAST_READ = 3
OnKey = Callable[[float], object]


def read_keys(
    decoder: Decoder, first: DecodedFrame | None, every_seconds: float, on_key: OnKey | None = None
) -> Iterator[DecodedFrame]:
    """The key frames of a video, at least ``every_seconds`` apart.

    Half a frame's interval is allowed for, so that one second means every key frame of a video that has one every
    0.999 s. A frame that the container calls a key frame and that needs others all the same, as with gradual refresh,
    is skipped.

    Args:
        decoder: A pass at its beginning or after its first frame.
        first: The frame that was read from it, which is the first key frame; None where none was.
        every_seconds: Minimum time from one to the next, in seconds.
        on_key: Called with the source time of every key frame whose time is known exactly, also of those that are
            skipped, at the latest with the last frame. A time may come twice.
    """
    on_key = on_key or (lambda _: None)
    spacing = every_seconds - decoder.interval / 2
    last: float | None = None
    if first is not None:
        last = first.seconds
        on_key(last)
        yield first
    names = decoder.container.format.name.split(",")
    found = _by_index if "mov" in names and decoder.index.is_sound() else _by_packet
    for decoded in found(decoder, first, spacing, on_key):
        # Where the index was not to be relied on after all they come from the first again: each is given once.
        if last is None or (decoded.seconds > last and decoded.seconds >= last + spacing):
            last = decoded.seconds
            yield decoded


def _by_index(decoder: Decoder, first: DecodedFrame | None, spacing: float, on_key: OnKey) -> Iterator[DecodedFrame]:
    """Go from key frame to key frame by the index of an MP4 or MOV. Each is decoded on its own.

    (The demuxer could leave out the others by itself, but then the presentation times are wrong.)
    """
    stream = decoder.stream
    tick = float(stream.time_base or 0)
    # The index has decoding times, which are a few frames before those of presentation: now more, now less.
    stamps = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
    delay = round(first.seconds / tick) - stamps[0] if first is not None and stamps else 0
    margin = _REORDERED_FRAMES * decoder.interval
    before = None if first is None else first.seconds
    delays = set[bool]()  # whether those that are read have this delay; then those that are not have it too
    read = 0
    for place, stamp in enumerate(stamps):
        if before is not None and ((stamp + delay) * tick < before + spacing - margin or not place):
            continue
        shown = stamp + delay
        try:
            packet = _packet_at(decoder, stamp, delay, stamps[place + 1] if place + 1 < len(stamps) else None)
            if packet is None:
                decoder.restart()
                yield from _by_packet(decoder, None, spacing, on_key)
                return
            shown = shown if packet.pts is None else packet.pts
            delays.add(abs(shown - stamp - delay) * tick < decoder.interval / 2)
            read += 1
            if before is not None and shown * tick < before + spacing:
                continue
            # What is still in the decoder is drained, since the next jump empties it.
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, MemoryError):
                raise
            decoder.damage.failures[shown * tick] = ffmpeg_reason(error)
            continue
        before = shown * tick
        for frame in frames:
            if frame.pts is not None and frame.pts == packet.pts and _is_key(frame):
                decoder.count_key_frame(frame, frame.pts * tick)
                yield DecodedFrame(frame.pts * tick, frame)
    for stamp in stamps if delays == {True} and read >= _LEAST_READ else ():
        on_key((stamp + delay) * tick)


def _packet_at(decoder: Decoder, stamp: int, delay: int, following: int | None) -> Packet[VideoStream] | None:
    """The key frame's packet of a decoding time; None where the file does not seek to it.

    FFmpeg seeks to the last key frame before which nothing of its group is shown: not to its time of decoding.
    """
    targets = [stamp + delay, stamp + 4 * max(delay, 1)]
    for target in [*targets, *([] if following is None else [following - 1])]:
        decoder.container.seek(target, stream=decoder.stream)
        packet: Packet[VideoStream] | None = next(read_packets(decoder.container, decoder.stream), None)
        # FFmpeg calls one that it cannot parse no key frame; decoding then says what is wrong with it.
        if packet is not None and packet.dts == stamp:
            return packet
    return None


def _by_packet(decoder: Decoder, first: DecodedFrame | None, spacing: float, on_key: OnKey) -> Iterator[DecodedFrame]:
    """Read all packets and decode those of key frames, or all where only that gives the times of frames."""
    sent: set[int | None] = set()
    before = None if first is None else first.seconds

    def wants(timed: TimedPacket) -> bool:
        nonlocal before
        if not (timed.packet.is_keyframe or decoder.index.lists_key(timed)):
            return False
        if timed.seconds is not None:
            on_key(timed.seconds)
            if before is not None and timed.seconds < before + spacing:
                return False
            before = timed.seconds
        sent.add(timed.pts)
        return True

    if decoder.index.packets_have_times():
        decoder.wants = wants
    while (decoded := decoder.read()) is not None:
        # Frames that were sent before the first came out still follow; those that are not key frames are dropped.
        if decoded.frame.key_frame or (decoded.frame.pts in sent and _is_key(decoded.frame)):
            yield decoded


def _is_key(frame: VideoFrame) -> bool:
    return bool(frame.key_frame) or frame.pict_type == PictureType.I
