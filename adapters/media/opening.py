"""Opening a video safely: what a path may be, which stream is the video, and errors that say what a file is instead."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, runtime_checkable

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from adapters.errors import MediaError

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
# A URL that the caller allowed may use these FFmpeg protocols and no others.
_URL_PROTOCOLS = "http,https,httpproxy,tcp,tls,crypto,rtsp,rtp,udp,rtmp,srt"
URL_TIMEOUT_SECONDS = (15.0, 30.0)  # to open, to read
# FFmpeg reads these as video, but they are not video files: lists that lead to other files and addresses, text, single
# pictures (with every demuxer named *_pipe), and its own generator.
_REFUSED = {"hls", "concat", "dash", "webm_dash_manifest", "sdp", "imf", "tty", "bintext", "xbin", "adf", "idf"} | {
    "image2", "image2pipe", "ico", "alias_pix", "brender_pix", "lavfi"
}  # fmt: skip
# Some real AVIs carry metadata that is not UTF-8, which PyAV takes as it is from version 19 on.
_ANY_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_STORED_BUFFER_BYTES = 128 * 1024  # FFmpeg's own is for local files, and each read of it calls Python
_ENCRYPTED_ENTRIES = (b"encv", b"drmi")  # sample entries of protected video: ISO/IEC 14496-12 and FairPlay
_INDEX_BYTES = 1 << 20  # an MP4's sample entries are within this much of its beginning or end
_LISTS = {"hls", "concat", "dash", "sdp", "imf", "webm_dash_manifest"}
_TEXT = {"tty", "bintext", "xbin", "adf", "idf"}
_PICTURES = {"image2", "ico", "image2pipe", "alias_pix", "brender_pix"}
# A frame of a more extreme shape would become a huge one where it is scaled to cover a model's input.
_MAX_SHAPE = 20
_ALIGNMENT = 64  # to which FFmpeg rounds a frame's width up, at most


@dataclass(frozen=True)
class MediaLimits:
    """Limits for sources from someone unknown, set by a host that accepts them.

    Attributes:
        frame_pixels: The largest frame, in stored pixels. A video of larger ones is refused by its header, before any
            is decoded. Where frames grow within a stream, those of more than ``decoder_pixels`` are dropped as damage,
            and no memory is allocated for them.
        stop: Called before each frame is decoded and while windows are planned; a reason, in a sentence, ends the
            reading with a MediaError.
        windows: The most windows or pieces that a video may be cut into; None: as for any video.
    """

    frame_pixels: int
    stop: Callable[[], str | None] = lambda: None
    windows: int | None = None

    @property
    def decoder_pixels(self) -> int:
        """The limit for FFmpeg, which counts a frame's width rounded up to its alignment.

        It is larger than ``frame_pixels`` by the padding of the tallest frame that is allowed.
        """
        return self.frame_pixels + (_ALIGNMENT - 1) * math.isqrt(_MAX_SHAPE * self.frame_pixels)

    def check_size(self, source: Source, width: int, height: int) -> None:
        """Refuse a frame that is too large or too narrow.

        Args:
            source: For messages.
            width: In pixels, stored or as shown.
            height: In the same pixels.

        Raises:
            MediaError: The frame has more than ``frame_pixels``, or a shape over 20:1 or 1:20.
        """
        if width * height > self.frame_pixels:
            raise MediaError(
                f"{source}: its frames are {width}x{height}, {width * height / 1e6:.1f} million pixels, and at most "
                f"{self.frame_pixels / 1e6:.1f} million are taken here. Scale the video down first."
            )
        if max(width, height) > _MAX_SHAPE * max(1, min(width, height)):
            raise MediaError(
                f"{source}: its frames are {width}x{height}, a shape over {_MAX_SHAPE}:1, which is not taken here. "
                "Crop the video first."
            )

    def check_stop(self, source: Source) -> None:
        """End the reading if ``stop`` returns a reason.

        Raises:
            MediaError: With that reason.
        """
        if reason := self.stop():
            raise MediaError(f"{source}: {reason}")


@runtime_checkable
class StoredFile(Protocol):
    """A video outside this machine's file system, passed where a path is. Messages call it by its ``str()``.

    Attributes:
        size_bytes: The size of the file.
    """

    size_bytes: int

    def open_binary(self) -> BinaryIO:
        """A new file object to read and to seek, at its beginning; called each time the video is opened."""


Source: TypeAlias = str | Path | StoredFile


def check_source(source: str | Path, allow_url: bool = False) -> str:
    """The name by which FFmpeg may open a source: ``file:`` and an absolute path, or an allowed URL as it is.

    Args:
        source: A path or a URL.
        allow_url: Whether a URL is allowed.

    Raises:
        MediaError: The source is a URL that is not allowed, missing, a folder, a pipe, empty or not readable.
    """
    text = os.fspath(source)
    if isinstance(source, str) and _URL.match(text):
        if allow_url:
            return text
        raise MediaError(
            f"{text}: is a URL, and only local files are opened here. Fetch it to a file first, or pass allow_url=True "
            f"where the caller may choose addresses."
        )
    path = Path(text)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise MediaError(f"{text}: no such file (looked from {Path.cwd()}). Check the path.") from None
    except (OSError, ValueError) as error:
        raise MediaError(f"{text!r}: cannot be read ({error}). Check the path and its permissions.") from None
    if path.is_dir():
        raise MediaError(
            f"{text}: is a folder; a video file is needed. Name the files in it one by one; `cliplab predict` takes a "
            "folder for the videos below it, where there are any."
        )
    if path.is_fifo():  # to open it would wait for a writer, for ever
        raise MediaError(
            f"{text}: is a pipe; a video file is needed, which can be read twice. Copy it to a file, or follow it with "
            "`cliplab stream BUNDLE - < PIPE`."
        )
    if path.is_file() and size == 0:
        raise MediaError(f"{text}: the file is empty (0 bytes). Copy or download it again.")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{text}: no permission to read the file. Change its permissions or run as its owner.")
    return f"file:{path.absolute()}"


def open_container(source: Source, allow_url: bool = False, limits: MediaLimits | None = None) -> InputContainer:
    """Open a source for reading. A file cannot lead FFmpeg to anything except files.

    Args:
        source: A path, a URL or a stored file.
        allow_url: Whether a URL is allowed.
        limits: For sources from someone unknown; None: no limits.

    Raises:
        MediaError: The source cannot be opened as a video; says what is wrong with it.
    """
    if isinstance(source, StoredFile):
        return _open_stored(source, limits)
    name = check_source(source, allow_url)
    local = name.startswith("file:")
    options = {"protocol_whitelist": "file" if local else _URL_PROTOCOLS, "format_whitelist": _allowed_formats()}
    timeout = None if local else URL_TIMEOUT_SECONDS
    # FFmpeg decodes frames already to find out what a stream is.
    of_streams = {"max_pixels": str(limits.decoder_pixels)} if limits else None
    try:
        return open_input(name, options=of_streams, container_options=options, timeout=timeout)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{source}: {_why_not_opened(source, error)}") from None


def open_input(file: Any, **arguments: Any) -> InputContainer:
    """``av.open`` for reading, whatever the encoding of the metadata.

    Args:
        file: A name or an open file.
        **arguments: Those of ``av.open``.
    """
    container: InputContainer = av.open(file, "r", **_ANY_METADATA, **arguments)
    return container


def _open_stored(source: StoredFile, limits: MediaLimits | None) -> InputContainer:
    if not source.size_bytes:
        raise MediaError(f"{source}: the file is empty (0 bytes). Copy or download it again.")
    # It may lead FFmpeg to nothing else, so no protocol is allowed.
    options = {"protocol_whitelist": "none", "format_whitelist": _allowed_formats()}
    of_streams = {"max_pixels": str(limits.decoder_pixels)} if limits else None
    try:
        return open_input(
            source.open_binary(), options=of_streams, container_options=options, buffer_size=_STORED_BUFFER_BYTES
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{source}: {_why_not_opened(source, error)}") from None


@cache
def _allowed_formats() -> str:
    """Every demuxer of this FFmpeg except the refused ones, such as playlists, which could lead it to any address."""
    return ",".join(sorted(n for n in av.formats_available if n not in _REFUSED and not n.endswith("_pipe")))


def _why_not_opened(source: Source, error: Exception) -> str:
    reason = ffmpeg_reason(error)
    if isinstance(error, av.ArgumentError):  # the demuxer that recognised it is not in the white list
        return "a playlist, a text or a single picture, not a video. Give a video file or a GIF."
    if isinstance(error, av.InvalidDataError) and (isinstance(source, StoredFile) or os.path.isfile(source)):
        with source.open_binary() if isinstance(source, StoredFile) else open(source, "rb") as file:
            head = file.read(12)
        if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
            return (
                f"an MP4 or MOV without a readable index ({reason}): cut short, or still being written. Copy it again."
            )
        return f"not a video that can be read ({reason}). Give a video file such as MP4, MKV, WebM, AVI, MPEG or GIF."
    return f"cannot be opened ({reason})."


def ffmpeg_reason(error: BaseException) -> str:
    """The reason of an error in FFmpeg's own words, without numbers and file names, beginning in lower case."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return "invalid data" if isinstance(error, av.InvalidDataError) else text[:1].lower() + text[1:]


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams of a container, without cover art, attached pictures and timed thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def choose_stream(container: InputContainer, source: Source, video_stream: int | None) -> VideoStream:
    """The video stream to read.

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
    if video_stream is None:
        best: Any = container.streams.best("video")
        chosen = next((stream for stream in streams if best is not None and stream.index == best.index), streams[0])
    else:
        found = [stream for stream in streams if stream.index == video_stream]
        if not found:
            allowed = ", ".join(f"{s.index} ({_size(s)})" for s in streams)
            raise MediaError(f"{source}: stream {video_stream} is not a video stream of this file. Allowed: {allowed}.")
        chosen = found[0]
    if chosen.codec_context is None:
        if "mov" in container.format.name.split(",") and _names_sample_entry(source, _ENCRYPTED_ENTRIES):
            raise MediaError(encrypted_message(source))
        raise MediaError(
            f"{source}: no decoder for the codec of video stream {chosen.index}. Convert the file to H.264 first."
        )
    return chosen


def encrypted_message(source: Source) -> str:
    """The message for a video that is encrypted."""
    return f"{source}: the video is encrypted. Give a copy without DRM or encryption."


def _names_sample_entry(source: Source, names: tuple[bytes, ...]) -> bool:
    if not isinstance(source, (str, Path)) or not os.path.isfile(source):
        return False
    with open(source, "rb") as file:
        ends = file.read(_INDEX_BYTES)
        file.seek(max(0, os.path.getsize(source) - _INDEX_BYTES))
        ends += file.read()
    return any(name in ends for name in names)


def _size(stream: VideoStream) -> str:
    context = stream.codec_context
    return "unknown codec" if context is None else f"{context.width}x{context.height} {context.name}"


def _what_instead(container: InputContainer) -> str:
    if container.streams.video:
        return "the only pictures in this file are cover art; it is sound"
    if container.streams.audio:
        return "sound only, no video stream"
    return "no video stream"
