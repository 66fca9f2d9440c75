"""Decoding in processes of their own, for hosts that accept videos from anyone.

A video can be made to crash a decoder or to have it take any amount of memory or time. In a process of its own that
costs the one who sent the video an error, and the host nothing: the process is ended and another takes its place.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.errors import MediaError, StorageError
from adapters.media.child_video import ChildVideo
from adapters.media.decoder_child import MB, Child, EndedError, Lease, frames_of, understood
from adapters.media.opening import MediaLimits
from adapters.records import Clip, InputSpec, UInt8Array

if TYPE_CHECKING:
    from adapters.media.video import Video

DEFAULT_MEMORY_MB = 800  # 10 megapixels of 10 bits in HEVC take 700
DEFAULT_SECONDS = 60.0
_START_ATTEMPTS = 3
_TICK_SECONDS = 0.1  # how often stops are looked at
_STARTED_AHEAD = 2


class DecoderPool:
    """Processes that decode videos, for as many videos at a time.

    Processes start ahead of time, are used again, and are replaced when they crash, take too long or use too much
    memory. They end when this process does, however it ends.

    Args:
        processes: How many videos may be decoded at a time; others wait.
        memory_mb: Memory for decoding one video, in millions of bytes, on top of the 100 or so of the process. It is
            limited on Linux only.
        seconds: Time that decoding one video may take, without the time that it waits for the model.
    """

    def __init__(
        self, processes: int = 1, memory_mb: float = DEFAULT_MEMORY_MB, seconds: float = DEFAULT_SECONDS
    ) -> None:
        self.processes, self.memory_mb, self.seconds = processes, memory_mb, seconds
        self._changed = threading.Condition()
        self._idle: list[Child] = []
        self._leases: set[Lease] = set()
        self._count = 0
        self._closed = False
        self._watching = False

    def __del__(self) -> None:
        with suppress(Exception):  # at the interpreter's end anything may be gone
            self.close()

    @property
    def pids(self) -> list[int]:
        """Ids of the running processes."""
        with self._changed:
            return sorted(child.process.pid for child in [*self._idle, *(lease.child for lease in self._leases)])

    def start(self) -> None:
        """Start the first processes, and wait until one is ready.

        Raises:
            StorageError: A process cannot be started.
        """
        with self._changed:
            while self._count < min(self.processes, _STARTED_AHEAD):
                self._idle.insert(0, self._spawn())
        lease = self._lease("the decoder", MediaLimits(1))
        self._release(lease, worn=False)

    def open_video(self, source: str | Path, limits: MediaLimits) -> ChildVideo:
        """Open a video in a process; as ``adapters.media.open_video``.

        Args:
            source: A path.
            limits: Limits of the video; ``stop`` is asked all the time, and ends the decoding within a second.

        Returns:
            The open video; close it, or use it in a ``with`` statement.

        Raises:
            MediaError: The video cannot be opened, is over a limit, or crashed its decoder.
            StorageError: No process can be started.
        """
        lease = self._lease(str(source), limits)
        try:
            return ChildVideo(self._release, lease, limits)
        except BaseException:
            self._release(lease, lease.worn)
            raise

    def read_clip(
        self,
        source: str | Path,
        limits: MediaLimits,
        spec: InputSpec,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> Clip:
        """Open a video in a process and read one clip of the whole range; as ``adapters.media.read_clip``.

        Args:
            source: A path.
            limits: As for ``open_video``.
            spec: What the model needs.
            start_seconds: As for ``ChildVideo.clip``.
            end_seconds: As for ``ChildVideo.clip``.

        Raises:
            MediaError: As ``open_video`` and ``ChildVideo.clip``.
            StorageError: No process can be started.
        """
        with self.open_video(source, limits) as video:
            return video.clip(spec, start_seconds, end_seconds)

    def decode_picture(self, data: bytes, limits: MediaLimits) -> UInt8Array | None:
        """Decode a JPEG or another picture in a process; as ``adapters.media.preprocess.decode_picture``.

        Args:
            data: The content of the file.
            limits: Its ``stop`` ends the decoding.

        Returns:
            uint8 [H, W, 3] RGB; None where it is not a picture.

        Raises:
            MediaError: The picture crashed its decoder or is over a limit.
            StorageError: No process can be started.
        """
        lease = self._lease("the picture", limits)
        try:
            lease.send({"do": "picture"}, memoryview(data))
            picture: UInt8Array | None = None
            while not lease.ended:
                head, content = lease.receive()
                if not lease.ended:
                    with understood(lease):
                        picture = frames_of(content, head, 3)
            if lease.error is not None and lease.error["kind"] == "memory":
                raise lease.media_error()
            return picture
        finally:
            self._release(lease, lease.worn)

    def close(self) -> None:
        """End all processes. Videos that are being read end with a MediaError."""
        with self._changed:
            self._closed = True
            children = [*self._idle, *(lease.child for lease in self._leases)]
            self._idle.clear()
            self._changed.notify_all()
        for child in children:
            child.end()

    # Leases -----------------------------------------------------------------------------------------------------------

    def _lease(self, source: str, limits: MediaLimits) -> Lease:
        """A process for one video, as soon as one is free and ready."""
        starts_left = _START_ATTEMPTS
        while True:
            child = self._take(source, limits)
            lease = Lease(child, source, limits, self.memory_mb)
            with self._changed:
                self._leases.add(lease)
                self._watch()
            try:
                if not child.ready:
                    lease.expect_ready()
                lease.begin()
                return lease
            except BaseException as error:
                self._release(lease, worn=True)
                starts_left -= isinstance(error, StorageError)
                if not isinstance(error, (EndedError, StorageError)) or not starts_left:
                    raise

    def _take(self, source: str, limits: MediaLimits) -> Child:
        with self._changed:
            while True:
                if self._closed:
                    raise MediaError(f"{source}: the host is shutting down. Try again later.")
                if self._idle:
                    return self._idle.pop()
                if self._count < self.processes:
                    return self._spawn()
                limits.check_stop(source)
                self._changed.wait(_TICK_SECONDS)

    def _release(self, lease: Lease, worn: bool) -> None:
        """Take a process back, or end it and start another in its place."""
        with self._changed:
            if lease not in self._leases:
                return
            self._leases.discard(lease)
            self._changed.notify_all()
            if not worn and not self._closed:
                self._idle.append(lease.child)
                return
            self._count -= 1
            if not self._closed and lease.child.ready:  # one that never became ready would be followed by its like
                with suppress(StorageError):
                    self._idle.insert(0, self._spawn())
        lease.child.end()

    def _spawn(self) -> Child:
        child = Child(int(self.memory_mb * MB), self.seconds)
        self._count += 1
        return child

    # Stops ------------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            threading.Thread(target=self._watch_leases, name="decoder-watch", daemon=True).start()

    def _watch_leases(self) -> None:
        """Look at every lease until there is none for a while."""
        quiet = 0
        while quiet < 50:
            time.sleep(_TICK_SECONDS)
            with self._changed:
                leases = list(self._leases)
                quiet = 0 if leases else quiet + 1
                if quiet >= 50:
                    self._watching = False
            for lease in leases:
                lease.check()


def open_limited(source: str | Path, limits: MediaLimits | None, decoders: DecoderPool | None) -> Video | ChildVideo:
    """Open a video within limits, in a process of its own where there are any.

    Args:
        source: A path.
        limits: Limits of the video; None for none, and for decoding in this process.
        decoders: Processes that decode; None: this process.

    Raises:
        MediaError: As ``open_video``.
        StorageError: No process can be started.
    """
    from adapters.media.video import open_video

    if decoders is None or limits is None:
        return open_video(source, limits=limits)
    return decoders.open_video(source, limits)
