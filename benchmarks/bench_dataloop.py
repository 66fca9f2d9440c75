"""Dataloop: how much of the network's waiting is hidden behind the model, against a service with 50 ms of latency.

    python benchmarks/bench_dataloop.py

prints a JSON line. Videos of 2 s are predicted and annotated by MoViNet a0 (random weights: speed does not depend on
them) through the unmodified dtlpy, one item at a call (serial) and all in one call (overlapped), by turns, so that
other work on the machine falls on both. The project promises 1.8 times serial. The service is the imitation that the
tests use: every answer takes 50 ms, and it runs in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LATENCY_SECONDS = 0.05
ITEMS, RUNS = 12, 5
CONFIG = {
    "adapter": "movinet_adapter:MoViNetAdapter",
    "model_id": "a0",
    "weights": "random",
    "imgz": 172,
    "n_frames": 16,
    "labels": ["one", "two"],
    "top_k": 1,
}


def serve() -> None:
    """Fill a service, print where it is, and answer until standard input ends."""
    from dataloop_gateway.server import gateway
    from tiny_videos import render_video

    with gateway() as served, tempfile.TemporaryDirectory() as folder:
        state = served.state
        project = state.add_project()["id"]
        dataset = state.add_dataset(project, "clips", CONFIG["labels"])["id"]
        video = render_video(Path(folder) / "clip.mp4", "warm", 0, seconds=2, fps=25, size=256)
        items = [state.add_item(dataset, f"/{n}.mp4", video, {"fps": 25})["id"] for n in range(ITEMS)]
        model = state.add_model(project, "a0", CONFIG, datasetId=dataset)["id"]
        served.faults.latency_seconds = LATENCY_SECONDS
        print(json.dumps({"url": served.url, "items": items, "model": model}), flush=True)
        sys.stdin.read()


def seconds_of(adapter: Any, calls: list[list[Any]]) -> float:
    start = time.perf_counter()
    for items in calls:
        adapter.predict_items(items=items)
    return time.perf_counter() - start


def measure(about: dict[str, Any], home: Path) -> dict[str, Any]:
    from dataloop_gateway.client import logged_in
    from dataloop_gateway.server import Gateway

    with logged_in(Gateway(url=about["url"]), home) as dl:
        from adapters.hosts.dataloop_host import ModelAdapter

        logging.getLogger("ModelAdapter").setLevel(logging.ERROR)
        adapter = ModelAdapter(model_entity=dl.models.get(model_id=about["model"]))
        items = [dl.items.get(item_id=key) for key in about["items"]]
        seconds_of(adapter, [items])
        serial, overlapped = [], []
        for _ in range(RUNS):
            serial.append(seconds_of(adapter, [[item] for item in items]))
            overlapped.append(seconds_of(adapter, [items]))
    ratios = [one / other for one, other in zip(serial, overlapped, strict=True)]
    return {
        "items": ITEMS,
        "runs": RUNS,
        "latency_ms": LATENCY_SECONDS * 1000,
        "serial_ms_an_item": round(statistics.median(serial) / ITEMS * 1000, 1),
        "overlapped_ms_an_item": round(statistics.median(overlapped) / ITEMS * 1000, 1),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
    }


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]
    if sys.argv[1:] == ["serve"]:
        serve()
        return
    with tempfile.TemporaryDirectory() as name:
        os.environ["CLIPLAB_CACHE"] = str(Path(name) / "cache")
        command = [sys.executable, str(Path(__file__).resolve()), "serve"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdin is not None
            assert service.stdout is not None
            try:
                row = measure(json.loads(service.stdout.readline()), Path(name) / "dataloop")
            finally:
                service.stdin.close()
    print(json.dumps(row))


if __name__ == "__main__":
    main()
