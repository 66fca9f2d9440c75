"""One prediction of a whole video, of any length, from those of its pieces: what ``sampling`` "every" asks for.

The frames of a piece are in memory at a time; what is kept of it is its frames' scores, 4 bytes a class and frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import describe_failure
from adapters.records import Float32Array, InputSpec, Prediction, VideoResult


def merge_frames(pieces: Sequence[Prediction], clip_scores: Callable[[Float32Array], Float32Array]) -> Prediction:
    """Merge the pieces of a video into one prediction of all their frames.

    Args:
        pieces: Predictions with frame scores, in time order.
        clip_scores: Aggregates frame scores float32 [T, C] into a clip's [C].
    """
    frames = np.concatenate([piece.frame_scores for piece in pieces if piece.frame_scores is not None])
    first, last = pieces[0], pieces[-1]
    return Prediction(clip_scores(frames), first.labels, first.start, last.end, first.source, frames)


def whole_videos(adapter: BaseModelAdapter, spec: InputSpec, results: Iterator[VideoResult]) -> Iterator[VideoResult]:
    """Merge each video's predictions into one if the spec samples every frame; otherwise the results stay as they are.

    Args:
        adapter: The model, which merges.
        spec: How videos are sampled.
        results: The videos' predictions.
    """
    if spec.sampling != "every" or spec.window_seconds is not None or not adapter.merges_pieces:
        return results
    return (_merged(adapter, result) if result.predictions else result for result in results)


def _merged(adapter: BaseModelAdapter, result: VideoResult) -> VideoResult:
    try:
        return replace(result, predictions=(adapter.merge(result.predictions),))
    except Exception as error:  # of this video alone
        return VideoResult(result.path, error=describe_failure(result.path, error), warnings=result.warnings)
