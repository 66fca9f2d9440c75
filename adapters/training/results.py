"""What a training leaves beside the weights: metrics on the validation clips and learning curves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.records import Float32Array
from adapters.reports import EpochLog
from adapters.training.feature_cache import CachedFeatures, ExampleView
from adapters.training.fit_settings import FitResult
from adapters.training.head import class_scores
from adapters.training.losses import aggregate_items
from adapters.training.phases import TrainingRun, item_inputs
from adapters.training.training_data import label_matrix


def training_metrics(run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]) -> dict[str, Any]:
    """The content of metrics.json: the history, and metrics on the validation clips if there are any.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features of the validation clips.
        results: The phases, in order.
    """
    history = [vars(log) for result in results for log in result.logs]
    metrics: dict[str, Any] = {"history": history, "clips": run.data.counts, "validation": {}}
    if not run.data.validation:
        return metrics
    from adapters.evaluation import evaluate

    scores = class_scores(_validation_scores(run, features, tuned=len(results) > 1), run.config, run.data.labels)
    matrix = label_matrix(run.data.validation, run.data.labels)
    truth = matrix if run.config["task"] == "multi_label" else matrix.argmax(axis=1)
    report = evaluate(
        scores,
        truth,
        run.data.labels,
        positive_label=run.config["positive_label"],
        threshold=run.config["threshold"],
        paths=[str(example.path) for example in run.data.validation],
    ).to_json()
    report.pop("mistakes", None)
    metrics["validation"] = report
    return metrics


def _validation_scores(run: TrainingRun, features: CachedFeatures, *, tuned: bool) -> Float32Array:
    """Clip scores [N, units] of the validation clips: from cached features, or through a backbone that has changed."""
    items, backbone = item_inputs(run, run.data.validation), run.network.backbone if tuned else None
    settings, found = run.settings("head"), []
    for row, example in enumerate(run.data.validation):
        inputs = items(np.array([row]), None) if tuned else features.of([ExampleView(example, 0)])
        scores = run.forward(inputs, False, through=backbone)
        found.append(np.asarray(aggregate_items(scores, settings.aggregation, settings.top_fraction))[0])
    return np.stack(found)


def curve_files(results: Sequence[FitResult]) -> dict[str, bytes]:
    """The learning curves as a picture, as JSON and as CSV.

    Args:
        results: The phases, in order.

    Returns:
        The bundle's files, name -> bytes.
    """
    from adapters.evaluation import plot_learning_curves

    logs: list[EpochLog] = [log for result in results for log in result.logs]
    names = list(EpochLog.__dataclass_fields__)
    lines = [",".join(names)]
    lines += [",".join("" if getattr(log, name) is None else str(getattr(log, name)) for name in names) for log in logs]
    with tempfile.TemporaryDirectory() as folder:
        picture = plot_learning_curves(logs, Path(folder) / "curves.png").read_bytes()
    return {
        "curves/curves.json": json.dumps([vars(log) for log in logs], indent=1).encode(),
        "curves/curves.csv": ("\n".join(lines) + "\n").encode(),
        "curves/curves.png": picture,
    }
