"""How near adapters.media.video comes to PyAV's own speed. Prints one JSON line a file.

    python benchmarks/bench_media.py VIDEO... [--repeats 5] [--size 172]

dense_ratio: time to decode and scale every frame, over that of a bare PyAV loop with the same scaling filter.
sparse_ratio: time to read 8 frames spread over the video, over that of a bare loop that decodes all of it and scales
none; below 1 is what jumping saves. Opening is in all times. Each is the best of several runs, taken in turn;
the processor ratios are of all threads' processor time, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
from av.video.reformatter import Interpolation, VideoReformatter

from adapters.media import decode_size, open_video
from adapters.records import InputSpec

FILTER = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


def bare(path: str, size: tuple[int, int] | None) -> int:
    """Decode every frame with PyAV, scaling each to size if one is given."""
    scaler, count = VideoReformatter(), 0
    with av.open(path) as container:
        stream = container.streams.best("video")
        assert stream is not None
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            count += 1
            if size:
                scaler.reformat(frame, *size, "rgb24", interpolation=FILTER, threads=1).to_ndarray()
    return count


def dense(path: str, spec: InputSpec) -> int:
    """Every frame through adapters.media.video."""
    with open_video(path) as video:
        return sum(1 for _ in video.frames(height=spec.height, width=spec.width))


def sparse(path: str, spec: InputSpec) -> int:
    """One clip of frames spread over the whole video."""
    with open_video(path) as video:
        return len(video.clip(spec).frames)


def best_times(repeats: int, runs: dict[str, Callable[[], int]]) -> tuple[dict[str, float], dict[str, float]]:
    """The shortest wall and processor seconds of each run; they take turns, so that a busy moment falls on all."""
    wall, processor = dict.fromkeys(runs, float("inf")), dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            began, began_processor = time.perf_counter(), time.process_time()
            run()
            wall[name] = min(wall[name], time.perf_counter() - began)
            processor[name] = min(processor[name], time.process_time() - began_processor)
    return wall, processor


def measure(path: str, side: int, repeats: int) -> dict[str, object]:
    spec = InputSpec(height=side, width=side, n_frames=8)
    with open_video(path) as video:
        size = decode_size(spec, video.info.width, video.info.height)
    frames = bare(path, None)
    wall, processor = best_times(
        repeats,
        {
            "bare_decode": lambda: bare(path, None),
            "bare_scaled": lambda: bare(path, size),
            "ours_dense": lambda: dense(path, spec),
            "ours_sparse": lambda: sparse(path, spec),
        },
    )
    return {
        "file": Path(path).name,
        "frames": frames,
        "bare_decode_fps": round(frames / wall["bare_decode"]),
        "ours_dense_fps": round(frames / wall["ours_dense"]),
        "dense_ratio": round(wall["ours_dense"] / wall["bare_scaled"], 3),
        "dense_processor_ratio": round(processor["ours_dense"] / processor["bare_scaled"], 3),
        "sparse_ratio": round(wall["ours_sparse"] / wall["bare_decode"], 3),
        "sparse_processor_ratio": round(processor["ours_sparse"] / processor["bare_decode"], 3),
        "sparse_ms": round(wall["ours_sparse"] * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=172)
    arguments = parser.parse_args()
    for path in arguments.videos:
        print(json.dumps(measure(path, arguments.size, arguments.repeats)))


if __name__ == "__main__":
    main()
