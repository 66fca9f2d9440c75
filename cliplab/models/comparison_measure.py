"""One model in a comparison: its features, the clips that its heads get right, its speed and its size."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.base import BaseModelAdapter, OnProgress
from adapters.errors import BundleError, ConfigError, StorageError
from adapters.records import Clip
from adapters.system import cache_dir, parse_json, read_regular_text, value_digest, write_json_atomic
from cliplab.models.comparison_models import Contestant
from cliplab.models.measure import rendered_clips

if TYPE_CHECKING:
    from adapters.base import FeatureSource
    from adapters.data import Dataset, Example
    from adapters.training import ExampleFeatures, LabelledFeatures

# Raised with a change of what is judged or how, so that figures in the cache are computed again.
_FORMAT = 1
_MOST_BYTES = 64 << 20  # of what was judged before
_WARM_UP_RUNS, _MOST_RUNS, _FEWEST_RUNS = 2, 15, 3
_TIMING_SECONDS = 1.5
_BUSY = 1.5  # the median over the least time; 1.0 to 1.2 on an idle machine


@dataclass(frozen=True)
class Judged:
    """What heads made of clips whose group they did not see.

    Attributes:
        right: Whether each clip is decided right, in the order of the clips.
        recall: The share of right clips of each class, by label; None for one without clips.
        calibration_error: The expected calibration error of the scores.
        folds: How many folds there were.
        warnings: What a reader should know, one sentence each.
    """

    right: tuple[bool, ...]
    recall: dict[str, float | None]
    calibration_error: float
    folds: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """One model's measurements.

    Attributes:
        examples: The clips that it could read.
        labels: Its classes in order.
        exclusive: Whether each clip has one label.
        judged: What its heads made of the clips.
        latency_ms: The median time for one clip on this machine, decoding not included.
        size_bytes: The float32 file.
        int8_bytes: The file with 8-bit kernels, estimated.
        decoded: How many clips were decoded now.
        skipped: The other clips, each with the reason.
        follows_from: A digest of what its figures follow from, beside the clips.
        notes: What a reader should know of its speed, one sentence each.
    """

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    exclusive: bool
    judged: Judged
    latency_ms: float
    size_bytes: int
    int8_bytes: int
    decoded: int
    skipped: tuple[tuple[Example, str], ...]
    follows_from: str
    notes: tuple[str, ...]


def measure_model(contestant: Contestant, dataset: Dataset, seed: int, on_progress: OnProgress) -> Measured:
    """Measure one model on all clips of a dataset.

    Args:
        contestant: The model; of its accuracy only the backbone decides.
        dataset: The clips of all splits.
        seed: The seed of the division into folds.
        on_progress: Receives the stage, the steps done and the steps in all.

    Raises:
        ConfigError: The model has no backbone of its own.
        DatasetError: The clips do not suit the model, or cannot be divided.
        WeightsError: Its weights cannot be found.
    """
    from adapters.training import example_features, fitting_dataset

    adapter = contestant.adapter
    fitting = fitting_dataset(dataset, adapter.config, contestant.labels)
    on_progress("backbone", 0, 1)
    source = adapter.feature_source()
    found = example_features(adapter, fitting.examples, on_progress)
    assert source is not None  # or there would be no features
    data = found.labelled(fitting.labels, adapter.config)
    run = source.compute if contestant.shipped is None else contestant.shipped.predict
    times = _times(run, rendered_clips(adapter)[:1], on_progress)
    size, int8 = _sizes(source, contestant.shipped, data.targets.shape[1])
    judged = _judged(found, data, fitting.labels, adapter.config, seed, on_progress)
    exclusive = adapter.config["task"] == "single_label"
    keys = ("task", "positive_label", "class_weights", "num_threads")
    follows = value_digest([source.identity, size, *(adapter.config[key] for key in keys)])
    return Measured(
        found.examples,
        fitting.labels,
        exclusive,
        judged,
        round(float(np.median(times)), 3),
        size,
        int8,
        found.decoded,
        found.skipped,
        follows,
        tuple(_speed_notes(contestant.name, times)),
    )


# Right and wrong ------------------------------------------------------------------------------------------------------


def _judged(
    found: ExampleFeatures,
    data: LabelledFeatures,
    labels: Sequence[str],
    config: dict[str, Any],
    seed: int,
    on_progress: OnProgress,
) -> Judged:
    """Judge the clips, or take what was judged before: to solve the heads of all folds takes seconds."""
    path = cache_dir() / "comparisons" / f"{_key(data, labels, config, seed)}.json"
    kept = _read(path, len(data.targets), labels)
    if kept is not None:
        return kept
    judged = _judge(found, data, labels, config, seed, on_progress)
    write_json_atomic(path, asdict(judged), indent=None)
    return judged


def _key(data: LabelledFeatures, labels: Sequence[str], config: dict[str, Any], seed: int) -> str:
    digest = hashlib.sha256()
    own = [_FORMAT, seed, list(labels), config["positive_label"], config["task"], list(data.features.shape)]
    digest.update(json.dumps(own).encode())
    for values in (data.features, data.targets, data.weights, data.groups):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read(path: Any, count: int, labels: Sequence[str]) -> Judged | None:
    """What was judged before; None where there is nothing, or it is damaged."""
    try:
        value = parse_json(read_regular_text(path, _MOST_BYTES, StorageError))
        judged = Judged(
            tuple(bool(item) for item in value["right"]),
            {label: None if value["recall"][label] is None else float(value["recall"][label]) for label in labels},
            float(value["calibration_error"]),
            int(value["folds"]),
            tuple(str(text) for text in value["warnings"]),
        )
    except (OSError, StorageError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return judged if len(judged.right) == count else None


def _judge(
    found: ExampleFeatures,
    data: LabelledFeatures,
    labels: Sequence[str],
    config: dict[str, Any],
    seed: int,
    on_progress: OnProgress,
) -> Judged:
    from adapters.evaluation import calibration_error
    from adapters.training import label_matrix, out_of_fold_scores, right_labels

    truth = label_matrix(found.examples, labels)
    exclusive = config["task"] == "single_label"
    scored = out_of_fold_scores(data, labels, config, seed=seed, on_progress=on_progress)
    positive = config["positive_label"]
    column = None if positive is None else list(labels).index(positive)
    error = calibration_error(scored.probabilities.astype(np.float64), truth, column, not exclusive)
    decided = _decided(scored.probabilities, exclusive)
    recall = {
        label: float(decided[truth[:, number], number].mean()) if truth[:, number].any() else None
        for number, label in enumerate(labels)
    }
    right = right_labels(scored.probabilities, truth, exclusive)
    return Judged(tuple(right.tolist()), recall, float(error), scored.folds, scored.warnings)


def _decided(probabilities: npt.NDArray[Any], exclusive: bool) -> npt.NDArray[np.bool_]:
    """bool [N, C], the labels that each clip is given."""
    if not exclusive:
        return np.asarray(probabilities >= 0.5)
    return np.asarray(np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None])


# Speed and size -------------------------------------------------------------------------------------------------------


def _times(run: Callable[[list[Clip]], Any], clip: list[Clip], on_progress: OnProgress) -> list[float]:
    """Milliseconds of runs of one clip, alone and decoded, from its frames to the end."""
    for _ in range(_WARM_UP_RUNS):
        run(clip)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < _FEWEST_RUNS or (len(times) < _MOST_RUNS and time.perf_counter() - started < _TIMING_SECONDS):
        start = time.perf_counter()
        run(clip)
        times.append((time.perf_counter() - start) * 1e3)
        on_progress("speed", len(times), _MOST_RUNS)
    return times


def _speed_notes(name: str, times: Sequence[float]) -> list[str]:
    """That the times say more of the machine than of the model, where they vary much."""
    least, median = min(times), float(np.median(times))
    if median <= _BUSY * least:
        return []
    return [
        f"the speed of {name} varied from {least:.1f} to {max(times):.1f} ms, so the machine was probably busy: "
        "compare again when it is idle"
    ]


def _sizes(source: FeatureSource, shipped: BaseModelAdapter | None, units: int) -> tuple[int, int]:
    """Bytes of the file in float32, and with its kernels in 8 bits: the backbone's program with a linear head."""
    from adapters.litert import with_8_bit_weights

    program, head = source.program if shipped is None else shipped.program(), 0
    if shipped is None:
        head = (source.shape[1] + 1) * units
    if program is None:
        raise ConfigError("the model has no LiteRT program, so its size cannot be measured")
    try:
        int8 = len(with_8_bit_weights(program.model_bytes))
    except BundleError:  # it has 8-bit kernels already
        int8 = program.size_bytes
    return program.size_bytes + 4 * head, int8 + head
