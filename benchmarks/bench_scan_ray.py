"""A scan on Ray with one worker and with two, on a cluster of two nodes of one CPU each on this machine.

    python benchmarks/bench_scan_ray.py [VIDEOS]

prints a JSON line for each number of workers. The library is that of bench_scan.py: clips of 10 s of 340x256, scored by
EfficientNet-Lite0 with random weights. The two take turns and the best of ROUNDS counts. videos_per_second: of the last
three quarters, when all workers are there, as a long scan goes; start_s: to the first result, connecting and the start
of the workers; times_one_worker: of the former, promised: 1.7 for two. Two cores that do other work too tell little.
driver_ms_a_video: processor time of the process that hands out the videos and keeps the store, which is what many
workers share.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_scan import make_library

ROUNDS, WORKERS = 3, (1, 2)
ROOT = Path(__file__).resolve().parent.parent


def measure(library: Path, bundle: Path, folder: Path, address: str, workers: int) -> tuple[float, float, float]:
    """Videos per second, seconds before the first, and the driver's processor seconds per video."""
    from cliplab.scan import scan

    times: list[float] = []
    used: list[float] = []

    def told(progress: Any) -> None:
        if progress.done > len(times):
            times.append(time.perf_counter())
            used.append(time.process_time())

    for path in folder.iterdir():
        path.unlink()
    began = time.perf_counter()
    options: dict[str, Any] = {"engine": "ray", "ray_address": address, "workers": workers, "on_progress": told}
    report = scan(library, bundle, output=folder / "h.json", **options)
    assert report.scored == len(times), report
    first = len(times) // 4
    done = len(times) - 1 - first
    return done / (times[-1] - times[first]), times[0] - began, (used[-1] - used[first]) / done


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CLIPLAB_CACHE"] = str(folder / "cache")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # What else the machine does kills no worker. (Ray reads this name and no other.)
        os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112
        from ray.cluster_utils import Cluster

        library, bundle, store = make_library(folder, count)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        try:
            runs: dict[int, list[tuple[float, float, float]]] = {workers: [] for workers in WORKERS}
            for _ in range(ROUNDS):
                for workers in WORKERS:
                    runs[workers].append(measure(library, bundle, store, cluster.address, workers))
        finally:
            cluster.shutdown()
    best = {workers: max(found) for workers, found in runs.items()}
    for workers, (rate, start, driver) in best.items():
        row = {"workers": workers, "videos": count, "videos_per_second": round(rate, 2)}
        row |= {"times_one_worker": round(rate / best[1][0], 2), "start_s": round(start, 1)}
        print(json.dumps(row | {"driver_ms_a_video": round(driver * 1e3, 1)}), flush=True)


if __name__ == "__main__":
    main()
