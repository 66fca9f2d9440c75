"""A changed config becomes a new version beside its model: NAME-v2, NAME-v3, ...; nothing is ever written over."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.config import check_config
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.system import json_text, storage_error
from cliplab.studio.config_changes import Change, config_changes
from cliplab.studio.model_list import ModelLibrary, ModelRef
from cliplab.studio.model_pages import ModelDetail

_VERSION = re.compile(r"(.+?)[-_]v([0-9]{1,6})", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class VersionTakenError(ConfigError):
    """The name of the new version was taken meanwhile, by another person's edit."""


def next_version_name(library: ModelLibrary, ref: ModelRef) -> str:
    """The next free name of a model's versions, without an ending.

    Args:
        library: The models.
        ref: The model that was edited.
    """
    stem = ref.path.stem if ref.kind != "bundle" else ref.path.name
    match = _VERSION.fullmatch(stem)
    base = re.sub(r"[^A-Za-z0-9_.-]+", "_", match[1] if match else stem).strip("._-")[:80] or "model"
    taken = {_stem(path).casefold() for path in _files(library.folder)}
    versions = [found for name in (*taken, stem.casefold()) if (found := _VERSION.fullmatch(name))]
    first = max((int(found[2]) for found in versions if found[1] == base.casefold()), default=1) + 1
    return f"{base}-v{first}"


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def check_version_name(name: str) -> str:
    """The name of a new version as a person typed it.

    Args:
        name: Without an ending.

    Raises:
        ConfigError: It is not a plain name of a file.
    """
    if not _NAME.fullmatch(name) or name.lower().endswith((".json", ".tflite")):
        raise ConfigError(
            "the name of a version must have 1 to 100 letters, digits, _, - and ., begin with a letter, digit or _, "
            f"and have no file suffix, got {name!r:.120}"
        )
    return name


def changes_of(detail: ModelDetail, config: Mapping[str, Any]) -> list[Change]:
    """The keys in which an edited config differs from the model's own.

    Args:
        detail: The model.
        config: The edited config, not complete.

    Raises:
        ConfigError: The edited config is wrong.
    """
    return config_changes(detail.complete, check_config(config, detail.ref.name))


def worst_effect(changes: list[Change]) -> str:
    """What the changes together ask for: "retrain" before "program" before "runtime"."""
    effects = {change.effect for change in changes}
    return next((effect for effect in ("retrain", "program") if effect in effects), "runtime")


def save_config(library: ModelLibrary, name: str, config: Mapping[str, Any]) -> Path:
    """Write a config as a new file.

    Args:
        library: The models.
        name: The new version's name, without its ending.
        config: The config.

    Returns:
        The new file.

    Raises:
        ConfigError: The config is wrong.
        VersionTakenError: The name was taken meanwhile; what has it is not changed.
        StorageError: It cannot be written.
    """
    check_config(config, name)
    path = _new_path(library, name, ".json")
    staged = path.with_name(f".{name}.{os.getpid()}-{id(config)}.tmp")
    try:
        with open(staged, "x", encoding="utf-8") as file:
            file.write(json_text(dict(config), 2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(staged, path)  # unlike a rename, it fails where the name was taken in this moment
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        raise storage_error(path, error) from None
    finally:
        staged.unlink(missing_ok=True)
    return path


def save_bundle_copy(library: ModelLibrary, name: str, detail: ModelDetail, config: Mapping[str, Any]) -> Path:
    """Write a saved model again with other keys, as a new bundle.

    Args:
        library: The models.
        name: The new version's name.
        detail: The model; it is not changed.
        config: The edited config. A program key makes a new program from the weights.

    Returns:
        The new bundle.

    Raises:
        ConfigError: A key belongs to the weights, or the config is wrong.
        VersionTakenError: The name was taken meanwhile.
        StorageError: It cannot be written.
    """
    changed = {change.key for change in changes_of(detail, config)}
    complete = check_config(config, name)
    adapter = open_model(detail.ref.path, {key: complete[key] for key in complete if key in changed})
    path = _new_path(library, name, "")
    try:
        path.mkdir()
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        raise storage_error(path, error) from None
    try:
        adapter.save(path)
    except BaseException:
        if not any(path.iterdir()):
            path.rmdir()
        raise
    return path


def _new_path(library: ModelLibrary, name: str, ending: str) -> Path:
    check_version_name(name)
    try:
        library.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(library.folder, error) from None
    wanted = name.casefold()
    if any(_stem(path).casefold() == wanted for path in _files(library.folder)):
        raise _taken(name)
    return library.folder / f"{name}{ending}"


def _taken(name: str) -> VersionTakenError:
    return VersionTakenError(
        f"{name} already exists: another edit was saved under this name. Nothing was replaced, and your values "
        "are still in the form. Compare the two, or save under the next name"
    )
