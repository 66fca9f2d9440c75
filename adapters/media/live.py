"""Sources that are read once, as they come: a camera, a URL, a pipe. Frames with their times, scaled where wanted.

Where a file ends at damage, a live source continues: the damage is reported and skipped. Decoding runs in a thread of
its own, so that a source that stalls is noticed while it is waited for.
"""

from __future__ import annotations

import os
import queue
import re
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from adapters.errors import AdapterError, MediaError, describe_failure
from adapters.media import opening as media_open
from adapters.media.color import describe_color
from adapters.media.damage import Damage
from adapters.media.decode import Decoder
from adapters.media.faults import SourceErrors
from adapters.media.opening import ffmpeg_reason, open_container, open_input
from adapters.media.preprocess import decode_size, fit_frames
from adapters.media.recognition import PIPE_FORMATS
from adapters.media.scaling import Scaler, display_size, is_gray, is_rgb, orientation_of, sample_aspect_ratio
from adapters.records import InputSpec, UInt8Array
from adapters.system import open_regular_file

STDIN = "-"
STALL_SECONDS = 5.0  # how long a source may be silent before that is reported
_WAITING_FRAMES = 8  # decoded ahead
_LOOK_SECONDS = 0.1  # between two looks whether a file has grown
_NOTE_SECONDS = 1.0  # damage is reported at most this often, with its count
# These send on whether or not anyone reads, as cameras do: what is late must be dropped, or the delay only grows.
_PUSHED = re.compile(r"^(rtsp|rtp|udp|srt|rtmp)://", re.IGNORECASE)
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
# A playlist is followed where it is asked for by its name, not where a server answers with one.
_PLAYLIST = re.compile(r"^https?://[^?#]+\.m3u8?([?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class _Arrived:
    """A decoded frame. aspect: of its pixels, which only the thread that reads may ask of the stream."""

    seconds: float
    frame: VideoFrame
    aspect: Fraction | None


def is_live(source: str) -> bool:
    """Whether a source is a pipe (``-``), a device or a URL, not a file."""
    return source == STDIN or _URL.match(source) is not None or _is_device(source)


class LiveVideo:
    """A live source; a context manager, to be iterated over once.

    Iteration yields for each frame its time, in seconds since the first frame, and a function that returns its picture
    as uint8 [spec.height, spec.width, 3] RGB, or of its own size without a spec. Call the function before the next
    frame is requested, or not at all.

    Attributes:
        source: As given.
        first_seconds: Source time of the first frame; None until it arrives.
    """

    def __init__(
        self,
        source: str,
        spec: InputSpec | None,
        on_note: Callable[[str], object] | None = None,
        stall_seconds: float = STALL_SECONDS,
        growing_seconds: float | None = None,
    ) -> None:
        """The source is opened when iteration begins; that raises MediaError where it cannot be, or has no video.

        Args:
            source: ``-`` for stdin, a device such as /dev/video0, a URL that FFmpeg opens, or with ``growing_seconds``
                a file that is still written.
            spec: The size and aspect of the pictures; None: as they are shown.
            on_note: Receives a sentence about damage, stalls, changes of size, and frames that were dropped because
                they came too fast.
            stall_seconds: How long the source may be silent before a stall is reported.
            growing_seconds: How long a file may stay as it is before it is taken to be complete; None: the source
                is not a file.
        """
        self.source, self._spec, self._stall_seconds = source, spec, stall_seconds
        self._growing_seconds = growing_seconds
        self.first_seconds: float | None = None
        self._on_note = on_note or (lambda text: None)
        self._drops = _is_device(source) or _PUSHED.match(source) is not None
        self._damage = Damage()
        self._codec = ""
        self._frames: queue.Queue[_Arrived | BaseException | None] = queue.Queue(_WAITING_FRAMES)
        self._closed = threading.Event()
        self._dropped = 0
        self._reported = -float("inf")
        self._patience = media_open.URL_TIMEOUT_SECONDS[1] if _URL.match(source) else float("inf")
        self._size: tuple[int, int] = (0, 0)
        self._key: tuple[Any, ...] = ()
        self._scaler: Scaler | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The reader may wait inside FFmpeg for a source that is silent; it closes the container when it comes back.
        self._closed.set()

    def __iter__(self) -> Iterator[tuple[float, Callable[[], UInt8Array]]]:
        threading.Thread(target=self._read, name="live-source", daemon=True).start()
        first: float | None = None
        before: VideoFrame | None = None
        while (arrived := self._next()) is not None:
            first = self.first_seconds = arrived.seconds if first is None else first
            self._report_damage(first)
            yield max(arrived.seconds - first, 0.0), partial(self._picture, arrived, before)
            before = arrived.frame if arrived.frame.interlaced_frame else None
        self._reported = -float("inf")
        self._report_damage(first or 0.0)
        if first is None:
            raise MediaError(
                f"{self.source}: no frame could be decoded. Check the format that it sends; H.264 in MPEG-TS always "
                "works."
            )

    # -- in the reader's thread --------------------------------------------------------------------------------------

    def _read(self) -> None:
        last: BaseException | None = None
        try:
            decoder = Decoder(self.source, damage=self._damage, container=self._open())
            try:
                self._decode(decoder)
            finally:
                decoder.close()
        except BaseException as error:  # it belongs to whoever iterates
            unexpected = isinstance(error, Exception) and not isinstance(error, AdapterError)
            last = MediaError(describe_failure(self.source, error)) if unexpected else error
        self._put(last)

    def _open(self) -> InputContainer:
        if self._growing_seconds is None:
            return _open(self.source)
        return open_growing(self.source, self._growing_seconds, self._closed)

    def _decode(self, decoder: Decoder) -> None:
        stream = decoder.stream
        self._codec = stream.codec_context.codec.canonical_name
        while not self._closed.is_set() and (decoded := decoder.read()) is not None:
            self._put(_Arrived(decoded.seconds, decoded.frame, sample_aspect_ratio(stream)))

    def _put(self, item: _Arrived | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._frames.put(item, timeout=0 if self._drops else 0.2)
                return
            except queue.Full:
                if self._drops:
                    self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._frames.get_nowait()
            self._dropped += 1
        except queue.Empty:  # whoever iterates was faster
            pass

    # -- in the thread that iterates ---------------------------------------------------------------------------------

    def _next(self) -> _Arrived | None:
        waited = time.monotonic()
        stalled = False
        while True:
            try:
                # Short waits, so that Ctrl-C is heard on every system.
                item = self._frames.get(timeout=min(0.2, self._stall_seconds))
            except queue.Empty:
                if not stalled and time.monotonic() - waited >= self._stall_seconds:
                    stalled = True
                    self._on_note(f"{self.source}: no frame for {self._stall_seconds:g} s; waiting")
                continue
            if isinstance(item, BaseException):
                raise item
            silent = time.monotonic() - waited
            # After as long as FFmpeg waits, what comes is what was held back of a source that is then closed.
            if stalled and item is not None and silent < 0.9 * self._patience:
                self._on_note(f"{self.source}: frames again after {silent:.1f} s")
            return item

    def _report_damage(self, first: float) -> None:
        damage, now = self._damage, time.monotonic()
        if now - self._reported < _NOTE_SECONDS or not (
            damage.failures or damage.notes or damage.concealed or self._dropped
        ):
            return
        self._reported = now
        failures, damage.failures = damage.failures, {}
        concealed, damage.concealed = damage.concealed, set()
        notes, damage.notes = damage.notes, []
        dropped, self._dropped = self._dropped, 0
        if failures:
            seconds = min((s for s in failures if s is not None), default=None)
            where = "" if seconds is None else f" from {max(seconds - first, 0):.2f} s on"
            reason = next(iter(failures.values()))
            self._on_note(f"{self.source}: {_frames(len(failures))} could not be decoded{where} ({reason})")
        if concealed:
            self._on_note(f"{self.source}: {_frames(len(concealed))} partly damaged, used as repaired by the decoder")
        if dropped:
            self._on_note(f"{self.source}: {_frames(dropped)} dropped: they arrive faster than the model predicts")
        for note in notes:
            self._on_note(f"{self.source}: {note}")

    def _picture(self, arrived: _Arrived, before: VideoFrame | None) -> UInt8Array:
        with SourceErrors(self.source):
            return self._scaled(arrived, before)

    def _scaled(self, arrived: _Arrived, before: VideoFrame | None) -> UInt8Array:
        frame = arrived.frame
        key = (frame.width, frame.height, frame.format.name, arrived.aspect, frame.colorspace, frame.color_range)
        if key != self._key or self._scaler is None:
            orientation = orientation_of(frame)
            size = display_size(frame, arrived.aspect, orientation)
            if self._key and size != self._size:
                was, now = "x".join(map(str, self._size)), "x".join(map(str, size))
                self._on_note(f"{self.source}: the frame size changed from {was} to {now}")
            color = describe_color(frame, self._codec, is_rgb(frame), is_gray(frame))
            wanted = size if self._spec is None else decode_size(self._spec, *size)
            self._scaler = Scaler(*wanted, color, orientation, source=self.source)
            self._key, self._size = key, size
        picture = self._scaler(frame, before)
        return picture if self._spec is None else np.asarray(fit_frames(picture[None], self._spec)[0])


class GrowingFile:
    """A file that someone else is writing, as a stream: reading waits for what is written next."""

    def __init__(self, path: str, patience_seconds: float, closed: threading.Event | None = None) -> None:
        """Open the file.

        Args:
            path: The file.
            patience_seconds: How long it may stay as it is before it is taken to be complete.
            closed: Ends the reading when it is set; None: nothing does.

        Raises:
            MediaError: It cannot be opened.
        """
        self._patience = patience_seconds
        self._closed = closed or threading.Event()
        try:
            self._file = open_regular_file(path, MediaError)
        except OSError as error:
            raise MediaError(f"{path}: cannot be opened ({error.strerror}). Check the path.") from None
        weakref.finalize(self, self._file.close)  # FFmpeg's container does not close what it reads from

    def read(self, count: int = -1) -> bytes:
        """The next bytes, at least 1 and at most ``count``; empty at the end."""
        waited = time.monotonic()
        while not (data := self._file.read(count)):
            if self._closed.is_set() or time.monotonic() - waited >= self._patience:
                return b""
            time.sleep(_LOOK_SECONDS)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_growing(path: str, patience_seconds: float, closed: threading.Event | None = None) -> InputContainer:
    """Open a recording that is still written.

    Args:
        path: MPEG-TS, Matroska or fragmented MP4.
        patience_seconds: As for ``GrowingFile``.
        closed: As for ``GrowingFile``.

    Returns:
        Its container; reading waits for what is written next.

    Raises:
        MediaError: It cannot be opened, or not before it is complete.
    """
    file = GrowingFile(path, patience_seconds, closed)
    try:
        return open_input(file, container_options={"format_whitelist": PIPE_FORMATS})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: cannot be read while it is being written ({ffmpeg_reason(error)}). Use MPEG-TS, Matroska or "
            "fragmented MP4, or wait until the recording has ended."
        ) from None


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _is_device(source: str) -> bool:
    return source.startswith("/dev/") and Path(source).exists() and stat.S_ISCHR(os.stat(source).st_mode)


def _open(source: str) -> InputContainer:
    if not (source == STDIN or _is_device(source)):
        return open_container(source, allow_url=True, playlists=_PLAYLIST.match(source) is not None)
    piped = {"protocol_whitelist": "pipe", "format_whitelist": PIPE_FORMATS}
    name, options = ("pipe:0", piped) if source == STDIN else (source, {})
    try:
        return open_input(name, format=None if source == STDIN else "v4l2", container_options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        what = "stdin" if source == STDIN else source
        advice = (
            "Pipe a container that can be read without seeking, such as MPEG-TS, Matroska or fragmented MP4."
            if source == STDIN
            else "Use a camera that no other program uses, and check that you have permission to read it."
        )
        raise MediaError(f"{what}: cannot be opened as video ({ffmpeg_reason(error)}). {advice}") from None
