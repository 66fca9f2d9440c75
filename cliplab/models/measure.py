"""What evaluate, convert, verify and bench share: which clips, their scores, time, size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from adapters.base import BaseModelAdapter, LiteRTProgram
from adapters.errors import ConfigError, DatasetError, MediaError
from adapters.records import Clip, Float32Array
from adapters.reports import ConversionReport

if TYPE_CHECKING:
    from adapters.data import Example, Split
    from adapters.evaluation import EvaluationReport

ALL_SPLITS = ("train", "validation", "test")
HELD_OUT = ("validation", "test")
WARM_UP_RUNS = 2


def labelled_clips(
    adapter: BaseModelAdapter, data: str | Path, splits: Sequence[str] = ALL_SPLITS
) -> tuple[Example, ...]:
    """The clips of some splits of a dataset, checked against the adapter's labels.

    Clips without a split get the one that training gives them (the config's split_fractions and seed), unless every
    split is asked for. Files that are missing stay in, to be reported one by one. Raises ConfigError, DatasetError.
    """
    from adapters.data import check_dataset, match_labels, read_dataset, split_dataset

    unknown = [name for name in splits if name not in ALL_SPLITS]
    if unknown:
        raise ConfigError(f"split must be one of {', '.join((*ALL_SPLITS, 'all'))}, got {unknown[0]!r}")
    dataset = match_labels(read_dataset(data), adapter.labels)
    check_dataset(dataset, labels=adapter.labels, task=adapter.config["task"], allow_missing=True)
    dataset = replace(dataset, labels=adapter.labels)
    if len(splits) == len(ALL_SPLITS):
        return dataset.examples
    if any(example.split is None for example in dataset.examples):
        dataset = split_dataset(dataset, adapter.config["split_fractions"], adapter.config["seed"])
    chosen = tuple(example for name in splits for example in dataset.of_split(cast("Split", name)).examples)
    if not chosen:
        found = ", ".join(sorted({str(example.split) for example in dataset.examples}))
        raise DatasetError(f"{data}: no clip is in the split {' or '.join(splits)}; there are: {found}")
    return chosen


def with_cost(report: EvaluationReport, adapter: BaseModelAdapter) -> EvaluationReport:
    """The report with the time that a prediction takes, and the size of what ships."""
    latency = float(np.median(time_predict(adapter, rendered_clips(adapter))))
    return replace(report, latency_ms=latency, size_bytes=size_bytes(adapter))


def read_clips(
    adapter: BaseModelAdapter,
    data: str | Path,
    splits: Sequence[str],
    limit: int,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> list[Clip]:
    """Decoded clips of some splits, at most limit, evenly over the dataset; those that cannot be read are left out.

    DatasetError where none can be read.
    """
    from adapters.media import read_clip

    examples = labelled_clips(adapter, data, splits)
    picked = sorted({int(i) for i in np.linspace(0, len(examples) - 1, min(limit, len(examples)))})
    spec = replace(adapter.input_spec, window_seconds=None, stride_seconds=None)
    clips: list[Clip] = []
    failures: list[str] = []
    for done, index in enumerate(picked):
        item = examples[index]
        try:
            clips.append(read_clip(item.path, spec, item.start_seconds, item.end_seconds))
        except (MediaError, OSError) as error:
            failures.append(str(error))
        if on_progress is not None:
            on_progress(f"{' and '.join(splits)} clips", done + 1, len(picked))
    if not clips:
        raise DatasetError(f"{data}: none of {len(picked)} clips can be read; the first: {failures[0]}")
    return clips


def rendered_clips(adapter: BaseModelAdapter) -> list[Clip]:
    """Test pictures of the adapter's input size, for when there is no footage."""
    from adapters.bundle import VARIANTS, render_clip

    return [render_clip(adapter.input_spec, variant) for variant in range(VARIANTS)]


def time_predict(adapter: BaseModelAdapter, clips: Sequence[Clip]) -> list[float]:
    """Milliseconds that ``predict`` takes for each clip alone, decoding not included, after a warm-up."""
    for _ in range(WARM_UP_RUNS):
        adapter.predict([clips[0]])
    times = []
    for clip in clips:
        start = time.perf_counter()
        adapter.predict([clip])
        times.append((time.perf_counter() - start) * 1e3)
    return times


def size_bytes(adapter: BaseModelAdapter) -> int | None:
    """Size of the LiteRT program that predicts; None for an adapter that has none."""
    program = adapter.program()
    return None if program is None else program.size_bytes


def compare_models(
    source: BaseModelAdapter, converted: BaseModelAdapter, clips: Sequence[Clip], **options: Any
) -> ConversionReport:
    """Scores, time and size of one model against another on the same clips; options as ``conversion.compare``."""
    from adapters.litert import compare

    one, other = _program(source), _program(converted)
    return compare(
        _scores(source),
        _scores(converted),
        [[clip] for clip in clips],
        quantize=other.precision,
        source_size_bytes=one.size_bytes,
        model=other.model_bytes,
        **options,
    )


def _program(adapter: BaseModelAdapter) -> LiteRTProgram:
    program = adapter.program()
    if program is None:
        raise ConfigError(f"{type(adapter).__name__} predicts without a LiteRT program, so there is none to compare")
    return program


def _scores(adapter: BaseModelAdapter) -> Callable[[Sequence[Clip]], Float32Array]:
    return lambda batch: np.stack([prediction.scores for prediction in adapter.predict(batch)])
