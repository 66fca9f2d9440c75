"""What benchmarks/peers.py works on: videos, highlights, models and labelled clips, made once and kept in a folder."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SHARED = ROOT.parent / "shared"
SAMPLES = ROOT / "samples" / "dataset.jsonl"
STREAM_WEIGHTS = SHARED / "weights" / "movinet_a0_stream_int8.tflite"
REEL_CLIPS, REEL_START, REEL_SECONDS = 20, 0.5, 3.0
# A head whose scores change gently with the picture: decoders differ by a level or two of 255.
GENTLE_HEAD = {"head_solver": "adam", "num_epochs": "8", "calibrate": "false", "augment_views": "0"}
LABEL = "ad"  # the second of the scanning model's labels


def cliplab(*arguments: object) -> list[str]:
    """The command line of ours."""
    return [sys.executable, "-m", "cliplab", *map(str, arguments)]


def environment(cache: Path) -> dict[str, str]:
    """Of all processes that are measured. Bytecode is kept, as pip keeps it of what it installs."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), "CLIPLAB_CACHE": str(cache)}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **quiet}


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make the content of a folder if an earlier run did not finish it."""
    mark = folder / ".complete"
    if not mark.exists():
        print(f"  making {folder.name} ...", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
        mark.touch()
    return folder


def library(data: Path, videos: int, gop: int) -> Path:
    """Videos of 10 s, 340x256, with a key frame at least every gop frames."""
    from bench_scan import render_library

    return once(data / f"library_{videos}_gop{gop}", lambda folder: render_library(folder, videos, gop))


def model(data: Path) -> Path:
    """A folder with "bundle", float32, "bundle.tflite", its program, and "int8.tflite"; trained on samples/."""

    def make(folder: Path) -> None:
        settings = [word for key, value in GENTLE_HEAD.items() for word in ("--set", f"{key}={value}")]
        bundle = folder / "bundle"
        run(cliplab("train", "efficientnet_lite0", SAMPLES, bundle, "--force", *settings), data)
        for quantize, name in (("float32", "bundle.tflite"), ("int8", "int8.tflite")):
            gates = ["--set", "min_agreement=0", "--set", "max_accuracy_drop=1", "--data", SAMPLES]
            run(
                cliplab("convert", bundle, "--quantize", quantize, *gates, "--output", folder / name, "--force"),
                data,
            )

    return once(data / "model", make)


def run(command: list[str], data: Path) -> None:
    """A step of making the inputs; its output is shown only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment(data / "cache"), cwd=data)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def reel_sources(data: Path) -> Path:
    """20 clips of 6 s, 1280x720, with sound, and a highlights.json beside their folder "clips"."""
    from bench_reel import render_sources, write_highlights

    def make(folder: Path) -> None:
        clips = folder / "clips"
        clips.mkdir(exist_ok=True)
        paths = render_sources(clips, [(1280, 720)], REEL_CLIPS)
        write_highlights(folder / "highlights.json", paths, REEL_SECONDS)

    return once(data / "reel", make)


def stream_video(data: Path) -> Path:
    """One video of 40 s, 340x256, 30 frames per second."""
    from bench_stream import VIDEO

    def make(folder: Path) -> None:
        scaled = "scale=340:256,fps=30"
        options = ["-t", "40", "-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", str(folder / "video.mp4")]
        from peer_scripts.reel_xfade import find_ffmpeg

        run([find_ffmpeg(), "-y", "-v", "error", "-i", str(VIDEO), "-vf", scaled, *options], data)

    return once(data / "stream", make) / "video.mp4"


def training_clips(data: Path) -> Path:
    """71 clips of six actions if the folder `shared` is beside the project, or else the clips of samples/.

    Recordings are in one split only.
    """

    def make(folder: Path) -> None:
        listing = SHARED / "media" / "real.tsv"
        if listing.is_file():
            with listing.open(newline="") as file:
                rows = [row for row in csv.DictReader(file, delimiter="\t") if row["set"] == "ut_interaction"]
            held = set(sorted({row["group"] for row in rows})[-3:])
            clips = [
                {
                    "path": str(SHARED.resolve() / "media" / "real" / row["file"]),
                    "label": row["label"],
                    "group": row["group"],
                    "split": "validation" if row["group"] in held else "train",
                }
                for row in rows
            ]
        else:
            clips = [json.loads(line) for line in SAMPLES.read_text().splitlines()]
            clips = [{**clip, "path": str(SAMPLES.parent / clip["path"])} for clip in clips if clip["split"] != "test"]
        (folder / "dataset.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))

    return once(data / "training", make) / "dataset.jsonl"
