"""Files to scores on this machine: decoders in threads, frames of several videos in one batch, results as they come.

This is the seam of a scan's engine: ``score_files`` takes an iterable of jobs, which it pulls as it goes, and gives
each one's scores, in the order in which they are done. Memory is that of a few batches, however many and long the
videos are.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, MediaError, describe_failure
from adapters.inference import ClipFunction, FailedClip, open_early, read_as_ready
from adapters.litert import available_cores
from adapters.media import VideoFile
from adapters.records import Clip, Float32Array, InputSpec
from cliplab.library import StoredVideo, is_remote, storage
from cliplab.scan.sampling import Sampling, read_rows
from cliplab.scan.score_rows import Scores

# Frames a batch where the model sees frames: enough that all cores work, few enough that a batch takes well under 1 s.
FRAMES_PER_BATCH = 32
# What may wait between decoders and model.
WAITING_BYTES = 64 << 20
# Slow videos do not wait for a batch to fill: what is scored is safe.
_PATIENCE_SECONDS = 0.25


@dataclass(frozen=True)
class ScoringJob:
    """A video to score.

    Attributes:
        file: The file as it was found.
        content: Fingerprint of its content.
    """

    file: VideoFile
    content: bytes


@dataclass(frozen=True)
class ScoredVideo:
    """The result of a job.

    Attributes:
        job: The job.
        scores: The video's scores, or why it has none.
        changed: Why these are not scores of the job's content (the file grew or vanished); None if they are.
    """

    job: ScoringJob
    scores: Scores
    changed: str | None = None


@dataclass(eq=False)
class _Reading:
    """A video on its way."""

    job: ScoringJob
    duration: float | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    changed: str | None = None
    spans: list[tuple[float, float]] = field(default_factory=list)
    rows: list[Float32Array] = field(default_factory=list)
    open_rows: int = 0

    def fail(self, error: str) -> None:
        """Set the error, without the path: the same content may come to light under another."""
        self.error = self.error or error.removeprefix(f"{self.job.file.path}: ")

    def result(self) -> ScoredVideo:
        if self.error is not None or self.changed is not None:
            return ScoredVideo(self.job, Scores(self.duration, None, None, self.error, self.warnings), self.changed)
        spans, rows = np.array(self.spans, np.float64), np.stack(self.rows)
        duration = float(spans[:, 1].max()) if self.duration is None else self.duration
        return ScoredVideo(self.job, Scores(duration, spans, rows, None, self.warnings))


def score_files(
    adapter: BaseModelAdapter, jobs: Iterable[ScoringJob], sampling: Sampling, workers: int | None = None
) -> Iterator[ScoredVideo]:
    """Score the videos of jobs, in the order in which they are done.

    A fault of a file becomes its result's error, also one of the model on this file alone. What the model raises for
    any clip, and what jobs raises, is raised. Closing the iterator stops the decoders.

    Args:
        adapter: The model.
        jobs: Pulled by the decoders' threads, one at a time.
        sampling: Which moments of each video are scored.
        workers: Videos decoded at the same time; None is one per core.

    Yields:
        One result per job.
    """
    size, decoded = _decoded(adapter, jobs, sampling, workers)
    batch = list[tuple[_Reading, Clip]]()
    reading: list[_Reading] = []  # decoded to their ends
    with closing(decoded):
        for message in decoded:
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


def score_one(adapter: BaseModelAdapter, job: ScoringJob, sampling: Sampling) -> ScoredVideo:
    """Score one video in this thread, decoding and predicting in turns: for a worker that has one core.

    Args:
        adapter: The model.
        job: The video.
        sampling: Which moments are scored.
    """
    size = _batch_size(adapter)
    file, batch = _Reading(job), list[tuple[_Reading, Clip]]()
    for clip in _clips(file, adapter.input_spec, sampling, 1):
        file.open_rows += 1
        batch.append((file, clip))
        if len(batch) >= size:
            _predict(adapter, batch)
    if file.error is None and file.changed is None:
        _predict(adapter, batch)
    return file.result()


def decode_files(
    adapter: BaseModelAdapter, jobs: Iterable[ScoringJob], sampling: Sampling, workers: int | None = None
) -> Iterator[Clip]:
    """The clips that ``score_files`` would score, without scoring them, to measure the cost of decoding.

    Args:
        adapter: The model.
        jobs: The videos.
        sampling: Which moments of each video are decoded.
        workers: Videos decoded at the same time; None is one per core.

    Yields:
        Clips of all videos, in the order in which they are decoded.
    """
    _, decoded = _decoded(adapter, jobs, sampling, workers)
    with closing(decoded):
        for message in decoded:
            if message is not None and message[1] is not None:
                yield message[1]


def _decoded(
    adapter: BaseModelAdapter, jobs: Iterable[ScoringJob], sampling: Sampling, workers: int | None
) -> tuple[int, Generator[tuple[_Reading, Clip | None] | None, None, None]]:
    """Clips in a batch, and the clips of all jobs as they are decoded, with None for a clip where a video ends.

    The second one yields None where nothing has come for a while.
    """
    spec, count = adapter.input_spec, workers or available_cores()
    # One thread a decoder is the least work; only where decoders are fewer than cores they get more.
    threads = max(1, available_cores() // count)
    frames = 1 if adapter.scores_frames else spec.n_frames
    room = max(2, WAITING_BYTES // (frames * spec.height * spec.width * 3))
    size = max(1, min(_batch_size(adapter), room // 2))
    return size, read_as_ready(
        map(_Reading, jobs),
        lambda file: _clips(file, spec, sampling, threads),
        threads=count,
        limit=min(room, 2 * size),
        patience_seconds=_PATIENCE_SECONDS,
        name="scan-decode",
        meanwhile=lambda: open_early(adapter),
    )


def _done(reading: list[_Reading]) -> list[_Reading]:
    """Those whose scores are all there, taken out of the list."""
    done = [file for file in reading if not file.open_rows]
    reading[:] = [file for file in reading if file.open_rows]
    return done


def _batch_size(adapter: BaseModelAdapter) -> int:
    return FRAMES_PER_BATCH if adapter.scores_frames else int(adapter.config.get("batch_size", 1))


def _predict(adapter: BaseModelAdapter, batch: list[tuple[_Reading, Clip]]) -> None:
    batch[:] = [entry for entry in batch if entry[0].error is None]
    if batch:
        results = ClipFunction(adapter.predict)([clip for _, clip in batch])
        for (file, clip), result in zip(batch, results, strict=True):
            file.open_rows -= 1
            if isinstance(result, FailedClip):
                file.fail(result.error)
            else:
                file.spans.append((clip.start, clip.end))
                file.rows.append(result.scores)
        batch.clear()


def _clips(file: _Reading, spec: InputSpec, sampling: Sampling, threads: int) -> Iterator[Clip]:
    """A video's clips; notes in ``file`` what is wrong with it, or that it is no longer the file that was found."""
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
                    yield clip
                    if file.error is not None:  # the model fails on it
                        return
                if not rows:
                    raise MediaError(f"{path}: contains no frame to score.")
            finally:
                file.warnings = tuple(note.removeprefix(f"{path}: ") for note in video.warnings)
    except ConfigError:  # of the run
        raise
    except Exception as error:
        file.fail(describe_failure(path, error))
    file.changed = what_changed(file.job.file) or (stored.failure if stored else None)
    if stored and file.changed:
        stored.forget()


def what_changed(file: VideoFile) -> str | None:
    """Why a file is not the one that was found any more; None if it is.

    Args:
        file: The file as it was found.
    """
    if is_remote(file.path):
        return storage.what_changed(file)
    try:
        now = os.stat(file.path)
    except OSError as error:
        return f"was removed during the scan ({error.strerror}). The next scan looks for it again."
    if now.st_size != file.size_bytes:
        return (
            f"changed during the scan, from {file.size_bytes:,} to {now.st_size:,} bytes: it is still being written. "
            "The next scan includes it."
        )
    if now.st_mtime_ns != file.mtime_ns:
        return "was modified during the scan. The next scan includes it."
    return None
