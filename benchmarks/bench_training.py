"""Training on cached features: an epoch of the head over 1,000 clips, and what a second training decodes.

    python benchmarks/bench_training.py

prints a JSON line. Clips are stretches of two rendered videos; features are EfficientNet-Lite0's, 8 frames of 1280 a
clip, from random weights and small pictures, because the head's speed depends on neither. The project promises an epoch
under 1 s and a second training that decodes nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))

from tiny_videos import render_video

CLIPS = 1000
EPOCHS = 6


def write_dataset(folder: Path) -> Path:
    rows = []
    for kind in ("warm", "cold"):
        render_video(folder / f"{kind}.mp4", kind, 0, seconds=CLIPS / 2 + 50)
        for second in range(CLIPS // 2 + 50):
            split = "train" if second < CLIPS // 2 else "validation"
            span = {"start_seconds": float(second), "end_seconds": second + 1.0}
            rows.append({"path": f"{kind}.mp4", "label": kind, "split": split, "group": f"{kind} {second}", **span})
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CLIPLAB_CACHE"] = str(folder / "cache")
        from adapters.inference import open_model

        data = write_dataset(folder)
        changes = {"weights": "random", "imgz": 32, "augment_views": 0, "num_epochs": EPOCHS, "positive_label": "warm"}
        reports, seconds = [], []
        for run in ("first", "second"):
            start = time.perf_counter()
            reports.append(open_model("efficientnet_lite0", changes).train(data, folder / run))
            seconds.append(time.perf_counter() - start)
        epochs = [log.seconds for report in reports for log in report.epochs[1:]]
        row = {
            "training_clips": reports[0].clips["train"],
            "epoch_seconds_median": round(statistics.median(epochs), 3),
            "epoch_seconds_max": round(max(epochs), 3),
            "first_training_seconds": round(seconds[0], 1),
            "first_training_decoded": reports[0].decoded_clips,
            "second_training_seconds": round(seconds[1], 1),
            "second_training_decoded": reports[1].decoded_clips,
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
