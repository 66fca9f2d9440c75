"""What a container lists of its packets beside them: whether and where a pass may jump, and which packets are keys."""

from __future__ import annotations

from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

from adapters.media.damage import Damage
from adapters.media.opening import Source, inspection_of
from adapters.media.packets import ASSUMED_RATE, PacketReader, TimedPacket, times_are_doubtful

_SLOWEST, _FASTEST = 1, 1000  # frames per second that the length of a track may give


def has_table(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the timestamps of all packets come from one table, as in MP4 and MOV.

    Args:
        container: The open source.
        stream: Its video stream.
    """
    return "mov" in container.format.name.split(",") and len(stream.index_entries) > 0


def rate_without_times(source: Source, stream: VideoStream, damage: Damage) -> Fraction | None:
    """Frames per second of an MP4 or MOV whose table of times has 0 for every frame, with a note; None of others.

    FFmpeg makes such frames last as long as the whole track. Its length over their number is their rate.

    Args:
        source: The source that was opened.
        stream: Its video stream.
        damage: Where the note goes.
    """
    track = inspection_of(source).track(stream.index)
    if not track.no_tick_each:
        return None
    rate, why = ASSUMED_RATE, "are assumed"
    if track.duration and _SLOWEST <= track.samples * track.timescale / track.duration <= _FASTEST:
        rate = Fraction(track.samples * track.timescale, track.duration)
        why = "follow from its length"
    damage.note(f"the file says that each frame lasts 0 s; {round(float(rate), 3):g} frames per second {why}")
    return rate


class ContainerIndex:
    """The index of one open container, as far as its packets and times can be relied on."""

    def __init__(self, container: InputContainer, stream: VideoStream, reader: PacketReader, tick: float) -> None:
        """Look at nothing yet.

        Args:
            container: The open source.
            stream: The video stream that is read.
            reader: Where its packets come from.
            tick: Seconds of one unit of the timestamps.
        """
        self._container, self._stream, self._reader, self._tick = container, stream, reader, tick
        self._loaded = "matroska" not in container.format.name.split(",")

    def is_sound(self) -> bool:
        """Whether the container lists every key frame, so that a jump can land on the right one.

        True for MP4 and MOV with a complete index and no edit that hides frames, and for Matroska and WebM with cues.
        """
        names = self._container.format.name.split(",")
        entries = self._stream.index_entries
        if self._reader.raw or times_are_doubtful(self._stream):
            return False
        if "mov" in names:
            return 0 < self._stream.frames == len(entries) and not any(entry.is_discard for entry in entries)
        return "matroska" in names

    def stores_times(self) -> bool:
        """Whether packets have timestamps, which raw streams do not store, nor an MP4 whose frames last 0 s."""
        return not self._reader.raw

    def packets_have_times(self) -> bool:
        """Whether the time of a frame can be known without decoding those before it.

        False for raw streams, and for AVI with frames out of order, of which neither stores the order of presentation.
        """
        reordered = self._reader.dts_only and self._stream.codec_context.reorder_depth > 0
        return not (self._reader.raw or reordered)

    def lists_key(self, timed: TimedPacket) -> bool:
        """Whether Matroska or AVI call a packet a key frame; FFmpeg does not where it cannot parse the packet."""
        entries, stamp = self._stream.index_entries, timed.stamp
        names = {"matroska", "avi"} & set(self._container.format.name.split(","))
        place = entries.search_timestamp(stamp) if names and stamp is not None else -1
        return place >= 0 and entries[place].timestamp == stamp and entries[place].is_keyframe

    def key_seconds(self, seconds: float) -> float | None:
        """The time of the last key frame at or before a time by the index, or None where it lists none.

        Args:
            seconds: Source time.
        """
        if not self._loaded:
            # Matroska reads its cues at the first seek, so the first jump is a guess that the rest profits from.
            self._loaded = True
            return seconds
        entries = self._stream.index_entries
        place = entries.search_timestamp(int(seconds / self._tick))
        return None if place < 0 else entries[place].timestamp * self._tick
