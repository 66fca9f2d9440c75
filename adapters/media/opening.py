"""Opening a video safely: what a path may be, within which limits, and errors that say what a file is instead."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, runtime_checkable

import av
from av.container import InputContainer

from adapters.errors import MediaError
from adapters.media.files import VideoFile, videos_below
from adapters.media.inspection import Inspection, inspect_file, inspect_path
from adapters.media.recognition import FILE_FORMATS, URL_FORMATS
from adapters.system import is_url

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
# A URL that the caller allowed may use these FFmpeg protocols and no others.
_URL_PROTOCOLS = "http,https,httpproxy,tcp,tls,crypto,rtsp,rtp,udp,rtmp,srt"
URL_TIMEOUT_SECONDS = (15.0, 30.0)  # to open, to read
# Some real AVIs carry metadata that is not UTF-8, which PyAV takes as it is from version 19 on.
_ANY_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_STORED_BUFFER_BYTES = 128 * 1024  # FFmpeg's own is for local files, and each read of it calls Python
_STORED_BOXES = 64  # of an MP4 outside this machine: each may cost a request
# Boxes of MP4 that would lead to other files are not followed, as is FFmpeg's default.
_CLOSED = {"enable_drefs": "0", "use_absolute_path": "0"}
# A programme of a transport stream keeps its streams where its table gives them other packet numbers.
_FOLLOWED = {"merge_pmt_versions": "1"}
# Larger frames are not decoded from any source: twice the width and height of 8K.
MOST_FRAME_PIXELS = 16384 * 16384
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
        windows: Maximum number of windows or pieces that a video may be cut into; None: as for any video.
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
                f"{source}: its frames are {width}x{height}, {width * height / 1e6:.1f} million pixels; at most "
                f"{self.frame_pixels / 1e6:.1f} million are allowed here. Scale the video down first."
            )
        if max(width, height) > _MAX_SHAPE * max(1, min(width, height)):
            raise MediaError(
                f"{source}: its frames are {width}x{height}, an aspect ratio above {_MAX_SHAPE}:1, which is not "
                "supported. Crop the video first."
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
            f"{text}: is a URL; only local files are allowed here. Download it to a file first (in Python also: "
            f"allow_url=True, if the caller may choose addresses)."
        )
    path = Path(text)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if is_url(text):  # a path was made of it
            raise MediaError(f"{text}: is a URL; only local files are allowed here. Download it first.") from None
        raise MediaError(f"{text}: {_missing(text)} (looked from {Path.cwd()}). Check the path.") from None
    except (OSError, ValueError) as error:
        raise MediaError(f"{text!r}: cannot be read ({error}). Check the path and its permissions.") from None
    if path.is_dir():
        raise MediaError(f"{text}: {_folder(path)}")
    if path.is_fifo():  # to open it would wait for a writer, for ever
        raise MediaError(
            f"{text}: is a pipe; a video file that can be read twice is required. Copy it to a file, or follow it with "
            "`cliplab stream BUNDLE - < PIPE`."
        )
    if not path.is_file():
        raise MediaError(f"{text}: is a device or a socket; a video file that can be read twice is required.")
    if size == 0:
        raise MediaError(f"{text}: the file is empty (0 bytes). Copy or download it again.")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{text}: no permission to read the file. Change its permissions or run as its owner.")
    return f"file:{path.absolute()}"


def _missing(text: str) -> str:
    """What is wrong with a path that does not exist; commands hand on a pattern that matches nothing as it is."""
    return "no such file, and no file matches this pattern" if glob.has_magic(text) else "no such file"


def _folder(path: Path) -> str:
    """What is wrong with a folder in the place of a video; commands hand on one that contains no video."""
    if next((one for one in videos_below(path) if isinstance(one, VideoFile)), None) is None:
        return "is a folder that contains no video file. Check the path, or give a video file."
    return (
        "is a folder; a video file is required. Give the files in it one by one; `cliplab predict` accepts a folder "
        "and uses all videos in it."
    )


def open_container(
    source: Source,
    allow_url: bool = False,
    limits: MediaLimits | None = None,
    playlists: bool = False,
) -> InputContainer:
    """Open a source for reading. A file cannot lead FFmpeg to anything except files.

    Args:
        source: A path, a URL or a stored file.
        allow_url: Whether a URL is allowed.
        limits: For sources from someone unknown; None: no limits.
        playlists: Whether the URL may be an HLS playlist, which leads FFmpeg to further addresses, never to files.

    Raises:
        MediaError: The source cannot be opened as a video; says what is wrong with it.
    """
    if isinstance(source, StoredFile):
        return _open_stored(source, limits)
    name = check_source(source, allow_url)
    if not name.startswith("file:"):
        formats = f"{URL_FORMATS},hls" if playlists else URL_FORMATS
        options = {"protocol_whitelist": _URL_PROTOCOLS, "format_whitelist": formats, **_CLOSED}
        try:
            return open_input(name, limits, container_options=options, timeout=URL_TIMEOUT_SECONDS)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{source}: {_why_not_opened(error, None)}") from None
    try:
        found = inspect_path(source)
    except OSError as error:
        raise MediaError(f"{source}: cannot be read ({error.strerror}). Check the file and its disk.") from None
    return _open_inspected(name, source, limits, found, "file", None)


def _open_stored(source: StoredFile, limits: MediaLimits | None) -> InputContainer:
    if not source.size_bytes:
        raise MediaError(f"{source}: the file is empty (0 bytes). Copy or download it again.")
    try:
        file = source.open_binary()
        found = inspect_file(file, source.size_bytes, _STORED_BOXES)
        file.seek(0)
    except OSError as error:
        raise MediaError(f"{source}: cannot be read ({error.strerror or error}).") from None
    # It may lead FFmpeg to nothing else, so no protocol is allowed.
    return _open_inspected(file, source, limits, found, "none", _STORED_BUFFER_BYTES)


def _open_inspected(
    file: Any, source: Source, limits: MediaLimits | None, found: Inspection, protocols: str, buffer_bytes: int | None
) -> InputContainer:
    if found.refusal is not None:
        raise MediaError(f"{source}: {found.refusal}.")
    options = {"protocol_whitelist": protocols, "format_whitelist": FILE_FORMATS, **_CLOSED}
    # Edits hide frames by their times, which some frames do not have; or they hide all of them.
    if any((track.no_tick_each or track.hides_all) and track.handler == b"vide" for track in found.tables.tracks):
        options["ignore_editlist"] = "1"
    buffer = {} if buffer_bytes is None else {"buffer_size": buffer_bytes}
    try:
        container = open_input(file, limits, container_options=options, format=found.format, **buffer)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{source}: {_why_not_opened(error, found)}") from None
    _inspections[str(source)] = found
    if len(_inspections) > _KEPT_INSPECTIONS:
        _inspections.pop(next(iter(_inspections)), None)
    return container


# What was seen of the sources that were opened last, by their names, for the choice of a stream that follows.
_inspections: dict[str, Inspection] = {}
_KEPT_INSPECTIONS = 1024


def inspection_of(source: Source) -> Inspection:
    """What was seen of a source before it was opened; nothing, where that is long ago.

    Args:
        source: The source that ``open_container`` opened.
    """
    return _inspections.get(str(source), Inspection())


def open_input(file: Any, limits: MediaLimits | None = None, **arguments: Any) -> InputContainer:
    """``av.open`` for reading, whatever the encoding of the metadata.

    Args:
        file: A name or an open file.
        limits: For sources from someone unknown; None: no limits but that of ``MOST_FRAME_PIXELS``.
        **arguments: Those of ``av.open``.
    """
    # FFmpeg decodes frames already to find out what a stream is.
    of_streams = {"max_pixels": str(MOST_FRAME_PIXELS if limits is None else limits.decoder_pixels)}
    options = {**_FOLLOWED, **(arguments.pop("container_options", None) or {})}
    container: InputContainer = av.open(
        file, "r", options=of_streams, container_options=options, **_ANY_METADATA, **arguments
    )
    return container


def _why_not_opened(error: Exception, found: Inspection | None) -> str:
    reason = ffmpeg_reason(error)
    if isinstance(error, av.ArgumentError):  # the demuxer that recognised it is not in the white list
        return (
            "a kind of file that is not supported as video. Give a video file such as MP4, MKV, WebM, AVI, MPEG or GIF."
        )
    if isinstance(error, MemoryError):  # FFmpeg's word for too many streams as well
        return (
            "not opened: it declares more than 1000 streams, or needs more memory than is available. Convert it first."
        )
    if found is None:
        return f"cannot be opened ({reason}). Check the address, the network, and whether the server asks for a login."
    kinds = found.tables.kinds
    if isinstance(error, av.InvalidDataError) and b"moov" in kinds:
        return f"an MP4 or MOV whose index is damaged ({reason}). Copy it again, or convert the original again."
    if isinstance(error, av.InvalidDataError) and b"moof" in kinds:
        return "a segment of an MP4 stream without its header. Join it to the initialisation segment first."
    if isinstance(error, av.InvalidDataError) and kinds & {b"ftyp", b"mdat"}:
        return f"an MP4 or MOV without a readable index ({reason}): cut short, or still being written. Copy it again."
    if isinstance(error, av.InvalidDataError):
        return f"not a video that can be read ({reason}). Give a video file such as MP4, MKV, WebM, AVI, MPEG or GIF."
    return f"cannot be opened ({reason}). Copy the file again, or convert it."


def ffmpeg_reason(error: BaseException) -> str:
    """The reason of an error in FFmpeg's own words, without numbers and file names, beginning in lower case."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return "invalid data" if isinstance(error, av.InvalidDataError) else text[:1].lower() + text[1:]
