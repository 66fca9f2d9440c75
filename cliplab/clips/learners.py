"""What learns a taste from a few ratings: ridge regression, a Gaussian process, gradient boosting.

Which of them is best depends on the taste and on the number of ratings (few: ridge or the Gaussian process; many and
crooked: boosting), so each training chooses by cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

_NOISE_STARS = 0.04  # variance of ratings on 0..1 that no feature explains, where the search for it begins


def size_of(rows: Float64Array) -> float:
    """The mean squared length of rows, at least 1: the number of columns if each has a variance of 1.

    Args:
        rows: float64 [N, D] around 0.
    """
    return max(float((rows**2).sum(axis=1).mean()), 1.0) if len(rows) else 1.0


def ridge(rows: Float64Array, weight: Float64Array) -> Any:
    """Ridge regression; its penalty by leave-one-out, from 0.1 to 10,000 times per clip.

    Args:
        rows: float64 [N, D] around 0.
        weight: float64 [N].
    """
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=np.geomspace(0.1, 1e4, 11) * max(1.0, size_of(rows) / 10))


def gaussian_process(rows: Float64Array, weight: Float64Array) -> Any:
    """A Gaussian process: a linear part and a smooth one, whose shares and noise are fitted.

    Args:
        rows: float64 [N, D] around 0.
        weight: float64 [N]: noise is divided by it.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    width = size_of(rows)
    length = float(np.sqrt(2 * width))
    kernel = (
        ConstantKernel(0.5 / width, (1e-6, 10.0)) * DotProduct(0.0, "fixed")
        + ConstantKernel(0.5, (1e-4, 10.0)) * RBF(length, (0.2 * length, 10 * length))
        + WhiteKernel(0.5, (0.02, 10.0))
    )
    extra = _NOISE_STARS * np.maximum(1.0 / weight - 1.0, 0.0)
    return GaussianProcessRegressor(kernel, alpha=extra + 1e-8, normalize_y=True, random_state=0)


def gradient_boosting(rows: Float64Array, weight: Float64Array) -> Any:
    """Gradient boosting of small trees.

    Args:
        rows: float64 [N, D] around 0.
        weight: float64 [N].
    """
    from sklearn.ensemble import GradientBoostingRegressor

    share = 1.0 if rows.shape[1] <= 30 else "sqrt"
    return GradientBoostingRegressor(
        n_estimators=150, learning_rate=0.06, max_depth=2, subsample=0.7, max_features=share, random_state=0
    )


LEARNERS: dict[str, Callable[[Float64Array, Float64Array], Any]] = {
    "ridge": ridge,
    "gaussian_process": gaussian_process,
    "gradient_boosting": gradient_boosting,
}


# A Gaussian process costs the cube of the number of clips, many times over.
_MOST_GAUSSIAN = 400


def may_learn(name: str, clips: int) -> bool:
    """Whether a learner suits a number of clips.

    Args:
        name: One of ``LEARNERS``.
        clips: How many rated clips there are.
    """
    return name != "gaussian_process" or clips <= _MOST_GAUSSIAN


def fitted(name: str, rows: Float64Array, targets: Float64Array, weight: Float64Array) -> Any:
    """A learner of ``LEARNERS`` that has learned.

    Args:
        name: Which.
        rows: float64 [N, D] around 0.
        targets: float64 [N] in 0..1.
        weight: float64 [N]: how much each counts.

    Returns:
        A scikit-learn regressor.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    learner = LEARNERS[name](rows, weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a kernel's bound that is reached is as good as any
        if name == "gaussian_process":  # the weights are in its noise
            return learner.fit(rows, targets)
        return learner.fit(rows, targets, sample_weight=weight)
