"""One process that decodes for its host, and its work on one video within limits."""

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
from io import FileIO
from typing import Any

import numpy as np

from adapters.errors import ConfigError, MediaError, StorageError
from adapters.media.decoder_messages import read_message, write_message
from adapters.media.opening import MediaLimits
from adapters.records import UInt8Array

MB = 1_000_000
_START_SECONDS = 120.0  # until a process is ready, also on a machine that stalls
_CANCEL_SECONDS = 0.5  # from asking a process to stop to killing it
_PIPE_BYTES = 1 << 20
# A decoder needs no secret of the host's.
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
_CODE = """import json, sys
path, memory, seconds = json.loads(sys.argv[1])
sys.path[:] = path
from adapters.media.decoder_process import main
main(memory, seconds)"""


class EndedError(MediaError):
    """The process ended while nothing was asked of it."""


class Lease:
    """A process while it works on one video, and the limits on that."""

    def __init__(self, child: Child, source: str, limits: MediaLimits, memory_mb: float) -> None:
        self.child, self.source, self._limits = child, source, limits
        self._memory_mb, self._seconds = memory_mb, child.seconds
        self.ended, self.worn = True, True
        self.error: dict[str, str] | None = None
        self.warnings: tuple[str, ...] = ()
        self.reason: str | None = None  # why it has to end now
        self._number = 0
        self._used_seconds = 0.0
        self._waiting_since: float | None = None
        self._cancelled_at: float | None = None
        self._lock = threading.Lock()  # of the process's input
        self._ending = threading.Lock()  # of ``ended``: once it is set, the process may work for another lease
        self._killed = False
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
        """Begin with a new video. EndedError: the process ended while nobody looked."""
        if self.child.process.poll() is not None:
            raise EndedError("ended")
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
        except (OSError, ValueError):  # ValueError: the pool was closed, and the pipe with it
            raise self.broken() from None

    def receive(self) -> tuple[dict[str, Any], memoryview]:
        """The next answer; ``ended`` is set by the last one. MediaError: the process ended or was ended."""
        self._waiting_since = start = time.monotonic()
        try:
            head, content = read_message(self.child.answers, int(self._memory_mb * MB))
            if head.get("done"):
                self._take_end(head)
            return head, content
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.broken() from error
        finally:
            self._waiting_since = None
            self._used_seconds += time.monotonic() - start

    def _take_end(self, head: dict[str, Any]) -> None:
        error = head["error"]
        self.error = None if error is None else {"kind": str(error["kind"]), "text": str(error["text"])}
        self.warnings = tuple(self._named(str(text)) for text in head["warnings"])
        with self._ending:
            self.worn, self.ended = bool(head["worn"]) or self._killed, True

    def _named(self, text: str) -> str:
        return text.replace(os.path.abspath(self.source), self.source)

    def media_error(self) -> MediaError | ConfigError:
        """The error that ended the video."""
        if self.reason is not None:
            return MediaError(f"{self.source}: {self.reason}")
        assert self.error is not None
        if self.error["kind"] == "memory":
            return MediaError(
                f"{self.source}: decoding needs more than the {self._memory_mb:g} MB allowed for each video. "
                "Send a smaller video, or raise the memory limit of the decoders (--decoder-memory-mb)."
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
            f"{self.source}: crashed its decoder ({how}): it is damaged, or was made to do so. Convert the video, for "
            "example with ffmpeg, and send it again."
        )

    def _too_slow(self) -> str:
        return (
            f"decoding takes longer than {self._seconds:g} s. Send a shorter or smaller video, or raise the "
            "time limit of the decoders (--decoder-seconds)."
        )

    def check(self) -> None:
        """End the reading if it has to end: ask the process at first, and kill it if that does not help."""
        now = time.monotonic()
        if self._cancelled_at is not None:
            if now - self._cancelled_at > _CANCEL_SECONDS:
                self._kill_while_reading()
            return
        since = self._waiting_since
        reason = self._limits.stop()
        if reason is None and since is not None and self._used_seconds + now - since > self._seconds:
            reason = self._too_slow()
        if reason is not None:
            self.cancel(reason)
            if not self.child.ready:
                self.child.kill()

    def _kill_while_reading(self) -> None:
        """Kill the process, unless it has just ended the reading and works for another lease."""
        with self._ending:
            if not self.ended:
                self._killed = True
                self.child.kill()

    def cancel(self, reason: str) -> None:
        """Ask the process to end the reading; ``check`` kills it soon after if it does not."""
        self.reason = self.reason or reason
        self._cancelled_at = self._cancelled_at or time.monotonic()
        if self._sends_data:  # the input may be full, so that one more word would wait
            self._kill_while_reading()
            return
        with suppress(OSError, ValueError), self._lock:
            write_message(self.child.commands, {"cancel": self._number})


class Child:
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
def understood(lease: Lease) -> Iterator[None]:
    """Answers that do not fit together end the process, which is no longer what was started."""
    try:
        yield
    except (ValueError, TypeError, KeyError):
        raise lease.broken() from None


def shape_of(head: dict[str, Any], dimensions: int) -> tuple[int, ...]:
    """The shape in an answer. ValueError: it has other dimensions."""
    shape = head.get("shape")
    if not isinstance(shape, list) or len(shape) != dimensions or not all(type(n) is int and n >= 1 for n in shape):
        raise ValueError(f"shape {shape!r}")
    return tuple(shape)


def frames_of(content: memoryview, head: dict[str, Any], dimensions: int) -> UInt8Array:
    """Frames from an answer. ValueError: the shape does not fit the bytes."""
    shape = shape_of(head, dimensions)
    if math.prod(shape) != content.nbytes or shape[-1] != 3:
        raise ValueError(f"{content.nbytes} bytes for shape {shape}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def seconds_or_none(value: Any) -> float | None:
    """A finite number of seconds in an answer; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
