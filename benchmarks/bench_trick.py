"""The trick model's converted file: its size, and milliseconds a clip of 16 frames of 172x172, decoding not included.

    python benchmarks/bench_trick.py

prints a JSON line for 1 and 2 threads. The project promises 10 MB and under 100 ms per clip on two cores. Weights are
random: neither depends on them.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path

CLIPS = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.environ["CLIPLAB_CACHE"] = str(Path(name) / "cache")
        from adapters.inference import open_model
        from cliplab.models import rendered_clips, time_predict

        path = Path(name) / "trick.tflite"
        model = open_model("trick_movinet_a0", {"weights": "random"})
        model.convert(path, model.config["quantize"])
        for threads in (1, 2):
            alone = open_model(path, {"num_threads": threads})
            times = time_predict(alone, (rendered_clips(alone) * CLIPS)[:CLIPS])
            row = {
                "program": model.config["quantize"],
                "size_bytes": path.stat().st_size,
                "threads": threads,
                "clips": CLIPS,
                "ms_min": round(min(times), 1),
                "ms_median": round(statistics.median(times), 1),
            }
            print(json.dumps(row))


if __name__ == "__main__":
    main()
