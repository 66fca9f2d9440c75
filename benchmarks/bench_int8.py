"""What 8 bits cost EfficientNet-Lite0 models in accuracy and save in time and size, on clips that they never saw.

    python benchmarks/bench_int8.py [--quick | --temporal]

prints a Markdown table; the interactions alone with ``--quick``, the temporal model on the demo's clips alone with
``--temporal``. Needs the folder ``shared`` beside the project for the first two sets.

- Interactions and footage: as in ``bench_accuracy.py`` recordings are left out in turn. A model is trained on the
  others by ``train`` with its defaults, converted with calibration on its training clips, and both programs answer the
  clips of the recordings that were left out.
- The demo: ``samples/dataset.jsonl``; trained on its training clips, compared on the windows of the others.

The drop is in points of accuracy, paired by clip, its 95% interval by bootstrap over groups. Time is of the processor,
one thread, for one clip: the least of ten rounds of both programs in turns.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench_accuracy import SHARED, Row, footage_rows, listed_rows, parts

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "samples" / "dataset.jsonl"
ROUNDS = 10


@dataclass
class Pair:
    """A float32 model and its int8 program over all parts of a set."""

    before: list[bool] = field(default_factory=list)
    after: list[bool] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    times: list[tuple[float, float]] = field(default_factory=list)

    def line(self, name: str) -> str:
        """The row of the table."""
        from adapters.evaluation import difference_interval

        before, after = np.array(self.before), np.array(self.after)
        drop, low, high = difference_interval(before, after, self.groups)
        float_ms, int8_ms = np.median(self.times, axis=0)
        cells = [
            f"{name}: {len(before)} in {len(set(self.groups))} groups",
            f"{before.mean():.1%}, {after.mean():.1%}",
            f"{100 * drop:.1f} points, {100 * low:.1f} to {100 * high:.1f}",
            f"{np.mean(self.same):.1%}",
            f"{max(self.sizes) / 1e6:.1f} MB",
            f"{float_ms:.0f}, {int8_ms:.0f} ms",
            f"{float_ms / int8_ms:.2f}",
        ]
        return f"| {' | '.join(cells)} |"


def compare_programs(pair: Pair, config: str, data: Path, folder: Path) -> None:
    """Train on the training clips of a dataset, convert, and add what both programs answer for the others."""
    from adapters.inference import open_model
    from cliplab.models.held_out import labelled_windows
    from cliplab.models.measure import read_clips

    open_model(config).train(data, folder / "model")
    model = open_model(folder / "model", {"num_threads": 1})
    held = labelled_windows(model, data)
    file = folder / "int8.tflite"
    model.convert(file, "int8", read_clips(model, data, ("train",), model.config["calibration_clips"]))
    small = open_model(file, {"num_threads": 1})
    one, other = (np.stack([found.scores for found in each.predict(held.clips)]) for each in (model, small))
    truth = [example.labels[0] for example in held.examples]
    for number, label in enumerate(truth):
        tops = [model.labels[int(scores[number].argmax())] for scores in (one, other)]
        pair.before.append(tops[0] == label)
        pair.after.append(tops[1] == label)
        pair.same.append(tops[0] == tops[1])
    pair.groups += [example.group for example in held.examples]
    pair.sizes.append(file.stat().st_size)
    pair.times.append(times_of(model, small, held.clips[:1]))


def times_of(model: Any, small: Any, clip: Sequence[Any]) -> tuple[float, float]:
    """The least milliseconds of the processor for a clip by each program, in turns."""
    found: list[list[float]] = [[], []]
    for turn in range(ROUNDS + 1):
        for times, each in zip(found, (model, small), strict=True):
            start = time.process_time()
            each.predict(clip)
            if turn:
                times.append((time.process_time() - start) * 1e3)
    return min(found[0]), min(found[1])


def left_out(name: str, rows: Sequence[Row]) -> None:
    """Print the row of a set whose recordings are left out two at a time."""
    pair = Pair()
    for test in parts(rows, 2):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data.jsonl"
            data.write_text("".join(row.as_json("test" if i in set(test) else "train") for i, row in enumerate(rows)))
            compare_programs(pair, "efficientnet_lite0", data, Path(folder))
    print(pair.line(name), flush=True)


def demo(name: str, config: str) -> None:
    """Print the row of a config on the demo's clips."""
    pair = Pair()
    with tempfile.TemporaryDirectory() as folder:
        compare_programs(pair, config, DEMO, Path(folder))
    print(pair.line(name), flush=True)


def main(arguments: Sequence[str]) -> None:
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault("CLIPLAB_CACHE", str(Path(name) / "cache"))
        print(
            "| clips | accuracy in float32, int8 | drop, 95% interval | same label | int8 file | time per clip | "
            "times faster |\n|---|---|---|---|---|---|---|"
        )
        if "--temporal" in arguments:
            demo("the demo, `ads_temporal`", "ads_temporal")
            return
        if not SHARED.is_dir():
            sys.exit(f"{SHARED}: no such folder; this benchmark measures on its clips")
        left_out("interactions", listed_rows(["ut_interaction"]))
        if "--quick" in arguments:
            return
        left_out("footage", footage_rows())
        demo("the demo, `ads_base`", "ads_base")
        demo("the demo, `ads_temporal`", "ads_temporal")


if __name__ == "__main__":
    main(sys.argv[1:])
