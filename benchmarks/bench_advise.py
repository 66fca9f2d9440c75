"""`dataset advise` on labelled real clips, whose deceptions are known, and its time for 1,000 clips of cached features.

    python benchmarks/bench_advise.py [--clips NAME=CSV ...] [--model MODEL] [--weights FILE]

prints a JSON line for each dataset: the figure with groups as they are, the one with look-alikes kept together, what
random groups of the same sizes give, the best shortcut, and the serious findings. Then the seconds for random features
of 1,000 clips of 6 classes in 200 groups.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from adapters.data import Example
from cliplab.datasets import dataset_advise
from cliplab.datasets.advise_analysis import analyse
from cliplab.datasets.advise_figures import AdvisedClips, compact
from cliplab.datasets.advise_looks import PROPERTIES, Looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", action="append", default=[], metavar="NAME=DATA")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--weights", default=None)
    arguments = parser.parse_args()
    for given in arguments.clips:
        name, _, data = given.partition("=")
        print(json.dumps(measure(name, data, arguments.model, arguments.weights)), flush=True)
    print(json.dumps(time_of_analysis()), flush=True)


def measure(name: str, data: str, model: str, weights: str | None) -> dict[str, object]:
    """One dataset's figures."""
    started = time.perf_counter()
    report = dataset_advise(data, model=model, overrides={} if weights is None else {"weights": weights, "fps": 12})
    figure, alike = report.figure, report.alike
    proposed = None if alike is None else alike.proposed
    best = report.shortcuts[0] if report.shortcuts else None
    return {
        "data": name,
        "model": model,
        "figure": None if figure is None else figure.to_json(),
        "alike": None if proposed is None or proposed.figure is None else proposed.figure.to_json(),
        "random_groups": None if alike is None else alike.control,
        "best_shortcut": None if best is None else [best.name, best.figure.to_json()],
        "serious": [finding.text for finding in report.findings if finding.serious],
        "seconds": round(time.perf_counter() - started, 1),
    }


def time_of_analysis(count: int = 1000, classes: int = 6, size: int = 1280) -> dict[str, object]:
    """Seconds for random features, decoding and the backbone not included."""
    rng = np.random.default_rng(0)
    truth = np.eye(classes, dtype=bool)[np.arange(count) % classes]
    features = truth @ rng.normal(size=(classes, size)) * 0.3 + rng.normal(size=(count, size))
    colours = rng.random((count, 384)) ** 6
    looks = Looks(
        rng.normal(size=(count, sum(map(len, PROPERTIES.values())))).astype(np.float32),
        np.sqrt(colours / colours.sum(axis=1, keepdims=True)).astype(np.float32),
        (rng.random((count, 8, 144)) * 255).astype(np.float32),
    )
    labels = tuple(f"class {number}" for number in range(classes))
    names = tuple(f"/clips/{number}.mp4" for number in range(count))
    groups = np.arange(count) // 5
    examples = [Example(Path(name), (labels[row % classes],), group=str(groups[row])) for row, name in enumerate(names)]
    started, used = time.perf_counter(), time.process_time()
    reduced = compact(features.astype(np.float32)[:, None])
    report = analyse(AdvisedClips(names, labels, truth, True, groups, reduced), examples, looks)
    return {
        "data": f"{count} clips of random features",
        "accuracy": None if report.figure is None else round(report.figure.accuracy, 3),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - used, 1),
    }


if __name__ == "__main__":
    main()
