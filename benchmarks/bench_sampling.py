"""Sparse sampling beside exact sampling: processor time of decoding, and whether any decision changes.

    python benchmarks/bench_sampling.py FOLDER... [--tolerance SECONDS] [--weights imagenet]

prints a JSON line for each kind of sampling of the videos in the folders, at one frame per second: everything decoded,
only what is needed (tolerance 0), and the tolerance. The three take turns; the best of ROUNDS counts. Then it scores
windows of 5 s with EfficientNet-Lite0 and prints how many of their decisions (the top class) and frames differ from
those of exact sampling, and by how much the score of the top class differs at most.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROUNDS = 3


def clips_of(path: Path, spec: Any) -> list[Any]:
    """The clips of a video; none where it cannot be read."""
    from adapters.errors import MediaError
    from adapters.media import open_video

    try:
        with open_video(path, threads=1) as video:
            return list(video.clips(spec))
    except MediaError:
        return []


def processor_seconds(paths: list[Path], spec: Any) -> float:
    """What decoding costs in this process."""
    began = time.process_time()
    for path in paths:
        clips_of(path, spec)
    return time.process_time() - began


def measure_decoding(paths: list[Path], spec: Any, tolerance: float) -> dict[str, float]:
    """Processor seconds by kind of sampling, the best of some rounds."""
    exact, near = replace(spec, sampling_tolerance_seconds=0.0), replace(spec, sampling_tolerance_seconds=tolerance)
    best = dict.fromkeys(("everything", "needed", "tolerance"), float("inf"))
    for _ in range(ROUNDS):
        with mock.patch("adapters.media.decode.Decoder.plan_for"):
            best["everything"] = min(best["everything"], processor_seconds(paths, exact))
        best["needed"] = min(best["needed"], processor_seconds(paths, exact))
        best["tolerance"] = min(best["tolerance"], processor_seconds(paths, near))
    return {kind: round(seconds, 2) for kind, seconds in best.items()}


def compare_decisions(adapter: Any, paths: list[Path], tolerance: float) -> dict[str, Any]:
    """Windows of 5 s at one frame per second, exact and with the tolerance."""
    windows = replace(
        adapter.input_spec, n_frames=5, sampling="rate", fps=1.0, window_seconds=5.0, stride_seconds=5.0, parts=()
    )
    exact, near = (replace(windows, sampling_tolerance_seconds=allowed) for allowed in (0.0, tolerance))
    count = frames = moved = 0
    largest, changed = 0.0, list[str]()
    for path in paths:
        for one, other in zip(clips_of(path, exact), clips_of(path, near), strict=True):
            scores, others = (prediction.scores for prediction in adapter.predict([one, other]))
            top = int(np.argmax(scores))
            count, frames = count + 1, frames + len(one.times)
            moved += int(np.sum(np.abs(one.times - other.times) > 1e-6))
            largest = max(largest, float(abs(scores[top] - others[top])))
            if top != int(np.argmax(others)):
                changed.append(f"{path.name} {one.start:g} s: {scores[top]:.3f} and {others.max():.3f}")
    return {
        "windows": count,
        "decisions_changed": len(changed),
        "frames": frames,
        "frames_moved": moved,
        "largest_change_of_top_score": round(largest, 3),
        "changed": changed,
    }


def main() -> None:
    from adapters.inference import open_model
    from adapters.media import is_video_name
    from adapters.records import InputSpec

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.1)
    parser.add_argument("--weights", default="imagenet")
    given = parser.parse_args()
    paths = sorted(path for folder in given.folders for path in folder.rglob("*") if is_video_name(path.name))
    spec = InputSpec(224, 224, 1, sampling="rate", fps=1.0, stride_seconds=1.0)
    print(json.dumps({"videos": len(paths), **measure_decoding(paths, spec, given.tolerance)}), flush=True)
    adapter = open_model("efficientnet_lite0", {"weights": given.weights, "n_frames": 5})
    print(json.dumps(compare_decisions(adapter, paths, given.tolerance), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
