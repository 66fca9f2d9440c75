"""From the scores of a clip's items to the clip's loss, in TensorFlow."""

from __future__ import annotations

import math
from typing import Any

from adapters.records import Aggregation
from adapters.system import import_tensorflow
from adapters.training.fit_settings import FitSettings


def aggregate_items(scores: Any, how: Aggregation, top_fraction: float) -> Any:
    """Aggregate the scores of a clip's items into the clip's, as ``records.aggregate`` does for arrays.

    Args:
        scores: float32 tensor [B, items, units] in 0..1.
        how: The mean, the maximum, or the mean of the highest.
        top_fraction: The share of items, 0..1, that "top" averages; at least one item.

    Returns:
        float32 tensor [B, units].
    """
    tf = import_tensorflow()
    if how == "mean":
        return tf.reduce_mean(scores, axis=1)
    if how == "max":
        return tf.reduce_max(scores, axis=1)
    count = max(1, math.ceil(scores.shape[1] * top_fraction))
    best = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), k=count, sorted=False).values
    return tf.reduce_mean(best, axis=2)


def cross_entropy(targets: Any, scores: Any, exclusive: bool) -> Any:
    """The cross-entropy over the last axis, the units.

    Args:
        targets: float32 tensor [..., units] in 0..1.
        scores: float32 tensor [..., units] in 0..1; clipped to 1e-7..1 - 1e-7.
        exclusive: Whether the scores are a softmax with one right class: -sum(t ln s). If not, they are sigmoids:
            -mean(t ln s + (1 - t) ln(1 - s)).

    Returns:
        float32 tensor [...], in nats.
    """
    tf = import_tensorflow()
    scores = tf.clip_by_value(scores, 1e-7, 1 - 1e-7)
    if exclusive:
        return -tf.reduce_sum(targets * tf.math.log(scores), axis=-1)
    losses = targets * tf.math.log(scores) + (1 - targets) * tf.math.log(1 - scores)
    return -tf.reduce_mean(losses, axis=-1)


def clip_losses(targets: Any, scores: Any, settings: FitSettings) -> Any:
    """The loss of each clip.

    With aggregation "mean" each item is to be right by itself, which also makes frame scores worth reading. With the
    others only the aggregate is, since most items of a clip may show nothing.

    Args:
        targets: float32 tensor [B, units] in 0..1.
        scores: float32 tensor [B, items, units] in 0..1.
        settings: Says how items are aggregated and whether classes exclude each other.

    Returns:
        float32 tensor [B], in nats.
    """
    tf = import_tensorflow()
    if settings.aggregation == "mean":
        return tf.reduce_mean(cross_entropy(targets[:, None], scores, settings.exclusive), axis=1)
    clip_scores = aggregate_items(scores, settings.aggregation, settings.top_fraction)
    return cross_entropy(targets, clip_scores, settings.exclusive)
