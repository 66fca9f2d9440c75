"""Hard examples from videos: what a model is unsure of, without near-duplicates and differing from each other."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import BaseModelAdapter
from adapters.errors import AdapterError, ConfigError, MediaError
from adapters.inference import OnVideoProgress, open_model, predict_videos
from adapters.inference import input_spec as windows_of
from adapters.media import UnreadablePath, is_live, read_clip
from adapters.records import Clip, Prediction
from cliplab.library import walk
from cliplab.rollout.collecting_live import LiveChoice, OnNote, live_clips
from cliplab.rollout.example_queue import ALIKE, MAX_BYTES, ExampleQueue, sampled, uncertain

FloatArray = npt.NDArray[np.float64]
# Candidates that are looked at for the choice; more would need more memory than they are worth.
_MOST_CANDIDATES = 5_000


@dataclass(frozen=True)
class CollectReport:
    """What was collected.

    Attributes:
        output: The folder of examples.
        videos: How many videos were read.
        predictions: How many predictions were made.
        uncertain: How many of them had a confidence between the limits.
        sampled: How many of those the sample rate kept.
        alike: How many were left out as nearly the same as another, of this call or already in the folder.
        kept: How many examples were written.
        failed: A sentence for each video that could not be read.
    """

    output: str
    videos: int
    predictions: int
    uncertain: int
    sampled: int
    alike: int
    kept: int
    failed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def active_collect(
    source: str | Path,
    model: str | Path,
    output: str | Path,
    *,
    min_confidence: float = 0.4,
    max_confidence: float = 0.6,
    sample_rate: float = 0.1,
    limit: int = 200,
    label: str | None = None,
    window_seconds: float | None = None,
    max_bytes: int = MAX_BYTES,
    trust_adapters: Sequence[str] = (),
    predictions: Iterable[Prediction] | None = None,
    seconds: float | None = None,
    on_progress: OnVideoProgress | None = None,
    on_note: OnNote | None = None,
) -> CollectReport:
    """Keep the examples of videos that are most worth a label, as pictures or short videos that the studio opens.

    Run again with the same folder, it adds what is new.

    Args:
        source: A video, a folder of videos, or the name of what ``predictions`` come from; or a live source: ``-`` for
            stdin, a device or a URL, whose examples are written as they come.
        model: A saved model.
        output: The folder of examples; see ``ExampleQueue``.
        min_confidence: The lowest confidence of a hard example: the highest score, or that of ``label``.
        max_confidence: The highest.
        sample_rate: The share of hard examples to consider, in 0..1, chosen by name and time.
        limit: Maximum number of examples for this call.
        label: Whose score is the confidence; None takes the highest score.
        window_seconds: The length of each example; None takes the model's windows, otherwise 2 s.
        max_bytes: How much the folder may take.
        trust_adapters: Adapters of other packages that the model may name.
        predictions: Predictions of the model that were made before, such as ``cliplab.scan.stored_predictions``; None
            predicts on the videos of ``source``.
        seconds: How much of a live source is read; None for all of it.
        on_progress: Called for each video.
        on_note: Called with a sentence about damage and stalls of a live source.

    Raises:
        ConfigError: A limit is out of range, or the model does not know the label.
        MediaError: The source does not exist, or a live one cannot be opened.
        StorageError: The folder cannot be written.
    """
    uncertain([], min_confidence, max_confidence)
    sampled("", sample_rate)
    if limit < 1:
        raise ConfigError(f"--limit must be at least 1, got {limit}")
    live = predictions is None and is_live(str(source))
    if predictions is None and not live and not Path(source).exists():
        raise MediaError(f"{source}: no such file or folder (looked from {Path.cwd()}). Check the path.")
    adapter = open_model(str(model), trust_adapters=trust_adapters)
    spec = adapter.input_spec
    if window_seconds is None and spec.window_seconds is None:
        window_seconds = 2.0
    if seconds is not None and not live:
        raise ConfigError(f"--seconds is for a live source (a camera, a URL or -), and {source} is not one")
    rules = _Rules(min_confidence, max_confidence, sample_rate, label)
    if live:
        choice = LiveChoice(ExampleQueue(Path(output), max_bytes=max_bytes), limit)
        return _collect_live(adapter, str(source), str(model), rules, choice, window_seconds, seconds, on_note)
    failed: list[str] = []
    if predictions is None:
        predictions = _predicted(adapter, source, window_seconds, failed, on_progress)
    counts = {"predictions": 0, "uncertain": 0}
    videos: set[str] = set()
    found: list[Prediction] = []
    for prediction in predictions:
        videos.add(prediction.source)
        counts["predictions"] += 1
        if rules.hard(prediction):
            counts["uncertain"] += 1
            if rules.chosen(prediction):
                found.append(prediction)
    found = found[:_MOST_CANDIDATES]
    readable, rows, problems = _embedded(adapter, found, window_seconds)
    failed += problems
    chosen = diverse(rows, limit)
    queue = ExampleQueue(Path(output), max_bytes=max_bytes)
    kept = 0
    for place in chosen:
        prediction = readable[place]
        clip = read_clip(prediction.source, _spec(adapter, window_seconds), prediction.start, prediction.end)
        data, suffix = encoded(clip)
        kept += queue.put(data, suffix, _facts(prediction, label, str(model)), rows[place])
    duplicates = len(rows) - len(chosen) if len(chosen) < limit else 0
    sizes = {"sampled": len(found), "alike": duplicates + len(chosen) - kept, "kept": kept}
    return CollectReport(str(output), len(videos), **counts, **sizes, failed=tuple(failed))


@dataclass(frozen=True)
class _Rules:
    """Which predictions are hard examples."""

    min_confidence: float
    max_confidence: float
    sample_rate: float
    label: str | None

    def hard(self, prediction: Prediction) -> bool:
        """Whether its confidence lies between the limits."""
        place = _place(prediction, self.label)
        return uncertain(prediction.scores, self.min_confidence, self.max_confidence, place)

    def chosen(self, prediction: Prediction) -> bool:
        """Whether chance chooses it."""
        return sampled(f"{Path(prediction.source).name}:{prediction.start:.3f}", self.sample_rate)


def _collect_live(
    adapter: BaseModelAdapter,
    source: str,
    model: str,
    rules: _Rules,
    choice: LiveChoice,
    window_seconds: float | None,
    seconds: float | None,
    on_note: OnNote | None,
) -> CollectReport:
    """Follow a live source; an example is on the disk before the next window is looked at."""
    predictions, hard, chosen = 0, 0, 0
    # Chance by the time in the source alone would choose the same windows of each day.
    began = f"{time.time():.0f}"
    spec = _spec(adapter, window_seconds)
    if spec.window_seconds is None:
        spec = spec.with_windows(spec.n_frames / spec.fps if spec.fps else 2.0, None)
    for clip in live_clips(source, spec, seconds, on_note or (lambda text: None)):
        [prediction] = adapter.predict([clip])
        prediction = replace(prediction, source=prediction.source or source)
        predictions += 1
        if not rules.hard(prediction):
            continue
        hard += 1
        if not rules.chosen(replace(prediction, source=f"{began}-{Path(source).name}")):
            continue
        chosen += 1
        row = np.asarray(adapter.embed([clip])[0], np.float64)
        choice.offer(row, _facts(prediction, rules.label, model), partial(encoded, clip))
    return CollectReport(str(choice.queue.folder), 1, predictions, hard, chosen, choice.alike, choice.kept)


def diverse(rows: FloatArray, limit: int) -> list[int]:
    """Rows that differ most from each other: greedy k-centre, without near-duplicates.

    Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 1985; Sener and
    Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018.

    Args:
        rows: float64 [N, D].
        limit: Maximum number of rows.

    Returns:
        Their places, the first one nearest to the middle of all.
    """
    if not len(rows):
        return []
    values = np.nan_to_num(rows)
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    chosen = [int(np.argmax(unit @ unit.mean(axis=0)))]
    likeness = unit @ unit[chosen[0]]
    while len(chosen) < min(limit, len(rows)):
        farthest = int(np.argmin(likeness))
        if likeness[farthest] >= ALIKE:
            break
        chosen.append(farthest)
        likeness = np.maximum(likeness, unit @ unit[farthest])
    return chosen


def encoded(clip: Clip) -> tuple[bytes, str]:
    """A clip as a JPEG where it is one frame, otherwise as an MP4 that browsers play.

    Args:
        clip: The clip.

    Returns:
        Its bytes and the suffix of its file.
    """
    import av
    import cv2

    if len(clip.frames) == 1:
        done, data = cv2.imencode(".jpg", cv2.cvtColor(clip.frames[0], cv2.COLOR_RGB2BGR))
        if not done:
            raise MediaError(f"{clip.source}: the frame at {clip.start:.2f} s cannot be written as a JPEG")
        return bytes(data), ".jpg"
    target = io.BytesIO()
    height, width = (size - size % 2 for size in clip.frames.shape[1:3])
    rate = Fraction(max(1, round(len(clip.frames) / max(clip.end - clip.start, 1e-3))))
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels in clip.frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target.getvalue(), ".mp4"


def _predicted(
    adapter: BaseModelAdapter,
    source: str | Path,
    window_seconds: float | None,
    failed: list[str],
    on_progress: OnVideoProgress | None,
) -> Iterator[Prediction]:
    """Predictions on the videos of a source; what cannot be read is added to ``failed``."""
    paths, unreadable = _videos(source)
    failed += unreadable
    for result in predict_videos(adapter, paths, window_seconds=window_seconds, on_progress=on_progress):
        if result.error is not None:
            failed.append(result.error)
        for prediction in result.predictions:
            yield prediction if prediction.source else replace(prediction, source=result.path)


def _videos(source: str | Path) -> tuple[list[str], list[str]]:
    if Path(source).is_file():
        return [str(source)], []
    paths, failed = [], []
    for item in walk(str(source)):
        if isinstance(item, UnreadablePath):
            failed.append(f"{item.path}: {item.error}")
        else:
            paths.append(str(item.path))
    return paths, failed


def _spec(adapter: BaseModelAdapter, window_seconds: float | None) -> Any:
    return windows_of(adapter, window_seconds, None)


def _embedded(
    adapter: BaseModelAdapter, found: list[Prediction], window_seconds: float | None
) -> tuple[list[Prediction], FloatArray, list[str]]:
    """Predictions with the embeddings of their clips, and what could not be read again."""
    kept: list[Prediction] = []
    rows: list[FloatArray] = []
    problems = []
    spec = _spec(adapter, window_seconds)
    for prediction in found:
        try:
            clip = read_clip(prediction.source, spec, prediction.start, prediction.end)
            rows.append(np.asarray(adapter.embed([clip])[0], np.float64))
            kept.append(prediction)
        except AdapterError as error:
            problems.append(str(error))
    return kept, np.array(rows) if rows else np.zeros((0, 1)), problems


def _place(prediction: Prediction, label: str | None) -> int | None:
    if label is None:
        return None
    if label not in prediction.labels:
        raise ConfigError(f"--label must be one of {', '.join(map(repr, prediction.labels[:20]))}, got {label!r}")
    return prediction.labels.index(label)


def _facts(prediction: Prediction, label: str | None, model: str) -> dict[str, Any]:
    order: Iterator[int] = iter(np.argsort(-prediction.scores)[:20].tolist())
    positive = _place(prediction, label)
    confidence = float(prediction.scores.max() if positive is None else prediction.scores[positive])
    return {
        "source": Path(prediction.source).name,
        "start": prediction.start,
        "end": prediction.end,
        "model": Path(model).name,
        "scores": {prediction.labels[place]: round(float(prediction.scores[place]), 5) for place in order},
        "confidence": round(confidence, 5),
        "uncertainty": round(1.0 - 2.0 * abs(confidence - 0.5), 5),
    }
