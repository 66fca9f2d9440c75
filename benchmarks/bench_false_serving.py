"""How often a model of ratings that learned nothing is believed, over whole histories; and how soon a good one.

    python benchmarks/bench_false_serving.py [--histories 200] [--ratings 100] [--learners quick] [--workers 2] [--rule]

prints a Markdown table. A history is a sequence of ratings that come one by one; after each of them the evidence is
looked at, and the history counts as served if it ever reached what a model needs to serve. What the histories are says
tests/support/rating_histories.py.

--rule asks instead whether the model of a whole training after --ratings ratings may serve: all learners, evidence,
and the intervals of what it ranks. Stage 1's scores are random numbers. It takes seconds for each history.

Intervals: 95%, Clopper and Pearson 1934. "When": the number of ratings at which half of the histories were served.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "support")]

from rating_histories import KINDS, Quick, make_history  # noqa: E402


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


def serves_at(kind: str, ratings: int, learners: tuple[str, ...], seed: int) -> int | None:
    """``ratings`` if the model of a whole training on as many may serve; None if not."""
    from cliplab.clips.consensus import Rating, find_consensus
    from cliplab.clips.rating_training import RatedClips, train_kind

    rows, stars, sources = make_history(kind, ratings, seed)
    said = [Rating(place, "rater", round(1 + 4 * one)) for place, one in enumerate(stars)]
    features = [{f"feature_{place}": float(value) for place, value in enumerate(row)} for row in rows]
    scores = np.random.default_rng(seed).random(ratings)
    clips = RatedClips(tuple(range(ratings)), features, scores, sources, find_consensus(ratings, said, []))
    return ratings if train_kind("video", clips, None, "").serves else None


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
    parser.add_argument("--rule", action="store_true", help="a whole training after --ratings ratings, once")
    arguments = parser.parse_args()
    learners, seeds = tuple(arguments.learners.split(",")), range(arguments.histories)
    print("| history | ever served | 95% interval | when |\n|---|---|---|---|")
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        for kind in arguments.kinds.split(","):
            one = partial(serves_at if arguments.rule else served_at, kind, arguments.ratings, learners)
            found = list(pool.map(one, [arguments.first_seed + seed for seed in seeds], chunksize=4))
            times = sorted(at for at in found if at is not None)
            low, high = clopper_pearson(len(times), len(found))
            half = times[(len(found) - 1) // 2] if 2 * len(times) >= len(found) else None
            when = "-" if half is None else str(half)
            print(f"| {kind} | {len(times)} of {len(found)} | {low:.1%} to {high:.1%} | {when} |", flush=True)


if __name__ == "__main__":
    main()
