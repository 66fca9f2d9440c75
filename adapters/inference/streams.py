"""Recorded videos through a model that streams: every frame at the model's rate, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import AdapterError, describe_failure
from adapters.inference.clip_faults import RUN_ERRORS
from adapters.inference.pipeline import map_ahead
from adapters.litert import available_cores
from adapters.records import InputSpec, VideoResult

if TYPE_CHECKING:
    from adapters.media import DecoderPool, MediaLimits


def predict_streams(
    adapter: BaseModelAdapter,
    spec: InputSpec,
    sources: Iterable[str | Path],
    on_done: Callable[[str, float, float | None, int, int], object] | None,
    limits: MediaLimits | None = None,
    decoders: DecoderPool | None = None,
) -> Iterator[VideoResult]:
    """Predict recorded videos with a model that streams; several videos at once, one per core.

    Args:
        adapter: A model that streams.
        spec: The size and aspect of frames.
        sources: Paths, pulled as they are needed, at most two per core ahead.
        on_done: Called after each video, as ``on_progress`` of ``predict_videos``.
        limits: Limits for videos from untrusted sources; None for none.
        decoders: Processes that decode them; None: this one.

    Yields:
        One result, with one prediction, per source, in their order.
    """
    cores = available_cores()
    count = len(sources) if isinstance(sources, Sized) else None
    pulled = 0

    def counted() -> Iterator[str | Path]:
        nonlocal pulled
        for source in sources:
            pulled += 1
            yield source

    def predict(source: str | Path) -> VideoResult:
        return _predict_one(adapter, spec, source, limits, decoders)

    results = map_ahead(counted(), predict, threads=cores, ahead=2 * cores, name="stream")
    with closing(results):
        for done, (_, result) in enumerate(results, 1):
            if on_done is not None:
                end = result.predictions[-1].end if result.predictions else 0.0
                on_done(result.path, end, end, done, count or pulled)
            yield result


def _predict_one(
    adapter: BaseModelAdapter,
    spec: InputSpec,
    source: str | Path,
    limits: MediaLimits | None,
    decoders: DecoderPool | None,
) -> VideoResult:
    from adapters.media import open_limited

    try:
        with open_limited(source, limits, decoders) as video:
            frames = video.frames(height=spec.height, width=spec.width, aspect=spec.aspect, fps=adapter.fps)
            prediction = adapter.predict_stream(frames, str(source), video.info.duration_seconds)
            return VideoResult(str(source), (prediction,), None, tuple(video.warnings))
    except RUN_ERRORS:
        raise
    except Exception as error:
        if not isinstance(error, (AdapterError, OSError)) and not _works(adapter, spec):
            raise
        return VideoResult(str(source), (), describe_failure(source, error))


def _works(adapter: BaseModelAdapter, spec: InputSpec) -> bool:
    """Whether the model predicts a plain gray frame: if not, what it raised is not the video's fault."""
    frame = np.full((spec.height, spec.width, 3), 128, np.uint8)
    try:
        adapter.predict_stream(iter([(0.0, frame)]), "a plain frame", 1.0)
    except Exception:
        return False
    return True
