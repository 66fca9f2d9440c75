"""The key frames of a video alone: no other is decoded and, where the container has an index, no other is read."""

from __future__ import annotations

from collections.abc import Iterator

from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from adapters.media_decode import Decoded, Decoder

# Timestamps that step back this far are another clock (see media_clock), not an earlier key frame.
_CLOCK_RESET_SECONDS = 1.0


def read_keys(decoder: Decoder, first: Decoded | None, every_seconds: float) -> Iterator[Decoded]:
    """The key frames from where the decoder stands, at least ``every_seconds`` apart.

    first: the frame that it gave already, which is the first of them; None where it gave none. Half a frame's interval
    is allowed for, so that one second means every key frame of a video that has one each 0.999 s.
    """
    # The demuxer of MP4 and MOV goes from key frame to key frame by the index and leaves out the bytes between.
    decoder.stream.discard = Discard.nonkey
    spacing = every_seconds - decoder.interval / 2
    tick = float(decoder.stream.time_base or 0)
    sent: set[int] = set()
    before: float | None = None if first is None else first.seconds

    def wants(packet: Packet[VideoStream]) -> bool:
        nonlocal before
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not packet.is_keyframe:
            return False
        if stamp is None:
            return True
        seconds = stamp * tick
        if before is not None and before - _CLOCK_RESET_SECONDS < seconds < before + spacing:
            return False
        before = seconds
        sent.add(stamp)
        return True

    decoder.wants = wants
    last = None if first is None else first.seconds
    if first is not None:
        yield first
    while (decoded := decoder.read()) is not None:
        frame = decoded.frame
        # Frames that were sent before the first was out still come; what is not a key frame among them is dropped.
        if frame.pts in sent:
            sent.discard(frame.pts)
        elif not frame.key_frame:
            continue
        if last is None or decoded.seconds >= last + spacing:
            last = decoded.seconds
            yield decoded
