"""The properties of a video stream, from its header, its first frame and its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import av

from adapters.errors import MediaError
from adapters.media.color import ColorInfo, describe_color
from adapters.media.decode import Decoder
from adapters.media.duration import find_end_seconds
from adapters.media.frame_times import DecodedFrame
from adapters.media.opening import Source
from adapters.media.scaling import Orientation, display_size, is_gray, is_rgb, sample_aspect_ratio
from adapters.media.stream_choice import video_streams


@dataclass(frozen=True)
class VideoInfo:
    """The properties of one video stream.

    Attributes:
        path: The source, as text.
        width: In pixels as shown: square and upright.
        height: In pixels as shown.
        fps: Average frames per second; None where unknown.
        duration_seconds: From the first frame until the last is no longer shown; None where unknown.
        frame_count: As the file declares it, of which edit lists may hide some; None where it does not.
        codec: FFmpeg's name, such as "h264".
        pixel_format: FFmpeg's name, such as "yuv420p".
        bit_depth: Bits of a stored sample.
        rotation_degrees: The clockwise turn that is applied, after mirroring left-right if ``mirrored``.
        mirrored: Whether the picture is mirrored left-right before the turn.
        sample_aspect_ratio: Width of a stored pixel over its height.
        color: The colour description.
        start_seconds: Source time of the first frame.
        has_audio: Whether the container has sound.
        video_stream: The index of the stream in the container.
        video_streams: How many video streams the container has, not counting cover art.
        container_start_seconds: Source time at which the earliest stream begins, where players have their zero.
    """

    path: str
    width: int
    height: int
    fps: float | None
    duration_seconds: float | None
    frame_count: int | None
    codec: str
    pixel_format: str
    bit_depth: int
    rotation_degrees: int
    mirrored: bool
    sample_aspect_ratio: float
    color: ColorInfo
    start_seconds: float
    has_audio: bool
    video_stream: int
    video_streams: int
    container_start_seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object of the same names."""
        return asdict(self)


def describe_video(source: Source, decoder: Decoder, first: DecodedFrame, orientation: Orientation) -> VideoInfo:
    """The properties of a stream from its header, its first frame and, where needed, the end of the file.

    Args:
        source: For messages.
        decoder: The open stream.
        first: Its first frame.
        orientation: Of that frame.

    Raises:
        MediaError: The colours are coded in a way that is not supported.
    """
    stream, container, frame = decoder.stream, decoder.container, first.frame
    aspect = sample_aspect_ratio(stream)
    width, height = display_size(frame, aspect, orientation)
    codec = stream.codec_context.codec.canonical_name
    color = describe_color(frame, codec, is_rgb(frame), is_gray(frame))
    if color.matrix in ("ycgco", "ictcp"):
        raise MediaError(
            f"{source}: its colours are coded as {color.matrix}, which is not supported. Convert it to BT.709."
        )
    rate = decoder.rate
    end = find_end_seconds(decoder, first.seconds)
    return VideoInfo(
        path=str(source),
        width=width,
        height=height,
        fps=float(rate) if rate else None,
        duration_seconds=None if end is None else max(round(end - first.seconds, 9), decoder.interval),
        frame_count=stream.frames or None,
        codec=codec,
        pixel_format=frame.format.name,
        bit_depth=max(component.bits for component in frame.format.components),
        rotation_degrees=orientation.rotation_degrees,
        mirrored=orientation.mirrored,
        sample_aspect_ratio=float(aspect) if aspect else 1.0,
        color=color,
        start_seconds=first.seconds,
        has_audio=bool(container.streams.audio),
        video_stream=stream.index,
        video_streams=len(video_streams(container)),
        container_start_seconds=first.seconds if container.start_time is None else container.start_time / av.time_base,
    )


def note_chosen_stream(decoder: Decoder) -> None:
    """Add a warning if the main stream is not the first one in the file.

    Args:
        decoder: The open stream; it was not chosen by its index.
    """
    first, chosen = video_streams(decoder.container)[0], decoder.stream
    if first.index != chosen.index:
        still = 0 < first.frames < 4
        why = f"stream {first.index} is a still picture" if still else f"it is preferred to stream {first.index}"
        decoder.damage.note(f"video stream {chosen.index} is read: {why}")


def note_transparency(decoder: Decoder) -> None:
    """Add a warning if VP8 or VP9 frames have separately stored transparency, which FFmpeg's decoders ignore.

    Args:
        decoder: The open stream.
    """
    if decoder.stream.metadata.get("alpha_mode") == "1":
        decoder.damage.note(
            "its transparency is not read: transparent parts have the colours that are stored there. Lay it over black "
            "first if it should look so (ffmpeg -c:v libvpx-vp9 -i FILE ...)"
        )


def nothing_decoded(source: Source, decoder: Decoder) -> str:
    """The message for a stream that was read to its end without a frame."""
    declared = decoder.stream.frames
    what = f"{declared} frames are declared, but none can be decoded" if declared else "it contains no frames"
    failures = sorted(decoder.damage.failures.items(), key=lambda item: item[0] or 0.0)
    if failures:
        seconds, reason = failures[0]
        where = "" if seconds is None else f" at {max(seconds, 0):.2f} s"
        what = what if declared else f"none of {decoder.packet_count} frames can be decoded"
        return f"{source}: {what} ({reason}{where}). Copy it again, or convert the original again."
    return f"{source}: {what}. Give a video with at least one frame."
