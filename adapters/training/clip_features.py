"""Clips as a head sees them: features, targets and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of clips with what the head should output for them.

    Attributes:
        features: float32 [N, items, D].
        targets: float32 [N, units] in 0..1.
        weights: float32 [N], how much each clip counts.
        groups: int64 [N]; clips of one group are never on both sides of a fold.
        exclusive: Whether exactly one unit is right (softmax); otherwise each unit is a sigmoid.
    """

    features: Float32Array
    targets: Float32Array
    weights: Float32Array
    groups: IntArray
    exclusive: bool

    def take(self, rows: IntArray) -> LabelledFeatures:
        """The clips of some rows.

        Args:
            rows: int64 [M].
        """
        return LabelledFeatures(
            self.features[rows], self.targets[rows], self.weights[rows], self.groups[rows], self.exclusive
        )


def item_probabilities(logits: FloatArray, exclusive: bool) -> FloatArray:
    """Softmax or sigmoid over the last axis.

    Args:
        logits: float [..., units].
        exclusive: Whether it is a softmax.
    """
    from scipy.special import expit, softmax

    return np.asarray(softmax(logits, axis=-1) if exclusive else expit(logits))
