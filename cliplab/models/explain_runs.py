"""Runs of a model on masked clips: what hiding each stretch of time and each part of the picture does to the score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from adapters.base import BaseModelAdapter, OnProgress
from adapters.inference import map_ahead
from adapters.litert import available_cores
from adapters.records import Clip, Prediction
from cliplab.models import explain_masks as masks
from cliplab.models.explain_report import CurveKind, PictureMask, StretchChange, TimeMask, TimeWay
from cliplab.models.explain_view import ClipView, pixel_box

MOST_CURVE_POINTS = 12
# Clips of this many frames together are masked and predicted at a time, so that memory stays the same for long clips.
FRAMES_AT_A_TIME = 128


class Scorer:
    """Scores clips as ``cliplab predict`` does, and counts how many.

    Attributes:
        runs: How many clips were scored.
    """

    def __init__(self, adapter: BaseModelAdapter, as_streams: bool) -> None:
        """Prepare for a model.

        Args:
            adapter: The model.
            as_streams: Whether a clip is a whole recording that the model follows from its first frame.
        """
        self._adapter, self._as_streams = adapter, as_streams
        self.runs = 0

    def __call__(
        self, clips: Iterable[Clip], on_done: Callable[[int], object] = lambda count: None
    ) -> list[Prediction]:
        """Score clips, a few of them in memory at a time.

        Args:
            clips: All of the same number of frames; made as they are needed.
            on_done: Receives how many more clips are done.
        """
        found: list[Prediction] = []
        for batch in self._batches(iter(clips)):
            found += self._streams(batch) if self._as_streams else self._adapter.predict(batch)
            self.runs += len(batch)
            on_done(len(batch))
        return found

    def _batches(self, clips: Iterator[Clip]) -> Iterator[list[Clip]]:
        for first in clips:
            count = max(available_cores(), FRAMES_AT_A_TIME // len(first.frames))
            yield [first, *islice(clips, count - 1)]

    def _streams(self, batch: list[Clip]) -> list[Prediction]:
        def follow(clip: Clip) -> Prediction:
            frames = zip(clip.times.tolist(), clip.frames, strict=True)
            return self._adapter.predict_stream(frames, clip.source, clip.end)

        cores = available_cores()
        return [result for _, result in map_ahead(batch, follow, threads=cores, ahead=cores, name="explain")]


class LabelRuns:
    """Scores of one label for masked clips, with progress.

    Attributes:
        base: The label's score for the whole clip.
        label: The label.
        total: How many runs there will be in all, for progress.
    """

    def __init__(self, scorer: Scorer, base: float, label: str, on_progress: OnProgress | None) -> None:
        self.base, self.label, self.total = base, label, 1
        self._scorer, self._on_progress = scorer, on_progress

    def __call__(self, clips: Iterable[Clip]) -> list[float]:
        """The label's score for each clip."""
        return [found.score_of(self.label) for found in self._scorer(clips, self._report)]

    def _report(self, count: int) -> None:
        if self._on_progress is not None:
            self._on_progress("explain", self._scorer.runs, self.total)


def run_time_masks(run: LabelRuns, view: ClipView) -> tuple[TimeMask, ...]:
    """Hide each stretch of time in both ways."""
    clip, color, parts = view.clip, view.color, view.stretches
    hidden = [masks.FrameRange(parts[first].first, parts[after - 1].after) for first, after in view.time_spans]
    blank = run(masks.with_blank_time(clip, frames, color) for frames in hidden)
    bridged = run(masks.with_bridged_time(clip, frames) for frames in hidden)
    return tuple(
        TimeMask(*view.seconds(frames), frames.first, frames.after - 1, b, b - run.base, c, c - run.base)
        for frames, b, c in zip(hidden, blank, bridged, strict=True)
    )


def stretch_changes(view: ClipView, found: Sequence[TimeMask], way: TimeWay) -> tuple[StretchChange, ...]:
    """For each stretch the mean change over the masks that hide it, by one way of hiding."""
    changes = [mask.blank_change if way == "blank" else mask.bridge_change for mask in found]
    means = masks.stretch_means(view.time_spans, changes, len(view.stretches))
    return tuple(StretchChange(*view.seconds(frames), mean) for frames, mean in zip(view.stretches, means, strict=True))


def run_picture_masks(run: LabelRuns, view: ClipView, patches: Sequence[masks.Patch]) -> tuple[PictureMask, ...]:
    """Hide each part of the picture."""
    color = view.color
    scores = run(masks.with_blank_part(view.clip, patch.box, color) for patch in patches)
    return tuple(
        PictureMask(pixel_box(patch.box, view.video_size), score, score - run.base)
        for patch, score in zip(patches, scores, strict=True)
    )


def plan_curve(adapter: BaseModelAdapter, base: Prediction, clip: Clip) -> tuple[CurveKind, list[int]]:
    """How the score over time is computed, and for a growing clip after how many frames it is scored."""
    count = len(clip.frames)
    if base.frame_scores is not None and len(base.frame_scores) == count:
        return ("after_each_frame" if adapter.streams else "per_frame"), []
    if count == 1:
        return "growing_clip", []
    points = np.linspace(1, count, min(count, MOST_CURVE_POINTS)).round().astype(int)
    return "growing_clip", points.tolist()[:-1]  # the last is the whole clip


def score_curve(
    run: LabelRuns, base: Prediction, clip: Clip, growing: Sequence[int]
) -> tuple[tuple[float, float], ...]:
    """The score over time, as ``plan_curve`` planned it: (seconds, score)."""
    times = clip.times.tolist()
    if base.frame_scores is not None and len(base.frame_scores) == len(times):
        column = base.frame_scores[:, base.labels.index(run.label)].tolist()
        return tuple(zip(times, column, strict=True))
    scores = run(masks.with_held_end(clip, shown) for shown in growing)
    points = [(times[shown - 1], score) for shown, score in zip(growing, scores, strict=True)]
    return (*points, (times[-1], run.base))
