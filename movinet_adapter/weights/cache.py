"""Weights that were fetched or imported once, kept under our names, so that later processes need no network and no
TensorFlow.

``$CLIPLAB_CACHE/movinet/<what they are and where from>/<content digest>.safetensors``: a file whose content is not what
its name says is passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import WeightsError
from adapters.models.weights import read_safetensors
from adapters.system import cache_dir, sha256_file, value_digest, write_bytes_atomic
from movinet_adapter.architecture import Architecture
from movinet_adapter.weights.mapping import Variables, fit_by_name

_FORMAT = 1  # a change to how weights are imported needs a new number, so that what was kept before is not used
_SOURCE_KEY = "cliplab.source"


@dataclass(frozen=True, eq=False)
class CachedWeights:
    """Weights from the cache.

    Attributes:
        variables: float32 arrays by name, in the network's order.
        source: Where they first came from.
        digest: See ``content_digest``.
    """

    variables: Variables
    source: str
    digest: str


def content_digest(variables: Mapping[str, Any]) -> str:
    """The SHA-256 of variables by name, shape and float32 values, whatever file or order they came in.

    Args:
        variables: Arrays by name.
    """
    digest = hashlib.sha256()
    for name in sorted(variables):
        value = np.ascontiguousarray(variables[name], "<f4")
        digest.update(json.dumps([name, list(np.shape(variables[name]))]).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def files_digest(files: Mapping[str, Path]) -> str:
    """The SHA-256 of files by name and content.

    Args:
        files: Paths by name.

    Raises:
        WeightsError: A file cannot be read.
    """
    listed = [[name, sha256_file(files[name])] for name in sorted(files)]
    return value_digest(listed)


def weights_folder(of: Architecture, identity: str) -> Path:
    """The cache's folder for the weights of an identity.

    Args:
        of: The architecture.
        identity: A URL, or the digest of the files that they came from.
    """
    key = value_digest([_FORMAT, identity])[:16]
    return cache_dir() / "movinet" / f"{of.model_id}_{of.mode}_{key}"


def find_weights(of: Architecture, identity: str) -> tuple[CachedWeights | None, str]:
    """Look up weights in the cache, verified.

    Args:
        of: The architecture.
        identity: A URL, or the digest of the files that they came from.

    Returns:
        The weights and "", or None and what was found instead, for a message.
    """
    folder = weights_folder(of, identity)
    reason = f"nothing in {folder}"
    for path in _newest_first(folder):
        try:
            variables = read_safetensors(path)
        except WeightsError as error:
            reason = str(error)
            continue
        digest = content_digest(variables)
        if digest == path.stem:
            return CachedWeights(fit_by_name(of, variables, str(path))[0], _source_in(path), digest), ""
        reason = f"{path} is damaged: its content does not match the digest in its name"
    return None, reason


def store_weights(of: Architecture, identity: str, variables: Variables, source: str) -> str:
    """Store weights in the cache, as a whole or not at all.

    Args:
        of: The architecture.
        identity: A URL, or the digest of the files that they came from.
        variables: float32 arrays by name.
        source: Where they came from, for messages.

    Returns:
        Their ``content_digest``.

    Raises:
        StorageError: The cache cannot be written.
    """
    from safetensors.numpy import save

    digest = content_digest(variables)
    ordered = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in variables.items()}
    data = save(ordered, metadata={_SOURCE_KEY: source})
    write_bytes_atomic(weights_folder(of, identity) / f"{digest}.safetensors", data)
    return digest


def _newest_first(folder: Path) -> Iterator[Path]:
    found = [path for path in folder.glob("*.safetensors") if not path.name.startswith(".")]
    yield from sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _source_in(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return str((file.metadata() or {}).get(_SOURCE_KEY, path))
