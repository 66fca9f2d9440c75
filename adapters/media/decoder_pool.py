"""Decoding in processes of their own, for hosts that accept videos from anyone.

A video can be made to crash a decoder or to have it take any amount of memory or time. In a process of its own that
costs the one who sent the video an error, and the host nothing: the process is ended and another takes its place.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from adapters.errors import ConfigError, MediaError, StorageError
from adapters.media.decoder_messages import read_message, write_message
from adapters.media.opening import MediaLimits
from adapters.records import Aspect, Clip, InputSpec, UInt8Array

if TYPE_CHECKING:
    from adapters.media.video import Video

DEFAULT_MEMORY_MB = 800  # 10 megapixels of 10 bits in HEVC take 700
DEFAULT_SECONDS = 60.0
_MB = 1_000_000
_START_ATTEMPTS = 3
_START_SECONDS = 120.0  # until a process is ready, also on a machine that stalls
_TICK_SECONDS = 0.1  # how often stops are looked at
_CANCEL_SECONDS = 0.5  # from asking a process to stop to killing it
_STARTED_AHEAD = 2
_PIPE_BYTES = 1 << 20
# A decoder needs no secret of the host's.
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
_CODE = """import json, sys
path, memory, seconds = json.loads(sys.argv[1])
sys.path[:] = path
from adapters.media.decoder_process import main
main(memory, seconds)"""


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
        self._idle: list[_Child] = []
        self._leases: set[_Lease] = set()
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
            return ChildVideo(self, lease, limits)
        except BaseException:
            self._release(lease, lease.worn)
            raise

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
                    with _understood(lease):
                        picture = _array(content, head, 3)
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

    def _lease(self, source: str, limits: MediaLimits) -> _Lease:
        """A process for one video, as soon as one is free and ready."""
        starts_left = _START_ATTEMPTS
        while True:
            child = self._take(source, limits)
            lease = _Lease(child, source, limits, self)
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
                if not isinstance(error, (_EndedError, StorageError)) or not starts_left:
                    raise

    def _take(self, source: str, limits: MediaLimits) -> _Child:
        with self._changed:
            while True:
                if self._closed:
                    raise MediaError(f"{source}: the host is shutting down.")
                if self._idle:
                    return self._idle.pop()
                if self._count < self.processes:
                    return self._spawn()
                limits.check_stop(source)
                self._changed.wait(_TICK_SECONDS)

    def _release(self, lease: _Lease, worn: bool) -> None:
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

    def _spawn(self) -> _Child:
        child = _Child(int(self.memory_mb * _MB), self.seconds)
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


class ChildVideo:
    """A video that a process of a ``DecoderPool`` decodes; what a prediction needs of ``adapters.media.Video``.

    Attributes:
        info: The properties of the video that are known here.
        warnings: Damage that was skipped, in sentences; known once the video has been read to its end.
    """

    def __init__(self, pool: DecoderPool, lease: _Lease, limits: MediaLimits) -> None:
        self._pool, self._lease = pool, lease
        self.warnings: tuple[str, ...] = ()
        path = os.path.abspath(lease.source)
        lease.send({"do": "open", "path": path, "frame_pixels": limits.frame_pixels, "windows": limits.windows})
        head, _ = lease.receive()
        if lease.ended:
            raise lease.media_error()
        self.info = ChildVideoInfo(_seconds_or_none(head.get("duration_seconds")))

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
            with _understood(self._lease):
                moments = _shape(head, 4)[0] * 8
                times = np.frombuffer(content[:moments], np.float64)
                frames = _array(content[moments:], head, 4)
                clip = Clip(frames, times, self._lease.source, float(head["start"]), float(head["end"]))
            yield clip

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
            with _understood(self._lease):
                seconds, picture = float(head["seconds"]), _array(content, head, 3)
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
        self._pool._release(lease, worn=lease.worn)

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


@dataclass(frozen=True)
class ChildVideoInfo:
    """Properties of a video.

    Attributes:
        duration_seconds: Its length; None where it is not known.
    """

    duration_seconds: float | None


class _EndedError(MediaError):
    """The process ended while nothing was asked of it."""


class _Lease:
    """A process while it works on one video, and the limits on that."""

    def __init__(self, child: _Child, source: str, limits: MediaLimits, pool: DecoderPool) -> None:
        self.child, self.source, self._limits = child, source, limits
        self._memory_mb, self._seconds = pool.memory_mb, pool.seconds
        self.ended, self.worn = True, True
        self.error: dict[str, str] | None = None
        self.warnings: tuple[str, ...] = ()
        self.reason: str | None = None  # why it has to end now
        self._number = 0
        self._used_seconds = 0.0
        self._waiting_since: float | None = None
        self._cancelled_at: float | None = None
        self._lock = threading.Lock()  # of the process's input
        self._sends_data = False

    def expect_ready(self) -> None:
        """Wait until the process can be used. StorageError: it ended before that."""
        self._waiting_since, self._seconds = time.monotonic(), _START_SECONDS
        try:
            head, _ = read_message(self.child.answers, 0)
            if not head.get("ready"):
                raise ValueError(head)
        except (OSError, EOFError, ValueError) as error:
            if self.reason is not None and self._limits.stop() is not None:
                raise MediaError(f"{self.source}: {self.reason}") from None
            raise StorageError(
                f"a decoder process cannot be started with {sys.executable} ({error or type(error).__name__}). Check "
                "the memory and the number of processes of this machine, or decode in the host (0 decoders)"
            ) from None
        finally:
            self._waiting_since, self._seconds = None, self.child.seconds
        self.child.ready = True

    def begin(self) -> None:
        """Begin with a new video. _EndedError: the process ended while nobody looked."""
        if self.child.process.poll() is not None:
            raise _EndedError("ended")
        self.child.videos += 1
        self._number = self.child.videos

    def send(self, head: dict[str, Any], data: memoryview | None = None) -> None:
        """Send a command. MediaError: the process ended."""
        self.ended = False
        self._sends_data = data is not None
        try:
            with self._lock:
                parts = () if data is None else (data,)
                write_message(self.child.commands, {**head, "number": self._number}, *parts)
        except OSError:
            raise self.broken() from None

    def receive(self) -> tuple[dict[str, Any], memoryview]:
        """The next answer; ``ended`` is set by the last one. MediaError: the process ended or was ended."""
        self._waiting_since = start = time.monotonic()
        try:
            head, content = read_message(self.child.answers, int(self._memory_mb * _MB))
            if head.get("done"):
                self._take_end(head)
            return head, content
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
            raise self.broken() from None
        finally:
            self._waiting_since = None
            self._used_seconds += time.monotonic() - start

    def _take_end(self, head: dict[str, Any]) -> None:
        error = head["error"]
        self.error = None if error is None else {"kind": str(error["kind"]), "text": str(error["text"])}
        self.warnings = tuple(self._named(str(text)) for text in head["warnings"])
        self.worn = bool(head["worn"])
        self.ended = True

    def _named(self, text: str) -> str:
        return text.replace(os.path.abspath(self.source), self.source)

    def media_error(self) -> MediaError | ConfigError:
        """The error that ended the video."""
        if self.reason is not None:
            return MediaError(f"{self.source}: {self.reason}")
        assert self.error is not None
        if self.error["kind"] == "memory":
            return MediaError(
                f"{self.source}: decoding needs more than the {self._memory_mb:g} MB that are allowed for a video. "
                "Send a smaller one, or have the decoders' memory raised."
            )
        text = self._named(self.error["text"])
        return ConfigError(text) if self.error["kind"] == "config" else MediaError(text)

    def broken(self) -> MediaError:
        """The error of a process that has ended, or is ended here since its answers are not understood."""
        self.child.kill()
        code = self.child.process.wait()
        self.ended, self.worn = True, True
        if self.reason is not None:
            return MediaError(f"{self.source}: {self.reason}")
        if os.name == "posix" and -code == signal.SIGXCPU:
            return MediaError(f"{self.source}: {self._too_slow()}")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return MediaError(
            f"{self.source}: ended its decoder ({how}): damaged, or made to do so. Convert the video, for example with "
            "ffmpeg, and send it again."
        )

    def _too_slow(self) -> str:
        return (
            f"decoding takes longer than {self._seconds:g} s. Send a shorter or smaller video, or have the decoders' "
            "time raised."
        )

    def check(self) -> None:
        """End the reading if it has to end: ask the process at first, and kill it if that does not help."""
        now = time.monotonic()
        if self._cancelled_at is not None:
            if now - self._cancelled_at > _CANCEL_SECONDS and not self.ended:
                self.child.kill()
            return
        since = self._waiting_since
        reason = self._limits.stop()
        if reason is None and since is not None and self._used_seconds + now - since > self._seconds:
            reason = self._too_slow()
        if reason is not None:
            self.cancel(reason)
            if not self.child.ready:
                self.child.kill()

    def cancel(self, reason: str) -> None:
        """Ask the process to end the reading; ``check`` kills it soon after if it does not."""
        self.reason = self.reason or reason
        self._cancelled_at = self._cancelled_at or time.monotonic()
        if self._sends_data:  # the input may be full, so that one more word would wait
            self.child.kill()
            return
        with suppress(OSError), self._lock:
            write_message(self.child.commands, {"cancel": self._number})


class _Child:
    """One process and its pipes.

    Attributes:
        ready: Whether it has said that it can be used.
        videos: How many videos it was given.
    """

    def __init__(self, memory_bytes: int, seconds: float) -> None:
        self.ready, self.videos, self.seconds = False, 0, seconds
        path = [entry or os.getcwd() for entry in sys.path]
        # All decoder threads count, so that only a process that a killed host left behind comes to this.
        processor_seconds = seconds * (os.cpu_count() or 1)
        command = [sys.executable, "-I", "-c", _CODE, json.dumps([path, memory_bytes, processor_seconds])]
        environment = {key: value for key, value in os.environ.items() if not _SECRET.search(key)}
        # Threads for matrices would take memory, and nothing here multiplies any.
        environment.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        own_group: dict[str, Any] = (
            {"start_new_session": True}
            if os.name == "posix"
            else {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        )
        try:
            self.process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                **own_group,
            )
        except (OSError, ValueError) as error:
            raise StorageError(f"a decoder process cannot be started with {sys.executable} ({error})") from None
        assert isinstance(self.process.stdin, FileIO)
        assert isinstance(self.process.stdout, FileIO)
        self.commands, self.answers = self.process.stdin, self.process.stdout
        _enlarge(self.answers)

    def kill(self) -> None:
        """Kill the process, if it runs."""
        with suppress(OSError):
            self.process.kill()

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self.kill()
        self.process.wait()
        for pipe in (self.commands, self.answers):
            with suppress(OSError):
                pipe.close()


def _enlarge(pipe: FileIO) -> None:
    """Let a pipe hold a whole clip where the system can (Linux): fewer turns from process to process."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


# What a process says ------------------------------------------------------------------------------------------------


@contextmanager
def _understood(lease: _Lease) -> Iterator[None]:
    """Answers that do not fit together end the process, which is no longer what was started."""
    try:
        yield
    except (ValueError, TypeError, KeyError):
        raise lease.broken() from None


def _shape(head: dict[str, Any], dimensions: int) -> tuple[int, ...]:
    shape = head.get("shape")
    if not isinstance(shape, list) or len(shape) != dimensions or not all(type(n) is int and n >= 1 for n in shape):
        raise ValueError(f"shape {shape!r}")
    return tuple(shape)


def _array(content: memoryview, head: dict[str, Any], dimensions: int) -> UInt8Array:
    """Frames from an answer. ValueError: the shape does not fit the bytes."""
    shape = _shape(head, dimensions)
    if math.prod(shape) != content.nbytes or shape[-1] != 3:
        raise ValueError(f"{content.nbytes} bytes for shape {shape}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _seconds_or_none(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
