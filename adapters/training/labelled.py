"""A model measured on labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.errors import DatasetError
from adapters.inference import OnVideoProgress, predict_examples
from adapters.records import VideoResult
from adapters.training.training_data import label_matrix

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter
    from adapters.data import Example
    from adapters.evaluation import EvaluationReport


def evaluate_examples(
    adapter: BaseModelAdapter, examples: Sequence[Example], on_progress: OnVideoProgress | None = None
) -> tuple[EvaluationReport, tuple[VideoResult, ...]]:
    """Predict labelled clips and measure the scores.

    Args:
        adapter: The model.
        examples: Labelled clips.
        on_progress: As in ``predict_videos``.

    Returns:
        The report, without latency and size, and the results of the clips that could not be read.

    Raises:
        DatasetError: No clip can be read.
        MissingExtraError: scikit-learn is not installed.
    """
    from adapters.evaluation import evaluate

    results = list(predict_examples(adapter, examples, on_progress=on_progress))
    kept = [(example, item) for example, item in zip(examples, results, strict=True) if item.error is None]
    skipped = tuple(item for item in results if item.error is not None)
    if not kept:
        raise DatasetError(f"none of {len(examples)} clips can be read; the first: {skipped[0].error}")
    matrix = label_matrix([example for example, _ in kept], adapter.labels)
    config = adapter.config
    report = evaluate(
        np.stack([item.predictions[0].scores for _, item in kept]),
        matrix if config["task"] == "multi_label" else matrix.argmax(axis=1),
        adapter.labels,
        positive_label=config["positive_label"],
        threshold=config["threshold"],
        paths=[example for example, _ in kept],
    )
    return report, skipped
