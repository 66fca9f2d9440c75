"""`cliplab convert` and `cliplab verify`: one self-describing .tflite, measured against what it stands in for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.records import Clip, ConversionReport, Quantize
from adapters.system import atomic_path
from cliplab.models.source import ModelSource, name_list
from cliplab.outputs import require_new


def convert(
    model: ModelSource,
    output: str | Path,
    *,
    quantize: Quantize = "float32",
    data: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> ConversionReport:
    """Write the model as one self-describing .tflite and measure it against the model's own program.

    quantize: float32, float16, dynamic or int8. data: labelled clips: int8 is calibrated on its train split (at most
    ``calibration_clips``), and the report measures on all windows of the other splits, up to a bound
    (``held_out_windows``), and says on how many. Without data it measures on rendered clips.
    Raises ConversionError where fewer than ``min_agreement`` of the windows keep their label.
    """
    from cliplab.models.held_out import held_out_windows
    from cliplab.models.measure import read_clips

    if Path(output).suffix.lower() != ".tflite":
        raise ConfigError(f"output must be a file whose name ends in .tflite, got {str(output)!r}")
    require_new(output, force)
    adapter = open_model(model, overrides)
    if data is None:
        return adapter.convert(output, quantize)
    clips, origin = held_out_windows(adapter, data, on_progress)
    if quantize != "int8":
        # Nothing is calibrated, so these are only what the contract measures on.
        return replace(adapter.convert(output, quantize, clips), clip_origin=origin)
    calibration = read_clips(adapter, data, ("train",), adapter.config["calibration_clips"], on_progress)
    with atomic_path(output, suffix=".tflite") as unproven:
        adapter.convert(unproven, quantize, calibration)
        return _compare(
            open_model(model, {**(overrides or {}), "num_threads": 1}),
            open_model(unproven, {"num_threads": 1}),
            clips,
            (origin, output),
            adapter.config["min_agreement"],
        )


def verify(
    source: ModelSource,
    converted: ModelSource,
    *,
    data: str | Path | None = None,
    min_agreement: float | None = None,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> ConversionReport:
    """Measure any two models of the same labels against each other: score differences, agreement, size and speed.

    data: labelled clips to compare on (the windows of its validation and test splits); without it, rendered clips.
    min_agreement: None is the source's config's. Raises ConversionError where agreement is lower, ConfigError where
    the labels differ.
    """
    from cliplab.models.held_out import held_out_windows
    from cliplab.models.measure import rendered_clips

    one, other = open_model(source, {"num_threads": 1}), open_model(converted, {"num_threads": 1})
    if one.labels != other.labels:
        raise ConfigError(
            f"the labels differ: {name_list(one.labels)} against {name_list(other.labels)}. Compare models of one task"
        )
    if data is None:
        clips, origin = rendered_clips(one), "rendered clips"
    else:
        clips, origin = held_out_windows(one, data, on_progress)
    least = one.config["min_agreement"] if min_agreement is None else min_agreement
    return _compare(one, other, clips, (origin, converted), least)


def _compare(
    source: BaseModelAdapter,
    converted: BaseModelAdapter,
    clips: Sequence[Clip],
    names: tuple[str, ModelSource],
    min_agreement: float,
) -> ConversionReport:
    from cliplab.models.measure import compare_models

    origin, path = names
    return compare_models(
        source, converted, clips, clip_origin=origin, output_path=str(path), min_agreement=min_agreement
    )
