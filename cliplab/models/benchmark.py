"""How fast and how large a model is, on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.config import merge_config
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.litert import available_cores
from adapters.records import Clip
from cliplab.models.measure import rendered_clips, size_bytes, time_predict


@dataclass(frozen=True)
class BenchReport:
    """Speed and size of a model on this machine. Decoding is not included.

    Attributes:
        latency_ms: Milliseconds per clip, predicted alone: "min", "median" and "p95".
        clips_per_second: Rate in batches of the config's ``batch_size``.
        size_bytes: Size of the LiteRT program; None for a model without one.
        peak_memory_bytes: Peak memory of this process, including the interpreter and its libraries.
        threads: Cores that prediction may use.
        clips: How many clips were timed.
    """

    latency_ms: dict[str, float]
    clips_per_second: float
    size_bytes: int | None
    peak_memory_bytes: int
    threads: int
    clips: int

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def bench(
    model: str | Path | Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    threads: int | None = None,
    clips: int = 50,
    video: str | Path | None = None,
    trust_adapters: Sequence[str] = (),
) -> BenchReport:
    """Time a model's predictions.

    Args:
        model: A bundle directory, a .tflite, a config file, a ready config's name, or the config itself.
        overrides: Config keys to change.
        threads: Short for the key ``num_threads``; None keeps the config's.
        clips: How many clips to time.
        video: A video whose windows are predicted, or the whole of it as one clip; None predicts rendered clips.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.

    Returns:
        Latency, rate, size and memory.

    Raises:
        ConfigError: A key is wrong, or clips is below 1.
        BundleError: The model is missing or damaged.
        MediaError: The video cannot be read.
    """
    if clips < 1:
        raise ConfigError(f"clips must be a whole number of at least 1, got {clips}")
    changes = merge_config(overrides or {}, {} if threads is None else {"num_threads": threads})
    adapter = open_model(model, changes, trust_adapters)
    found = rendered_clips(adapter) if video is None else _clips_of(adapter.input_spec, video, clips)
    chosen = [found[i % len(found)] for i in range(clips)]
    times = time_predict(adapter, chosen)
    size = adapter.config["batch_size"]
    start = time.perf_counter()
    for first in range(0, clips, size):
        adapter.predict(chosen[first : first + size])
    elapsed = time.perf_counter() - start
    return BenchReport(
        latency_ms={
            "min": round(min(times), 3),
            "median": round(float(np.median(times)), 3),
            "p95": round(float(np.percentile(times, 95)), 3),
        },
        clips_per_second=round(clips / elapsed, 2),
        size_bytes=size_bytes(adapter),
        peak_memory_bytes=peak_memory_bytes(),
        threads=adapter.config["num_threads"] or available_cores(),
        clips=clips,
    )


def _clips_of(spec: Any, video: str | Path, limit: int) -> list[Clip]:
    from itertools import islice

    from adapters.media import open_video

    with open_video(video) as opened:
        return list(islice(opened.clips(spec), min(limit, 64)))


def peak_memory_bytes() -> int:
    """Peak memory of this process in bytes; 0 where the system does not report it (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
