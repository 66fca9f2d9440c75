"""What is known of a video stream, and how it is found out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from adapters.errors import MediaError
from adapters.media.color import ColorInfo, describe_color
from adapters.media.decode import DecodedFrame, Decoder
from adapters.media.duration import find_end_seconds
from adapters.media.opening import Source, video_streams
from adapters.media.scaling import Orientation, display_size, is_gray, is_rgb, sample_aspect_ratio


@dataclass(frozen=True)
class VideoInfo:
    """What is known of one video stream.

    width, height: pixels as shown: square, upright. fps: average frames a second, or None. duration_seconds: from the
    first frame until the last is no longer shown, or None. frame_count: as the file declares it, or None; edit lists
    may hide some of them. rotation_degrees: clockwise turn that was applied, after mirroring left-right if mirrored.
    sample_aspect_ratio: width of a stored pixel over its height. start_seconds: source time of the first frame.
    video_stream: its index in the container; video_streams: how many there are, cover art not counted.
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

    def to_json(self) -> dict[str, Any]:
        """A JSON object of the same names."""
        return asdict(self)


def describe_video(source: Source, decoder: Decoder, first: DecodedFrame, orientation: Orientation) -> VideoInfo:
    """What the header, the first frame and, where need be, the end of the file say of a stream."""
    stream, container, frame = decoder.stream, decoder.container, first.frame
    aspect = sample_aspect_ratio(stream)
    width, height = display_size(frame, aspect, orientation)
    codec = stream.codec_context.codec.canonical_name
    color = describe_color(frame, codec, is_rgb(frame), is_gray(frame))
    if color.matrix in ("ycgco", "ictcp"):
        raise MediaError(f"{source}: its colours are coded as {color.matrix}, which is not read. Convert it to BT.709.")
    rate = stream.average_rate or stream.guessed_rate
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
    )


def nothing_decoded(source: Source, decoder: Decoder) -> str:
    """The message for a stream that was read to its end without a frame."""
    declared = decoder.stream.frames
    what = f"{declared} frames are declared and none can be decoded" if declared else "there is no frame in it"
    failures = sorted(decoder.damage.failures.items(), key=lambda item: item[0] or 0.0)
    if failures:
        seconds, reason = failures[0]
        where = "" if seconds is None else f" at {max(seconds, 0):.2f} s"
        what = what if declared else f"none of {decoder.packet_count} frames can be decoded"
        return f"{source}: {what} ({reason}{where}). Copy it again or convert it from its source."
    return f"{source}: {what}. Give a video with at least one frame."
