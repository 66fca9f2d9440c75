"""Labels needed to reach the accuracy of random order, where uncertainty with diversity chooses what is labelled next.

    python benchmarks/bench_active_choice.py [--seeds 40] [--figure docs/images/labelling_order.png] [--cache FILE]

prints Markdown tables. Needs the folder `shared` beside the project (its clips and the published A0 stream weights).

For each seed a quarter of the recordings are held out. The other clips are labelled in batches of three, in four
orders; after each batch a linear head learns from what is labelled so far and is judged on the held-out recordings.
Orders: random; uncertainty alone (the smallest margins); diversity alone (greedy k-centre); and the studio's,
`cliplab.studio.diverse`. The first batch of the last three is by diversity, since there is no head yet.

- Interactions: 71 clips of six actions from 12 recordings, features of the A0 stream network.
- Interactions in pieces of one second, so that neighbours are alike, as frames of one video are.
- Footage: graphics or live action, pieces of two seconds from 16 files, features of EfficientNet-Lite0.

Intervals: 95%, bootstrap over seeds; seeds share clips, so that they say how sure the mean is on these clips, and not
on others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_accuracy import A0_STREAM, SHARED, Row, embeddings, footage_rows, listed_rows

BATCH = 3
PENALTY = 0.05
ORDERS = ("random", "uncertainty", "diversity", "both")
NAMES = {
    "random": "random",
    "uncertainty": "uncertainty alone",
    "diversity": "diversity alone",
    "both": "uncertainty with diversity",
}
SHOWN = (9, 15, 21, 30, 39)
RESAMPLES = 2000


class Clips:
    """Features, classes and groups of one set."""

    def __init__(self, features: np.ndarray, labels: Sequence[str], groups: Sequence[str]) -> None:
        self.features = features.astype(np.float32)
        self.truth = np.unique(labels, return_inverse=True)[1].reshape(-1)
        self.groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
        self.classes = int(self.truth.max()) + 1


def scores(clips: Clips, learned: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Scores [len(at), C] of a head that learned from some clips; classes that it has not seen have score 0."""
    from adapters.training import LabelledFeatures, solve

    seen = np.unique(clips.truth[learned])
    found = np.zeros((len(at), clips.classes))
    if len(seen) < 2:
        found[:, seen] = 1.0
        return found
    targets = np.eye(clips.classes, dtype=np.float32)[clips.truth[learned]]
    weights = np.ones(len(learned), np.float32)
    data = LabelledFeatures(clips.features[learned][:, None], targets, weights, clips.groups[learned], True)
    logits = solve(data, PENALTY).logits(clips.features[at])[:, seen].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found[:, seen] = powers / powers.sum(axis=1, keepdims=True)
    return found


def next_batch(clips: Clips, order: str, pool: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows of the pool to be labelled next."""
    from cliplab.studio.diverse import choose_diverse, direction_rows, margin_uncertainty

    left = np.setdiff1d(pool, chosen)
    if order == "random":
        return rng.permutation(left)[:BATCH]
    unsure = None
    if order != "diversity" and len(chosen):
        unsure = margin_uncertainty(scores(clips, chosen, pool))
    if order == "uncertainty" and unsure is not None:
        value = unsure[np.searchsorted(pool, left)]
        return left[np.argsort(-value, kind="stable")[:BATCH]]
    rows = direction_rows(clips.features[pool])
    picks = choose_diverse(rows, BATCH, uncertainty=unsure, labelled=np.searchsorted(pool, np.sort(chosen)))
    return pool[picks]


def curve(clips: Clips, order: str, seed: int, most: int) -> list[float]:
    """Accuracy on held-out groups after each batch."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(int(clips.groups.max()) + 1)
    held = np.isin(clips.groups, names[: max(1, len(names) // 4)])
    test, pool = np.flatnonzero(held), np.flatnonzero(~held)
    chosen = np.zeros(0, np.int64)
    found = []
    while len(chosen) < min(most, len(pool)):
        chosen = np.concatenate([chosen, next_batch(clips, order, pool, chosen, rng)])
        found.append(float((scores(clips, chosen, test).argmax(axis=1) == clips.truth[test]).mean()))
    return found


def run(clips: Clips, order: str, seeds: int, most: int) -> np.ndarray:
    """Accuracies [seeds, batches]; where a seed's pool is smaller, up to the smallest."""
    found = [curve(clips, order, seed, most) for seed in range(seeds)]
    return np.array([values[: min(map(len, found))] for values in found])


def needed(sizes: np.ndarray, values: np.ndarray, target: float) -> float:
    """Labels at which a curve first reaches a target, between the points by a line; infinity where it does not."""
    reached = np.flatnonzero(values >= target - 1e-12)
    if not len(reached):
        return float("inf")
    at = int(reached[0])
    if at == 0:
        return float(sizes[0])
    share = (target - values[at - 1]) / (values[at] - values[at - 1])
    return float(sizes[at - 1] + share * (sizes[at] - sizes[at - 1]))


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95% interval of the mean over seeds [seeds]."""
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def ratio(sizes: np.ndarray, random: np.ndarray, other: np.ndarray, at: int) -> tuple[float, float, float]:
    """Labels that an order needs to reach what random order has with sizes[at], as a share of them, with interval."""

    def of(rows: np.ndarray) -> float:
        return needed(sizes, other[rows].mean(axis=0), random[rows].mean(axis=0)[at]) / sizes[at]

    rng = np.random.default_rng(0)
    drawn = [of(rng.integers(0, len(random), len(random))) for _ in range(RESAMPLES // 4)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return of(np.arange(len(random))), float(low), float(high)


def measure(title: str, clips: Clips, seeds: int, most: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Print the tables of one set of clips."""
    curves = {order: run(clips, order, seeds, most) for order in ORDERS}
    points = min(found.shape[1] for found in curves.values())
    curves = {order: found[:, :points] for order, found in curves.items()}
    sizes = BATCH * np.arange(1, points + 1)
    shown = [size for size in SHOWN if size in sizes]
    print(f"\n### {title}\n\n{len(clips.truth)} clips, {clips.groups.max() + 1} groups, {seeds} seeds\n")
    print("Accuracy on held-out groups (95% interval over seeds):\n")
    print("| labels | " + " | ".join(NAMES[order] for order in ORDERS) + " |\n|---|" + "---|" * len(ORDERS))
    for size in shown:
        cells = []
        for order in ORDERS:
            values = curves[order][:, size // BATCH - 1]
            low, high = interval(values)
            cells.append(f"{values.mean():.3f} ({low:.2f} to {high:.2f})")
        print(f"| {size} | {' | '.join(cells)} |")
    print("\nLabels needed for the accuracy that random order has, as a share of its labels:\n")
    print("| random order's labels | " + " | ".join(NAMES[order] for order in ORDERS[1:]) + " |\n|---|---|---|---|")
    for size in shown[1:]:
        cells = []
        for order in ORDERS[1:]:
            value, low, high = ratio(sizes, curves["random"], curves[order], size // BATCH - 1)
            cells.append(f"{share_text(value)} ({share_text(low)} to {share_text(high)})")
        print(f"| {size} | {' | '.join(cells)} |", flush=True)
    return sizes, curves


def share_text(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.0f}%" if np.isfinite(value) else "not reached"


def draw(found: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]], path: Path) -> None:
    """Write the figure."""
    from adapters.evaluation import BLUE, GREEN, GREY, ORANGE, new_figure, png_bytes
    from adapters.system import write_bytes_atomic

    picture = new_figure(13.0, 4.4)
    colours = {"random": GREY, "uncertainty": ORANGE, "diversity": GREEN, "both": BLUE}
    axes = np.atleast_1d(picture.subplots(1, len(found)))
    for place, (title, (sizes, curves)) in zip(axes, found.items(), strict=True):
        for order, values in curves.items():
            ends = np.array([interval(column) for column in values.T])
            if order in ("random", "both"):
                place.fill_between(sizes, ends[:, 0], ends[:, 1], color=colours[order], alpha=0.2, linewidth=0)
            style = "-" if order in ("random", "both") else "--"
            place.plot(sizes, values.mean(axis=0), style, color=colours[order], label=NAMES[order])
        place.set(title=title, xlabel="labels", ylabel="accuracy on held-out groups")
        place.spines[["top", "right"]].set_visible(False)
    axes[0].legend(loc="lower right", fontsize="small")
    write_bytes_atomic(path, png_bytes(picture, 110))


def pieces(rows: Sequence[Row], seconds: float) -> list[Row]:
    """Clips cut into pieces."""
    from adapters import probe

    found = []
    for row in rows:
        length = probe(row.path).duration_seconds or seconds
        for number in range(max(1, int(length // seconds))):
            end = min((number + 1) * seconds, length)
            found.append(replace(row, start_seconds=number * seconds, end_seconds=end))
    return found


def sets_of(cache: Path | None) -> dict[str, tuple[Clips, int]]:
    """The sets with the most labels of their curves; features are kept in a file if one is named."""
    interactions = listed_rows(["ut_interaction"])
    listed: dict[str, tuple[Any, Any, list[Row], int]] = {
        "Interactions": ("movinet_a0_stream", A0_STREAM, interactions, 51),
        "Interactions in pieces of 1 s": ("movinet_a0_stream", A0_STREAM, pieces(interactions, 1.0), 90),
        "Footage: graphics or live action": ("efficientnet_lite0", {}, footage_rows(), 60),
    }
    known = dict(np.load(cache)) if cache is not None and cache.is_file() else {}
    found = {}
    for title, (model, changes, rows, most) in listed.items():
        if title not in known or len(known[title]) != len(rows):
            known[title] = embeddings(model, changes, rows)
        found[title] = (Clips(known[title], [row.label for row in rows], [row.group for row in rows]), most)
    if cache is not None:
        np.savez(cache, **known)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--figure", type=Path, default=None)
    parser.add_argument("--cache", type=Path, default=None, help="keeps the features between runs (.npz)")
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: no such folder; this benchmark measures on its clips")
    found = {
        title: measure(title, clips, arguments.seeds, most) for title, (clips, most) in sets_of(arguments.cache).items()
    }
    if arguments.figure is not None:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
