"""When a stream ends: from the header where it is exact, otherwise from the packets at the end of the file."""

from __future__ import annotations

import av

from adapters.errors import MediaError
from adapters.media.clock import Clock, may_be_joined
from adapters.media.decode import Decoder
from adapters.media.opening import choose_stream, open_container

# Demuxers whose stream duration is a table's or a count's, not an estimate from the bit rate, nor of another stream.
_EXACT = {"mov", "gif", "nut"}
# A picture is shown at most this long after it is decoded. Where recordings are joined the demuxer may give a packet
# the decoding time of the one and the presentation time of the other.
_REORDERED_SECONDS = 10.0
_TAIL_SECONDS = 5  # read before the declared end: seeking by time is rough in program and transport streams


def find_end_seconds(decoder: Decoder, first_seconds: float) -> float | None:
    """When the last frame stops being shown.

    For containers without an exact duration the packets near the end are read, not decoded: from shortly before the
    declared end where the container has one. All packets are read where it has none, and of program and transport
    streams, whose clock may start anew in the middle.

    Args:
        decoder: The open stream; its position does not change.
        first_seconds: Source time of the first frame.

    Returns:
        Source time in seconds; None where it is unknown, such as for a URL that does not say.
    """
    stream, container = decoder.stream, decoder.container
    base = float(stream.time_base or 0)
    names = set(container.format.name.split(","))
    if stream.duration and "avi" in names:  # a count of frames
        return first_seconds + stream.duration * base
    if stream.duration and _EXACT & names:
        return ((stream.start_time or 0) + stream.duration) * base
    if container.name.startswith("file:"):
        try:
            tail = None if may_be_joined(container) else _last_packet_end(decoder, near_end=True)
            return tail or _last_packet_end(decoder, near_end=False)
        except MediaError:
            return None
    if container.duration:
        return ((container.start_time or 0) + container.duration) / av.time_base
    return None


def _last_packet_end(decoder: Decoder, near_end: bool) -> float | None:
    with open_container(decoder.source) as container:
        stream = choose_stream(container, decoder.source, decoder.stream.index)
        base = float(stream.time_base or 0)
        if near_end:
            if not container.duration:
                return None
            try:
                end_of_all = (container.start_time or 0) + container.duration
                container.seek(max(end_of_all - _TAIL_SECONDS * av.time_base, container.start_time or 0))
            except (av.FFmpegError, OSError):
                return None
        end: float | None = None
        joined = may_be_joined(container)
        clock = Clock(decoder.interval, joined)
        try:
            for packet in container.demux(stream):
                shown = packet.pts if packet.pts is not None else packet.dts
                if shown is None or packet.is_discard:
                    continue
                stored = packet.dts if packet.dts is not None else shown
                # The clock runs on decoding times, which grow; presentation follows at its distance.
                ahead = (shown - stored) * base
                seconds = clock.advance(stored * base) + (0 if joined and abs(ahead) > _REORDERED_SECONDS else ahead)
                seconds += packet.duration * base if packet.duration else decoder.interval
                end = seconds if end is None else max(end, seconds)
        except (av.FFmpegError, OSError, IndexError):
            pass  # what was read up to the damage counts; decoding reports it (IndexError: see Decoder)
        return end
