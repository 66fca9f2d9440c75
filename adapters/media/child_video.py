"""A video that another process decodes."""

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
from adapters.records import Aspect, Clip, InputSpec, UInt8Array


@dataclass(frozen=True)
class ChildVideoInfo:
    """Properties of a video.

    Attributes:
        duration_seconds: Its length; None where it is not known.
    """

    duration_seconds: float | None


class ChildVideo:
    """A video that a process of a ``DecoderPool`` decodes; what a prediction needs of ``adapters.media.Video``.

    Attributes:
        info: The properties of the video that are known here.
        warnings: Damage that was skipped, in sentences; known once the video has been read to its end.
    """

    def __init__(self, lease: Lease, limits: MediaLimits, release: Callable[[Lease, bool], None]) -> None:
        """Open the video that the lease names.

        Args:
            lease: A process that is ready for one video.
            limits: Limits of the video.
            release: Receives the lease, and whether its process is worn out, when the video is closed.

        Raises:
            MediaError: The video cannot be opened, is over a limit, or crashed its decoder.
        """
        self._lease, self._release = lease, release
        self.warnings: tuple[str, ...] = ()
        path = os.path.abspath(lease.source)
        lease.send({"do": "open", "path": path, "frame_pixels": limits.frame_pixels, "windows": limits.windows})
        head, _ = lease.receive()
        if lease.ended:
            raise lease.media_error()
        self.info = ChildVideoInfo(seconds_or_none(head.get("duration_seconds")))

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
        self, *, height: int, width: int, aspect: Aspect = "crop", fps: float | None = None
    ) -> Iterator[tuple[float, UInt8Array]]:
        """Frames one by one; as ``Video.frames``.

        Args:
            height: Of the model's input in pixels.
            width: Likewise.
            aspect: How frames of another shape are fitted.
            fps: Frames per second; None: every frame of the video.

        Yields:
            The time in seconds, and the picture: uint8 [H, W, 3] RGB.

        Raises:
            MediaError: As ``clips``.
        """
        wanted = {"do": "frames", "height": height, "width": width, "aspect": aspect, "fps": fps}
        for head, content in self._items(wanted):
            with understood(self._lease):
                seconds, picture = float(head["seconds"]), frames_of(content, head, 3)
            yield seconds, picture

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
