"""What the default training gets right on recordings that it never saw, beside other learners and the old default.

    python benchmarks/bench_accuracy.py [interactions | frames | footage | demo | skate | curves]...

prints Markdown tables: all, or those that are named. Needs the folder `shared` beside the project (its clips and the
published A0 stream weights). Features are kept in $CLIPLAB_CACHE where it is set, so that a second run is quick.

- Interactions: 71 clips of six actions from 12 recordings. Two recordings are left out at a time, the model is trained
  on the others by `train`, and predicts the clips of the two; all clips are pooled.
- Frames: the same with `efficientnet_lite0`, which sees single frames.
- Footage: graphics or live action, cut into clips of 2 s, two files left out at a time.
- The demo: programme or advertisement, the clips of `samples/`, five of its groups left out at a time.
- Skate tricks: kickflip or ollie, one group of look-alike clips left out at a time, in ten parts.
- Learning curves: heads of 10, 20 and 50 clips, the classes in turn, on a quarter of the recordings that they never
  saw. Features are cached, so that a head takes a second.

"8 epochs" is the default of earlier versions: Adam, learning rate 0.001, no calibration. Logistic regression, ridge and
the linear support vector machine are scikit-learn's on the same features, standardised, each strength by grouped
cross-validation. Intervals: 95%, bootstrap over groups. Calibration error: 15 bins.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
A0_STREAM = {"weights": str(SHARED / "weights" / "movinet_a0_stream_int8.tflite"), "aspect": "pad"}
EARLIER = {"num_epochs": 8, "calibrate": False, "head_solver": "adam"}
CURVE_SIZES = (10, 20, 50)
CURVE_DRAWS = 12


@dataclass(frozen=True)
class Row:
    """One labelled clip."""

    path: Path
    label: str
    group: str
    start_seconds: float | None = None
    end_seconds: float | None = None

    def as_json(self, split: str) -> str:
        found: dict[str, Any] = {"path": str(self.path), "label": self.label, "group": self.group, "split": split}
        if self.end_seconds is not None:
            found |= {"start_seconds": self.start_seconds, "end_seconds": self.end_seconds}
        return json.dumps(found) + "\n"


def listed_rows(sets: Sequence[str]) -> list[Row]:
    """The clips of some sets of shared/media/real.tsv."""
    with (SHARED / "media" / "real.tsv").open(newline="") as file:
        listed = [row for row in csv.DictReader(file, delimiter="\t") if row["set"] in sets]
    return [Row(SHARED / "media" / "real" / row["file"], row["label"], row["group"]) for row in listed]


def footage_rows() -> list[Row]:
    """The files of shared/media/footage in clips of 2 s, six of each at most."""
    from adapters import probe

    rows = []
    with (SHARED / "media" / "footage.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            path = SHARED / "media" / "footage" / row["file"]
            seconds = probe(path).duration_seconds or 2.0
            count = int(max(1, min(6, seconds // 2)))
            for number in range(count):
                start = seconds * number / count
                end = min(start + 2, seconds * (number + 1) / count)
                rows.append(Row(path, row["label"], row["file"], start, end))
    return rows


def trained_scores(
    model: str, changes: dict[str, Any], rows: Sequence[Row], test: Sequence[int], learn: Sequence[int]
) -> tuple[np.ndarray, list[str]]:
    """Train on some clips, predict others: scores [len(test), C] and the labels in their order."""
    from adapters.data import read_dataset
    from adapters.inference import open_model, predict_examples

    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.jsonl"
        data.write_text(
            "".join(rows[i].as_json("train") for i in learn) + "".join(rows[i].as_json("test") for i in test)
        )
        adapter = open_model(model, changes)
        adapter.train(data, Path(name) / "model")
        examples = [example for example in read_dataset(data).examples if example.split == "test"]
        results = list(predict_examples(adapter, examples))
        return np.stack([result.predictions[0].scores for result in results]), list(adapter.config["labels"])


def parts(rows: Sequence[Row], groups_per_part: int) -> list[list[int]]:
    """The rows of each part of the clips, divided by whole groups."""
    groups = sorted({row.group for row in rows})
    chosen = [set(groups[first : first + groups_per_part]) for first in range(0, len(groups), groups_per_part)]
    return [[i for i, row in enumerate(rows) if row.group in part] for part in chosen]


def embeddings(model: str, changes: dict[str, Any], rows: Sequence[Row]) -> np.ndarray:
    """What the model's head sees of each clip, float32 [N, D]: the mean over its items."""
    from adapters.data import read_dataset
    from adapters.inference import open_model
    from adapters.training import example_features

    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.jsonl"
        data.write_text("".join(row.as_json("train") for row in rows))
        found = example_features(open_model(model, changes), read_dataset(data).examples)
    assert not found.skipped
    return found.features.mean(axis=1)


def peers() -> Iterator[tuple[str, Any, dict[str, list[float]]]]:
    """scikit-learn's linear classifiers with the strengths that are tried."""
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.svm import LinearSVC

    strengths = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    yield "logistic regression", LogisticRegression(max_iter=3000), {"C": strengths}
    yield "ridge", RidgeClassifier(), {"alpha": [1.0, 10.0, 100.0, 1000.0, 10000.0]}
    yield "linear SVM", LinearSVC(max_iter=20000), {"C": strengths}


def peer_answers(name: str, features: np.ndarray, rows: Sequence[Row], divided: Sequence[Sequence[int]]) -> np.ndarray:
    """Whether each clip is right by a scikit-learn classifier that never saw its part, bool [N]."""
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _, classifier, grid = next(peer for peer in peers() if peer[0] == name)
    truth, groups = np.array([row.label for row in rows]), np.array([row.group for row in rows])
    right = np.zeros(len(rows), bool)
    for test in divided:
        learn = np.setdiff1d(np.arange(len(rows)), test)
        named = {f"{type(classifier).__name__.lower()}__{key}": values for key, values in grid.items()}
        inner = GroupKFold(min(5, len(set(groups[learn]))))
        search = GridSearchCV(make_pipeline(StandardScaler(), classifier), named, cv=inner)
        search.fit(features[learn], truth[learn], groups=groups[learn])
        right[test] = search.predict(features[test]) == truth[test]
    return right


def line(name: str, right: np.ndarray, groups: Sequence[str], best: np.ndarray | None, error: float | None) -> str:
    """One row of the table."""
    from adapters.evaluation import difference_interval, share_interval

    low, high = share_interval(right, groups)
    cells = [name, f"{right.mean():.3f}", f"{low:.2f} to {high:.2f}", "" if error is None else f"{error:.3f}"]
    if best is None:
        return f"| {' | '.join(cells)} | |"
    _, low, high = difference_interval(right, best, groups)
    return (
        f"| {' | '.join(cells)} | {100 * (right.mean() - best.mean()):+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |"
    )


def measure(title: str, model: str, changes: dict[str, Any], rows: Sequence[Row], divided: list[list[int]]) -> None:
    """Print the table of one set of clips."""
    from adapters.evaluation import calibration_error

    groups = [row.group for row in rows]
    print(f"\n### {title}\n\n{model}, {len(rows)} clips, {len(set(groups))} groups, {len(divided)} parts\n")
    features = embeddings(model, changes, rows)
    others = {name: peer_answers(name, features, rows, divided) for name, *_ in peers()}
    best = max(others.values(), key=lambda right: right.mean())
    print(
        "| learner | accuracy | 95% interval | calibration error | points above the best peer |\n|---|---|---|---|---|"
    )
    for name, settings in (("default", {}), ("8 epochs", EARLIER)):
        scores, truth = [], []
        for test in divided:
            learn = [i for i in range(len(rows)) if i not in set(test)]
            found, labels = trained_scores(model, {**changes, **settings}, rows, test, learn)
            scores.append(found)
            truth.append(np.array([[rows[i].label == label for label in labels] for i in test]))
        order = [i for test in divided for i in test]
        every, right_class = np.concatenate(scores), np.concatenate(truth)
        right = np.zeros(len(rows), bool)
        right[order] = every.argmax(axis=1) == right_class.argmax(axis=1)
        error = calibration_error(every.astype(np.float64), right_class, None, False)
        print(line(name, right, groups, best, error), flush=True)
    for name, right in others.items():
        print(line(name, right, groups, None, None))


def learning_curve(model: str, changes: dict[str, Any], rows: Sequence[Row]) -> None:
    """Print accuracy on unseen recordings by the number of training clips, by the defaults and by the earlier ones."""
    from adapters.evaluation import difference_interval, share_interval

    names = sorted({row.group for row in rows})
    unseen = max(2, len(names) // 4)
    print(
        f"\n### Accuracy by the number of training clips\n\n{model}, {len(rows)} clips of {len(names)} recordings; "
        f"{CURVE_DRAWS} draws, each with {unseen} unseen recordings to judge\n"
    )
    print("| training clips | default | 8 epochs | points above |\n|---|---|---|---|")
    for size in CURVE_SIZES:
        folds = []
        for draw in range(CURVE_DRAWS):
            random = np.random.default_rng(draw)
            test_names = set(random.permutation(names)[:unseen])
            test = np.array([i for i, row in enumerate(rows) if row.group in test_names])
            learn = np.array(drawn(rows, [i for i in range(len(rows)) if i not in set(test)], size, random))
            folds.append((learn, test))
        judged = np.flatnonzero(np.isin(np.arange(len(rows)), np.concatenate([test for _, test in folds])))
        groups = [rows[i].group for i in judged]
        # The mean of each clip over the draws that judged it: only recordings were drawn at random.
        new, old = (right_shares(model, {**changes, **more}, rows, folds)[judged] for more in ({}, EARLIER))
        difference, *ends = difference_interval(new, old, groups)
        cells = []
        for right in (new, old):
            low, high = share_interval(right, groups)
            cells.append(f"{right.mean():.3f} ({low:.2f} to {high:.2f})")
        above = f"{100 * difference:+.1f} ({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f})"
        learned = round(float(np.mean([len(learn) for learn, _ in folds])))
        print(f"| {learned} | {' | '.join(cells)} | {above} |", flush=True)


def right_shares(
    model: str, changes: dict[str, Any], rows: Sequence[Row], folds: Sequence[tuple[Any, Any]]
) -> np.ndarray:
    """How often each clip is right among the folds that judge it, float64 [N]; NaN where none does."""
    from adapters.data import read_dataset
    from adapters.inference import open_model
    from adapters.training.cross_validation import fold_scores
    from adapters.training.training_data import TrainingData

    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.jsonl"
        data.write_text("".join(row.as_json("train") for row in rows))
        examples = read_dataset(data).examples
    adapter: Any = open_model(model, changes)
    labels = sorted({row.label for row in rows})
    truth = np.array([labels.index(example.labels[0]) for example in examples])
    clips = TrainingData(tuple(labels), tuple(examples), (), {"train": len(examples), "validation": 0, "test": 0})
    right, times = np.zeros(len(rows)), np.zeros(len(rows))
    for (_, judge), scores in zip(folds, fold_scores(adapter, clips, folds), strict=True):
        right[judge] += scores.argmax(axis=1) == truth[judge]
        times[judge] += 1
    return np.where(times > 0, right / np.maximum(times, 1), np.nan)


def drawn(rows: Sequence[Row], among: Sequence[int], size: int, random: np.random.Generator) -> list[int]:
    """Clips drawn at random, the classes in turn."""
    by_label = {
        label: list(random.permutation([i for i in among if rows[i].label == label]))
        for label in sorted({row.label for row in rows})
    }
    chosen: list[int] = []
    while len(chosen) < min(size, len(among)):
        for left in by_label.values():
            if left and len(chosen) < size:
                chosen.append(int(left.pop()))
    return chosen


def demo_rows() -> list[Row]:
    """The clips of the demo, of all splits."""
    from adapters.data import read_dataset

    return [
        Row(example.path, example.labels[0], example.group, example.start_seconds, example.end_seconds)
        for example in read_dataset(SAMPLES / "dataset.jsonl").examples
    ]


def left_out(title: str, model: str, changes: dict[str, Any], rows: Sequence[Row], groups_per_part: int) -> None:
    """Print the table of a set whose groups are left out some at a time."""
    measure(title, model, changes, rows, parts(rows, groups_per_part))


def skate_tricks() -> None:
    """Print the table of the skate tricks."""
    rows = listed_rows(["skate_tricks", "skate_small"])
    few = max(1, len({row.group for row in rows}) // 10)
    left_out("Skate tricks: kickflip or ollie", "movinet_a0_stream", A0_STREAM, rows, few)


TABLES: dict[str, Callable[[], None]] = {
    "interactions": lambda: left_out("Interactions", "movinet_a0_stream", A0_STREAM, interactions(), 2),
    "frames": lambda: left_out("Interactions, frames alone", "efficientnet_lite0", {}, interactions(), 2),
    "footage": lambda: left_out("Footage: graphics or live action", "efficientnet_lite0", {}, footage_rows(), 2),
    "demo": lambda: left_out("The demo: programme or advertisement", "efficientnet_lite0", {}, demo_rows(), 5),
    "skate": skate_tricks,
    "curves": lambda: curves(interactions(), footage_rows()),
}


def interactions() -> list[Row]:
    """The clips of six actions."""
    return listed_rows(["ut_interaction"])


def main(names: Sequence[str]) -> None:
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: no such folder; this benchmark measures on its clips")
    if unknown := [name for name in names if name not in TABLES]:
        sys.exit(f"{unknown[0]}: is not one of {', '.join(TABLES)}")
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault("CLIPLAB_CACHE", str(Path(name) / "cache"))
        for wanted in names or TABLES:
            TABLES[wanted]()


def curves(interactions: Sequence[Row], footage: Sequence[Row]) -> None:
    """Print the learning curves."""
    learning_curve("movinet_a0_stream", A0_STREAM, interactions)
    learning_curve("efficientnet_lite0", {}, interactions)
    learning_curve("efficientnet_lite0", {}, footage)


if __name__ == "__main__":
    main(sys.argv[1:])
