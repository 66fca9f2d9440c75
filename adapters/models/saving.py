"""A model written as a bundle, with its golden clip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.bundle import Bundle, Golden, make_golden, measure_tolerance, render_card, write_bundle
from adapters.config import first_weights
from adapters.models.programs import get_program_at

if TYPE_CHECKING:
    from adapters.models.protocols import Convertible
    from adapters.models.state import LoadedModel


def save_bundle(adapter: Convertible, model: LoadedModel, local_path: Path, extra: Mapping[str, bytes]) -> None:
    """Write a bundle of everything that the model is.

    Args:
        adapter: The model.
        model: What is loaded of it; the programs of the bundle that it came from are written too.
        local_path: The bundle's folder.
        extra: The bytes of other files by relative name.

    Raises:
        StorageError: The folder cannot be written.
        BundleError: The folder has files that are not a bundle's.
    """
    files = {adapter.program_name(): adapter.made_program().model_bytes}
    if isinstance(model.stored, Bundle):
        files = {name: path.read_bytes() for name, path in model.stored.programs.items()} | files
    config = {**adapter.config, "labels": list(adapter.labels), "head": adapter.network_config["head"]}
    began = first_weights(config)
    metrics = {**adapter.metrics, **({} if began is None else {"first_weights": began})}
    golden = adapter.golden()
    write_bundle(
        local_path,
        config=config,
        programs=files,
        weights=adapter.variables() if model.has_weights else None,
        metrics=metrics,
        golden=golden,
        card=render_card(config, adapter.labels, metrics, golden),
        extra=extra,
    )


def golden_of(adapter: Convertible, model: LoadedModel) -> Golden:
    """The golden clip: the stored one, or made now, by the float32 program if there are weights.

    Args:
        adapter: The model.
        model: What is loaded of it.

    Returns:
        A golden whose tolerance for the config's precision is the one that it was measured to need.
    """
    if isinstance(model.stored, Bundle) and model.stored.golden is not None:
        return model.stored.golden
    if adapter.config["quantize"] == "float32" or not model.has_weights:
        return make_golden(adapter.input_spec, lambda clips: adapter.predict_with(adapter.made_program(), clips))
    exact = adapter.open_program(get_program_at(adapter, "float32"), adapter.config["num_threads"])
    golden = make_golden(adapter.input_spec, lambda clips: adapter.predict_with(exact, clips))
    return measure_tolerance(
        golden, lambda clips: adapter.predict_with(adapter.made_program(), clips), adapter.config["quantize"]
    )
