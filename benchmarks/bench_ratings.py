"""How well ratings are learned: people's own ratings of photographs, by the number of rated ones.

    python benchmarks/bench_ratings.py [--seeds 20] [--workers 2] [--figure X.png] [--cache FILE] [--clips FILE]

prints Markdown tables. Needs the folder `shared` beside the project, with its photographs (OASIS, Kurdi et al. 2016).

The stars of one rater are made from the mean of some 100 people: a value is drawn from the photograph's own spread of
ratings and brought from 1..7 to 1 to 5 whole stars. For each seed a third of the themes (dogs, beaches, fire, ...) are
held out, and models learn from the stars of others: embeddings of EfficientNet-Lite0 and cliplab's own features of the
picture. Judged by Spearman's rank correlation with the mean of all people on the held-out themes.

- default gradient boosting: scikit-learn's, with its default settings.
- cliplab: what `RatingBasedTrainer` trains, whether or not it would serve.
- cliplab, served: that model where it may serve; otherwise stage 1's score, which knows nothing here.

The control has 120 stars in random order: in 1% of such histories at most, evidence may ever reach what a model needs
to serve, at whatever number of ratings one looks.

--clips takes the clips of rated_clips.py in place of the photographs: themes are streams, stage 1 is the detector's own
score, the features are cliplab's of sound and picture without an embedding, and a rater's spread is 1.2 on 1 to 7.

Intervals: 95%, bootstrap over seeds. Seeds share photographs, so that they say how sure the mean is on these ones.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_accuracy import SHARED

SIZES = (20, 50, 120)
GOAL_AT, BASELINE_AT = 50, 120
NAMES = ("default gradient boosting", "cliplab", "cliplab, served")
RESAMPLES = 2000
CLIP_SPREAD = 1.2


@dataclass
class Photos:
    """What is known of N photographs, or of as many clips."""

    features: list[dict[str, Any]]
    means: np.ndarray
    spreads: np.ndarray
    themes: np.ndarray
    scores: np.ndarray | None = None  # of stage 1; None: random ones


def read_clips(path: Path, kind: str) -> Photos:
    """Clips of rated_clips.py, those of one kind."""
    rows = [row for row in map(json.loads, path.read_text().splitlines()) if kind in ("all", row["kind"])]
    liked, scores = np.array([row["liked"] for row in rows]), np.array([row["score"] for row in rows])
    streams = np.array([f"stream {row['stream']}" for row in rows])
    return Photos([row["features"] for row in rows], liked, np.full(len(rows), CLIP_SPREAD), streams, scores)


def read_photos(cache: Path | None) -> Photos:
    """The photographs, their features and ratings; features are kept in a file if one is named."""
    with (SHARED / "media" / "real.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["set"] == "ratings_oasis"]
    known = dict(np.load(cache)) if cache is not None and cache.is_file() else {}
    if len(known.get("embeddings", ())) != len(rows):
        known = measure_photos([SHARED / "media" / "real" / row["file"] for row in rows])
        if cache is not None:
            np.savez(cache, **known)
    names = known["names"].tolist()
    features = [
        {"embedding": vector.tolist(), **dict(zip(names, values.tolist(), strict=True))}
        for vector, values in zip(known["embeddings"], known["own"], strict=True)
    ]
    numbers = [[float(re.search(rf"{name}=([\d.]+)", row["note"])[1]) for name in ("valence", "sd")] for row in rows]
    means, spreads = np.array(numbers).T
    return Photos(features, means, spreads, np.array([row["group"] for row in rows]))


def measure_photos(paths: list[Path]) -> dict[str, np.ndarray]:
    """Embeddings float32 [N, D] and cliplab's own features [N, F] with their names."""
    from adapters.inference import open_model
    from adapters.media import decode_picture, fit_frames
    from adapters.records import Clip
    from cliplab.clips.picture_features import measure_pictures

    model = open_model("efficientnet_lite0")
    embeddings, own = [], []
    for path in paths:
        picture = fit_frames(decode_picture(path.read_bytes())[None], model.input_spec)
        clip = Clip(frames=picture, times=np.zeros(1), source=str(path), start=0.0, end=1.0)
        embeddings.append(model.embed([clip])[0])
        own.append(measure_pictures(iter(picture)))
    names = sorted(own[0])
    values = np.array([[one[name] for name in names] for one in own])
    return {"embeddings": np.array(embeddings), "own": values, "names": np.array(names)}


def stars_of(photos: Photos, rng: np.random.Generator) -> np.ndarray:
    """One rater's stars of each photograph."""
    said = np.clip(rng.normal(photos.means, photos.spreads), 1, 7)
    return np.rint(1 + 4 * (said - 1) / 6).astype(int)


def learn(photos: Photos, chosen: np.ndarray, stars: np.ndarray, scores: np.ndarray) -> Any:
    """What cliplab's training finds on some photographs."""
    from cliplab.clips.consensus import Rating, find_consensus
    from cliplab.clips.rating_training import RatedClips, train_kind

    ratings = [Rating(place, "rater", int(value)) for place, value in enumerate(stars)]
    consensus = find_consensus(len(chosen), ratings, [])
    themes = [str(photos.themes[number]) for number in chosen]
    features = [photos.features[number] for number in chosen]
    return train_kind("video", RatedClips(tuple(map(int, chosen)), features, scores, themes, consensus), None, "")


def ever_believed(photos: Photos, chosen: np.ndarray, stars: np.ndarray, scores: np.ndarray) -> bool:
    """Whether evidence was ever enough for a model to serve, after whatever number of ratings."""
    from threadpoolctl import threadpool_limits

    from cliplab.clips.evidence import BETTING, FALSE_RATE, find_evidence
    from cliplab.clips.feature_table import feature_table

    features, themes = [photos.features[n] for n in chosen], [str(photos.themes[n]) for n in chosen]
    with threadpool_limits(1):
        rows = feature_table(features).matrix(features)
        found = find_evidence(rows, (stars - 1) / 4, np.ones(len(stars)), scores, themes, BETTING)
    return bool(found.path.max() >= -np.log(FALSE_RATE))


def boosting(photos: Photos, chosen: np.ndarray, stars: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Scores by scikit-learn's gradient boosting as it is."""
    from sklearn.ensemble import GradientBoostingRegressor

    from cliplab.clips.feature_table import feature_table

    table = feature_table([photos.features[n] for n in chosen])
    known, asked = (table.matrix([photos.features[n] for n in numbers]) for numbers in (chosen, judged))
    return GradientBoostingRegressor(random_state=0).fit(known, stars).predict(asked)


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
    """Rank correlation; 0 where all scores are alike."""
    from scipy.stats import rankdata

    if np.ptp(scores) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(scores), rankdata(truth))[0, 1])


def measure_seed(photos: Photos, seed: int) -> dict[str, Any]:
    """Correlations by name, one for each of ``SIZES``; which models served, and whether one of random stars did."""
    themes, rng = np.unique(photos.themes), np.random.default_rng(seed)
    held = rng.permutation(themes)[: len(themes) // 3]
    judged = np.flatnonzero(np.isin(photos.themes, held))
    order = rng.permutation(np.flatnonzero(~np.isin(photos.themes, held)))
    stars, stage1 = stars_of(photos, rng), rng.random(len(photos.means))
    if photos.scores is not None:
        stage1 = photos.scores
    found: dict[str, Any] = {name: [] for name in (*NAMES, "served")}
    none = spearman(stage1[judged], photos.means[judged])
    for size in SIZES:
        chosen = order[:size]
        result = learn(photos, chosen, stars[chosen], stage1[chosen])
        new = 0.0
        if result.model is not None:
            new = spearman(result.model.predict([photos.features[n] for n in judged]), photos.means[judged])
        found["cliplab"].append(new)
        found["cliplab, served"].append(new if result.serves else none)
        found["served"].append(result.serves)
        plain = boosting(photos, chosen, stars[chosen], judged)
        found["default gradient boosting"].append(spearman(plain, photos.means[judged]))
    chosen = order[: max(SIZES)]
    found["control"] = ever_believed(photos, chosen, rng.permutation(stars[chosen]), stage1[chosen])
    print(json.dumps({"seed": seed, **found}), file=sys.stderr, flush=True)
    return found


def measure(photos: Photos, seeds: range, workers: int) -> dict[str, np.ndarray]:
    """What ``measure_seed`` found for each seed: arrays [seeds, sizes], and "control" [seeds]."""
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(measure_seed, [photos] * len(seeds), seeds))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def interval(values: np.ndarray) -> tuple[float, float]:
    """95%, bootstrap over seeds."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def show(found: dict[str, np.ndarray], photos: Photos) -> None:
    """Print the tables."""
    seeds = len(found["served"])
    print(
        f"{len(photos.means)} of {len(set(photos.themes))} themes or streams, {seeds} seeds; Spearman (95% interval):\n"
    )
    print("| ratings | " + " | ".join(NAMES) + " | served |\n|---|" + "---|" * (len(NAMES) + 1))
    for column, size in enumerate(SIZES):
        cells = []
        for name in NAMES:
            low, high = interval(found[name][:, column])
            cells.append(f"{found[name][:, column].mean():.3f} ({low:.2f} to {high:.2f})")
        print(f"| {size} | " + " | ".join(cells) + f" | {found['served'][:, column].sum()} of {seeds} |")
    at, base = SIZES.index(GOAL_AT), SIZES.index(BASELINE_AT)
    difference = found["cliplab"][:, at] - found["default gradient boosting"][:, base]
    low, high = interval(difference)
    worse = int((found["served"] & (found["cliplab"] <= 0)).sum())
    print(
        f"\ncliplab at {GOAL_AT} ratings less default gradient boosting at {BASELINE_AT}, the same seeds: "
        f"{difference.mean():+.3f} ({low:+.2f} to {high:+.2f}). Of {int(found['served'].sum())} models that "
        f"served, {worse} ranked the held-out themes no better than chance. Of {seeds} histories of {max(SIZES)} "
        f"random stars, {int(found['control'].sum())} would have served at any time."
    )


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    """Write the figure."""
    from adapters.evaluation import BLUE, GREEN, GREY, new_figure, png_bytes
    from adapters.system import write_bytes_atomic

    picture = new_figure(8.0, 4.2)
    place = picture.subplots()
    for name, colour in zip(NAMES, (GREY, BLUE, GREEN), strict=True):
        ends = np.array([interval(column) for column in found[name].T])
        place.fill_between(SIZES, ends[:, 0], ends[:, 1], color=colour, alpha=0.15, linewidth=0)
        place.plot(SIZES, found[name].mean(axis=0), "o-", markersize=3, color=colour, label=name)
    place.axhline(found[NAMES[0]][:, SIZES.index(BASELINE_AT)].mean(), color=GREY, linestyle=":", linewidth=1)
    place.set(xlabel="ratings", ylabel="Spearman, unseen themes", xlim=(0, max(SIZES) + 5))
    place.spines[["top", "right"]].set_visible(False)
    place.legend(loc="upper left", fontsize="small", frameon=False)
    write_bytes_atomic(path, png_bytes(picture, 110))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--figure", type=Path, default=None)
    parser.add_argument("--clips", type=Path, default=None, help="what rated_clips.py wrote, in place of photographs")
    parser.add_argument("--kind", default="all", choices=("all", "audio", "video"), help="of the clips")
    parser.add_argument("--cache", type=Path, default=None, help="keeps the features between runs (.npz)")
    arguments = parser.parse_args()
    if arguments.clips is None and not SHARED.is_dir():
        sys.exit(f"{SHARED}: no such folder; this benchmark measures on its photographs")
    clips = arguments.clips
    photos = read_photos(arguments.cache) if clips is None else read_clips(clips, arguments.kind)
    first = arguments.first_seed
    found = measure(photos, range(first, first + arguments.seeds), arguments.workers)
    show(found, photos)
    if arguments.figure is not None:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
