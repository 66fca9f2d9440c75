"""Simulated histories of ratings, and a quick learner, for what believes in models of ratings.

Features are random numbers, of which a taste may follow three:

- random: stars have nothing to do with features. Clips are of one source each.
- streams: clips are of 12 sources, some with many clips and some with few. Stars and features both depend on the
  source, and on each other in no other way.
- one stream: all clips are of one source, the stars are random.
- drift: the rater becomes stricter in time. Features do not change.
- taste R: liking correlates with what features can say, R = 0.3, 0.5, 0.8.
"""

from __future__ import annotations

import numpy as np

FEATURES = 8
KINDS = ("random", "streams", "one stream", "drift", "taste 0.3", "taste 0.5", "taste 0.8")


def make_history(kind: str, ratings: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features float64 [N, F], stars in 0..1 and sources of one history."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    rows, liked = rng.normal(size=(ratings, FEATURES)), rng.normal(size=ratings)
    sources = [str(place) for place in range(ratings)]
    if kind == "streams":
        source = rng.choice(12, ratings, p=np.arange(1, 13) / 78)
        rows += 1.5 * rng.normal(size=(12, FEATURES))[source]
        liked += 1.5 * rng.normal(size=12)[source]
        sources = [f"s{one}" for one in source]
    elif kind == "one stream":
        sources = ["one"] * ratings
    elif kind == "drift":
        liked -= np.linspace(-1, 1, ratings)
    elif kind.startswith("taste"):
        strength = float(kind.split()[1])
        liked = strength * rows[:, :3].sum(axis=1) / np.sqrt(3) + np.sqrt(1 - strength**2) * liked
    stars = np.clip(np.rint(3 + 1.1 * liked), 1, 5)
    return (rows - rows.mean(axis=0)) / rows.std(axis=0), (stars - 1) / 4, sources


class Quick:
    """Ridge regression of a fixed penalty, for many histories."""

    def fit(self, rows: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray) -> Quick:
        """Learn."""
        self.mean = float(targets.mean())
        pull = rows.T @ (targets - self.mean)
        self.slope = np.linalg.solve(rows.T @ rows + 5.0 * np.eye(rows.shape[1]), pull)
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Scores."""
        return self.mean + rows @ self.slope
