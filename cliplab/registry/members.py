"""A version as a model on this disk, for whoever names it: "registry:base-general@1.0.0"."""

from __future__ import annotations

import shutil
from pathlib import Path

from adapters.errors import ConfigError, StorageError
from adapters.system import cache_dir
from cliplab.registry.location import read_settings, resolve
from cliplab.registry.names import parse_reference
from cliplab.registry.opening import open_registry
from cliplab.registry.uploading import unpack_bundle

PREFIX = "registry:"


def registry_model(reference: str, *, registry: str | Path | None = None) -> Path:
    """The verified file of a version, or the folder of a bundle, which is unpacked into the cache once.

    Args:
        reference: "base-general@1.0.0", "base-general-v1.0.0", "base-general@production", or a model for its highest
            version; with or without ``PREFIX``.
        registry: The registry; see ``open_registry``.

    Raises:
        ConfigError: The reference matches no version.
        StorageError: There is no registry.
        BundleError: The file is missing or damaged.
    """
    with open_registry(registry, read_only=True) as opened:
        stored = opened.find(reference.removeprefix(PREFIX))
        path = opened.artifact(stored.name, stored.version)
        if stored.format == "tflite":
            return path
        target = cache_dir() / "registry" / stored.sha256 / stored.full_name
        if not target.is_dir():
            temporary = target.with_name(f".{stored.full_name}.part")
            shutil.rmtree(temporary, ignore_errors=True)
            unpack_bundle(path, temporary)
            try:
                temporary.rename(target)
            except OSError as error:
                if not target.is_dir():  # another process was not faster
                    raise StorageError(f"{target}: could not be written ({error.strerror})") from error
        return target


def named_in_registry(name: str) -> Path | None:
    """The model of a full name such as "base-general-v1.0.0", where this user's registry has it; otherwise None.

    Args:
        name: What somebody wrote for a model.
    """
    try:
        if parse_reference(name).version is None:
            return None
        place = resolve(None)
        if isinstance(place, Path) and read_settings(place) is None:
            return None
        return registry_model(name)
    except ConfigError:
        return None
