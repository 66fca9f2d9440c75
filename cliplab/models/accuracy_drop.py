"""What a conversion costs on labelled clips: the share of right answers before and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.evaluation import difference_interval
from adapters.records import Float32Array
from adapters.reports import AccuracyDrop

if TYPE_CHECKING:
    from adapters.data import Example


def drop_measure(
    adapter: BaseModelAdapter, examples: Sequence[Example]
) -> Callable[[Float32Array, Float32Array], AccuracyDrop]:
    """A function of the scores float32 [N, C] of two programs, for the clips of N examples.

    A clip counts as right if its top label is one of the example's; with a ``positive_label``, if its score lies on the
    right side of the config's ``threshold``; with several labels per clip, by the share of labels that do. Groups are
    those of the examples.

    Args:
        adapter: The model, for its labels, task and threshold.
        examples: The labelled clip of each row of scores.
    """
    truth = np.array([[label in example.labels for label in adapter.labels] for example in examples], bool)
    groups = [example.group for example in examples]

    def measure(source: Float32Array, converted: Float32Array) -> AccuracyDrop:
        before, after = (_right(scores, truth, adapter) for scores in (source, converted))
        one, other = float(before.mean()), float(after.mean())
        _, low, high = difference_interval(before, after, groups)
        return AccuracyDrop(one, other, one - other, (low, high), len(before), len(set(groups)))

    return measure


def _right(scores: Float32Array, truth: np.ndarray[Any, Any], adapter: BaseModelAdapter) -> np.ndarray[Any, Any]:
    """[N] in 0..1."""
    config = adapter.config
    positive, threshold = config.get("positive_label"), config.get("threshold", 0.5)
    if config.get("task") == "multi_label":
        return np.asarray(((scores >= threshold) == truth).mean(axis=1))
    if positive is not None:
        column = adapter.labels.index(positive)
        return np.asarray((scores[:, column] >= threshold) == truth[:, column], np.float64)
    return np.asarray(truth[np.arange(len(scores)), scores.argmax(axis=1)], np.float64)
