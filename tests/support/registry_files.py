"""Registries that are made in a moment: without MLflow, with tiny models and, where asked for, signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflite_adapter import make_tflite

from cliplab.registry import Registry, init_keys, open_registry, registry_upload
from cliplab.registry.location import NO_TRACKING, Settings
from cliplab.registry.store import make_settings

TRUSTED = ("tflite_adapter:TfliteAdapter",)


def make_registry(folder: Path, *versions: str, name: str = "base-general", keys: bool = False) -> Registry:
    """A registry with these versions of one model; they differ in a label's contrast, not in their interface."""
    make_settings(folder, Settings(tracking=NO_TRACKING))
    for version in versions:
        upload(folder, name, version)
    registry = open_registry(folder)
    if keys:
        init_keys(registry)
    return registry


def upload(folder: Path, name: str, version: str, label: str = "warm", **options: Any) -> None:
    """Upload a tiny model whose bytes differ from those of every other version."""
    parts = [int(part) for part in version.split(".")]
    contrast = round(0.1 + (parts[1] * 10 + parts[2]) / 1000, 4)
    model = make_tflite(folder.parent / f"{name}-{version}.tflite", label, contrast=contrast)
    registry_upload(model, name, version, registry=folder, trust_adapters=TRUSTED, **options)
