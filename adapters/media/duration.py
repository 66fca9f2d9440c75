"""When a stream ends: by its packets, or by a header that agrees with the file's table of them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from adapters.errors import MediaError
from adapters.media.clock import Lasting, may_be_joined
from adapters.media.damage import DAMAGED, Damage
from adapters.media.decode import Decoder
from adapters.media.opening import StoredFile, inspection_of, open_container
from adapters.media.packets import PacketReader, discard_other_streams, is_raw, times_are_doubtful
from adapters.media.stream_choice import choose_stream

_TAIL_SECONDS = 5  # read before the declared end: seeking by time is rough where there is no index
# A video that ends this much before its declared end was cut short; less is how muxers round.
EARLY_END_SECONDS = 0.5
# A header that ends within this many frames of the last entry of the table of packets agrees with it.
_TABLE_FRAMES = 1.5
# Of the packets at the end of a table, the largest distance over the smallest that is a matter of rounding.
_LAST_PACKETS, _EVEN = 17, 1.1


def find_end_seconds(decoder: Decoder, first_seconds: float) -> float | None:
    """When the last frame stops being shown.

    The header decides only where the file's table of packets agrees with it, as that of an MP4 does, or where packets
    cannot be read twice. Otherwise packets are read, not decoded: those near the end, or all of raw streams and of
    program and transport streams, whose clock may restart in the middle.

    Args:
        decoder: The open stream; its position does not change.
        first_seconds: Source time of the first frame.

    Returns:
        Source time in seconds; None where it is unknown, such as for a URL that does not say.
    """
    container, stream = decoder.container, decoder.stream
    declared = _declared_end(container, stream)
    if declared is not None and _table_agrees(decoder, declared):
        return declared
    if not (container.name.startswith("file:") or isinstance(decoder.source, StoredFile)):
        return declared
    try:
        whole = may_be_joined(container) or not decoder.index.stores_times() or times_are_doubtful(stream)
        tail = None if whole else _packets_end(decoder, first_seconds, near_end=True)
        found = tail or _packets_end(decoder, first_seconds, near_end=False)
    except MediaError:
        found = None
    if found is None:
        return declared
    whole_end = _declared_whole(container, stream, first_seconds)
    if whole_end is not None and found < whole_end - max(EARLY_END_SECONDS, decoder.interval):
        decoder.damage.note(early_end(found - first_seconds, whole_end - first_seconds))
    return found


def early_end(seconds: float, declared_seconds: float) -> str:
    """The note on a video that ends before it should, both since its first frame."""
    return f"the video ends at {seconds:.2f} s, but {declared_seconds:.2f} s are declared {DAMAGED}"


def _declared_whole(container: InputContainer, stream: VideoStream, first_seconds: float) -> float | None:
    """The end that was written for the whole video; None where the header may be that of another, longer one.

    As the header of a fragmented MP4 is, of which only some segments may be there.
    """
    names = container.format.name.split(",")
    if "avi" in names and stream.frames and not is_raw(container, stream):
        return first_seconds + stream.frames * float(stream.time_base or 0)
    if "matroska" in names and container.duration:
        # The file lasts as long as its longest track, and each may tell its own duration.
        own = re.fullmatch(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,12})?)", stream.metadata.get("DURATION", ""))
        if own:
            return int(own[1]) * 3600 + int(own[2]) * 60 + float(own[3])
        if len(container.streams) == 1:
            return ((container.start_time or 0) + container.duration) / av.time_base
    return None


def _declared_end(container: InputContainer, stream: VideoStream) -> float | None:
    base, names = float(stream.time_base or 0), set(container.format.name.split(","))
    if stream.duration:
        # Of an MP4 in fragments it is the time at which the last one read so far ends.
        fragments = "mov" in names and not stream.frames and stream.duration > (stream.start_time or 0)
        return (0 if fragments else (stream.start_time or 0)) * base + stream.duration * base
    if container.duration:
        return ((container.start_time or 0) + container.duration) / av.time_base
    return None


def _table_agrees(decoder: Decoder, declared: float) -> bool:
    """Whether the table of all packets ends where the header says: the last one, a frame long."""
    stream, entries = decoder.stream, decoder.stream.index_entries
    names = decoder.container.format.name.split(",")
    if "gif" in names:  # FFmpeg added up the durations of its frames
        return bool(stream.duration)
    if "mov" not in names or not 0 < stream.frames == len(entries) or times_are_doubtful(stream):
        return False
    if stream.codec_context.reorder_depth and not _are_even(entries, len(entries)):
        return False
    base = float(stream.time_base or 0)
    delays = inspection_of(decoder.source).track(stream.index).last_delays
    if delays and (max(delays) - min(delays)) * base > _LAST_PACKETS * decoder.interval:
        return False  # the last frame is shown long after those that are decoded beside it
    delay = (stream.start_time or 0) - entries[0].timestamp  # from decoding to presentation
    last = (entries[len(entries) - 1].timestamp + delay) * base
    return abs(declared - decoder.interval - last) <= _TABLE_FRAMES * decoder.interval


def _are_even(entries: Any, count: int) -> bool:
    """Whether the last packets of a table are evenly apart: otherwise frames out of order may end after its end."""
    stamps = [entries[place].timestamp for place in range(max(count - _LAST_PACKETS, 0), count)]
    gaps = [after - before for before, after in pairwise(stamps)]
    return not gaps or max(gaps) <= max(_EVEN * min(gaps), min(gaps) + 1)


def _packets_end(decoder: Decoder, first_seconds: float, near_end: bool) -> float | None:
    with open_container(decoder.source, decoder.allow_url, decoder.limits) as container:
        stream = choose_stream(container, decoder.source, decoder.stream.index)
        discard_other_streams(container, stream)
        if near_end:
            if not container.duration:
                return None
            try:
                end_of_all = (container.start_time or 0) + container.duration
                container.seek(max(end_of_all - _TAIL_SECONDS * av.time_base, container.start_time or 0))
            except (av.FFmpegError, OSError):
                return None
        interval = decoder.interval
        reader = PacketReader(container, stream, Damage(), interval, by_number=not decoder.index.stores_times())
        leading: int | None = None  # packets before the first key frame, which give no frame
        count, unknown, begin, last, lasting = 0, 0, float("inf"), float("-inf"), Lasting(interval)
        while (timed := reader.read()) is not None:
            if not timed.packet.size or timed.packet.is_discard:
                continue
            leading = count if leading is None and timed.packet.is_keyframe else leading
            count += 1
            if timed.seconds is None:
                unknown += 1
                continue
            begin = min(begin, timed.seconds)
            last = max(last, timed.seconds)
            lasting.add(timed.seconds, reader.stored_duration(timed))
        if reader.raw and count:
            return (count - (leading or 0)) * interval
        if count == unknown:
            return None
        if near_end and not lasting.is_known():
            return None
        lasts = lasting.seconds(last)
        # Packets of which the time is damaged fill gaps, or are the last ones.
        last = max(last, min(begin + (count - 1) * interval, last + unknown * interval))
        return last + lasts
