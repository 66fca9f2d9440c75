"""Videos to predictions: windows, batches across files, errors per file. Every host and command calls this.

Decoding runs ahead in threads while the model runs (``pipeline``); at most a few batches of clips wait in memory,
however long the videos are. Sources are asked for one after another as they are needed, so that they may be downloads
under way. Results come in the order of the sources.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.base import BaseModelAdapter
from adapters.config import override_config
from adapters.errors import ConfigError, describe_failure
from adapters.inference.clip_faults import RUN_ERRORS, ClipFunction, FailedClip
from adapters.inference.pipeline import read_ahead
from adapters.inference.whole_video import whole_videos
from adapters.records import Clip, InputSpec, Prediction, VideoResult

if TYPE_CHECKING:
    from adapters.data import Example
    from adapters.media import DecoderPool, MediaLimits

# path, seconds of it done, its length in seconds or None where unknown, files done, files in all (as far as known)
OnVideoProgress = Callable[[str, float, float | None, int, int], object]

# Files decoded at the same time: the one whose clips are wanted now and the next, so that a file's end never waits
# for the opening of another. Each decoder uses FFmpeg's own threads besides.
FILES_AHEAD = 2


def predict_videos(
    adapter: BaseModelAdapter,
    sources: Iterable[str | Path],
    *,
    window_seconds: float | None = None,
    stride_seconds: float | None = None,
    on_progress: OnVideoProgress | None = None,
    limits: MediaLimits | None = None,
    decoders: DecoderPool | None = None,
) -> Iterator[VideoResult]:
    """Predict videos: one prediction per window, or one per video without windows.

    A video that cannot be read, or on which the model fails, yields a result with ``error`` and no predictions, and the
    others go on. What the model raises for any clip, also a plain one, is raised. Closing the iterator stops the
    decoding.

    Args:
        adapter: The model.
        sources: Paths, any iterable. It is pulled in another thread, a few files ahead of the model, so it may
            wait for a download while the file before is predicted; what it raises is raised here.
        window_seconds: The length of a window; None keeps the config's.
        stride_seconds: From one window's start to the next one's; None keeps the config's.
        on_progress: Called with path, seconds done, length in seconds (None if unknown), files done, and files in all.
        limits: Limits for videos from untrusted sources; None for none.
        decoders: Processes that decode videos with limits; None: this process decodes.

    Returns:
        An iterator of one result per source, in their order.

    Raises:
        ConfigError: The windows are not allowed.
    """
    spec = input_spec(adapter, window_seconds, stride_seconds)
    if adapter.streams and spec.window_seconds is None:
        from adapters.inference.streams import predict_streams

        return predict_streams(adapter, spec, sources, on_progress, limits, decoders)

    def read(source: str | Path, file: _File) -> Iterator[Clip]:
        from adapters.media import open_limited

        with open_limited(source, limits, decoders) as video:
            file.seconds = video.info.duration_seconds
            try:
                yield from video.clips(spec)
            finally:
                file.warnings = tuple(video.warnings)

    files = (_File(str(source), read=lambda file, source=source: read(source, file)) for source in sources)  # type: ignore[misc]
    count = len(sources) if isinstance(sources, Sized) else None
    # A decoder process decodes ahead by itself. One file at a time, so that none waits for the process of the next.
    at_a_time = FILES_AHEAD if decoders is None else 1
    return whole_videos(adapter, spec, _predict(adapter, files, count, on_progress, at_a_time))


def predict_examples(
    adapter: BaseModelAdapter, examples: Sequence[Example], *, on_progress: OnVideoProgress | None = None
) -> Iterator[VideoResult]:
    """Predict labelled clips, each sampled as training samples it.

    An example that cannot be read yields a result with ``error``, as in ``predict_videos``.

    Args:
        adapter: The model.
        examples: Clips of a dataset.
        on_progress: As in ``predict_videos``.

    Returns:
        An iterator of one result, with one prediction, per example, in their order.
    """
    spec = replace(adapter.input_spec, window_seconds=None, stride_seconds=None)

    def read(example: Example, file: _File) -> Iterator[Clip]:
        from adapters.data import read_example

        # From the video where there is one, as always; a picture has none.
        source = example if example.is_picture else replace(example, frames=None)
        yield read_example(source, spec, example.start_seconds, example.end_seconds)

    files = [_File(str(item.path), read=lambda file, item=item: read(item, file)) for item in examples]  # type: ignore[misc]
    return _predict(adapter, files, len(files), on_progress)


def input_spec(
    adapter: BaseModelAdapter, window_seconds: float | None = None, stride_seconds: float | None = None
) -> InputSpec:
    """The adapter's input spec with other windows, checked as the same keys of its config are.

    Args:
        adapter: The model.
        window_seconds: The length of a window; None keeps the config's.
        stride_seconds: From one window's start to the next one's; None keeps the config's.

    Raises:
        ConfigError: The windows are not allowed.
    """
    windows = {"window_seconds": window_seconds, "stride_seconds": stride_seconds}
    given = {key: value for key, value in windows.items() if value is not None}
    override_config(adapter.config, given, "windows")
    try:
        spec = adapter.input_spec.with_windows(window_seconds, stride_seconds)
    except ValueError as error:  # NaN, which JSON Schema has no word for
        raise ConfigError(f"windows: {error}") from None
    if adapter.streams and window_seconds is not None and spec.fps is not None:  # it takes any number of frames
        return replace(spec, n_frames=max(1, round(window_seconds * spec.fps)))
    return spec


# The pipeline -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _File:
    """One source on its way: how it is read, what came of it so far."""

    path: str
    read: Callable[[_File], Iterator[Clip]]
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    predictions: list[Prediction] = field(default_factory=list)
    error: str | None = None
    open_clips: int = 0
    finished: bool = False

    def clips(self) -> Iterator[Clip]:
        """The clips as they are read. A failure ends them and becomes ``error``, except one of the whole run."""
        try:
            with closing(self.read(self)) as clips:  # type: ignore[type-var] # a generator
                for clip in clips:
                    yield clip
                    if self.error is not None:  # the model fails on it
                        return
        except RUN_ERRORS:
            raise
        except Exception as error:
            self.error = describe_failure(self.path, error)

    def result(self) -> VideoResult:
        if self.error is not None:
            return VideoResult(self.path, error=self.error, warnings=self.warnings)
        return VideoResult(self.path, tuple(self.predictions), warnings=self.warnings)


def _predict(
    adapter: BaseModelAdapter,
    files: Iterable[_File],
    count: int | None,
    on_progress: OnVideoProgress | None,
    at_a_time: int = FILES_AHEAD,
) -> Iterator[VideoResult]:
    """count: how many files there are; None where that shows at the end only."""
    size = max(1, int(adapter.config.get("batch_size", 1)))
    batch: list[tuple[_File, Clip]] = []
    waiting: deque[_File] = deque()
    done = pulled = 0
    report = on_progress or (lambda *_: None)
    # A blocked decoder or source holds nobody up who leaves: it ends by itself once it comes back.
    decoded = read_ahead(
        files,
        _File.clips,
        threads=at_a_time,
        limit=size,
        wait=False,
        name="decode",
        meanwhile=lambda: open_early(adapter),
    )
    with closing(decoded):
        for file, clip in decoded:
            if not waiting or waiting[-1] is not file:
                waiting.append(file)
                pulled += 1
            if clip is not None:
                batch.append((file, clip))
                file.open_clips += 1
                if len(batch) == size:
                    _run(adapter, batch)
                    report(file.path, clip.end, file.seconds, done, count or pulled)
                continue
            file.finished = True
            if file.error is not None:
                # Its clips are dropped: a video is predicted as a whole or reported as failed.
                batch[:] = [entry for entry in batch if entry[0] is not file]
                file.open_clips = 0
            while waiting and waiting[0].finished and not waiting[0].open_clips:
                done += 1
                report(waiting[0].path, waiting[0].seconds or 0.0, waiting[0].seconds, done, count or pulled)
                yield waiting.popleft().result()
    if batch:
        _run(adapter, batch)
    for file in waiting:
        done += 1
        report(file.path, file.seconds or 0.0, file.seconds, done, count or pulled)
        yield file.result()


def open_early(adapter: BaseModelAdapter) -> None:
    """Open what the adapter's first prediction needs, while the first frames are decoded.

    Args:
        adapter: The model. Other faults than those below are left to its first prediction.

    Raises:
        AdapterError: The model cannot predict any video, for example because its head is not trained: one error for
            the run, before a video is decoded, in place of the same one for each video.
    """
    try:
        adapter.prepare()
    except RUN_ERRORS:
        raise
    except Exception:  # the first prediction fails likewise, and finds out whether a clip is to blame
        return


def _run(adapter: BaseModelAdapter, batch: list[tuple[_File, Clip]]) -> None:
    """Predict the batch, hand each file its predictions, and empty the batch."""
    batch[:] = [entry for entry in batch if entry[0].error is None]
    results = ClipFunction(adapter.predict)([clip for _, clip in batch]) if batch else []
    for (file, _), result in zip(batch, results, strict=True):
        file.open_clips -= 1
        if isinstance(result, FailedClip):
            file.error = file.error or result.error
        else:
            file.predictions.append(result)
    batch.clear()
