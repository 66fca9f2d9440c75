"""Shapes of results that other tools know. Hosts share them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypedDict, get_args

import numpy as np

from adapters.errors import MediaError
from adapters.records import VideoResult

# The rows of ``cliplab predict --json``, or those of Hugging Face's pipeline.
Shape = Literal["rows", "hf"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


class PipelineRow(TypedDict):
    """One class as Hugging Face's pipelines name it. score: 0..1."""

    score: float
    label: str


def to_pipeline(result: VideoResult, top_k: int) -> list[PipelineRow]:
    """A video's best classes in the shape of Hugging Face's video-classification pipeline, best first.

    The pipeline has one list a video, so the scores of several windows become their mean. MediaError where the video
    could not be read, as the shape has no place for an error.
    """
    if result.error is not None:
        raise MediaError(result.error)
    if not result.predictions:
        raise MediaError(f"{result.path}: gave no prediction, so there is nothing to list. Take a longer range")
    scores = [prediction.scores for prediction in result.predictions]
    mean = scores[0] if len(scores) == 1 else np.asarray(np.mean(scores, axis=0, dtype=np.float64), np.float32)
    video = replace(result.predictions[0], scores=mean, frame_scores=None)
    return [{"score": item.score, "label": item.label} for item in video.top_k(top_k)]
