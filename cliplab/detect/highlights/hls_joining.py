"""Segments of a stream as transport streams: pieces that can be joined byte by byte, with their sound in them.

Fragmented MP4 has its codec's parameters in a header that may change within a stream, and sound may be in a playlist of
its own. As a transport stream, each segment has all that it needs. Packets are copied, not encoded again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from adapters.errors import MediaError
from adapters.media import ffmpeg_reason, open_container
from adapters.system import atomic_path
from cliplab.detect.highlights.hls import Fetcher, SegmentList
from cliplab.detect.highlights.hls_playlist import Segment
from cliplab.detect.highlights.recording import write_passing

_PICTURE_IN_TS = {"h264", "hevc", "mpeg2video"}
_SOUND_IN_TS = {"aac", "mp3", "ac3", "eac3", "mp2"}
_AHEAD_SECONDS = 10.0  # added to all times, which may begin a little below 0
_SAME_SECONDS = 0.5  # between the end of a segment and the beginning of the next one
_PATIENCE_SECONDS = 10.0  # for sound that is late; the picture's segments are not there for ever
_KEPT_SOUNDS = 40
_ID3_BYTES, _TIMESTAMP = 4096, b"com.apple.streaming.transportStreamTimestamp\0"
_OPTIONS = {"mpegts_copyts": "1", "mpegts_flags": "+initial_discontinuity+resend_headers"}


@dataclass(frozen=True)
class _Sound:
    """A stored segment of sound: its file, the discontinuities before it, and from when to when it is heard.

    offset: what is added to the times in the file, which are from 0 in packed sound.
    """

    path: Path
    period: int
    start: float
    end: float
    offset: float = 0.0


class SeparateSound:
    """The sound of a stream whose playlist is not that of its pictures."""

    def __init__(
        self, fetcher: Fetcher, url: str, folder: Path, on_note: Callable[[str], object], on_loss: Callable[[], object]
    ) -> None:
        """Read the playlist.

        Args:
            fetcher: Reads it and its segments.
            url: Where it is.
            folder: Where segments are kept until their pictures have come.
            on_note: Receives a sentence about stalls and lost segments.
            on_loss: Called for each segment that is lost.

        Raises:
            MediaError: It cannot be read.
        """
        self._fetcher, self._folder, self._note, self._lost = fetcher, folder, on_note, on_loss
        self._segments = SegmentList(fetcher, url, fetcher.playlist(url), lambda text: on_note(f"sound: {text}"))
        self._waiting = deque[Segment]()
        self._kept = deque[_Sound]()
        self._count = 0
        self._is_late = False

    def beside(self, period: int, start: float, end: float, is_stopped: Callable[[], bool]) -> list[_Sound]:
        """The segments whose sound belongs to a stretch; waits for those that are still to come.

        Args:
            period: How many discontinuities came before the pictures.
            start: Of the pictures, in their own seconds.
            end: Likewise.
            is_stopped: Asked between requests.
        """
        patience = _PATIENCE_SECONDS if not self._is_late else 0.0
        limit = time.monotonic() + patience
        while not self._covers(period, end):
            self._waiting.extend(self._segments.take())
            if self._waiting:
                self._fetch(self._waiting.popleft(), is_stopped)
            elif self._segments.ended or is_stopped():
                break
            elif time.monotonic() > limit:
                if not self._is_late:
                    self._note("the sound is late or has ended; the video continues without it")
                self._is_late = True
                self._segments.reload()
                break
            else:
                self._segments.wait()
                self._segments.reload()
        else:
            self._is_late = False
        among = [one for one in self._kept if one.end > start and one.start < end]
        own = [one for one in among if one.period == period]
        # Numbers of discontinuities are optional in live playlists, so that times decide where they do not fit.
        return own or among

    def _covers(self, period: int, end: float) -> bool:
        last = self._kept[-1] if self._kept else None
        return last is not None and (last.period > period or (last.period == period and last.end >= end - 0.05))

    def _fetch(self, segment: Segment, is_stopped: Callable[[], bool]) -> None:
        path = self._folder / f"sound-{self._count:08d}{'.mp4' if segment.header is not None else '.bin'}"
        self._count += 1
        try:
            data = self._fetcher.segment(segment, is_stopped)
            write_passing(path, [data])
            start, end = _times(path, "audio")
        except MediaError as error:
            path.unlink(missing_ok=True)
            self._lost()
            self._note(f"a segment of sound is lost: {error}")
            return
        offset = _packed_offset(data) - (start if _TIMESTAMP in data[:_ID3_BYTES] else 0.0)
        self._kept.append(_Sound(path, segment.period, start + offset, end + offset, offset))
        while len(self._kept) > _KEPT_SOUNDS:
            self._kept.popleft().path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what is left."""
        while self._kept:
            self._kept.popleft().path.unlink(missing_ok=True)


class Joiner:
    """Makes segments that can be joined, each with its sound."""

    def __init__(self, sound: SeparateSound | None, on_note: Callable[[str], object]) -> None:
        """Prepare.

        Args:
            sound: That of a playlist of its own; None: the segments have theirs.
            on_note: Receives what could not be kept.
        """
        self._sound, self._note = sound, on_note
        self._until: float | None = None
        self._period = -1

    def joined(self, path: Path, segment: Segment, is_stopped: Callable[[], bool]) -> Path:
        """A stored segment as a transport stream, in place of the one that is there.

        Args:
            path: Its file.
            segment: What the playlist says of it.
            is_stopped: Asked between requests.

        Returns:
            The new file; the one given, where its codecs fit into no transport stream.

        Raises:
            MediaError: It cannot be read.
        """
        if self._sound is None and segment.header is None:
            return path
        try:
            return self._joined(path, segment, is_stopped)
        except av.FFmpegError as error:
            raise MediaError(f"{segment.url}: could not be read ({ffmpeg_reason(error)}).") from None

    def _joined(self, path: Path, segment: Segment, is_stopped: Callable[[], bool]) -> Path:
        sounds, begins, start, end = list[_Sound](), 0.0, 0.0, float("inf")
        if self._sound is not None:
            start, end = _times(path, "video")
            before = self._until if self._period == segment.period else None
            begins = before if before is not None and abs(before - start) < _SAME_SECONDS else start - 0.1
            self._until, self._period = end, segment.period
            sounds = self._sound.beside(segment.period, start, end, is_stopped)
        with open_container(path) as container:
            own = [one for one in (*container.streams.video, *container.streams.audio) if one.codec_context is not None]
            names = {one.codec_context.name for one in own if one.type == "video"}
            heard = {one.codec_context.name for one in own if one.type == "audio"}
            if not own or not names <= _PICTURE_IN_TS or not heard <= _SOUND_IN_TS:
                if sounds:
                    self._note(f"sound of a separate playlist cannot be added to {', '.join(sorted(names))}; left out")
                return path
            target = path.with_suffix(".ts") if path.suffix != ".ts" else path.with_suffix(".joined.ts")
            _write(container, own, sounds, (begins, end), target, self._note)
        path.unlink(missing_ok=True)
        return target


def _write(
    container: Any,
    own: Sequence[Any],
    sounds: Sequence[_Sound],
    stretch: tuple[float, float],
    target: Path,
    note: Callable[[str], object],
) -> None:
    """Packets of pictures, and those of the sound that lie beside them, as one transport stream."""
    opened = [open_container(one.path) for one in sounds]
    try:
        heard = [(one.streams.audio[0], sound.offset) for one, sound in zip(opened, sounds, strict=True)]
        unfit = {one.codec_context.name for one, _ in heard} - _SOUND_IN_TS
        if unfit:
            note(f"sound in {', '.join(sorted(unfit))} cannot be added to its video; left out")
            heard = []
        with (
            atomic_path(target, suffix=".ts") as unproven,
            av.open(f"file:{unproven}", "w", format="mpegts", options=_OPTIONS) as output,
        ):
            outs = {id(one): output.add_stream_from_template(one) for one in own}
            out = output.add_stream_from_template(heard[0][0]) if heard else None
            packets = [(packet, outs[id(packet.stream)]) for packet in _packets(container, own)]
            for stream, offset in heard:
                moved = _packets(stream.container, [stream], offset)
                packets += [(packet, out) for packet in moved if _within(packet, stretch)]
            packets.sort(key=lambda pair: float((pair[0].dts or 0) * pair[0].time_base))
            last: dict[int, int] = {}
            for packet, to in packets:
                shift = round(_AHEAD_SECONDS / float(packet.time_base))
                packet.pts += shift
                packet.dts += shift
                # The last packet of a segment of sound may be the first of the next one, too.
                if to.type == "audio" and packet.dts <= last.get(to.index, -1):
                    continue
                last[to.index] = packet.dts
                packet.stream = to
                output.mux(packet)
    finally:
        for one in opened:
            one.close()


def _packets(container: Any, streams: Sequence[Any], offset: float = 0.0) -> Iterator[Any]:
    """The packets that have times, with seconds added to them."""
    for packet in container.demux(list(streams)):
        if packet.pts is None or not packet.size:
            continue
        shift = round(offset / float(packet.time_base))
        packet.dts = (packet.pts if packet.dts is None else packet.dts) + shift
        packet.pts += shift
        yield packet


def _packed_offset(data: bytes) -> float:
    """When packed sound begins, by the ID3 tag before it (RFC 8216, 3.4), in seconds; 0 without one."""
    at = data[:_ID3_BYTES].find(_TIMESTAMP)
    if at < 0:
        return 0.0
    begin = at + len(_TIMESTAMP)
    return (int.from_bytes(data[begin : begin + 8], "big") & (2**33 - 1)) / 90_000


def _within(packet: Any, stretch: tuple[float, float]) -> bool:
    seconds = float(packet.pts * packet.time_base)
    return stretch[0] - 1e-6 <= seconds < stretch[1] - 1e-6


def _times(path: Path, kind: str) -> tuple[float, float]:
    """When the first packet of a kind begins in its own clock, and when the last one ends."""
    last, moments = 0.0, list[float]()
    try:
        with open_container(path) as container:
            streams = container.streams.video if kind == "video" else container.streams.audio
            chosen = [one for one in streams if one.codec_context is not None][:1]
            if not chosen:
                raise MediaError(f"{path.name}: has no {'picture' if kind == 'video' else 'sound'}.")
            for packet in _packets(container, chosen):
                moments.append(float(packet.pts * packet.time_base))
                last = float((packet.duration or 0) * packet.time_base)
    except av.FFmpegError as error:
        raise MediaError(f"{path.name}: could not be read ({ffmpeg_reason(error)}).") from None
    if not moments:
        raise MediaError(f"{path.name}: is empty.")
    start, end = min(moments), max(moments)
    usual = (end - start) / (len(moments) - 1) if len(moments) > 1 else 0.02
    return start, end + (last or usual)
