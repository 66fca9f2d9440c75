"""Which stream of a container is the video: the footage, not a cover or a thumbnail beside it."""

from __future__ import annotations

import re
from typing import Any

from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from adapters.errors import MediaError
from adapters.media.opening import MOST_FRAME_PIXELS, MediaLimits, Source, inspection_of, open_container
from adapters.media.packets import discard_other_streams

# A stream of one frame is a cover or a thumbnail, and one of a few where another has this many times more.
_ONE_FRAME, _FEW_FRAMES, _MANY_TIMES = 1.5, 3.5, 50
_CLOCK_TIME = re.compile(r"(\d{1,6}):(\d{1,6}):(\d{1,6}(?:\.\d{1,12})?)$")
# Codecs of pictures, which serve as covers and thumbnails, too, where a file has another stream.
_PICTURE_CODECS = {"png", "apng", "mjpeg", "bmp", "tiff", "webp", "gif", "jpeg2000", "jpegxl"}


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams of a container, without cover art, attached pictures and timed thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def choose_stream(container: InputContainer, source: Source, video_stream: int | None) -> VideoStream:
    """The video stream to read, with a decoder that crops exactly and decodes no frame over ``MOST_FRAME_PIXELS``.

    Args:
        container: The open source.
        source: For messages.
        video_stream: The index of the stream in the container; None: FFmpeg's default for the container.

    Raises:
        MediaError: There is no video stream, the index is not that of one, or FFmpeg has no decoder for its codec.
    """
    streams = video_streams(container)
    if not streams:
        raise MediaError(f"{source}: {_what_instead(container)}. Give a file with a video stream.")
    inspection = inspection_of(source)
    if video_stream is None:
        chosen = main_stream(container)
        if inspection.picture is not None and chosen.frames <= 1:
            raise MediaError(f"{source}: is a picture ({inspection.picture}), not a video. Give a video file.")
    else:
        found = [stream for stream in streams if stream.index == video_stream]
        if not found:
            allowed = ", ".join(f"{s.index} ({_size(s)})" for s in streams)
            raise MediaError(f"{source}: stream {video_stream} is not a video stream of this file. Allowed: {allowed}.")
        chosen = found[0]
    # Matroska's demuxer names the key of an encrypted track; that of MP4 decodes what is encrypted.
    if inspection.track(chosen.index).encrypted or "enc_key_id" in chosen.metadata:
        raise MediaError(encrypted_message(source))
    if chosen.codec_context is None:
        raise MediaError(
            f"{source}: there is no decoder for the codec of video stream {chosen.index}. Convert the file to H.264 "
            "first."
        )
    chosen.codec_context.options = {"max_pixels": str(MOST_FRAME_PIXELS)}
    # Otherwise FFmpeg crops at the left by whole blocks of memory only: frames are wider than they should be.
    chosen.codec_context.flags |= Flags.unaligned
    return chosen


def prepare_stream(
    container: InputContainer, source: Source, limits: MediaLimits | None, video_stream: int | None
) -> VideoStream:
    """Choose the video stream, have no other one read, and set its decoder's limits.

    Args:
        container: The open source.
        source: For messages.
        limits: For sources from someone unknown; None: no limits.
        video_stream: As for ``choose_stream``.

    Raises:
        MediaError: As ``choose_stream``, or its frames are over the limits.
    """
    stream = choose_stream(container, source, video_stream)
    if limits is not None:
        context = stream.codec_context
        limits.check_size(source, context.width, context.height)
        context.options = {"max_pixels": str(limits.decoder_pixels)}
    discard_other_streams(container, stream)
    return stream


def open_stream(
    source: Source, allow_url: bool, limits: MediaLimits | None, video_stream: int
) -> tuple[InputContainer, VideoStream]:
    """Open a source with one stream to read.

    Args:
        source: As for ``open_container``.
        allow_url: As for ``open_container``.
        limits: As for ``open_container``.
        video_stream: The index of the stream in the container.

    Raises:
        MediaError: As ``open_container`` and ``prepare_stream``.
    """
    container = open_container(source, allow_url, limits)
    return container, prepare_stream(container, source, limits, video_stream)


def main_stream(container: InputContainer) -> VideoStream:
    """The video stream with the footage: FFmpeg's default, unless it is a cover or a thumbnail beside another stream.

    Args:
        container: The open source, which has a video stream.
    """
    streams = video_streams(container)
    counts = {stream.index: _frame_count(stream) for stream in streams}
    most = max((count for count in counts.values() if count is not None), default=0.0)
    moving = [stream for stream in streams if not _is_still(stream, counts[stream.index], most)] or streams
    best: Any = container.streams.best("video")
    default = next((stream for stream in moving if best is not None and stream.index == best.index), None)
    if default is not None:
        return default
    # Of several, FFmpeg's order: the one that is marked as default, then the larger picture, then the first.
    return max(moving, key=lambda stream: (bool(stream.disposition & Disposition.default), _pixels(stream)))


def _is_still(stream: VideoStream, count: float | None, most: float) -> bool:
    """Whether a stream is a cover or a thumbnail beside others: one picture, or two or three beside a long video."""
    if count is not None and (count <= _ONE_FRAME or (count <= _FEW_FRAMES and count * _MANY_TIMES <= most)):
        return True
    return stream.codec_context is not None and stream.codec_context.name in _PICTURE_CODECS


def _frame_count(stream: VideoStream) -> float | None:
    """How many frames a stream has by its header, or by its length and its rate; None where neither is known."""
    if stream.frames:
        return float(stream.frames)
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    if seconds is None and (tag := _CLOCK_TIME.match(stream.metadata.get("DURATION", ""))):  # Matroska's statistics
        hours, minutes, rest = tag.groups()
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    rate = stream.average_rate or stream.guessed_rate
    return seconds * float(rate) if seconds and rate else None


def _pixels(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height


def encrypted_message(source: Source) -> str:
    """The message for a video that is encrypted."""
    return f"{source}: the video is encrypted. Give a copy without DRM or encryption."


def _size(stream: VideoStream) -> str:
    context = stream.codec_context
    return "unknown codec" if context is None else f"{context.width}x{context.height} {context.name}"


def _what_instead(container: InputContainer) -> str:
    if container.streams.video:
        return "the file has sound only; its only picture is cover art"
    if container.streams.audio:
        return "the file has sound only, no video stream"
    return "the file has no video stream"
