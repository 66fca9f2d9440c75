"""What a registry learns of a model before it keeps it: its interface, its gates and its golden scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.bundle import Bundle, Golden, golden_to_bytes, is_bundle, make_golden, read_bundle, render_clip
from adapters.bundle.golden import DEFAULT_TOLERANCES
from adapters.errors import AdapterError, BundleError
from adapters.inference import open_model
from adapters.system import value_digest
from cliplab.registry.manifest_file import check_model
from cliplab.registry.manifest_metrics import is_figure
from cliplab.registry.semantics import interface_of

_LONGEST_CARD = 50_000


@dataclass(frozen=True)
class Inspected:
    """What a model is.

    Attributes:
        format: "tflite" or "bundle".
        interface: See ``interface_of``.
        gates: The limits of its config.
        golden: See ``StoredVersion.golden``.
        metrics: The validation figures that it carries.
        card: The card of the bundle, or of the bundle beside a .tflite; empty where there is none.
        lineage: Digests of its config and program, and what it was trained from, as far as it says so.
        notes: What a person should know, in sentences.
    """

    format: Literal["tflite", "bundle"]
    interface: Mapping[str, Any]
    gates: Mapping[str, float]
    golden: Mapping[str, Any] | None
    metrics: Mapping[str, float]
    card: str
    lineage: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())


def inspect_model(path: Path, trust_adapters: Sequence[str] = ()) -> Inspected:
    """Open a model as its users will, and note what it is.

    Args:
        path: A bundle directory or a self-describing .tflite.
        trust_adapters: Adapters of other packages that it may name.

    Raises:
        BundleError: It is missing, damaged, or not a saved model.
        ConfigError: It names an adapter that is not trusted.
    """
    if not path.exists():
        raise BundleError(f"{path}: does not exist. Give a bundle directory or a .tflite that `cliplab convert` wrote")
    if path.is_dir():
        if not is_bundle(path):
            raise BundleError(f"{path}: is not a bundle. Give a bundle directory or a .tflite of `cliplab convert`")
        description: Mapping[str, Any] = {"metrics": read_bundle(path).metrics.get("validation") or {}}
    else:
        description = check_model(path)
    adapter = open_model(path, {"num_threads": 1}, trust_adapters)
    config = dict(adapter.config)
    golden, notes = _golden(path, adapter, description)
    figures = description.get("metrics")
    return Inspected(
        format="bundle" if path.is_dir() else "tflite",
        interface=interface_of(type(adapter), config, adapter.labels, adapter.input_spec),
        gates=dict(config.get("gates") or {}),
        golden=golden,
        metrics={k: v for k, v in figures.items() if is_figure(v)} if isinstance(figures, Mapping) else {},
        card=_card(path, description)[:_LONGEST_CARD],
        lineage=_lineage(config, description),
        notes=notes,
    )


def golden_difference(path: Path, golden: Mapping[str, Any], trust_adapters: Sequence[str] = ()) -> float:
    """How far a model's scores for the golden clip are from those that are kept, 0..1.

    Args:
        path: The model.
        golden: As ``inspect_model`` made it.
        trust_adapters: Adapters of other packages that it may name.

    Raises:
        BundleError: It cannot be opened, or gives other labels.
    """
    adapter = open_model(path, {"num_threads": 1}, trust_adapters)
    scores = golden_scores(adapter, int(golden["variant"]))
    wanted = np.asarray(golden["scores"], np.float64)
    if scores.shape != wanted.shape:
        raise BundleError(f"{path}: gives {len(scores)} scores for the golden clip; {len(wanted)} are expected")
    return float(np.abs(scores - wanted).max()) if np.isfinite(scores).all() else float("inf")


def golden_scores(adapter: BaseModelAdapter, variant: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A model's scores for a rendered clip.

    Args:
        adapter: The model.
        variant: Which rendering, 0..7.

    Returns:
        float64 [C].
    """
    return np.asarray(adapter.predict([render_clip(adapter.input_spec, variant)])[0].scores, np.float64)


def _golden(
    path: Path, adapter: BaseModelAdapter, description: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The golden of the bundle that a file was converted from, otherwise the file's own scores for a rendered clip."""
    precision = _precision(adapter.config, description)
    reference, source = _kept_golden(path, description), "bundle"
    if reference is None or reference.variant is None:
        try:
            reference, source = make_golden(adapter.input_spec, adapter.predict), "upload"
        except AdapterError as error:
            return None, (f"no golden scores are stored: {error}",)
    variant = reference.variant
    if variant is None:
        return None, ("no golden scores are stored: the golden clip is not a rendered one",)
    notes: tuple[str, ...] = ()
    if source == "upload":
        notes = (
            "the golden scores come from this file: they reveal damage and other runtimes, not a bad conversion. Keep "
            "the bundle beside the .tflite (X beside X.tflite) to compare with the model that was trained",
        )
    return {
        "variant": variant,
        "scores": [float(score) for score in reference.scores],
        "labels": list(adapter.labels),
        "precision": precision,
        "tolerance": float(reference.tolerances.get(precision, DEFAULT_TOLERANCES[precision])),
        "source": source,
    }, notes


def _kept_golden(path: Path, description: Mapping[str, Any]) -> Golden | None:
    """The golden of the bundle itself, or of the bundle beside X.tflite where the file names its digest."""
    if path.is_dir():
        return read_bundle(path).golden
    beside = _bundle_beside(path, description)
    return None if beside is None else beside.golden


def _bundle_beside(path: Path, description: Mapping[str, Any]) -> Bundle | None:
    """The bundle X beside X.tflite, where the file names the digest of its golden clip."""
    folder = path.with_suffix("")
    if not is_bundle(folder):
        return None
    bundle = read_bundle(folder)
    wanted = description.get("golden_sha256")
    if bundle.golden is None or wanted != hashlib.sha256(golden_to_bytes(bundle.golden)).hexdigest():
        return None
    return bundle


def _card(path: Path, description: Mapping[str, Any]) -> str:
    bundle = read_bundle(path) if path.is_dir() else _bundle_beside(path, description)
    return "" if bundle is None else bundle.card


def _precision(config: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    named = str(description.get("program") or "").partition("_")[0]
    kept = str(config.get("quantize") or "")
    return next((name for name in (named, kept) if name in DEFAULT_TOLERANCES), "float32")


def _lineage(config: Mapping[str, Any], description: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: description[key] for key in ("program_sha256", "golden_sha256", "first_weights") if key in description}
    return {"config_sha256": value_digest(config), **kept}
