"""One clip out of a long source, without reading all of the source: its packets are copied aside, then cut exactly."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from adapters.errors import MediaError
from adapters.media import (
    choose_stream,
    copy_parts,
    ffmpeg_reason,
    may_be_joined,
    open_container,
    probe,
    read_packets,
    video_streams,
)
from adapters.system import atomic_path, storage_error

_MARGIN_SECONDS = 2.0  # of packets after the end: frames are decoded before they are shown
# What can hold the packets of a container as they are, with their times.
_ASIDE = {"mov": ".mov", "matroska": ".mkv"}
_SOUND_IN_MP4 = {"aac", "mp3", "alac", "ac3"}


def clip_suffix(source: str | Path) -> str:
    """The suffix of clips of a source: .mp4, or what its sound fits into where there is no picture.

    Args:
        source: The source.

    Raises:
        MediaError: It cannot be opened or has nothing to cut.
    """
    with open_container(source) as container:
        if any(stream.codec_context is not None for stream in video_streams(container)):
            return ".mp4"
        if not container.streams.audio or container.streams.audio[0].codec_context is None:
            raise MediaError(f"{source}: has neither picture nor sound that can be cut. Give a video or a recording.")
        return ".m4a" if container.streams.audio[0].codec_context.name in _SOUND_IN_MP4 else ".mka"


def cut_clip(source: str | Path, start: float, end: float, output: Path) -> list[str]:
    """Write one stretch of a source. Packets are copied from key frame to key frame; the rest is encoded again.

    Sound and picture keep the times that they have in the source, so that they stay in step wherever the clip is.

    Args:
        source: A video or a recording of sound.
        start: In seconds since its first frame.
        end: In the same seconds.
        output: The file; it is written whole or not at all.

    Returns:
        Notes on what could not be copied.

    Raises:
        MediaError: The source cannot be read, or has nothing there.
        StorageError: The output cannot be written.
    """
    if output.suffix != ".mp4":
        return _cut_sound(source, start, end, output)
    duration = probe(source).duration_seconds
    if duration is not None and start >= duration:
        raise MediaError(f"{source}: lasts {duration:.2f} s, so there is nothing from {start:.2f} s on.")
    try:
        with tempfile.TemporaryDirectory(prefix=".clip-", dir=output.parent) as folder:
            found = _copy_aside(source, start, end, Path(folder))
            if found is None:
                return copy_parts(source, [(start, end)], output)
            aside, first = found
            return copy_parts(aside, [(max(start - first, 0.0), end - first)], output)
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise storage_error(output, OSError(error.errno, error.strerror)) from error
        raise MediaError(f"{source}: could not be cut at {start:.2f} s ({ffmpeg_reason(error)}).") from None
    except OSError as error:
        raise storage_error(output, error) from error


def _copy_aside(source: str | Path, start: float, end: float, folder: Path) -> tuple[Path, float] | None:
    """The packets around a stretch in a file of their own, and when its first frame is shown in the source.

    None where the whole source has to be read: its timestamps restart somewhere, or nothing was found by seeking.
    """
    with open_container(source) as container:
        suffix = next((_ASIDE[name] for name in container.format.name.split(",") if name in _ASIDE), None)
        if suffix is None or may_be_joined(container):
            return None
        origin = probe(source).start_seconds
        video = choose_stream(container, source, None)
        streams = [video, *(one for one in container.streams.audio if one.codec_context is not None)]
        tick = float(video.time_base or 0)
        container.seek(round((origin + start) / tick), stream=video)
        packets = _from_key(container, streams, video, origin + start)
        first = next(packets, None)
        if first is None:
            return None
        begins = float(first.pts * first.time_base)
        if begins > origin + start + 1e-3:
            return None
        path = folder / f"aside{suffix}"
        with av.open(f"file:{path}", "w") as output:
            outs = {one.index: output.add_stream_from_template(one) for one in streams}
            _mux(output, outs, first, begins)
            for packet in packets:
                stamp = packet.dts if packet.dts is not None else packet.pts
                if packet.stream is video and float(stamp * packet.time_base) > origin + end + _MARGIN_SECONDS:
                    break
                _mux(output, outs, packet, begins)
        return path, begins - origin


def _from_key(container: Any, streams: list[Any], video: Any, wanted: float) -> Iterator[Any]:
    """The packets from the first key frame on; frames that are shown before it lean on what is not there."""
    key: int | None = None
    early: list[Any] = []
    for packet in read_packets(container, streams):
        if packet.pts is None or not packet.size:
            continue
        if packet.stream is not video:
            if key is None:
                early.append(packet)
            else:
                yield packet
        elif key is None and packet.is_keyframe:
            key = packet.pts
            yield packet
            # Sound that lies before its picture in the file may belong beside it.
            yield from (one for one in early if float(one.pts * one.time_base) >= float(key * packet.time_base) - 0.1)
            early = []
        elif key is not None and packet.pts >= key:
            yield packet


def _mux(output: Any, outs: dict[int, Any], packet: Any, begins: float) -> None:
    shift = round(begins / float(packet.time_base))
    out = outs[packet.stream.index]
    packet.pts -= shift
    packet.dts = None if packet.dts is None else packet.dts - shift
    if packet.pts < 0:
        return
    packet.stream = out
    output.mux(packet)


def _cut_sound(source: str | Path, start: float, end: float, output: Path) -> list[str]:
    """A stretch of a recording of sound: its packets, to the nearest one."""
    with open_container(source) as container:
        stream = container.streams.best("audio") or container.streams.audio[0]
        tick, origin, count = float(stream.time_base or 0), math.nan, 0
        try:
            with atomic_path(output, suffix=output.suffix) as unproven, av.open(f"file:{unproven}", "w") as target:
                out = target.add_stream_from_template(stream)
                for packet in read_packets(container, stream):
                    if packet.pts is None or not packet.size:
                        continue
                    seconds = packet.pts * tick
                    origin = seconds if math.isnan(origin) else origin
                    middle = seconds - origin + (packet.duration or 0) * tick / 2
                    if middle >= end:
                        break
                    if middle >= start:
                        packet.pts -= round((origin + start) / tick)
                        packet.dts = packet.pts = max(packet.pts, 0)
                        packet.stream = out
                        target.mux(packet)
                        count += 1
                if not count:
                    raise MediaError(
                        f"{source}: has no sound from {start:.2f} s to {end:.2f} s. Choose another time range."
                    )
        except av.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise storage_error(output, OSError(error.errno, error.strerror)) from error
            raise MediaError(f"{source}: its sound could not be cut ({ffmpeg_reason(error)}).") from None
    return []
