"""Dataloop: seconds from an empty pod to the first answer, with converted programs in the cache and without.

    python benchmarks/bench_dataloop_cold_start.py [--model-id a0] [--runs 3]

prints a JSON line for each run. A process of its own loads the app's entry point and a model of the manifest through
the unmodified dtlpy, without a service, and predicts one video of 2 s. Weights are random and made on the spot: the
download is not in the figures, and speed does not depend on their values.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START = """
import json, pathlib, sys, time
start = time.perf_counter()
from dataloop_offline import item, model
from adapters.hosts.dataloop_host import ModelAdapter
imported = time.perf_counter() - start
adapter = ModelAdapter(model_entity=model(**json.loads(sys.argv[1])))
found = adapter.predict([item(pathlib.Path(sys.argv[2]))])
said = {"annotations": len(found[0]), "tensorflow": "tensorflow" in sys.modules, "import_s": round(imported, 1)}
print(json.dumps(said))
"""


def answer(config: dict[str, object], video: Path, cache: Path, home: Path) -> dict[str, object]:
    """One cold start: wall and processor seconds, and what the process says."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    env = {**os.environ, "CLIPLAB_CACHE": str(cache), "DATALOOP_PATH": str(home), "PYTHONPATH": paths}
    before, start = os.times(), time.perf_counter()
    command = [sys.executable, "-c", START, json.dumps(config), str(video)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    said = json.loads(done.stdout.splitlines()[-1])
    return {"wall_s": round(time.perf_counter() - start, 1), "processor_s": round(used, 1), **said}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model-id", default="a0")
    parser.add_argument("--mode", default="base", choices=("base", "stream"))
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    from tiny_videos import render_video

    from cliplab.models.dataloop_app import make_manifest

    models = make_manifest(model_id=options.model_id)["components"]["models"]
    config = next(m["configuration"] for m in models if m["name"] == f"movinet-{options.mode}")
    with tempfile.TemporaryDirectory() as folder:
        video = render_video(Path(folder) / "clip.mp4", "warm", 0, seconds=2, fps=25, size=256)
        for run in range(options.runs + 1):
            cold = answer({**config, "weights": "random"}, video, Path(folder) / "cache", Path(folder) / "home")
            about = {"model": f"{options.mode} {options.model_id}", "programs": "converted before" if run else "none"}
            print(json.dumps({**about, **cold}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
