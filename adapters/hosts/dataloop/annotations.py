"""Predictions as Dataloop annotations, compact for videos of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dtlpy as dl

from adapters.hosts.dataloop.downloads import is_image
from adapters.hosts.dataloop.items import ItemResult
from adapters.records import Prediction, Segment


def timeline(predictions: Sequence[Prediction], top_k: int) -> list[Segment]:
    """Merge the best labels of each window into segments: a label's neighbouring windows become one.

    A segment extends from the start of its first window to the end of its last; its score is the mean of its windows'.

    Args:
        predictions: Predictions of a video's windows, in order.
        top_k: Number of labels per window.

    Returns:
        Segments by start, then by falling score.
    """
    open_runs: dict[str, list[Prediction]] = {}
    found = []
    for prediction in predictions:
        best = {item.label for item in prediction.top_k(top_k)}
        for label in [label for label in open_runs if label not in best]:
            found.append(_segment(label, open_runs.pop(label)))
        for label in best:
            open_runs.setdefault(label, []).append(prediction)
    found += [_segment(label, run) for label, run in open_runs.items()]
    return sorted(found, key=lambda segment: (segment.start, -segment.score, segment.label))


def _segment(label: str, run: Sequence[Prediction]) -> Segment:
    score = sum(prediction.score_of(label) for prediction in run) / len(run)
    return Segment(label, run[0].start, max(prediction.end for prediction in run), score)


def annotate(result: ItemResult, top_k: int, model: Any) -> dl.AnnotationCollection:
    """Make an item's annotations: one class for an image, segments in time for a video. Sends no request.

    ``AnnotationCollection.add`` would write a snapshot for each frame of a range: 1.2 MB for 10,000 frames. An
    annotation whose times are set afterwards has the same meaning and some 500 bytes.

    Args:
        result: The item and its predictions.
        top_k: Number of labels per window.
        model: The model on the platform, which the annotations name.

    Returns:
        The annotations.
    """
    collection = dl.AnnotationCollection(item=result.item)
    for number, segment in enumerate(timeline(result.predictions, top_k), 1):
        confidence = min(max(round(float(segment.score), 6), 0.0), 1.0)  # a sum of float32 may pass 1 by a little
        about = {"confidence": confidence, "name": model.name, "model_id": model.id}
        annotation = dl.Annotation.new(
            item=result.item,
            annotation_definition=dl.Classification(label=segment.label),
            object_id=str(number),
            metadata={"user": {"model": about}},
        )
        if not is_image(result.item):
            if annotation.fps is None:
                annotation.fps = result.fps
            annotation.start_time, annotation.end_time = round(segment.start, 3), round(segment.end, 3)
        collection.annotations.append(annotation)
    return collection
