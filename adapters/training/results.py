"""What a training leaves beside the weights: metrics on the validation clips and learning curves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.reports import EpochLog
from adapters.training.feature_cache import CachedFeatures
from adapters.training.fit_settings import FitResult
from adapters.training.head import class_scores
from adapters.training.held_out_figures import cross_validation_figures, validation_scores
from adapters.training.losses import aggregate_items
from adapters.training.phases import TrainingRun
from adapters.training.training_data import label_matrix


def training_metrics(
    run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult], calibration: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The content of metrics.json: the history, and metrics on the validation clips if there are any.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features of the validation clips.
        results: The phases, in order.
        calibration: See ``held_out_figures.calibrate``.
    """
    history = [vars(log) for result in results for log in result.logs]
    metrics: dict[str, Any] = {"history": history, "clips": run.data.counts, "validation": {}}
    if calibration is not None:
        metrics["calibration"] = calibration
    if results[0].held_out is not None:
        metrics["cross_validation"] = cross_validation_figures(run, features, results[0].held_out)
    if not run.data.validation:
        return metrics
    from adapters.evaluation import evaluate

    settings = run.settings("head")
    items = validation_scores(run, features, tuned=len(results) > 1)
    clips = np.asarray(aggregate_items(items, settings.aggregation, settings.top_fraction))
    scores = class_scores(clips, run.config, run.data.labels)
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
