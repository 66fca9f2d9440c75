"""`cliplab predict`: videos to predictions, and the segments of one label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.config import check_config
from adapters.errors import ConfigError, describe_failure
from adapters.hosts.results import SHAPES, Shape, to_pipeline
from adapters.inference import MinScore, OnVideoProgress, min_score_of, min_scores_of, open_model, predict_videos
from adapters.records import Segment, VideoResult
from cliplab.library import find_videos
from cliplab.models.source import ModelSource, name_list
from cliplab.outputs import require_new


@dataclass(frozen=True)
class PredictReport:
    """The predictions of every video, in the order of the arguments.

    Attributes:
        results: One per video, also for a video that could not be read.
        top_k: How many labels ``to_json`` writes for each window.
        segments: The segments of the label that was asked for, one tuple per result; None where none was asked for.
        shape: The form of ``to_json``: "rows", or "hf" for that of Hugging Face's video-classification pipeline.
        min_scores: The score from which each label is shown; None shows the ``top_k`` best whatever their score.
    """

    results: tuple[VideoResult, ...]
    top_k: int
    segments: tuple[tuple[Segment, ...], ...] | None = None
    shape: Shape = "rows"
    min_scores: Mapping[str, float] | None = None

    @property
    def failed(self) -> int:
        """How many videos could not be read."""
        return sum(result.error is not None for result in self.results)

    def to_json(self) -> list[Any]:
        """One row per video; in the shape "hf" a list of {"score", "label"} per video, None for one that failed."""
        if self.shape == "hf":
            lists = [None if result.error else to_pipeline(result, self.top_k) for result in self.results]
            return [None if entries is None else self.shown([{**entry} for entry in entries]) for entries in lists]
        rows = [result.to_json(self.top_k) for result in self.results]
        for row in rows if self.min_scores is not None else ():
            for prediction in row["predictions"]:
                prediction["labels"] = self.shown(prediction["labels"])
        for row, found in zip(rows, self.segments or (), strict=False):
            row["segments"] = [asdict(segment) for segment in found]
        return rows

    def shown(self, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The entries whose score reaches their label's least score.

        Args:
            entries: Objects with "label" and "score".
        """
        least = self.min_scores
        return [one for one in entries if least is None or reaches(one["score"], least[one["label"]])]


def reaches(score: float, least: float) -> bool:
    """Whether a score, which was float32, is at least another: 0.7 as float32 reaches 0.7.

    Args:
        score: In 0..1.
        least: In 0..1.
    """
    return bool(np.float32(score) >= np.float32(least))


def predict(
    model: ModelSource,
    videos: Sequence[str | Path],
    *,
    overrides: Mapping[str, Any] | None = None,
    window_seconds: float | None = None,
    stride_seconds: float | None = None,
    top_k: int | None = None,
    segments: str | None = None,
    min_score: MinScore | None = None,
    shape: Shape = "rows",
    output: str | Path | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnVideoProgress | None = None,
) -> PredictReport:
    """Predict videos with a bundle, a self-describing .tflite, a config or a ready config's name.

    A video that cannot be read is a result with an error; the others are predicted.

    Args:
        model: A bundle directory, a .tflite, a config file, a ready config's name, or the config itself.
        videos: Files, folders (every video below them) and glob patterns.
        overrides: Config keys to change.
        window_seconds: Short for this key of overrides: the length of each window.
        stride_seconds: Short for this key of overrides: seconds from one window's start to the next.
        top_k: Short for this key of overrides: how many labels are written for each window.
        segments: A label whose scores become segments, by the config's ``threshold``, ``smoothing_seconds``,
            ``min_segment_seconds`` and ``merge_gap_seconds``; None for no segments.
        min_score: Labels with a lower score are not shown, and segments begin at this score instead of the config's
            ``threshold``: a score in 0..1, or "best" for the threshold of each label that training chose. None: the
            ``top_k`` best labels whatever their score.
        shape: The form of the report's JSON: "rows", or "hf" for that of Hugging Face's video-classification pipeline.
        output: A JSON file to write the report to; None writes nothing.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with the video's path, its seconds done, its length in seconds (None if unknown), videos
            done, and videos in all.

    Returns:
        The predictions of every video.

    Raises:
        ConfigError: A key, label, shape or min_score is wrong, or it is "best" and the model has no chosen thresholds.
        BundleError: The model is missing or damaged.
        WeightsError: Pretrained weights could not be downloaded.
        StorageError: The output exists, or cannot be written.
    """
    require_new(output, force)
    if shape not in SHAPES:
        raise ConfigError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    if shape == "hf" and segments is not None:
        raise ConfigError("segments cannot be written in the shape hf. Use only one of the two options")
    short = {"window_seconds": window_seconds, "stride_seconds": stride_seconds, "top_k": top_k}
    adapter = open_model(
        model, {**(overrides or {}), **{k: v for k, v in short.items() if v is not None}}, trust_adapters
    )
    if segments is not None and segments not in adapter.labels:
        raise ConfigError(
            f"segments: {segments!r} is not a label of this model; its labels: {name_list(adapter.labels)}"
        )
    least = None if min_score is None else min_scores_of(adapter, min_score)
    if min_score is not None and segments is not None:
        threshold = min_score_of(adapter, min_score, segments)
        adapter.config = check_config({**adapter.config, "threshold": threshold})
    results = tuple(predict_videos(adapter, find_videos(videos), on_progress=on_progress))
    found = None
    if segments is not None:
        pairs = [_with_segments(adapter, item, segments) for item in results]
        results, found = tuple(result for result, _ in pairs), tuple(found for _, found in pairs)
    report = PredictReport(results, adapter.config["top_k"], found, shape, least)
    if output is not None:
        from adapters.system import write_json_atomic

        write_json_atomic(output, report.to_json())
    return report


def _with_segments(
    adapter: BaseModelAdapter, result: VideoResult, label: str
) -> tuple[VideoResult, tuple[Segment, ...]]:
    """A result and its segments; where they fail, the reason as its error."""
    try:
        return result, tuple(find_segments(adapter, result, label))
    except Exception as error:
        return VideoResult(result.path, error=describe_failure(result.path, error), warnings=result.warnings), ()


def find_segments(adapter: BaseModelAdapter, result: VideoResult, label: str) -> list[Segment]:
    """The segments of one label in one video's predictions, by the adapter's config.

    Args:
        adapter: The model that predicted; its config's ``threshold``, ``smoothing_seconds``,
            ``min_segment_seconds`` and ``merge_gap_seconds`` apply.
        result: The video's predictions.
        label: One of the model's labels.

    Returns:
        Segments in order of time, in seconds; none for a video without predictions.
    """
    from adapters.inference import scores_to_segments

    if not result.predictions:
        return []
    keys = ("threshold", "smoothing_seconds", "min_segment_seconds", "merge_gap_seconds")
    return scores_to_segments(result.predictions, label, **{key: adapter.config[key] for key in keys})
