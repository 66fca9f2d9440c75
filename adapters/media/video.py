"""Video files to clips: open, probe, and take frames by time, scaled while they are decoded.

The rules are in docs/media.md and :mod:`adapters.media.sampling`. All model input is decoded here. Times are seconds
since the first frame; VideoInfo has its source time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from adapters.errors import MediaError
from adapters.media.damage import Damage
from adapters.media.decode import Decoder
from adapters.media.faults import SourceErrors, pass_over_source
from adapters.media.frame_cursor import FrameCursor
from adapters.media.frame_listing import packet_times
from adapters.media.frame_times import DecodedFrame
from adapters.media.info import VideoInfo, describe_video, note_chosen_stream, note_transparency, nothing_decoded
from adapters.media.nearby_frames import NearbyFrames, nearby_frames
from adapters.media.opening import MOST_FRAME_PIXELS, MediaLimits, Source
from adapters.media.preprocess import decode_size
from adapters.media.reading_limits import current_guard
from adapters.media.sampling import (
    EPSILON_SECONDS,
    Window,
    check_window_count,
    one_clip_spec,
    plan_clip,
    plan_windows,
)
from adapters.media.scaling import LONGEST_SIDE, Layout, Scaler, orientation_of, shape_message
from adapters.media.transport_codecs import codec_change
from adapters.media.video_pass import NothingShown, VideoPass
from adapters.records import Aspect, Clip, Float64Array, InputSpec, UInt8Array


def probe(source: str | Path, video_stream: int | None = None, *, allow_url: bool = False) -> VideoInfo:
    """The properties of a video, from its header, one frame and, where the header does not suffice, its end.

    Args:
        source: A path or, if allowed, a URL.
        video_stream: The index of the stream in the container; None: the container's default video stream.
        allow_url: Whether a URL is allowed.

    Raises:
        MediaError: As :func:`open_video`.
    """
    with open_video(source, video_stream, allow_url=allow_url) as video:
        return video.info


def open_video(
    source: Source,
    video_stream: int | None = None,
    *,
    allow_url: bool = False,
    limits: MediaLimits | None = None,
    threads: int | None = None,
) -> Video:
    """Open a video and decode its first frame.

    Args:
        source: A path, a stored file or, if allowed, a URL.
        video_stream: The index of the stream in the container; None: the container's default video stream.
        allow_url: Whether a source like ``https://...`` may be opened; False by default, so that a path in a request
            can only read files.
        limits: For sources from someone unknown; None: no limits.
        threads: Of the decoder; None: FFmpeg's choice. 1 costs least where several files are read at the same time.

    Returns:
        The open video; close it, or use it in a ``with`` statement.

    Raises:
        MediaError: The source is missing, a folder, empty, not a video, sound only, encrypted, without a decodable
            frame, of an unknown codec or colour system, or over the limits.
    """
    return Video(source, video_stream, allow_url=allow_url, limits=limits, threads=threads)


def read_clip(
    source: str | Path,
    spec: InputSpec,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    *,
    video_stream: int | None = None,
    allow_url: bool = False,
) -> Clip:
    """Open a video and read one clip of the whole range, whatever windows the spec has.

    Inside of :func:`adapters.media.limited_reading` it keeps to the limits that were set there.

    Args:
        source: A path or, if allowed, a URL.
        spec: What the model needs.
        start_seconds: As for :meth:`Video.clips`.
        end_seconds: As for :meth:`Video.clips`.
        video_stream: As for :func:`open_video`.
        allow_url: As for :func:`open_video`.

    Raises:
        MediaError: As :func:`open_video` and :meth:`Video.clips`.
    """
    guard = current_guard()
    if guard.limits is not None and guard.decoders is not None and video_stream is None and not allow_url:
        return guard.decoders.read_clip(source, guard.limits, spec, start_seconds, end_seconds)
    with open_video(source, video_stream, allow_url=allow_url, limits=guard.limits) as video:
        return video.clip(spec, start_seconds, end_seconds)


class Video:
    """An open video; a context manager, made by :func:`open_video`. Not for use by two threads at once.

    Each call of ``clips``, ``clip``, ``key_frames`` and ``frames`` is a pass of its own from the start of the range.

    Attributes:
        info: The properties of the video.
    """

    def __init__(
        self,
        source: Source,
        video_stream: int | None = None,
        *,
        allow_url: bool = False,
        limits: MediaLimits | None = None,
        threads: int | None = None,
    ) -> None:
        self._source, self._allow_url, self._limits, self._threads = source, allow_url, limits, threads
        self._damage = Damage()
        self._frames_seen, self._codecs_known = 0, False
        self._passes: list[Decoder] = []
        self._closed = False
        with SourceErrors(source):
            # The first pass reuses this decoder, which has read the first frame.
            self._primed: Decoder | None = self._open_first(video_stream)

    def _open_first(self, video_stream: int | None) -> Decoder:
        """Decode the first frame and describe the video by it."""
        source, limits = self._source, self._limits
        decoder = Decoder(source, video_stream, self._allow_url, self._damage, limits=limits, threads=self._threads)
        try:
            self._first: DecodedFrame | None = decoder.read()
            if self._first is None:
                raise MediaError(nothing_decoded(source, decoder))
            self._orientation = orientation_of(self._first.frame)
            if video_stream is None:
                note_chosen_stream(decoder)
            note_transparency(decoder)
            self.info = describe_video(source, decoder, self._first, self._orientation)
            if limits is not None:
                limits.check_size(source, self.info.width, self.info.height)
        except BaseException:
            decoder.close()
            raise
        return decoder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Passes that are under way, and later ones, raise MediaError."""
        for decoder in [*self._passes, *([self._primed] if self._primed else [])]:
            decoder.close()
        self._passes, self._primed, self._first, self._closed = [], None, None, True

    @property
    def warnings(self) -> tuple[str, ...]:
        """Damage that was skipped so far, counted, in sentences. A frame that failed is not replaced by another."""
        if self._damage.is_any and self._damage.cause is None and not self._codecs_known:
            self._codecs_known = True
            change = codec_change(self._source) if isinstance(self._source, str | Path) else None
            if change is not None:
                self._damage.cause = (
                    f"the codec changes from {change}; only the first part is decoded. Convert it first"
                )
        return self._damage.warnings(self.info.start_seconds, self._frames_seen, self.info.frame_count or 0)

    def clips(
        self, spec: InputSpec, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> Iterator[Clip]:
        """The windows or pieces of the range by the rules of :mod:`adapters.media.sampling`, or one clip of it.

        Frames that overlapping windows share are decoded once.

        Args:
            spec: What the model needs.
            start_seconds: Where the range begins, in seconds since the first frame; None: at the video's start.
            end_seconds: Where it ends, in the same seconds; None, or past the video's end: at the video's end.

        Yields:
            Clips in order, with frames of the size of :func:`adapters.media.preprocess.decode_size`.

        Raises:
            MediaError: The range is outside the video, it would have too many windows, or a window is short and the
                spec says ``error``.
            ConfigError: The windows of the spec contradict each other.
        """
        start, end = self._range(start_seconds, end_seconds)
        most = None if self._limits is None else self._limits.windows
        check_window_count(spec, start, end, str(self._source), most)
        near = nearby_frames(spec, start, end, self.info.start_seconds, one_clip=False)
        return self._take(spec, lambda last: plan_windows(spec, start, last), end, near)

    def clip(self, spec: InputSpec, start_seconds: float | None = None, end_seconds: float | None = None) -> Clip:
        """One clip of the whole range, whatever windows the spec has.

        Args:
            spec: What the model needs.
            start_seconds: As for ``clips``.
            end_seconds: As for ``clips``.

        Raises:
            MediaError: As ``clips``.
        """
        start, end = self._range(start_seconds, end_seconds)
        near = nearby_frames(spec, start, end, self.info.start_seconds, one_clip=True)
        return next(self._take(one_clip_spec(spec), lambda last: iter([plan_clip(spec, start, last)]), end, near))

    def key_frames(
        self, spec: InputSpec, every_seconds: float = 0.0, on_key: Callable[[float], object] | None = None
    ) -> Iterator[Clip]:
        """Clips of one frame each: the video's key frames, which can be decoded without other frames.

        Of an MP4 or MOV nothing else of the video is read.

        Args:
            spec: The size and aspect of the frames, as for ``clips``.
            every_seconds: Minimum time from one to the next, at least 0; key frames in between are skipped.
            on_key: Called with the time of every key frame whose time is known without decoding it, in seconds since
                the first frame, also of those that are skipped; some only with the last clip, and perhaps twice.

        Yields:
            Clips in order. Each lasts until the next one, the last until the video's end.

        Raises:
            ValueError: ``every_seconds`` is not allowed.
            MediaError: The video is closed.
        """
        if not 0 <= every_seconds < math.inf:
            raise ValueError(f"every_seconds must be seconds >= 0, got {every_seconds!r}")
        start, end = self._range(None, None, open_ended=True)
        yield from self._read_keys(spec, every_seconds, start, end, on_key)

    @pass_over_source
    def _read_keys(
        self,
        spec: InputSpec,
        every_seconds: float,
        start: float,
        end: float,
        on_key: Callable[[float], object] | None,
    ) -> Iterator[Clip]:
        with self._pass(decode_size(spec, self.info.width, self.info.height)) as one:
            yield from one.key_frames(every_seconds, start, end, on_key)

    def frames(
        self,
        *,
        height: int | None = None,
        width: int | None = None,
        aspect: Aspect = "crop",
        fps: float | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        layout: Layout = "rgb24",
    ) -> Iterator[tuple[float, UInt8Array]]:
        """Frames one by one: every frame with its own time, or the one that is shown every 1 / fps seconds.

        Args:
            height: Of a model's input in pixels; frames have the size of ``decode_size`` for it. None: as shown.
            width: Likewise.
            aspect: How frames of another shape are fitted; see ``InputSpec``.
            fps: Frames per second, above 0; None: every frame of the video.
            start_seconds: Where to begin, in seconds since the first frame: with the frame that is shown then. None:
                at the video's start.
            end_seconds: Where to end, in the same seconds; None: at the video's end.
            layout: "rgb24", or "yuv420p" for an encoder, which needs even sizes.

        Yields:
            The time in seconds, and the picture: uint8 [H, W, 3] RGB, or for "yuv420p" uint8 [H * 3 / 2, W] as
            :class:`adapters.media.scaling.Scaler` makes it.

        Raises:
            ValueError: ``fps`` is not allowed, or a size is odd for "yuv420p".
            MediaError: The range is outside the video, or the video is closed.
        """
        size = (self.info.width, self.info.height)
        if height is not None or width is not None:
            wanted = InputSpec(
                height=height or self.info.height, width=width or self.info.width, n_frames=1, aspect=aspect
            )
            size = decode_size(wanted, *size)
        if layout == "yuv420p" and (size[0] % 2 or size[1] % 2):
            raise ValueError(f"yuv420p needs an even width and height, got {size[0]}x{size[1]}")
        if fps is not None and not 0 < fps < math.inf:
            raise ValueError(f"fps must be above 0, got {fps!r}")
        start, end = self._range(start_seconds, end_seconds, open_ended=True)
        return self._stream(size, fps, start, end, layout)

    def frame_times(self, start_seconds: float | None = None, end_seconds: float | None = None) -> Float64Array:
        """When the frames of a stretch are shown: the frame that is shown at its start, and those up to its end.

        Of MP4, MOV, Matroska and WebM the packets say so and nothing is decoded.

        Args:
            start_seconds: In seconds since the first frame; None: at the video's start.
            end_seconds: In the same seconds; None: at the video's end.

        Returns:
            float64 [N], seconds since the first frame, growing; N is at least 1.

        Raises:
            MediaError: The range is outside the video, or the video is closed.
        """
        start, end = self._range(start_seconds, end_seconds, open_ended=True)
        with SourceErrors(self._source):
            found = self._listed_times(start, end)
        place = max(int(np.searchsorted(found, start + EPSILON_SECONDS, side="right")) - 1, 0)
        return found[place:]

    def _listed_times(self, start: float, end: float) -> Float64Array:
        origin, last = self.info.start_seconds, end + EPSILON_SECONDS
        with self._pass((2, 2)) as one:
            packets = packet_times(one.decoder, origin + start, origin + end, self._check_stop)
            # Start a little early: the cursor also accepts a frame that rounding in the container made slightly late.
            early = origin + max(start - 4 * one.decoder.slack, 0.0)
            listed = _shown_from(one.cursor, early) if packets is None else packets
            since_first: Iterator[float] = (max(seconds - origin, 0.0) for seconds in listed)
            if packets is None:  # the cursor yields frames in presentation order
                since_first = itertools.takewhile(lambda seconds: seconds <= last, since_first)
            return np.array(sorted({seconds for seconds in since_first if seconds <= last} or {0.0}))

    def _check_stop(self) -> None:
        if self._limits is not None:
            self._limits.check_stop(self._source)

    def stretches(
        self,
        ranges: Sequence[tuple[float, float]],
        spec: InputSpec,
        *,
        fps: float | None = None,
        key_times: Sequence[float] | None = None,
    ) -> Iterator[tuple[float, UInt8Array]]:
        """The frames of some stretches of the video in one pass; what lies in between is not decoded.

        Args:
            ranges: (start, end) in seconds since the first frame, in order and without overlap.
            spec: The size and aspect of the frames, as for ``clips``.
            fps: Frames per second, above 0; None: every frame.
            key_times: When key frames are shown, in the same seconds, as ``key_frames`` yields them. Containers that
                cannot be jumped in, such as MPEG-TS, are read from the start, and only what follows the last key frame
                before a stretch is decoded; None: all of it.

        Yields:
            The time in seconds, and the picture: uint8 [H, W, 3] RGB of the size of ``decode_size``. A stretch past
            the video's end has none.

        Raises:
            ValueError: The ranges are out of order.
            MediaError: The video is closed.
        """
        flat = [moment for pair in ranges for moment in pair]
        if any(later < earlier for earlier, later in pairwise(flat)):
            raise ValueError(f"ranges must be in order and without overlap, got {ranges!r:.200}")
        return self._read_stretches(ranges, spec, fps, key_times)

    @pass_over_source
    def _read_stretches(
        self,
        ranges: Sequence[tuple[float, float]],
        spec: InputSpec,
        fps: float | None,
        key_times: Sequence[float] | None,
    ) -> Iterator[tuple[float, UInt8Array]]:
        size = decode_size(spec, self.info.width, self.info.height)
        # A frame that refers to what was not decoded does not mean that the file is damaged.
        with self._pass(size, damage=Damage()) as one:
            yield from one.stretches(ranges, fps, key_times)

    @property
    def damaged_stretches(self) -> tuple[tuple[float, float], ...]:
        """(start, end) in seconds since the first frame of what is damaged or missing, as far as the video was read.

        For a single frame that failed, start equals end.
        """
        known = {(s, s) for s in (*self._damage.failures, *self._damage.gaps) if s is not None} | self._damage.holes
        start = self.info.start_seconds
        return tuple(sorted((max(one - start, 0.0), max(other - start, 0.0)) for one, other in known))

    # -- passes ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _pass(
        self, size: tuple[int, int], layout: Layout = "rgb24", damage: Damage | None = None
    ) -> Iterator[VideoPass]:
        scale = self._scaler(size, layout)
        decoder, first = self._begin_pass(damage)
        self._passes.append(decoder)
        try:
            yield VideoPass(self._source, self.info, decoder.damage, decoder, FrameCursor(decoder, first), scale)
        finally:
            self._frames_seen = max(self._frames_seen, decoder.frame_count)
            decoder.close()
            if decoder in self._passes:
                self._passes.remove(decoder)

    def _begin_pass(self, damage: Damage | None = None) -> tuple[Decoder, DecodedFrame | None]:
        """A decoder, and the frame that was read from it already. damage: where it counts; None: in the video's own."""
        if self._closed:
            raise MediaError(f"{self._source}: this video is closed. Open it again.")
        if self._primed is not None and damage is None:
            primed, self._primed = (self._primed, self._first), None
            self._first = None
            return primed
        stream, allow_url = self.info.video_stream, self._allow_url
        limits, threads = self._limits, self._threads
        counted = self._damage if damage is None else damage
        return Decoder(self._source, stream, allow_url, counted, limits=limits, threads=threads), None

    @pass_over_source
    def _stream(
        self, size: tuple[int, int], fps: float | None, start: float, end: float, layout: Layout
    ) -> Iterator[tuple[float, UInt8Array]]:
        with self._pass(size, layout) as one:
            yield from one.frames(fps, start, end)

    @pass_over_source
    def _take(
        self, spec: InputSpec, plan: Callable[[float], Iterator[Window]], end: float, near: NearbyFrames
    ) -> Iterator[Clip]:
        size = decode_size(spec, self.info.width, self.info.height)
        try:
            with self._pass(size) as one:
                yield from one.clips(spec, plan(end), near, self._limits)
            return
        except NothingShown as error:
            real = error.end_seconds
            if end != self.info.duration_seconds or next(plan(end)).start >= real:
                raise
        with self._pass(size) as one:  # cut short before the first moment: what is there is shown
            yield from one.clips(spec, plan(real), near, self._limits)

    def _scaler(self, size: tuple[int, int], layout: Layout = "rgb24") -> Scaler:
        if size[0] * size[1] > MOST_FRAME_PIXELS or max(size) > LONGEST_SIDE:
            raise MediaError(f"{self._source}: {shape_message(self.info.width, self.info.height, *size)}")
        return Scaler(*size, self.info.color, self._orientation, layout, self._source)

    # -- ranges and damage -------------------------------------------------------------------------------------------

    def _range(self, start: float | None, end: float | None, open_ended: bool = False) -> tuple[float, float]:
        duration = self.info.duration_seconds
        first = 0.0 if start is None else float(start)
        last = end if end is not None else duration if duration is not None else math.inf if open_ended else None
        if last is None:
            raise MediaError(f"{self._source}: its duration is unknown. Set end_seconds.")
        if duration is not None:
            last = min(last, duration)
        if not (math.isfinite(first) and 0 <= first < last):
            length = "of unknown length" if duration is None else f"{duration:.3f} s long"
            raise MediaError(
                f"{self._source}: the range {start!r} to {end!r} s is outside the video, which is {length}. "
                f"Use 0 <= start_seconds < end_seconds, with start_seconds inside the video."
            )
        return first, float(last)


def _shown_from(cursor: FrameCursor, moment: float) -> Iterator[float]:
    """Source times of the frame that is shown at a moment, and of all after it."""
    shown = cursor.at(moment)
    while shown is not None:
        yield shown.seconds
        shown = cursor.step()


__all__ = ["MediaLimits", "Video", "VideoInfo", "open_video", "probe", "read_clip"]
