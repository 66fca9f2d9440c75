"""Points of the plots on a Dataloop model's page: the metrics of each epoch, and those of an evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

import dtlpy as dl

from adapters.reports import EpochLog

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
