"""When the frames of a stretch are shown, without decoding them where the container knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import av

from adapters.media.damage import Damage
from adapters.media.decode import Decoder
from adapters.media.packets import PacketReader

# A frame is stored at most this many packets after one that is shown later: H.264 and H.265 allow 16 in all.
_MOST_REORDERED = 34
_STOP_EVERY = 1024


def packet_times(decoder: Decoder, start: float, end: float, check_stop: Callable[[], None]) -> Iterator[float] | None:
    """Source times of the frames of a stretch, in the order of decoding, beginning with or before that shown at its
    start.

    Only for MP4, MOV, Matroska and WebM, of which each packet is a frame and has its time.

    Args:
        decoder: A pass, which ends here.
        start: Source time in seconds.
        end: Source time in seconds.
        check_stop: Called now and then; raises where the reading has to end.

    Returns:
        The times; None where only decoding gives them.
    """
    if not (decoder.index.is_sound() and decoder.index.packets_have_times()):
        return None
    return _packet_times(decoder, start, end, check_stop)


def _packet_times(decoder: Decoder, start: float, end: float, check_stop: Callable[[], None]) -> Iterator[float]:
    reader = _reader_near(decoder, start)
    later = count = 0
    while later < _MOST_REORDERED and (timed := reader.read()) is not None:
        count += 1
        if count % _STOP_EVERY == 0:
            check_stop()
        if not timed.packet.size or timed.packet.is_discard or timed.seconds is None:
            continue
        later = later + 1 if timed.seconds > end else 0
        yield timed.seconds


def _reader_near(decoder: Decoder, start: float) -> PacketReader:
    """Packets from the key frame at or before a time, or all of them where the file does not seek there."""
    tick = float(decoder.stream.time_base or 1e-6)
    for back in (0.0, 1.0, 4.0, 16.0):
        try:
            decoder.container.seek(math.floor((start - back) / tick), stream=decoder.stream)
        except (av.FFmpegError, OSError):
            break
        first = _reader(decoder).read()
        if first is None or not first.packet.is_keyframe or first.seconds is None:
            continue
        if first.seconds <= start:
            # The packet that was read is wanted too.
            decoder.container.seek(math.floor((start - back) / tick), stream=decoder.stream)
            return _reader(decoder)
    decoder.restart()
    return _reader(decoder)


def _reader(decoder: Decoder) -> PacketReader:
    return PacketReader(decoder.container, decoder.stream, Damage(), decoder.interval)
