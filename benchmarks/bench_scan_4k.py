"""A scan of 4K HEVC 10-bit with a key frame each second, as drones write it: bytes read and processor time a video.

    python benchmarks/bench_scan_4k.py [SOURCE]

renders SOURCE (samples/broadcast.mp4) once, enlarged, as 2 s of 3840x2160, 30 frames per second, Main 10, up to 100
Mb/s, in closed groups of 30 frames without B-frames; repeats these without encoding them anew up to 490 MB, the size of
a file in a library of 18,432 videos and 9 TB; and scores that file with EfficientNet-Lite0 of random weights. Needs 0.6
GB of disk and ffmpeg with libx265, which imageio-ffmpeg has. key_mb: the mean key frame, which depends on the footage.

Prints a JSON line for each sampling. mb_read: what the scan's process read of the file, as the system counts it
(/proc/self/io); storage_mb, storage_requests: what an object storage would be asked for. processor_s: processor seconds
of all threads; wall_s beside it, with the file in the page cache, says little where other work runs. The best of ROUNDS
counts. processor_hours_18432 = 18,432 x processor_s / 3600: divide it by the cores. tb_read_18432 likewise. Both say
that all videos are like this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av

ROUNDS, VIDEOS = 3, 18_432
RENDERED_SECONDS, FPS, BITRATE_MB, FILE_BYTES = 2, 30, 100, 490e6
SOURCE = Path(__file__).resolve().parent.parent / "samples" / "broadcast.mp4"


def render(source: Path, folder: Path) -> Path:
    """A 4K file of FILE_BYTES."""
    from imageio_ffmpeg import get_ffmpeg_exe

    short, whole = folder / "short.mp4", folder / "whole.mp4"
    # Footage of fewer frames per second runs faster: each frame is shown once.
    picture = "scale=3840:2160:force_original_aspect_ratio=increase:flags=lanczos,crop=3840:2160"
    codec = f"keyint={FPS}:min-keyint={FPS}:scenecut=0:open-gop=0:bframes=0:log-level=error"
    codec += f":vbv-maxrate={BITRATE_MB * 1000}:vbv-bufsize={BITRATE_MB * 1000}"
    quiet = [get_ffmpeg_exe(), "-v", "error", "-nostdin"]
    into = [*quiet, "-stream_loop", "-1", "-i", str(source), "-an", "-r", str(FPS)]
    into += ["-vf", f"setpts=N/{FPS}/TB,{picture},format=yuv420p10le", "-frames:v", str(RENDERED_SECONDS * FPS)]
    into += [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        codec,
        "-b:v",
        f"{BITRATE_MB}M",
        "-tag:v",
        "hvc1",
    ]
    # Twice as much, of which the buffer of one second lets BITRATE_MB through at most.
    into += ["-b:v", f"{2 * BITRATE_MB}M"]
    subprocess.run([*into, str(short)], check=True)
    repeats = round(FILE_BYTES / short.stat().st_size)
    subprocess.run([*quiet, "-stream_loop", str(repeats - 1), "-i", str(short), "-c", "copy", str(whole)], check=True)
    return whole


def bytes_read() -> int:
    """What this process has read so far, from files and from memory that holds them."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def key_bytes(path: Path) -> float:
    """The mean size of a key frame."""
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(container.streams.video[0]) if packet.is_keyframe]
    return sum(sizes) / len(sizes)


def from_storage(adapter: Any, file: Any, sampling: Any) -> tuple[int, int]:
    """Bytes and requests that the same frames take of an object storage, with an empty cache."""
    from dataclasses import replace

    from adapters.media import open_video
    from cliplab.library import BlockCache, StoredVideo
    from cliplab.scan import read_rows

    stored = StoredVideo(replace(file, path=f"local://{file.path}"), BlockCache(limit_bytes=0))
    with open_video(stored, threads=1) as video:
        for _ in read_rows(video, adapter.input_spec, sampling):
            pass
    return stored.bytes_fetched, stored.requests


def measure(adapter: Any, path: Path, options: dict[str, Any]) -> dict[str, object]:
    from adapters.media import VideoFile
    from cliplab.scan import ScoringJob, choose_sampling, score_files

    sampling = choose_sampling(adapter, None, options.get("keyframes", False), None)
    status = path.stat()
    job = ScoringJob(VideoFile(str(path), status.st_size, status.st_mtime_ns), b"")
    wall, processor, read, rows = float("inf"), float("inf"), 0, 0
    for _ in range(ROUNDS):
        before, began, used = bytes_read(), time.perf_counter(), time.process_time()
        [scored] = score_files(adapter, [job], sampling)
        wall, processor = min(wall, time.perf_counter() - began), min(processor, time.process_time() - used)
        read = bytes_read() - before
        assert scored.scores.scores is not None, scored.scores.error
        rows = len(scored.scores.scores)
    stored_bytes, requests = from_storage(adapter, job.file, sampling)
    return {
        "sampling": sampling.mode,
        "file_mb": round(status.st_size / 1e6, 1),
        "video_s": round(scored.scores.duration or 0.0, 1),
        "frames_scored": rows,
        "mb_read": round(read / 1e6, 1),
        "key_mb": round(key_bytes(path) / 1e6, 2),
        "share_read": round(read / status.st_size, 3),
        "storage_mb": round(stored_bytes / 1e6, 1),
        "storage_requests": requests,
        "processor_s": round(processor, 2),
        "wall_s": round(wall, 2),
        "processor_hours_18432": round(VIDEOS * processor / 3600, 1),
        "tb_read_18432": round(VIDEOS * read / 1e12, 2),
    }


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CLIPLAB_CACHE"] = str(folder / "cache")
        from adapters.inference import open_model

        config = {"labels": ["normal", "highlight"], "positive_label": "highlight", "weights": "random"}
        open_model("efficientnet_lite0", config).save(folder / "bundle")
        path = render(source, folder)
        adapter = open_model(folder / "bundle")
        for options in ({}, {"keyframes": True}):
            print(json.dumps(measure(adapter, path, options)), flush=True)


if __name__ == "__main__":
    main()
