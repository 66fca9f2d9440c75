"""Files to scores on this machine: decoders in threads, frames of several videos in one batch, results as they come.

This is the seam of a scan's engine: ``score_files`` takes an iterable of jobs, which it pulls as it goes, and gives
each one's scores, in the order in which they are done. Memory is that of a few batches, however many and long the
videos are.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from queue import Empty, Full, Queue

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import MediaError
from adapters.inference import FILE_ERRORS
from adapters.litert import available_cores
from adapters.records import Clip, Float32Array, InputSpec
from cliplab.library import Found, StoredVideo, is_remote, storage
from cliplab.scan.sampling import Sampling, read_rows
from cliplab.scan.store import Scores

# Frames a batch where the model sees frames: enough that all cores work, few enough that a batch takes well under 1 s.
FRAMES_A_BATCH = 32
# What may wait between decoders and model.
WAITING_BYTES = 64 << 20
# Slow videos do not wait for a batch to fill: what is scored is safe.
_PATIENCE_SECONDS = 0.25
_LOOK_SECONDS = 0.1  # how often a decoder that waits asks whether it is to stop


@dataclass(frozen=True)
class Job:
    """A video to score, and the fingerprint of its content."""

    file: Found
    content: bytes


@dataclass(frozen=True)
class Scored:
    """What came of a job. changed: why these are not scores of the job's content (it grew, it has gone), or None."""

    job: Job
    scores: Scores
    changed: str | None = None


@dataclass(eq=False)
class _Reading:
    """A video on its way."""

    job: Job
    duration: float | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    changed: str | None = None
    spans: list[tuple[float, float]] = field(default_factory=list)
    rows: list[Float32Array] = field(default_factory=list)
    open_rows: int = 0

    def result(self) -> Scored:
        if self.error is not None or self.changed is not None:
            return Scored(self.job, Scores(self.duration, None, None, self.error, self.warnings), self.changed)
        spans, rows = np.array(self.spans, np.float64), np.stack(self.rows)
        duration = float(spans[:, 1].max()) if self.duration is None else self.duration
        return Scored(self.job, Scores(duration, spans, rows, None, self.warnings))


# A decoder's message: a clip of a video, or None at its end; or what ended the decoder.
_Message = tuple[_Reading, Clip | None] | BaseException | None


def score_files(
    adapter: BaseModelAdapter, jobs: Iterable[Job], sampling: Sampling, workers: int | None = None
) -> Iterator[Scored]:
    """Each job's scores, as they are done. workers: videos decoded at the same time; None is one a core.

    What is wrong with a file becomes its error; what the model or ``jobs`` raises is raised. Closing the iterator stops
    the decoders. ``jobs`` is pulled by the decoders' threads, one at a time.
    """
    count = workers or available_cores()
    decoders = _Decoders(adapter, iter(jobs), sampling, count)
    size, batch = decoders.batch_size, list[tuple[_Reading, Clip]]()
    reading: list[_Reading] = []  # decoded to their ends
    try:
        for message in decoders.messages():
            if message is None:
                _predict(adapter, batch)
                yield from (done.result() for done in _done(reading))
                continue
            file, clip = message
            if clip is None:
                reading.append(file)
                if file.error or file.changed:
                    batch[:] = [entry for entry in batch if entry[0] is not file]
                    file.open_rows = 0
            else:
                file.open_rows += 1
                batch.append((file, clip))
            if len(batch) >= size:
                _predict(adapter, batch)
            yield from (done.result() for done in _done(reading))
        _predict(adapter, batch)
        yield from (done.result() for done in _done(reading))
    finally:
        decoders.stop()


def score_one(adapter: BaseModelAdapter, job: Job, sampling: Sampling) -> Scored:
    """The same of one job in this thread alone, decoding and inference by turns: for a worker that has one core."""
    size = _batch_size(adapter)
    file, batch = _Reading(job), list[tuple[_Reading, Clip]]()

    def put(message: _Message) -> None:
        assert isinstance(message, tuple)
        assert message[1] is not None
        file.open_rows += 1
        batch.append((file, message[1]))
        if len(batch) >= size:
            try:
                _predict(adapter, batch)
            except FILE_ERRORS as error:  # the model's, not the file's
                raise _ModelError(error) from error

    try:
        _decode(file, adapter.input_spec, sampling, 1, put)
    except _ModelError as stop:
        raise stop.error from None
    if file.error is None and file.changed is None:
        _predict(adapter, batch)
    return file.result()


def decode_files(
    adapter: BaseModelAdapter, jobs: Iterable[Job], sampling: Sampling, workers: int | None = None
) -> Iterator[Clip]:
    """The clips that ``score_files`` would score, without scoring them: what decoding alone costs."""
    decoders = _Decoders(adapter, iter(jobs), sampling, workers or available_cores())
    try:
        for message in decoders.messages():
            if message is not None and message[1] is not None:
                yield message[1]
    finally:
        decoders.stop()


def _done(reading: list[_Reading]) -> list[_Reading]:
    """Those whose scores are all there, taken out of the list."""
    done = [file for file in reading if not file.open_rows]
    reading[:] = [file for file in reading if file.open_rows]
    return done


def _batch_size(adapter: BaseModelAdapter) -> int:
    return FRAMES_A_BATCH if adapter.scores_frames else int(adapter.config.get("batch_size", 1))


def _predict(adapter: BaseModelAdapter, batch: list[tuple[_Reading, Clip]]) -> None:
    if batch:
        predictions = adapter.predict([clip for _, clip in batch])
        for (file, clip), prediction in zip(batch, predictions, strict=True):
            file.spans.append((clip.start, clip.end))
            file.rows.append(prediction.scores)
            file.open_rows -= 1
        batch.clear()


class _Decoders:
    """Threads that pull jobs and decode them into one bounded queue."""

    def __init__(self, adapter: BaseModelAdapter, jobs: Iterator[Job], sampling: Sampling, count: int) -> None:
        self._spec, self._sampling, self._jobs = adapter.input_spec, sampling, jobs
        # One thread a decoder is the least work; only where decoders are fewer than cores they get more.
        self._threads = max(1, available_cores() // count)
        frames = 1 if adapter.scores_frames else self._spec.n_frames
        room = max(2, WAITING_BYTES // (frames * self._spec.height * self._spec.width * 3))
        self.batch_size = max(1, min(_batch_size(adapter), room // 2))
        self._queue: Queue[_Message] = Queue(min(room, 2 * self.batch_size))
        self._stopped, self._pulling = threading.Event(), threading.Lock()
        self._running = count
        names = [f"scan-decode-{number}" for number in range(count)]
        self._pool = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._pool:
            thread.start()

    def messages(self) -> Iterator[tuple[_Reading, Clip | None] | None]:
        """Clips, and None for one at each video's end, until all jobs are done; None where nothing comes for a while.

        Raises what ended a decoder.
        """
        while self._running:
            try:
                message = self._queue.get(timeout=_PATIENCE_SECONDS)
            except Empty:
                yield None
                continue
            if message is None:
                self._running -= 1
            elif isinstance(message, BaseException):
                raise message
            else:
                yield message

    def stop(self) -> None:
        """End the threads, each at its next frame, and wait for them."""
        self._stopped.set()
        for thread in self._pool:
            while thread.is_alive():
                try:
                    self._queue.get_nowait()
                except Empty:
                    thread.join(_LOOK_SECONDS)

    def _work(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                file = _Reading(job)
                _decode(file, self._spec, self._sampling, self._threads, self._put)
                self._put((file, None))
            self._put(None)
        except _StoppedError:
            pass
        except BaseException as error:  # carried to the thread that asked
            self._put_last(error)

    def _next_job(self) -> Job | None:
        with self._pulling:
            if self._stopped.is_set():
                raise _StoppedError
            return next(self._jobs, None)

    def _put(self, message: _Message) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(message, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return
        raise _StoppedError

    def _put_last(self, error: BaseException) -> None:
        with contextlib.suppress(_StoppedError):
            self._put(error)


class _ModelError(Exception):
    """What a model raised while a file was decoded, which is no fault of the file."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _StoppedError(Exception):
    """The scan has ended; a decoder's thread ends too."""


def _decode(file: _Reading, spec: InputSpec, sampling: Sampling, threads: int, put: Callable[[_Message], None]) -> None:
    """Put a video's clips, and note in ``file`` what is wrong with it or that it is no longer the file it was."""
    from adapters.media import open_video

    path = file.job.file.path
    stored = StoredVideo(file.job.file) if is_remote(path) else None
    try:
        with open_video(stored or path, threads=threads) as video:
            file.duration = video.info.duration_seconds
            try:
                rows = 0
                for clip in read_rows(video, spec, sampling):
                    rows += 1
                    put((file, clip))
                if not rows:
                    raise MediaError(f"{path}: has no frame to score.")
            finally:
                file.warnings = tuple(note.removeprefix(f"{path}: ") for note in video.warnings)
    except FILE_ERRORS as error:
        # Without the path: the same content may come to light under another.
        file.error = str(error).removeprefix(f"{path}: ")
    file.changed = what_changed(file.job.file) or (stored.failure if stored else None)
    if stored and file.changed:
        stored.forget()


def what_changed(file: Found) -> str | None:
    """Why a file is no longer the one that was found, or None where it still is."""
    if is_remote(file.path):
        return storage.what_changed(file)
    try:
        now = os.stat(file.path)
    except OSError as error:
        return f"vanished during the scan ({error.strerror}). The next scan looks for it again."
    if now.st_size != file.size_bytes:
        return (
            f"changed during the scan, from {file.size_bytes:,} to {now.st_size:,} bytes: it is still being written. "
            "The next scan takes it."
        )
    if now.st_mtime_ns != file.mtime_ns:
        return "was written to during the scan. The next scan takes it."
    return None
