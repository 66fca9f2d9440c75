"""Configs of saved models without local paths: a file of weights is named without its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from adapters.config.files import Config

# Values of "weights" that do not name a file.
_PUBLISHED = ("imagenet", "kinetics-600", "random")


def without_local_paths(config: Mapping[str, Any]) -> Config:
    """The config as a saved model holds it: ``"weights"`` names a file or folder by its last name.

    The path is not needed, since a saved model has its weights.

    Args:
        config: Keys and values; not changed.
    """
    if not isinstance(config.get("weights"), str):
        return dict(config)
    return {**config, "weights": file_name(config["weights"])}


def file_name(weights: str) -> str:
    """The last name of a path in ``"weights"``; the name of published weights as it is.

    Args:
        weights: A value of ``"weights"``.
    """
    if weights in _PUBLISHED:
        return weights
    name = PureWindowsPath(weights).name  # of both kinds of separators
    return f"{name} (file)" if name in _PUBLISHED else name or "weights"


def first_weights(config: Mapping[str, Any]) -> dict[str, str] | None:
    """The file that ``"weights"`` names, by its name and SHA-256; None if it is not a file or does not exist.

    Args:
        config: Keys and values.
    """
    from adapters.system import sha256_file

    weights = config.get("weights")
    if not isinstance(weights, str) or weights in _PUBLISHED:
        return None
    path = Path(weights).expanduser()
    try:
        return {"file": file_name(weights), "sha256": sha256_file(path)} if path.is_file() else None
    except OSError:
        return None
