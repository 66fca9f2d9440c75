"""Registries that are made in a moment: without MLflow, with tiny models and, where asked for, signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tflite_adapter import make_tflite

from cliplab.registry import (
    ConflictError,
    Registry,
    init_keys,
    open_registry,
    publish,
    registry_download,
    registry_history,
    registry_list,
    registry_promote,
    registry_rollback,
    registry_upload,
)
from cliplab.registry.location import NO_TRACKING, Settings
from cliplab.registry.opening import make_settings

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


def upload(
    folder: Path, name: str, version: str, label: str = "warm", registry: str | Path | None = None, **options: Any
) -> None:
    """Upload a tiny model whose bytes differ from those of every other version, to the registry in a folder.

    With ``registry`` it goes there, and the folder is where the model is made.
    """
    parts = [int(part) for part in version.split(".")]
    contrast = round(0.1 + (parts[1] * 10 + parts[2]) / 1000, 4)
    made = folder.parent if registry is None else folder
    model = make_tflite(made / f"{name}-{version}.tflite", label, contrast=contrast)
    registry_upload(model, name, version, registry=registry or folder, trust_adapters=TRUSTED, **options)


def use_registry(place: str | Path, tmp_path: Path, name: str = "base-general") -> None:
    """What must be alike wherever a registry keeps its rows and files: two versions live, go back, and are read."""
    for version in ("1.0.0", "1.1.0"):
        upload(tmp_path, name, version, registry=place)
        registry_promote(name, version, "production", registry=place, trust_adapters=TRUSTED)
    (tmp_path / "again").mkdir()
    with pytest.raises(ConflictError, match="exists: uploaded by"):
        upload(tmp_path / "again", name, "1.0.0", registry=place)
    registry_rollback(name, "production", registry=place, reason="too many false alarms", who="Ann")
    [listed, other] = registry_list(registry=place)
    assert (listed.version.version, listed.environments, other.environments) == ("1.0.0", ("production",), ())
    events = registry_history(name, registry=place)
    assert [event.kind for event in events] == ["upload", "promote", "upload", "promote", "rollback"]
    assert (events[-1].who, events[-1].to_version) == ("Ann", "1.0.0")
    for version in ("1.0.0", "1.1.0"):
        target = tmp_path / f"downloaded-{version}.tflite"
        registry_download(f"{name}@{version}", target, registry=place)
        assert target.read_bytes() == (tmp_path / f"{name}-{version}.tflite").read_bytes()
    with open_registry(place) as registry:
        assert registry.check() == len(events)
        init_keys(registry)
        publish(registry)
        environment = json.loads((registry.tuf_folder / "targets" / signed_name(registry.tuf_folder)).read_text())
    assert environment["models"][name]["version"] == "1.0.0"


def signed_name(tuf: Path) -> str:
    """The file of production's versions below targets/."""
    [path] = (tuf / "targets" / "environments").glob("*.production.json")
    return path.relative_to(tuf / "targets").as_posix()
