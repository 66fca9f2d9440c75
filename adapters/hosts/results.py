"""Shapes of results that hosts share."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict, get_args

import numpy as np

from adapters.choices import ResultShape
from adapters.errors import MediaError
from adapters.records import VideoResult

Shape = ResultShape
SHAPES: tuple[Shape, ...] = get_args(Shape)


class PipelineRow(TypedDict):
    """One class, with the keys of Hugging Face's pipelines.

    Attributes:
        score: Score from 0 to 1.
        label: Name of the class.
    """

    score: float
    label: str


def to_pipeline(result: VideoResult, top_k: int) -> list[PipelineRow]:
    """Convert a video's result to the shape of Hugging Face's video-classification pipeline.

    The pipeline returns one list per video, so the scores of several windows are averaged.

    Args:
        result: Result of the video.
        top_k: Number of classes.

    Returns:
        The best classes, best first.

    Raises:
        MediaError: The video could not be read or has no prediction, since the shape has no place for an error.
    """
    if result.error is not None:
        raise MediaError(result.error)
    if not result.predictions:
        raise MediaError(f"{result.path}: gave no prediction, so there is nothing to list. Use a longer range")
    scores = [prediction.scores for prediction in result.predictions]
    mean = scores[0] if len(scores) == 1 else np.asarray(np.mean(scores, axis=0, dtype=np.float64), np.float32)
    video = replace(result.predictions[0], scores=mean, frame_scores=None)
    return [{"score": item.score, "label": item.label} for item in video.top_k(top_k)]
