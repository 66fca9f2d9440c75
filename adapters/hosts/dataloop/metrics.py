"""Metrics on a Dataloop model's page: those of each epoch during training, and those of an evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import dtlpy as dl

from adapters.base import BaseModelAdapter
from adapters.records import EpochLog
from adapters.system import parse_json, write_json_atomic

logger = logging.getLogger("cliplab.dataloop")
# figure, legend, x, y
Sample = tuple[str, str, float, float | None]


def epoch_samples(log: EpochLog, number: int) -> list[Sample]:
    """Return an epoch's loss and accuracy as points of plots.

    Args:
        log: The epoch.
        number: Number of the epoch over both phases, from 1.

    Returns:
        The points, each with figure, legend, x and y.
    """
    return [
        ("loss", "train", number, log.loss),
        ("loss", "validation", number, log.val_loss),
        ("accuracy", "train", number, log.accuracy),
        ("accuracy", "validation", number, log.val_accuracy),
    ]


def publish_metrics(model: Any, samples: Iterable[Sample], dataset_id: str | None) -> None:
    """Add points to the model's plots.

    The platform accepts finite numbers only; other values are left out. Errors are logged and not raised, so that they
    do not end a training.

    Args:
        model: The model on the platform.
        samples: The points.
        dataset_id: Id of the dataset that the points belong to; None if there is none.
    """
    finite = [s for s in samples if s[3] is not None and math.isfinite(s[3])]
    points = [dl.PlotSample(figure=f, legend=legend, x=float(x), y=float(y or 0)) for f, legend, x, y in finite]
    if not points:
        return
    try:
        model.metrics.create(samples=points, dataset_id=dataset_id)
    except Exception as error:  # a client's error of any kind
        logger.warning("the metrics of x = %s are not published: %s", points[0].x, error)


def remove_model_annotations(sheet: Path) -> None:
    """Remove annotations made by models from an item's JSON.

    The download's filter excludes them already. This is a second check, since a model that is measured against its own
    annotations would always be right.

    Args:
        sheet: The item's JSON file, which is rewritten.
    """
    content = parse_json(sheet.read_text(encoding="utf-8"))
    annotations = content.get("annotations") or []
    made = [entry for entry in annotations if (entry.get("metadata") or {}).get("system", {}).get("model")]
    if made:
        content["annotations"] = [entry for entry in annotations if entry not in made]
        write_json_atomic(sheet, content)


def evaluate_download(adapter: BaseModelAdapter, folder: Path) -> dict[str, float]:
    """Measure a model on downloaded items that people labelled.

    Each labelled range is one clip. Labels that differ from the model's in spelling only are matched, as in training.
    Items without a label are left out and logged.

    Args:
        adapter: The model.
        folder: Folder with the download.

    Returns:
        Name to value of each metric.

    Raises:
        DatasetError: Labels are unknown to the model, or no clip can be read.
    """
    from adapters.data import check, match_labels, read_dataset
    from adapters.training import evaluate_examples

    dataset = match_labels(read_dataset(folder, labels=None), adapter.labels)
    labelled = [example for example in dataset.examples if example.labels]
    _log_left_out("have no label of a person", [str(e.path) for e in dataset.examples if not e.labels])
    foreign = sorted({label for example in labelled for label in example.labels} - set(adapter.labels))
    if foreign or not labelled:
        check(dataset, labels=adapter.labels, task=adapter.config["task"], allow_missing=True)
    report, skipped = evaluate_examples(adapter, labelled)
    _log_left_out("cannot be read", [str(result.error) for result in skipped])
    return {name: float(value) for name, value in report.to_json().items() if _is_metric(name, value)}


def _is_metric(name: str, value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and name != "threshold"


def _log_left_out(why: str, names: Sequence[str]) -> None:
    if names:
        logger.warning("%d clips %s and are left out: %s", len(names), why, "; ".join(names[:5]))
