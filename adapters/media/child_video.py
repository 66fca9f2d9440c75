"""A video that a process of a decoder pool decodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from adapters.errors import MediaError
from adapters.media.decoder_child import Lease, frames_of, seconds_or_none, shape_of, understood
from adapters.media.opening import MediaLimits
from adapters.records import Aspect, Clip, Float64Array, InputSpec, Int8Array, UInt8Array


@dataclass(frozen=True)
class ChildVideoInfo:
    """Properties of a video.

    Attributes:
        duration_seconds: Its length; None where it is not known.
        width: In pixels as shown.
        height: In pixels as shown.
        fps: Average frames per second; None where unknown.
        has_audio: Whether it has sound.
        codec: FFmpeg's name.
        player_offset_seconds: What a player's clock shows at the first frame: its zero is where the earliest stream
            begins.
    """

    duration_seconds: float | None
    width: int
    height: int
    fps: float | None
    has_audio: bool
    codec: str
    player_offset_seconds: float


def _info_of(head: dict[str, Any]) -> ChildVideoInfo:
    """The properties in an answer. ValueError, TypeError or KeyError: they do not fit."""
    offset = (seconds_or_none(head["start_seconds"]) or 0.0) - (seconds_or_none(head["container_start_seconds"]) or 0.0)
    return ChildVideoInfo(
        duration_seconds=seconds_or_none(head["duration_seconds"]),
        width=max(1, int(head["width"])),
        height=max(1, int(head["height"])),
        fps=seconds_or_none(head["fps"]),
        has_audio=bool(head["has_audio"]),
        codec=str(head["codec"]),
        player_offset_seconds=max(offset, 0.0),
    )


class ChildVideo:
    """A video that a process of a ``DecoderPool`` decodes; what a prediction needs of ``adapters.media.Video``.

    Attributes:
        info: The properties of the video that are known here.
        warnings: Damage that was skipped, in sentences; known once the video has been read to its end.
    """

    def __init__(self, release: Callable[[Lease, bool], None], lease: Lease, limits: MediaLimits) -> None:
        """Open the video in the process.

        Args:
            release: Takes the process back; it is called with whether the process is worn.
            lease: The process.
            limits: Of the video.

        Raises:
            MediaError: The video cannot be opened, is over a limit, or crashed its decoder.
        """
        self._release, self._lease = release, lease
        self.warnings: tuple[str, ...] = ()
        path = os.path.abspath(lease.source)
        lease.send({"do": "open", "path": path, "frame_pixels": limits.frame_pixels, "windows": limits.windows})
        head, _ = lease.receive()
        if lease.ended:
            raise lease.media_error()
        with understood(lease):
            self.info = _info_of(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def clips(self, spec: InputSpec) -> Iterator[Clip]:
        """The clips of the whole video; as ``Video.clips``.

        Args:
            spec: What the model needs.

        Yields:
            Clips in order.

        Raises:
            MediaError: As ``Video.clips``, and where the decoder crashed or a limit was passed.
            ConfigError: The windows of the spec contradict each other.
        """
        for head, content in self._items({"do": "clips", "spec": asdict(spec)}):
            yield self._clip(head, content)

    def clip(self, spec: InputSpec, start_seconds: float | None = None, end_seconds: float | None = None) -> Clip:
        """One clip of the whole range, whatever windows the spec has; as ``Video.clip``.

        Args:
            spec: What the model needs.
            start_seconds: Where the range begins, in seconds since the first frame; None: at the video's start.
            end_seconds: Where it ends; None: at the video's end.

        Raises:
            MediaError: As ``clips``.
            ConfigError: As ``clips``.
        """
        wanted = {"do": "clip", "spec": asdict(spec), "start": start_seconds, "end": end_seconds}
        made = [self._clip(head, content) for head, content in self._items(wanted)]
        with understood(self._lease):
            (clip,) = made
        return clip

    def _clip(self, head: dict[str, Any], content: memoryview) -> Clip:
        with understood(self._lease):
            moments = shape_of(head, 4)[0] * 8
            times = np.frombuffer(content[:moments], np.float64)
            frames = frames_of(content[moments:], head, 4)
            return Clip(frames, times, self._lease.source, float(head["start"]), float(head["end"]))

    def frames(
        self,
        *,
        height: int,
        width: int,
        aspect: Aspect = "crop",
        fps: float | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> Iterator[tuple[float, UInt8Array]]:
        """Frames one by one; as ``Video.frames``.

        Args:
            height: Of the model's input in pixels.
            width: Likewise.
            aspect: How frames of another shape are fitted.
            fps: Frames per second; None: every frame of the video.
            start_seconds: Where to begin: with the frame that is shown then; None: at the video's start.
            end_seconds: Where to end; None: at the video's end.

        Yields:
            The time in seconds, and the picture: uint8 [H, W, 3] RGB.

        Raises:
            MediaError: As ``clips``.
        """
        wanted = {"do": "frames", "height": height, "width": width, "aspect": aspect, "fps": fps}
        wanted |= {"start_seconds": start_seconds, "end_seconds": end_seconds}
        for head, content in self._items(wanted):
            with understood(self._lease):
                seconds, picture = float(head["seconds"]), frames_of(content, head, 3)
            yield seconds, picture

    def frame_times(self, start_seconds: float | None = None, end_seconds: float | None = None) -> Float64Array:
        """When the frames of a stretch are shown; as ``Video.frame_times``.

        Args:
            start_seconds: In seconds since the first frame; None: at the video's start.
            end_seconds: In the same seconds; None: at the video's end.

        Returns:
            float64 [N], seconds since the first frame, growing.

        Raises:
            MediaError: As ``clips``.
        """
        _, content = self._one_item({"do": "times", "start": start_seconds, "end": end_seconds})
        with understood(self._lease):
            return np.frombuffer(content, np.float64)

    def sound_peaks(self, per_second: float) -> Int8Array | None:
        """The lowest and highest sample of each stretch of its sound, from the first frame to the last.

        Args:
            per_second: Stretches per second, above 0.

        Returns:
            int8 [stretches, 2] in -127..127; None where the video has no sound.

        Raises:
            MediaError: As ``clips``, and where the sound cannot be decoded.
        """
        head, content = self._one_item({"do": "peaks", "per_second": per_second})
        with understood(self._lease):
            return np.frombuffer(content, np.int8).reshape(-1, 2) if head["sound"] else None

    def _one_item(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
        found = list(self._items(wanted))
        with understood(self._lease):
            (item,) = found
        return item

    def close(self) -> None:
        """End the reading; the process is free for another video."""
        lease = self._lease
        if not lease.ended:
            lease.cancel("is no longer needed.")
            with suppress(MediaError):
                lease.send({"do": "close"})
                while not lease.ended:
                    lease.receive()
        self._release(lease, lease.worn)

    def _items(self, wanted: dict[str, Any]) -> Iterator[tuple[dict[str, Any], memoryview]]:
        lease = self._lease
        lease.send(wanted)
        while True:
            head, content = lease.receive()
            if lease.ended:
                self.warnings = lease.warnings
                if lease.error is not None or lease.reason is not None:
                    raise lease.media_error()
                return
            yield head, content
