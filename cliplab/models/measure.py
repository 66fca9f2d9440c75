"""What evaluate, convert, verify and bench share: which clips, their scores, time, size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, DatasetError, MediaError
from adapters.protocols import LiteRTProgram
from adapters.records import Clip, Float32Array
from adapters.reports import ConversionReport

if TYPE_CHECKING:
    from adapters.data import Dataset, Example, Split
    from adapters.evaluation import EvaluationReport

ALL_SPLITS = ("train", "validation", "test")
HELD_OUT = ("validation", "test")
WARM_UP_RUNS = 2


def labelled_clips(
    adapter: BaseModelAdapter, data: str | Path, splits: Sequence[str] = ALL_SPLITS
) -> tuple[Example, ...]:
    """The clips of some splits of a dataset, checked against the adapter's labels.

    Clips without a split are assigned the one that training assigns them (the config's ``split_fractions`` and
    ``seed``), unless every split is asked for. Missing files stay in, to be reported one by one.

    Args:
        adapter: The model that the clips are for.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        splits: Some of "train", "validation" and "test".

    Returns:
        The clips, split by split.

    Raises:
        ConfigError: The name of a split is wrong.
        DatasetError: The splits are empty, or the labels are unknown to the model.
    """
    unknown = [name for name in splits if name not in ALL_SPLITS]
    if unknown:
        raise ConfigError(f"split must be one of {', '.join((*ALL_SPLITS, 'all'))}, got {unknown[0]!r}")
    dataset = labelled_dataset(adapter, data)
    if len(splits) == len(ALL_SPLITS):
        return dataset.examples
    dataset = with_splits(adapter, dataset)
    chosen = tuple(example for name in splits for example in dataset.of_split(cast("Split", name)).examples)
    if not chosen:
        found = ", ".join(sorted({str(example.split) for example in dataset.examples}))
        raise DatasetError(f"{data}: no clip is in the split {' or '.join(splits)}; there are: {found}")
    return chosen


def labelled_dataset(adapter: BaseModelAdapter, data: str | Path) -> Dataset:
    """A dataset, checked against the adapter's labels and in their order.

    Args:
        adapter: The model that the clips are for.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.

    Raises:
        DatasetError: It cannot be read, or the labels are unknown to the model.
    """
    from adapters.data import check_dataset, join_copies, match_labels, read_dataset

    dataset = match_labels(read_dataset(data), adapter.labels, adapter.config["label_aliases"])
    check_dataset(dataset, labels=adapter.labels, task=adapter.config["task"], allow_missing=True)
    dataset = replace(dataset, labels=adapter.labels)
    return join_copies(dataset, adapter.config["task"] == "single_label")


def with_splits(adapter: BaseModelAdapter, dataset: Dataset) -> Dataset:
    """The dataset with a split for each clip: its own, or the one that training assigns it.

    Args:
        adapter: The model; its config's ``split_fractions`` and ``seed`` count.
        dataset: Its clips.

    Raises:
        DatasetError: The clips cannot be divided.
    """
    from adapters.data import split_dataset

    if all(example.split is not None for example in dataset.examples):
        return dataset
    return split_dataset(dataset, adapter.config["split_fractions"], adapter.config["seed"])


def with_cost(report: EvaluationReport, adapter: BaseModelAdapter) -> EvaluationReport:
    """The report with the median milliseconds per clip and per frame, and the size of the LiteRT program in bytes."""
    clips = rendered_clips(adapter)
    latency = float(np.median(time_predict(adapter, clips)))
    per_frame = latency / max(len(clips[0].frames), 1) * float(adapter.config["device_factor"])
    return replace(report, latency_ms=latency, size_bytes=size_bytes(adapter), frame_latency_ms=per_frame)


def read_clips(
    adapter: BaseModelAdapter,
    data: str | Path,
    splits: Sequence[str],
    limit: int,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> list[Clip]:
    """Decoded clips of some splits, evenly over the dataset; those that cannot be read are left out.

    Args:
        adapter: The model whose input size and frames the clips have.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        splits: Some of "train", "validation" and "test".
        limit: Maximum number of clips to read.
        on_progress: Called with the stage's name, the clips done and the clips in all.

    Returns:
        One clip per labelled clip that was chosen and can be read.

    Raises:
        DatasetError: None of the clips can be read.
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
    """Rendered test clips of the adapter's input size, to measure without footage."""
    from adapters.bundle import VARIANTS, render_clip

    return [render_clip(adapter.input_spec, variant) for variant in range(VARIANTS)]


def time_predict(adapter: BaseModelAdapter, clips: Sequence[Clip]) -> list[float]:
    """Milliseconds per clip that ``predict`` needs for each clip alone, after a warm-up. Decoding is not included.

    Args:
        adapter: The model to time.
        clips: At least one clip.

    Returns:
        Milliseconds, one per clip.
    """
    for _ in range(WARM_UP_RUNS):
        adapter.predict([clips[0]])
    times = []
    for clip in clips:
        start = time.perf_counter()
        adapter.predict([clip])
        times.append((time.perf_counter() - start) * 1e3)
    return times


def size_bytes(adapter: BaseModelAdapter) -> int | None:
    """Size of the LiteRT program that predicts, in bytes; None for an adapter without one."""
    program = adapter.program()
    return None if program is None else program.size_bytes


def compare_models(
    source: BaseModelAdapter, converted: BaseModelAdapter, clips: Sequence[Clip], **options: Any
) -> ConversionReport:
    """Compare scores, time and size of two models on the same clips.

    Args:
        source: The reference.
        converted: The model to compare with it.
        clips: Clips of the models' input size.
        **options: Passed to ``adapters.litert.compare``.

    Returns:
        Sizes, speeds, score differences and agreement.

    Raises:
        ConfigError: One of the models has no LiteRT program.
    """
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
