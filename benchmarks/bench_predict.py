"""From process start to answer: ``cliplab predict BUNDLE CLIP`` on a 10 s 340x256 clip, EfficientNet-Lite0 float32.

    python benchmarks/bench_predict.py

prints a JSON line. The project promises at most 1.5 s with TensorFlow not imported. Weights are random: speed does not
depend on them. import_adapters_ms is the time of ``import adapters`` alone, in a process that runs already.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RUNS = 7


def render(path: Path) -> None:
    """A moving picture: 10 s, 340x256, 28 frames per second, h264."""
    y, x = np.mgrid[:256, :340]
    noise = np.random.default_rng(0).integers(0, 40, (256, 340, 3))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=28, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        stream.time_base = Fraction(1, 28)
        for index in range(280):
            wave = np.stack([x + 3 * index, y + 2 * index, x + y + index], axis=-1) % 200
            frame = (wave + np.roll(noise, index, axis=1)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def seconds_of(command: list[str]) -> tuple[list[float], float]:
    """Seconds from start to end of each run, and the median processor seconds, which other work disturbs less."""
    times, processor = [], []
    for _ in range(RUNS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return times, statistics.median(processor)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CLIPLAB_CACHE"] = str(folder / "cache")
        from adapters.inference import open_model

        render(folder / "clip.mp4")
        open_model("efficientnet_lite0", {"weights": "random"}).save(folder / "bundle")
        command = [sys.executable, "-m", "cliplab", "predict", str(folder / "bundle"), str(folder / "clip.mp4")]
        cold, processor = seconds_of([*command, "--json"])
        timed = "import time; t = time.perf_counter(); import adapters; print((time.perf_counter() - t) * 1e3)"
        done = subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True)
        row = {
            "runs": RUNS,
            "seconds_min": round(min(cold), 3),
            "seconds_median": round(statistics.median(cold), 3),
            "seconds_max": round(max(cold), 3),
            "processor_seconds_median": round(processor, 3),
            "import_adapters_ms": round(float(done.stdout), 1),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
