"""How often a model of ratings that learned nothing is believed, over whole histories; and how soon a good one.

    python benchmarks/bench_false_serving.py [--histories 200] [--ratings 100] [--learners quick] [--workers 2]

prints a Markdown table. A history is a sequence of ratings that come one by one; after each of them the evidence is
looked at, and the history counts as served if it ever reached what a model needs to serve. Features are random numbers,
of which a taste may follow one:

- random: stars have nothing to do with features. Clips are of one source each.
- streams: clips are of 12 sources, some with many clips and some with few. Stars and features both depend on the
  source, and on each other in no other way.
- one stream: all clips are of one source, the stars are random.
- drift: the rater becomes stricter in time. Features do not change.
- taste R: stars correlate with what features can say, R = 0.3, 0.5, 0.8.

Intervals: 95%, Clopper and Pearson 1934. "When": the number of ratings at which half of the histories were served.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

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


def served_at(kind: str, ratings: int, learners: tuple[str, ...], seed: int) -> int | None:
    """After how many ratings the evidence was enough first; None: never."""
    from threadpoolctl import threadpool_limits

    from cliplab.clips.evidence import find_evidence, proven_since
    from cliplab.clips.learners import LEARNERS

    LEARNERS["quick"] = lambda rows, weight: Quick()
    rows, stars, sources = make_history(kind, ratings, seed)
    with threadpool_limits(1):
        stage1 = np.random.default_rng(seed).random(ratings)
        found = find_evidence(rows, stars, np.ones(ratings), stage1, sources, learners)
    looks = (count for count in range(1, ratings + 1) if proven_since(found.path[:count]) is not None)
    return next(looks, None)


def clopper_pearson(hits: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share."""
    from scipy.stats import beta

    low = beta.ppf(0.025, hits, count - hits + 1) if hits else 0.0
    return float(low), float(beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=200)
    parser.add_argument("--ratings", type=int, default=100)
    parser.add_argument("--learners", default="quick", help="quick, or of ridge,gradient_boosting")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    learners, seeds = tuple(arguments.learners.split(",")), range(arguments.histories)
    print("| history | ever served | 95% interval | when |\n|---|---|---|---|")
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        for kind in arguments.kinds.split(","):
            one = partial(served_at, kind, arguments.ratings, learners)
            found = list(pool.map(one, [arguments.first_seed + seed for seed in seeds], chunksize=4))
            times = sorted(at for at in found if at is not None)
            low, high = clopper_pearson(len(times), len(found))
            half = times[(len(found) - 1) // 2] if 2 * len(times) >= len(found) else None
            when = "-" if half is None else str(half)
            print(f"| {kind} | {len(times)} of {len(found)} | {low:.1%} to {high:.1%} | {when} |", flush=True)


if __name__ == "__main__":
    main()
