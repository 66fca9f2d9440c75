"""What the Models page does in a child process: train, make a new program, try a video, explain a clip."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import ConfigError
from adapters.reports import EpochLog
from cliplab.studio.jobs import Job
from cliplab.studio.model_list import ModelLibrary
from cliplab.studio.model_pages import read_detail
from cliplab.studio.model_versions import save_bundle_copy

FRAME_PIXELS = 36_000_000  # of the largest frame: 8K
DECODE_MB = 2000.0
DECODE_SECONDS = 900.0
MOST_LABELS = 50  # of a timeline: those that score highest anywhere
MOST_POINTS = 5000  # windows of a video on a timeline


def save_version(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Save a model with other keys, where a new program is made.

    Args:
        job: The job.
        arguments: "folder" of models, "model" by id, "name" of the new version, the edited "config".
    """
    library = ModelLibrary(arguments["folder"])
    job.progress("making the program")
    path = save_bundle_copy(
        library, arguments["name"], read_detail(library.find(arguments["model"])), arguments["config"]
    )
    return {"model": _id_of(library, path), "name": path.name}


def train_model(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Train a config, or a saved model further.

    Args:
        job: The job.
        arguments: "folder" of models, "model" by id, "data", the path of the "output".
    """
    from cliplab.models import finetune, train

    library = ModelLibrary(arguments["folder"])
    ref = library.find(arguments["model"])
    if ref.kind == "tflite":
        raise ConfigError(
            f"{ref.name}: a .tflite has no weights to train. Train the bundle or config that it was made from"
        )

    def on_epoch_end(log: EpochLog) -> object:
        job.epoch(asdict(log))
        return False if job.stopping else None

    def on_progress(stage: str, done: int, total: int) -> None:
        job.progress(stage, done, total)
        if job.stopping and not job.epochs:
            job.check()

    start = finetune if ref.kind == "bundle" else train
    report = start(
        ref.path,
        arguments["data"],
        arguments["output"],
        on_epoch_end=on_epoch_end,
        on_progress=on_progress,
        on_line=job.line,
    )
    for sentence in report.skipped[:50]:
        job.line(f"left out: {sentence}")
    metrics = {name: report.metrics.get(name) for name in ("clips", "groups", "accuracy", "f1", "intervals")}
    path = Path(report.output_path)
    return {
        "model": _id_of(library, path),
        "name": path.name,
        "stopped": report.stopped,
        "epochs": len(report.epochs),
        "best_epoch": report.best_epoch,
        "skipped": len(report.skipped),
        "metrics": metrics,
    }


def try_video(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Predict a video, decoded within limits.

    Args:
        job: The job.
        arguments: "folder" of models, "model" by id, "video", the "name" to show.

    Returns:
        "labels", "starts", "ends", "scores" [windows][labels], "threshold" by label, "top", "segments", "warnings".
    """
    from adapters.inference import open_model, predict_videos, scores_to_segments
    from adapters.media import DecoderPool, MediaLimits

    library = ModelLibrary(arguments["folder"])
    adapter = open_model(library.find(arguments["model"]).path)
    limits = MediaLimits(FRAME_PIXELS, lambda: "the job was stopped" if job.stopping else None, MOST_POINTS)
    job.progress("reading the video")

    def on_progress(path: str, seconds: float, length: float | None, done: int, total: int) -> None:
        job.check()
        job.progress(f"{seconds:.0f} s read", round(seconds), None if length is None else max(1, round(length)))

    pool = DecoderPool(1, DECODE_MB, DECODE_SECONDS)
    try:
        results = predict_videos(
            adapter,
            [arguments["video"]],
            window_seconds=arguments["window"],
            stride_seconds=arguments["stride"],
            on_progress=on_progress,
            limits=limits,
            decoders=pool,
        )
        result = next(iter(results))
        job.check()
    finally:
        pool.close()
    if result.error is not None:
        raise ConfigError(str(result.error).replace(arguments["video"], arguments["name"]))
    config = adapter.config
    predictions = result.predictions[:MOST_POINTS]
    scores = np.stack([item.scores for item in predictions])
    every = list(adapter.labels)
    columns = sorted(np.argsort(-scores.max(axis=0), kind="stable")[:MOST_LABELS])
    labels, scores = [every[column] for column in columns], scores[:, columns]
    best = {**dict.fromkeys(labels, config["threshold"]), **config["best_thresholds"]}
    options = {name: config[name] for name in ("smoothing_seconds", "min_segment_seconds", "merge_gap_seconds")}
    segments = [
        {"label": label, "start": round(part.start, 3), "end": round(part.end, 3), "score": round(part.score, 4)}
        for label in labels
        for part in scores_to_segments(predictions, label, best[label], **options)
    ]
    means = scores.mean(axis=0)
    order = np.argsort(-means, kind="stable")[: config["top_k"]]
    return {
        "name": arguments["name"],
        "top": [{"label": labels[index], "score": round(float(means[index]), 4)} for index in order],
        "segments": sorted(segments, key=lambda part: (part["start"], part["label"])),
        "labels": labels,
        "starts": [round(item.start, 3) for item in predictions],
        "ends": [round(item.end, 3) for item in predictions],
        "scores": [[round(float(score), 4) for score in row] for row in scores],
        "labels_left_out": len(every) - len(labels),
        "thresholds": best,
        "left_out": len(result.predictions) - len(predictions),
        "warnings": [str(warning) for warning in result.warnings],
    }


def explain_clip(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Explain one clip as a picture.

    Args:
        job: The job.
        arguments: "folder" of models, "model" by id, "video", the "name" to show, "start" and "end" in seconds,
            "label" or None, and the path of the "picture" to write.
    """
    from adapters.inference import open_model
    from adapters.system import write_bytes_atomic
    from cliplab.models import explain_video, explanation_png

    library = ModelLibrary(arguments["folder"])
    adapter = open_model(library.find(arguments["model"]).path)

    def on_progress(stage: str, done: int, total: int) -> None:
        job.check()
        job.progress("hiding parts of the clip", done, total)

    job.progress("reading the clip")
    found = explain_video(
        adapter,
        arguments["video"],
        label=arguments["label"],
        start_seconds=arguments["start"],
        end_seconds=arguments["end"],
        model_name=arguments["name"],
        on_progress=on_progress,
    )
    # An upload has a name of ours; the picture shows the person's.
    write_bytes_atomic(arguments["picture"], explanation_png(replace(found, video=arguments["name"])))
    return {"label": found.label, "score": found.score, "start": found.start_seconds, "end": found.end_seconds}


def _id_of(library: ModelLibrary, path: Path) -> str | None:
    return next((ref.id for ref in library.refs() if ref.path == path), None)
