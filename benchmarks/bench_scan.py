"""A scan of 10 s clips of 340x256 with EfficientNet-Lite0: videos per second, beside decode and inference timed apart.

    python benchmarks/bench_scan.py [VIDEOS]

prints a JSON line for each sampling: one frame a second, and key frames alone (x264 puts them at cuts here, and after
250 frames at most). The library is made of samples/broadcast.mp4: pieces of 10 s from different places, every other one
mirrored, at 28 frames per second. Weights are random: speed does not depend on them.

videos_per_second is the whole work on a new store. share_of_apart: seconds of decoding alone plus seconds of inference
alone, both on all cores, over seconds of the scan; promised: 0.85. The three take turns and the best of each counts.
processor_share: the same of processor seconds, which other work on the machine disturbs less. again_ms: a second scan,
which finds nothing new.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

ROUNDS = 3
SECONDS, FPS, WIDTH, HEIGHT = 10, 28, 340, 256
SOURCE = Path(__file__).resolve().parent.parent / "samples" / "broadcast.mp4"


def render_library(folder: Path, count: int, gop: int = 250) -> None:
    """Clips of 10 s, each of its own content, with a key frame at least every gop frames."""
    from adapters.media import open_video

    with open_video(SOURCE) as video:
        size = {"height": HEIGHT, "width": WIDTH, "aspect": "stretch"}
        frames = [frame for _, frame in video.frames(fps=FPS, **size)]  # type: ignore[arg-type]
    for number in range(count):
        first = number * (len(frames) - SECONDS * FPS) // count
        with av.open(str(folder / f"{number:03}.mp4"), "w") as container:
            options = {"crf": "23", "preset": "medium", "g": str(gop)}
            stream: Any = container.add_stream("libx264", rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.time_base = Fraction(1, FPS)
            for frame in frames[first : first + SECONDS * FPS]:
                picture = np.ascontiguousarray(frame[:, ::-1] if number % 2 else frame)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call, all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def measure(library: Path, bundle: Path, store: Path, options: dict[str, Any]) -> dict[str, object]:
    from adapters.inference import open_model
    from adapters.media import VideoFile
    from cliplab.library import walk
    from cliplab.scan import FRAMES_PER_BATCH, ScoringJob, choose_sampling, decode_files, scan

    adapter = open_model(bundle)
    sampling = choose_sampling(adapter, None, options.get("keyframes", False), None)
    jobs = [ScoringJob(file, b"") for file in walk(library) if isinstance(file, VideoFile)]
    clips = list(decode_files(adapter, jobs, sampling))
    batches = [clips[start : start + FRAMES_PER_BATCH] for start in range(0, len(clips), FRAMES_PER_BATCH)]
    adapter.predict(batches[0])
    runs: dict[str, Callable[[], object]] = {
        "decode": lambda: sum(1 for _ in decode_files(adapter, jobs, sampling)),
        "inference": lambda: [adapter.predict(batch) for batch in batches],
        "scan": lambda: scan(library, bundle, output=store / "h.json", **options),
    }
    wall, processor = dict.fromkeys(runs, float("inf")), dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            for path in store.iterdir():
                path.unlink()
            taken = timed(run)
            wall[name], processor[name] = min(wall[name], taken[0]), min(processor[name], taken[1])
    again, _ = timed(runs["scan"])
    return {
        "sampling": sampling.mode,
        "videos": len(jobs),
        "frames_scored": len(clips),
        "videos_per_second": round(len(jobs) / wall["scan"], 1),
        "decode_alone": round(len(jobs) / wall["decode"], 1),
        "inference_alone": round(len(jobs) / wall["inference"], 1),
        "share_of_apart": round((wall["decode"] + wall["inference"]) / wall["scan"], 2),
        "processor_share": round((processor["decode"] + processor["inference"]) / processor["scan"], 2),
        "processor_ms_a_video": round(processor["scan"] / len(jobs) * 1e3),
        "again_ms": round(again * 1e3),
    }


def make_library(folder: Path, count: int) -> tuple[Path, Path, Path]:
    """Folders in folder: of so many videos, of a bundle that scores them, and an empty one for what a scan writes."""
    from adapters.inference import open_model

    library, bundle, store = folder / "library", folder / "bundle", folder / "out"
    library.mkdir()
    store.mkdir()
    render_library(library, count)
    config = {"labels": ["normal", "highlight"], "positive_label": "highlight", "weights": "random"}
    open_model("efficientnet_lite0", config).save(bundle)
    return library, bundle, store


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CLIPLAB_CACHE"] = str(folder / "cache")
        library, bundle, store = make_library(folder, count)
        for options in ({}, {"keyframes": True}):
            print(json.dumps(measure(library, bundle, store, options)), flush=True)


if __name__ == "__main__":
    main()
