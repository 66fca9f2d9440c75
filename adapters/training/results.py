"""What a training leaves beside the weights: metrics on the validation clips and learning curves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.records import aggregate
from adapters.reports import EpochLog, rounded
from adapters.training.feature_cache import CachedFeatures
from adapters.training.fit_settings import FitResult
from adapters.training.head import class_scores
from adapters.training.held_out_figures import threshold_rows, validation_scores
from adapters.training.phases import TrainingRun
from adapters.training.training_data import label_matrix


def training_metrics(
    run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult], held_out: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of metrics.json: the history, and metrics on the validation clips if there are any.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features of the validation clips.
        results: The phases, in order.
        held_out: See ``held_out_figures.held_out_metrics``.
    """
    history = [vars(log) for result in results for log in result.logs]
    metrics: dict[str, Any] = {"history": history, "clips": run.data.counts, "validation": {}}
    metrics |= held_out
    if not run.data.validation:
        return dict(rounded(metrics))
    from adapters.evaluation import evaluate

    settings = run.settings("head")
    items = validation_scores(run, features, tuned=len(results) > 1)
    clips = np.stack([aggregate(scores, settings.aggregation, settings.top_fraction) for scores in items])
    scores = class_scores(clips, run.config, run.data.labels)
    matrix = label_matrix(run.data.validation, run.data.labels)
    truth = matrix if run.config["task"] == "multi_label" else matrix.argmax(axis=1)
    report = evaluate(
        scores,
        truth,
        run.data.labels,
        positive_label=run.config["positive_label"],
        threshold=run.config["threshold"],
        paths=run.data.validation,
        thresholds=run.config["best_thresholds"],
    ).to_json()
    report.pop("mistakes", None)
    chosen = metrics.get("thresholds")
    if chosen is not None and chosen["chosen_on"] == "validation":
        report["thresholds"] = threshold_rows(chosen)
    metrics["validation"] = report
    return dict(rounded(metrics))


def curve_files(results: Sequence[FitResult], metrics: Mapping[str, Any]) -> dict[str, bytes]:
    """The learning curves as a picture, as JSON and as CSV, and the reliability before and after calibration.

    Args:
        results: The phases, in order.
        metrics: The content of metrics.json.

    Returns:
        The bundle's files, name -> bytes.
    """
    from adapters.evaluation import draw_reliability, plot_learning_curves

    logs: list[EpochLog] = [log for result in results for log in result.logs]
    names = list(EpochLog.__dataclass_fields__)
    lines = [",".join(names)]
    lines += [",".join("" if getattr(log, name) is None else str(getattr(log, name)) for name in names) for log in logs]
    with tempfile.TemporaryDirectory() as folder:
        picture = plot_learning_curves(logs, Path(folder) / "curves.png").read_bytes()
        reliability = {}
        if "calibration" in metrics:
            found = metrics["calibration"]
            points = found["reliability"]
            plural = "" if found["groups"] == 1 else "s"
            clips = f"{found['clips']} {found['fitted_on'].replace('_', '-')} clips in {found['groups']} group{plural}"
            drawn = draw_reliability(points["after"], points["before"], clips, Path(folder) / "reliability.png")
            reliability = {"curves/reliability.png": drawn.read_bytes()}
    return reliability | {
        "curves/curves.json": json.dumps(rounded([vars(log) for log in logs]), indent=1).encode(),
        "curves/curves.csv": ("\n".join(lines) + "\n").encode(),
        "curves/curves.png": picture,
    }
