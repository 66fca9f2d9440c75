"""Follow a source with a stream model: rows as they come, from a file, a camera, a URL or a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError, ConfigError, MediaError, describe_failure
from adapters.inference import MinScore, min_scores_of, open_model, read_ahead
from adapters.protocols import OpenStream
from adapters.records import Prediction
from cliplab.models.prediction import reaches

if TYPE_CHECKING:
    from adapters.records import InputSpec

Row = dict[str, Any]
FRAMES_AHEAD = 8  # of a file, scaled: enough to bridge a key frame, and below 3 MB at 320 pixels
OnNote = Callable[[str], object]


def stream(
    model: str | Path | Mapping[str, Any],
    source: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    fps: float | None = None,
    memory_seconds: float | None = None,
    every: float | None = None,
    top_k: int | None = None,
    min_score: MinScore | None = None,
    trust_adapters: Sequence[str] = (),
    on_note: OnNote | None = None,
) -> Iterator[Row]:
    """Follow a source with a model that streams, and return its running prediction row by row.

    Stalls, damage, changes of size and resets do not end the stream.

    Args:
        model: A bundle, a self-describing .tflite or a config of a model that streams.
        source: A video file, a device such as /dev/video0, a URL that FFmpeg opens, or ``-`` for stdin.
        overrides: Config keys to change.
        fps: Frames per second that the model consumes; None is its config's rate.
        memory_seconds: Short for this key of overrides: how much of the past counts.
        every: Seconds from one row to the next; None is one row per consumed frame.
        top_k: Short for this key of overrides: how many labels a row has.
        min_score: Labels with a lower score are left out of the rows: a score in 0..1, or "best" for the threshold of
            each label that training chose; None: the ``top_k`` best whatever their score.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_note: Called with a sentence for each stall, damage, change of size and reset.

    Returns:
        An iterator over rows ``{"time": seconds, "labels": [{"label": ..., "score": ...}, ...]}``. The last row is the
        prediction after the whole source.

    Raises:
        ConfigError: A key or min_score is wrong, the model does not stream, or it has no chosen thresholds.
        BundleError: The model is missing or damaged.
        MediaError: The source cannot be opened, or, while iterating, contains no video.
    """
    if every is not None and not every > 0:
        raise ConfigError(
            f"every is {every!r}; it must be a number of seconds above 0, or be omitted for one row per frame"
        )
    short = {"memory_seconds": memory_seconds, "top_k": top_k}
    adapter = open_model(
        model, {**(overrides or {}), **{k: v for k, v in short.items() if v is not None}}, trust_adapters
    )
    least = None if min_score is None else min_scores_of(adapter, min_score)
    session = adapter.open_stream(fps, source=str(source), on_note=on_note)
    frames = _frames(str(source), adapter.input_spec, session.fps, on_note or (lambda text: None))
    return _rows(partial(_pushed, session, str(source)), frames, every, adapter.config["top_k"], least)


def _rows(
    push: Callable[[Any, float], Prediction],
    frames: Iterator[tuple[float, Any]],
    every: float | None,
    top_k: int,
    least: Mapping[str, float] | None,
) -> Iterator[Row]:
    due, last, written = 0.0, None, None
    with closing(frames):  # type: ignore[type-var] # both are generators
        for seconds, picture in frames:
            prediction = push(picture, seconds)
            if prediction is last:
                continue
            last = prediction
            if every is None or seconds >= due - 1e-6 or seconds < due - every:
                written, due = last, seconds + (every or 0.0)
                yield _row(last, top_k, least)
    if last is not None and last is not written:
        yield _row(last, top_k, least)


def _pushed(session: OpenStream, source: str, picture: Any, seconds: float) -> Prediction:
    """The prediction after a frame. Whatever the frame raises is the source's error, with its name."""
    try:
        return session.push(picture, seconds)
    except AdapterError:
        raise
    except Exception as error:
        raise MediaError(describe_failure(source, error)) from error


def _row(prediction: Prediction, top_k: int, least: Mapping[str, float] | None) -> Row:
    labels = [item for item in prediction.top_k(top_k) if least is None or reaches(item.score, least[item.label])]
    return {"time": round(prediction.end, 3), "labels": [asdict(item) for item in labels]}


def _frames(source: str, spec: InputSpec, fps: float, on_note: OnNote) -> Iterator[tuple[float, Any]]:
    """(seconds, a frame or a function that gives it), opened now and read while iterated."""
    from adapters.media import LiveVideo, is_live

    if is_live(source):
        return _live_frames(LiveVideo(source, spec, on_note))
    from adapters.media import open_video, require_footage

    video = open_video(source)
    if os.path.isfile(source):
        require_footage(source, video.info.duration_seconds or 0.0)
    return _file_frames(video, spec, fps, source, on_note)


def _live_frames(video: Any) -> Iterator[tuple[float, Any]]:
    with video:
        yield from video


def _file_frames(video: Any, spec: InputSpec, fps: float, source: str, on_note: OnNote) -> Iterator[tuple[float, Any]]:
    """The frame that is shown at each tick, as ``cliplab predict`` takes them, decoded ahead in a thread."""

    def read(opened: Any) -> Iterator[tuple[float, Any]]:
        frames: Iterator[tuple[float, Any]] = opened.frames(
            height=spec.height, width=spec.width, aspect=spec.aspect, fps=fps
        )
        return frames

    with video, closing(read_ahead([video], read, threads=1, limit=FRAMES_AHEAD, name="stream-decode")) as frames:
        for _, frame in frames:
            if frame is not None:
                yield frame
        for warning in video.warnings:
            on_note(f"{source}: {warning}")
