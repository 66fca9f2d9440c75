"""`cliplab compare`: which model suits labelled clips, within limits of speed and size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.base import OnProgress
from adapters.config import merge_config
from adapters.errors import AdapterError, ConfigError, DatasetError, StorageError, WeightsError
from adapters.litert import available_cores
from adapters.system import write_json_atomic
from cliplab.models.comparison_choice import choose, fitting_precision
from cliplab.models.comparison_measure import Measured, measure_model
from cliplab.models.comparison_models import Contestant, local_weights, open_models
from cliplab.models.comparison_report import (
    Comparison,
    LeftOut,
    Limits,
    ModelFigures,
    parse_size,
    percent,
    require_positive,
)
from cliplab.models.source import ModelSource, name_list
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from adapters.data import Dataset, Example

_FEW_CLIPS = 5
_SEED = 0
_NOT_HERE = (
    "the weights are not on this machine. Give the model with --models to download them, or give a weights file with "
    "--set NAME.weights=PATH"
)
REPORT, PICTURE = "comparison.json", "comparison.png"


def compare(
    data: str | Path,
    *,
    models: Sequence[ModelSource] | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    max_latency_ms: float | None = None,
    max_size: str | int | None = None,
    device_factor: float = 1.0,
    threads: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    on_line: Callable[[str], object] | None = None,
) -> Comparison:
    """Measure models on labelled clips and recommend one.

    The features of each backbone are computed once and stay in the cache, where ``train`` finds them. On them linear
    heads are solved, and each clip is judged by one that did not see its group. Every split takes part. Layers that a
    config adds to its head, augmented views and fine-tuning are not measured.

    If interrupted, call it again: what was computed is in the cache.

    Args:
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        models: Ready configs' names, config files, configs or bundles; None: small and large backbones whose weights
            are on this machine.
        vary: Values by config key: every combination of them is compared, for the one model in ``models``.
        max_latency_ms: Maximum milliseconds per clip on the device.
        max_size: The largest file: bytes, or a size with its unit such as "5MB".
        device_factor: How many times slower than this machine the device is.
        threads: Short for the key ``num_threads``; None keeps the configs'.
        overrides: Config keys to change; an object under a model's name changes that model alone.
        output: A folder for comparison.json and comparison.png; None writes nothing.
        force: Replace the output if it exists.
        trust_adapters: Adapters of other packages that a model may name, "module:Class" each; their code is run.
        on_progress: Called with the model and stage, the steps done and the steps in all.
        on_line: Called with a line of text for each model when it is measured.

    Returns:
        The figures of each model, the most accurate first, and the recommended model with the reasons.

    Raises:
        ConfigError: A model or key is unknown, a value or limit is not allowed, or there are too many settings.
        DatasetError: The clips cannot be used or divided.
        AdapterError: None of the models can be compared.
        StorageError: The output exists, or cannot be written.
        MissingExtraError: SciPy, or matplotlib for the picture, is not installed.
    """
    from adapters.training import require_solver

    limits = _limits(max_latency_ms, max_size, device_factor)
    require_new(output, force)
    require_solver()
    changes = merge_config(overrides or {}, {} if threads is None else {"num_threads": threads})
    dataset, notes = _pooled(data)
    if any(len(example.labels) != 1 for example in dataset.examples) and "task" not in changes:
        changes["task"] = "multi_label"
        notes.append("some clips have several labels or none, so each class is judged separately (task multi_label)")
    with local_weights(models is not None):
        opened, left_out = open_models(models, vary or {}, changes, trust_adapters)
        measured = _measure_all(opened, dataset, left_out, on_progress, on_line)
    if vary:
        _require_effect(vary, measured)
    found = _compared(measured, left_out, limits, notes)
    if output is None:
        return found
    found = replace(found, output=str(output))
    from cliplab.models.comparison_plot import draw_comparison

    draw_comparison(found, Path(output) / PICTURE)
    write_json_atomic(Path(output) / REPORT, found.to_json())
    return found


def _limits(max_latency_ms: float | None, max_size: str | int | None, device_factor: float) -> Limits:
    factor = require_positive("device_factor", device_factor)
    assert factor is not None
    size = None if max_size is None else parse_size(max_size)
    return Limits(require_positive("max_latency_ms", max_latency_ms), size, factor)


def _pooled(data: str | Path) -> tuple[Dataset, list[str]]:
    """The clips of all splits, without their splits: which of them are held out is decided here."""
    from adapters.data import read_dataset

    dataset = read_dataset(data)
    if not dataset.examples:
        raise DatasetError(f"{data}: contains no labelled clips. Label some, or use another dataset")
    return replace(dataset, examples=tuple(replace(one, split=None) for one in dataset.examples)), list(dataset.notes)


# Measuring ------------------------------------------------------------------------------------------------------------

_Measurements = list[tuple[Contestant, Measured]]


def _measure_all(
    opened: Sequence[Contestant],
    dataset: Dataset,
    left_out: list[LeftOut],
    on_progress: OnProgress | None,
    on_line: Callable[[str], object] | None,
) -> _Measurements:
    """Each model's measurements; a model that cannot be measured is left out with the reason."""
    measured: _Measurements = []
    for number, contestant in enumerate(opened):
        stage = _stage(f"{contestant.name} ({number + 1} of {len(opened)})", on_progress)
        try:
            found = measure_model(contestant, dataset, _SEED, stage)
        except StorageError:
            raise
        except AdapterError as error:
            here = contestant.asked_for or not isinstance(error, WeightsError)
            left_out.append(LeftOut(contestant.name, str(error) if here else _NOT_HERE, contestant.asked_for))
            continue
        measured.append((contestant, found))
        if on_line is not None:
            share, clips = percent(float(np.mean(found.judged.right))), len(found.examples)
            on_line(f"{contestant.name}: accuracy {share} on {clips} clips, {found.latency_ms:.1f} ms per clip")
    if not measured:
        _raise_for_all(left_out)
    return measured


def _stage(model: str, on_progress: OnProgress | None) -> OnProgress:
    """The callback, with the model before the stage."""

    def report(name: str, done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(f"{model}: {name}", done, total)

    return report


def _raise_for_all(left_out: Sequence[LeftOut]) -> None:
    """What is wrong with the clips where it is the same for every model; otherwise each model's reason."""
    reasons = {item.reason for item in left_out if item.asked_for} or {item.reason for item in left_out}
    if len(reasons) == 1:
        raise DatasetError(reasons.pop())
    listed = "\n".join(f"  {item.model}: {item.reason}" for item in left_out)
    raise AdapterError(f"none of {len(left_out)} models can be compared:\n{listed}")


def _require_effect(vary: Mapping[str, Sequence[Any]], measured: _Measurements) -> None:
    """ConfigError where no value of the keys changes anything that is compared."""
    if len(measured) > 1 and len({found.follows_from for _, found in measured}) == 1:
        raise ConfigError(
            f"--vary {', '.join(vary)}: changes nothing that is compared: the backbone's features of a clip, "
            "heads trained on them, and speed. Vary for example n_frames, fps, aspect, imgz or weights"
        )


# Comparing ------------------------------------------------------------------------------------------------------------


def _compared(measured: _Measurements, left_out: Sequence[LeftOut], limits: Limits, notes: Sequence[str]) -> Comparison:
    """All figures, on the clips that every model could read."""
    from adapters.evaluation import difference_interval

    first = measured[0][1]
    common = set.intersection(*({example.key() for example in found.examples} for _, found in measured))
    examples = [example for example in first.examples if example.key() in common]
    if not examples:
        raise DatasetError("no clip can be read by all models. Use other models, or replace the clips")
    groups = [example.group for example in examples]
    rights = [_right(found, examples) for _, found in measured]
    best = int(np.argmax([right.mean() for right in rights]))
    figures = [
        _figures(contestant, found, right, rights[best], groups, limits)
        for (contestant, found), right in zip(measured, rights, strict=True)
    ]
    noise = [[difference_interval(one, other, groups) for other in rights] for one in rights]
    largest, share = _largest_class(examples)
    recommended, why = choose(figures, limits, largest, share, noise)
    order = sorted(range(len(figures)), key=lambda number: (-figures[number].accuracy, figures[number].latency_ms))
    skipped = {example.key(): reason for _, found in measured for example, reason in found.skipped}
    return Comparison(
        models=tuple(figures[number] for number in order),
        left_out=tuple(left_out),
        recommended=recommended,
        why=tuple(why),
        clips=len(examples),
        groups=len(set(groups)),
        labels=first.labels,
        largest_class=largest,
        largest_class_share=share,
        limits=limits,
        threads=max(item.threads for item in figures),
        warnings=(*notes, *_warnings(examples, measured)),
        skipped=tuple(skipped.values()),
    )


def _right(found: Measured, examples: Sequence[Example]) -> npt.NDArray[np.bool_]:
    by_key = dict(zip((example.key() for example in found.examples), found.judged.right, strict=True))
    return np.array([by_key[example.key()] for example in examples])


def _figures(
    contestant: Contestant,
    found: Measured,
    right: npt.NDArray[np.bool_],
    best: npt.NDArray[np.bool_],
    groups: Sequence[str],
    limits: Limits,
) -> ModelFigures:
    from adapters.evaluation import difference_interval, share_interval

    difference, low, high = difference_interval(best, right, groups)
    recalls = [value for value in found.judged.recall.values() if value is not None]
    device = found.latency_ms * limits.device_factor
    return ModelFigures(
        model=contestant.name,
        accuracy=round(float(right.mean()), 6),
        interval=share_interval(right, groups),
        mean_recall=round(float(np.mean(recalls)), 6) if recalls else 0.0,
        recall=found.judged.recall,
        calibration_error=round(found.judged.calibration_error, 6),
        latency_ms=found.latency_ms,
        threads=contestant.adapter.config["num_threads"] or available_cores(),
        device_latency_ms=round(device, 3),
        size_bytes=found.size_bytes,
        int8_bytes=found.int8_bytes,
        fits=fitting_precision(device, found.size_bytes, found.int8_bytes, limits),
        difference=difference,
        difference_interval=(low, high),
        decoded=found.decoded,
        notes=(*contestant.notes, *found.notes),
        source=contestant.source,
        overrides=contestant.overrides,
    )


def _largest_class(examples: Sequence[Example]) -> tuple[str, float]:
    """What most clips are, and the share of clips that are."""
    (labels, count), *_ = Counter(tuple(sorted(example.labels)) for example in examples).most_common(1)
    return " and ".join(repr(label) for label in labels) or "no label", round(count / len(examples), 6)


def _warnings(examples: Sequence[Example], measured: _Measurements) -> list[str]:
    """What is true of the figures of all models, in sentences."""
    found = list(dict.fromkeys(text for _, item in measured for text in item.judged.warnings))
    clips = Counter(label for example in examples for label in example.labels)
    few = [f"{label!r} ({clips[label]})" for label in measured[0][1].labels if 0 < clips[label] < _FEW_CLIPS]
    if few:
        found.append(f"too few clips to judge a class by: {name_list(few)}. Label at least {_FEW_CLIPS} of each")
    out_of = max(len(item.examples) for _, item in measured)
    if len(examples) < out_of:
        found.append(f"the figures are for the {len(examples)} of {out_of} clips that every model could read")
    return found
