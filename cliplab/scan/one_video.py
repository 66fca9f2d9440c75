"""The score of one video and what it means: ``cliplab score``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.choices import WantedPrecision
from adapters.errors import ConfigError, MediaError
from adapters.inference import open_model
from adapters.media import VideoFile, check_source
from adapters.records import Aggregation
from cliplab.models import own_precision
from cliplab.scan.models import choose_model, require_cpu, wanted_precision
from cliplab.scan.run import make_criteria
from cliplab.scan.sampling import choose_sampling
from cliplab.scan.scoring import ScoringJob, score_files

# From which score on a band begins, and what it means for the label and the other one (or "not LABEL").
BANDS = (
    (0.9, "high confidence {label}"),
    (0.7, "likely {label}"),
    (0.5, "uncertain, check it yourself"),
    (0.3, "likely {other}"),
    (0.0, "high confidence {other}"),
)


@dataclass(frozen=True)
class VideoScore:
    """One video's score and what it means.

    Attributes:
        path: The video.
        label: The label whose score it is.
        score: 0..1.
        band: What the score means, in words.
        duration: Length of the video in seconds.
        windows: The best windows, best first: "start" and "end" in seconds, "score" in 0..1.
        warnings: Damage that decoding passed over.
        precision: Of the program that scored.
        precision_reason: Why it is this one.
    """

    path: str
    label: str
    score: float
    band: str
    duration: float
    windows: tuple[dict[str, float], ...]
    warnings: tuple[str, ...] = ()
    precision: str = "float32"
    precision_reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def score(
    video: str | Path,
    bundle: str | Path,
    *,
    label: str | None = None,
    sample_fps: float | None = None,
    keyframes: bool = False,
    frames: int | None = None,
    aggregation: Aggregation | None = None,
    window_seconds: float = 5.0,
    device: str | None = None,
    precision: WantedPrecision | None = None,
    trust_adapters: Sequence[str] = (),
    on_note: Callable[[str], object] | None = None,
) -> VideoScore:
    """Score one video as ``scan`` does; nothing is stored.

    Args:
        video: A video file.
        bundle: A bundle directory or a self-describing .tflite.
        label: The label whose score counts; None is the model's positive label.
        sample_fps: For a model of frames: frames per second to score; None is 1.
        keyframes: For a model of frames: score key frames only (fastest), at most sample_fps per second.
        frames: For a model of frames: score this many frames, evenly over the video.
        aggregation: "mean", "max" or "top_mean" of the scores; None is the model's.
        window_seconds: Length of the best windows.
        device: "cpu" or "gpu"; None is the model's.
        precision: Of the program that scores: "auto" takes int8 where the bundle has measured that it costs at most
            ``max_accuracy_drop``; "float32", "float16", "dynamic" or "int8" takes that program; None is the model's.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_note: Receives what "auto" takes, and why.

    Returns:
        The score, what it means, and the best windows.

    Raises:
        ConfigError: An option is wrong.
        BundleError: The model is missing or damaged.
        MediaError: The video cannot be read.
    """
    if not 0 < window_seconds < float("inf"):
        raise ConfigError(f"window_seconds is {window_seconds!r} and must be seconds above 0")
    chosen = wanted_precision(choose_model(bundle, None, None, None), precision, trust_adapters, on_note or _no_note)
    changes = {} if device is None else {"device": device}
    adapter = open_model(bundle, {**changes, **({} if chosen is None else chosen.overrides)}, trust_adapters)
    require_cpu(precision, device or adapter.config["device"])
    chosen = chosen or own_precision(adapter.config)
    sampling = choose_sampling(adapter, sample_fps, keyframes, frames)
    criteria = make_criteria(adapter, bundle, label, aggregation, 0.0, window_seconds)
    check_source(video)
    status = os.stat(video)
    file = VideoFile(str(video), status.st_size, status.st_mtime_ns)
    [scored] = score_files(adapter, [ScoringJob(file, b"")], sampling, 1)
    result = scored.scores
    if scored.changed is not None or result.scores is None:
        raise MediaError(f"{video}: {scored.changed or result.error}")
    value = criteria.score(result.scores)
    return VideoScore(
        path=str(video),
        label=criteria.label,
        score=value,
        band=band(value, criteria.label, adapter.labels),
        duration=round(result.duration or 0.0, 3),
        windows=tuple(criteria.windows(result)),
        warnings=result.warnings,
        precision=chosen.precision,
        precision_reason=chosen.reason,
    )


def _no_note(text: str) -> None:
    """Notes that nobody asked for."""


def band(value: float, label: str, labels: tuple[str, ...]) -> str:
    """What a score means, in words.

    Args:
        value: The score, 0..1.
        label: The label whose score it is.
        labels: All labels of the model.
    """
    others = [name for name in labels if name != label]
    other = others[0] if len(others) == 1 else f"not {label}"
    return next(text for least, text in BANDS if value >= least).format(label=label, other=other)
