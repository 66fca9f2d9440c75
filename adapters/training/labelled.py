"""A model measured on labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.errors import DatasetError
from adapters.inference import OnVideoProgress, predict_examples
from adapters.records import Float32Array, Prediction, VideoResult, aggregate
from adapters.training.training_data import label_matrix

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter
    from adapters.data import Example
    from adapters.evaluation import EvaluationReport


def evaluate_examples(
    adapter: BaseModelAdapter,
    examples: Sequence[Example],
    on_progress: OnVideoProgress | None = None,
    *,
    temperature: float | None = None,
) -> tuple[EvaluationReport, tuple[VideoResult, ...]]:
    """Predict labelled clips and measure the scores.

    Args:
        adapter: The model.
        examples: Labelled clips.
        on_progress: As in ``predict_videos``.
        temperature: The one that calibration folded into the model, for the reliability before it; None if not known.

    Returns:
        The report, without latency and size, and the results of the clips that could not be read.

    Raises:
        DatasetError: No clip can be read.
    """
    from adapters.evaluation import evaluate

    results = list(predict_examples(adapter, examples, on_progress=on_progress))
    kept = [(example, item) for example, item in zip(examples, results, strict=True) if item.error is None]
    skipped = tuple(item for item in results if item.error is not None)
    if not kept:
        raise DatasetError(f"none of {len(examples)} clips can be read; the first: {skipped[0].error}")
    matrix = label_matrix([example for example, _ in kept], adapter.labels)
    config = adapter.config
    predictions = [item.predictions[0] for _, item in kept]
    before = None
    if temperature is not None:
        before = np.stack([_uncalibrated(adapter, prediction, temperature) for prediction in predictions])
    report = evaluate(
        np.stack([prediction.scores for prediction in predictions]),
        matrix if config["task"] == "multi_label" else matrix.argmax(axis=1),
        adapter.labels,
        positive_label=config["positive_label"],
        threshold=config["threshold"],
        paths=[example for example, _ in kept],
        thresholds=config["best_thresholds"],
        uncalibrated=before,
    )
    return report, skipped


def _uncalibrated(adapter: BaseModelAdapter, prediction: Prediction, temperature: float) -> Float32Array:
    """The scores that a prediction had before its logits were divided by the temperature."""
    config, scores = adapter.config, prediction.scores[None]
    if adapter.scores_frames and prediction.frame_scores is not None:
        scores = prediction.frame_scores
    scores = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    if config["task"] == "multi_label":
        odds = (scores / (1 - scores)) ** temperature
        items = odds / (1 + odds)
    else:  # of a sigmoid for two classes too, whose scores are s and 1 - s
        items = scores**temperature
        items /= items.sum(axis=1, keepdims=True)
    how, fraction = config.get("aggregation", "mean"), config.get("top_fraction", 1.0)
    return aggregate(items.astype(np.float32), how, fraction)
