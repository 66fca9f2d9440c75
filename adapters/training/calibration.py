"""Scores that mean what they say: one temperature, fitted on clips that the head never saw."""

from __future__ import annotations

import numpy as np

from adapters.training.clip_features import FloatArray, LabelledFeatures, item_probabilities

# ln T is searched here: scores a hundred times flatter or steeper than they were.
_RANGE = (-4.6, 4.6)


def clip_probabilities(logits: FloatArray, temperature: float, exclusive: bool) -> FloatArray:
    """The clips' scores at a temperature: the mean over items.

    Args:
        logits: float [N, items, units].
        temperature: Above 0.
        exclusive: Softmax or sigmoids.

    Returns:
        float [N, units] in 0..1.
    """
    return np.asarray(item_probabilities(logits / temperature, exclusive).mean(axis=1))


def fit_temperature(logits: FloatArray, data: LabelledFeatures) -> tuple[float, float]:
    """The temperature at which held-out scores have the lowest loss (Guo et al. 2017, arXiv:1706.04599).

    Targets are smoothed as if one more clip were wrong (Platt 1999), and ln T is held near 0 with the weight of one
    clip: a few clips that are all right would otherwise make every score certain.

    Args:
        logits: float [N, items, units], each by a head that did not see the clip; rows that are not finite are left
            out.
        data: The clips' targets and weights.

    Returns:
        The temperature and the loss at it, in nats. (1, infinity) without a finite row.
    """
    from scipy.optimize import minimize_scalar

    kept = np.isfinite(logits).all(axis=(1, 2))
    if not kept.any():
        return 1.0, float("inf")
    logits, weights = logits[kept].astype(np.float64), data.weights[kept].astype(np.float64)
    units = logits.shape[-1]
    wrong = 1.0 / (len(logits) + 2)
    even = 1.0 / units if data.exclusive else 0.5
    targets = data.targets[kept] * (1 - wrong) + wrong * even
    weights = weights / weights.sum()

    def loss(log_temperature: float) -> float:
        scores = np.clip(clip_probabilities(logits, float(np.exp(log_temperature)), data.exclusive), 1e-7, 1 - 1e-7)
        if data.exclusive:
            losses = -(targets * np.log(scores)).sum(axis=1)
        else:
            losses = -(targets * np.log(scores) + (1 - targets) * np.log(1 - scores)).mean(axis=1)
        return float(weights @ losses + log_temperature**2 / (2 * len(logits)))

    found = minimize_scalar(loss, bounds=_RANGE, method="bounded")
    return float(np.exp(found.x)), float(found.fun)
