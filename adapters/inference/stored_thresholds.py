"""The thresholds that training chose for a model's labels, for ``--min-score best``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.base import BaseModelAdapter
from adapters.config import OBJECTIVES
from adapters.errors import ConfigError

BEST = "best"
MinScore = float | str


def min_score_of(adapter: BaseModelAdapter, min_score: MinScore, label: str) -> float:
    """The score from which a label counts.

    Args:
        adapter: The model.
        min_score: A score in 0..1 as a number or text, or "best" for the threshold that training chose.
        label: One of the model's labels.

    Raises:
        ConfigError: It is neither, or the model has no threshold for the label; the message says how to get one.
    """
    score = parse_min_score(min_score)
    if score is not None:
        return score
    chosen: Mapping[str, float] = adapter.config["best_thresholds"]
    if not chosen and adapter.votes:
        raise ConfigError(
            "--min-score is best, but an ensemble has no chosen thresholds: its members' thresholds are for their own "
            "scores. Give a score in 0..1"
        )
    if not chosen:
        raise ConfigError(
            "--min-score is best, but this model has no chosen thresholds. Train it with --optimize "
            f"({', '.join(OBJECTIVES)}), or give a score in 0..1"
        )
    if label not in chosen:
        raise ConfigError(
            f"--min-score is best, but this model has no chosen threshold for {label!r}: training had no held-out "
            "clips to choose it on. Train it with more clips of this label, or give a score in 0..1"
        )
    return float(chosen[label])


def min_scores_of(adapter: BaseModelAdapter, min_score: MinScore) -> dict[str, float]:
    """The score from which each label counts.

    Args:
        adapter: The model.
        min_score: As for ``min_score_of``. With "best", a label without a threshold of its own is not left out.

    Raises:
        ConfigError: As ``min_score_of`` raises, where there is no threshold at all.
    """
    labels: Sequence[str] = adapter.labels
    score = parse_min_score(min_score)
    if score is not None:
        return dict.fromkeys(labels, score)
    chosen = adapter.config["best_thresholds"]
    first = next((label for label in labels if label in chosen), labels[0])
    min_score_of(adapter, min_score, first)
    return {label: float(chosen.get(label, 0.0)) for label in labels}


def parse_min_score(min_score: MinScore) -> float | None:
    """A score in 0..1; None for "best".

    Args:
        min_score: A number, or its text, or "best".

    Raises:
        ConfigError: It is neither.
    """
    if min_score == BEST:
        return None
    try:
        score = float(min_score)
    except (TypeError, ValueError):
        score = -1.0
    if not 0 <= score <= 1:
        raise ConfigError(f"--min-score must be a score in 0..1, or best, got {min_score!r}")
    return score
