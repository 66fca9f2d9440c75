"""The process that decodes videos from someone unknown for a host: ``DecoderPool`` starts it and speaks with it.

It reads commands from its standard input and writes frames to its standard output. It ends when its input does, that
is, also when the host was killed. On Linux its memory and processor time are limited, and it can write no file;
elsewhere the host still limits the time.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from queue import SimpleQueue
from typing import Any

import numpy as np

from adapters.errors import AdapterError, ConfigError
from adapters.media.decoder_messages import MAX_HEAD_BYTES, read_message, write_message
from adapters.media.opening import MediaLimits
from adapters.media.preprocess import decode_picture
from adapters.media.sound_peaks import sound_peaks
from adapters.media.video import Video, open_video
from adapters.records import Clip, InputSpec, UInt8Array

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# What the host receives of a video that was opened.
SENT_PROPERTIES = (
    "duration_seconds",
    "width",
    "height",
    "fps",
    "has_audio",
    "codec",
    "start_seconds",
    "container_start_seconds",
)
# How the decoder reports an allocation that FFmpeg could not make.
_NO_MEMORY = "annot allocate memory"
# Each thread holds frames of its own; FFmpeg's choice, up to 16, would need twice the memory. None: FFmpeg's choice.
_THREADS = 4 if (os.cpu_count() or 1) > 3 else None


class _Process:
    """The loop over commands, and the thread that listens meanwhile."""

    def __init__(self, commands: FileIO, answers: FileIO, memory_bytes: int, processor_seconds: float) -> None:
        self._in, self._out = commands, answers
        self._memory_bytes, self._processor_seconds = memory_bytes, processor_seconds
        self._queue: SimpleQueue[tuple[dict[str, Any], memoryview]] = SimpleQueue()
        self._cancelled = 0  # commands up to this number are no longer wanted
        self._number = 0
        self._base_bytes = _data_bytes()

    def run(self) -> None:
        """Answer commands until the input ends."""
        threading.Thread(target=self._listen, daemon=True).start()
        _limit_memory(self._base_bytes + self._memory_bytes)
        write_message(self._out, {"ready": True})
        while True:
            head, data = self._queue.get()
            self._answer(head, data)

    def _listen(self) -> None:
        """Receive commands, also while a video is decoded; the end of the input ends the process."""
        with suppress(EOFError, OSError, ValueError):
            while True:
                head, data = read_message(self._in, self._memory_bytes)
                if "cancel" in head:
                    self._cancelled = max(self._cancelled, int(head["cancel"]))
                self._queue.put((head, data))
        os._exit(0)

    def _stop_reason(self) -> str | None:
        return "is no longer needed." if self._cancelled >= self._number else None

    def _answer(self, head: dict[str, Any], data: memoryview) -> None:
        if head.get("do") not in ("picture", "open"):
            return  # a cancel that came after the end
        self._number = int(head["number"])
        _limit_processor(self._processor_seconds)
        warnings: tuple[str, ...] = ()
        error: dict[str, str] | None = None
        try:
            if head["do"] == "picture":
                self._send_picture(data)
            else:
                warnings = self._send_video(head)
        except MemoryError:
            error = {"kind": "memory", "text": ""}
        except _VideoError as failed:
            warnings, error = failed.warnings, failed.error
        if any(_NO_MEMORY in text for text in warnings) or (error and _NO_MEMORY in error["text"]):
            error = {"kind": "memory", "text": ""}
        # Memory that an earlier video left taken would count against later ones.
        worn = _data_bytes() - self._base_bytes > self._memory_bytes // 4 or bool(error and error["kind"] == "memory")
        ending = {"done": True, "error": error, "warnings": _shortened(warnings), "worn": worn}
        write_message(self._out, ending)

    def _send_picture(self, data: memoryview) -> None:
        picture = decode_picture(bytes(data))
        if picture is None:
            raise _VideoError({"kind": "media", "text": "does not decode"}, ())
        write_message(self._out, {"shape": list(picture.shape)}, _bytes_of(picture))

    def _send_video(self, head: dict[str, Any]) -> tuple[str, ...]:
        """Open the video, send its length, and send what the next command asks for. Returns the video's warnings."""
        warnings: tuple[str, ...] = ()
        limits = MediaLimits(head["frame_pixels"], stop=self._stop_reason, windows=head["windows"])
        try:
            with open_video(head["path"], limits=limits, threads=_THREADS) as video:
                write_message(self._out, {name: getattr(video.info, name) for name in SENT_PROPERTIES})
                wanted, _ = self._queue.get()
                try:
                    for item, *arrays in _read(video, wanted, lambda: limits.check_stop(head["path"])):
                        write_message(self._out, item, *arrays)
                finally:
                    warnings = tuple(video.warnings)
        except (AdapterError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            if isinstance(error.__cause__, MemoryError):
                raise MemoryError from None
            raise _VideoError({"kind": _kind(error), "text": str(error)}, warnings) from None
        except MemoryError:
            raise
        except Exception as error:  # a fault of a decoder, which is this file's and not the host's
            text = f"{head['path']}: cannot be decoded ({type(error).__name__}: {error})."
            raise _VideoError({"kind": "media", "text": text}, warnings) from None
        return warnings


class _VideoError(Exception):
    """An error of one video, as the host receives it."""

    def __init__(self, error: dict[str, str], warnings: tuple[str, ...]) -> None:
        super().__init__(error["text"])
        self.error, self.warnings = error, warnings


def _kind(error: Exception) -> str:
    return "config" if isinstance(error, ConfigError) else "media"


def _shortened(warnings: tuple[str, ...]) -> list[str]:
    """Warnings that fit into a message."""
    return [text[:2000] for text in warnings[: MAX_HEAD_BYTES // 20_000]]


def _read(video: Video, wanted: dict[str, Any], check_stop: Callable[[], None]) -> Iterator[tuple[Any, ...]]:
    """What a command asks of an open video: each item's head and arrays."""
    if wanted.get("do") == "clips":
        for clip in video.clips(spec_from_json(wanted["spec"])):
            yield _clip_message(clip)
    elif wanted.get("do") == "clip":
        yield _clip_message(video.clip(spec_from_json(wanted["spec"]), wanted["start"], wanted["end"]))
    elif wanted.get("do") == "times":
        times = video.frame_times(wanted["start"], wanted["end"])
        yield {"shape": list(times.shape)}, times.data
    elif wanted.get("do") == "peaks":
        info = video.info
        duration = info.duration_seconds or 0.0
        peaks = sound_peaks(info.path, info.start_seconds, duration, wanted["per_second"], check_stop)
        yield {"sound": peaks is not None}, memoryview(b"" if peaks is None else peaks.tobytes())
    elif wanted.get("do") == "frames":
        size = {key: wanted[key] for key in ("height", "width", "aspect", "fps", "start_seconds", "end_seconds")}
        for seconds, picture in video.frames(**size):
            yield {"seconds": seconds, "shape": list(picture.shape)}, _bytes_of(picture)


def _clip_message(clip: Clip) -> tuple[Any, ...]:
    head = {"start": clip.start, "end": clip.end, "shape": list(clip.frames.shape)}
    return head, np.ascontiguousarray(clip.times, np.float64).data, _bytes_of(clip.frames)


def _bytes_of(frames: UInt8Array) -> memoryview:
    return np.ascontiguousarray(frames).data


def spec_from_json(value: dict[str, Any]) -> InputSpec:
    """An input spec from what ``dataclasses.asdict`` made of it."""
    return InputSpec(**{**value, "parts": tuple(spec_from_json(part) for part in value["parts"])})


# Limits of the operating system -------------------------------------------------------------------------------------


def _data_bytes() -> int:
    """The private writable memory of this process, which RLIMIT_DATA limits; 0 where it is not known."""
    with suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)
    return 0


def _limit_memory(total_bytes: int) -> None:
    """Limit this process's memory, and forbid files and core dumps."""
    if resource is None:
        return
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)]
    if sys.platform == "linux":  # of other systems' limits none counts what malloc maps
        limits.append((resource.RLIMIT_DATA, total_bytes))
    for which, value in limits:
        with suppress(OSError, ValueError):
            resource.setrlimit(which, (value, value))


def _limit_processor(seconds: float) -> None:
    """Let the system end this process after so much more processor time, as a host that was killed cannot."""
    if resource is None:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main(memory_bytes: int, processor_seconds: float) -> None:
    """Answer the host's commands until it closes the pipe.

    Args:
        memory_bytes: Memory that decoding may use, on top of what the process uses at its start.
        processor_seconds: Processor time for one video.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which ends this process
    answers = FileIO(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    with suppress(BrokenPipeError):
        _Process(FileIO(0, "rb", closefd=False), answers, memory_bytes, processor_seconds).run()
