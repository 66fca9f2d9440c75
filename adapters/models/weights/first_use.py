"""Digests of files that no one publishes a SHA-256 of: the first one that is seen is trusted, and kept.

``$CLIPLAB_CACHE/first_use.json`` holds them by name. A file that differs later is refused until a person removes the
entry: it was replaced, or its publisher changed it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from adapters.errors import WeightsError
from adapters.system import cache_dir, file_lock, parse_json, write_json_atomic

_log = logging.getLogger("cliplab.weights")


def require_first_use(name: str, digest: str) -> None:
    """Refuse a file that differs from the one that was trusted before.

    Args:
        name: The file's address.
        digest: The SHA-256 of what was found now.

    Raises:
        WeightsError: Another digest is kept for the name.
    """
    kept = _read().get(name)
    if kept is not None and kept != digest:
        raise WeightsError(
            f"{name}: its SHA-256 is {digest}, but it was {kept} when it was first used here. It was replaced, or "
            f"its publisher changed it. To trust the new file, remove its line from {_path()}."
        )


def trust_first_use(name: str, digest: str) -> None:
    """Keep the digest of a file that was used with success, and say so if it is the first.

    Args:
        name: The file's address.
        digest: Its SHA-256.

    Raises:
        StorageError: The cache cannot be written.
    """
    path = _path()
    with file_lock(path.with_suffix(".lock"), busy=WeightsError, wait=True):
        known = _read()
        if name in known:
            return
        write_json_atomic(path, {**known, name: digest})
    _log.warning("%s: no SHA-256 is published for it. %s is trusted on first use and kept in %s", name, digest, path)


def _path() -> Path:
    return cache_dir() / "first_use.json"


def _read() -> dict[str, Any]:
    """The kept digests; none where the file is missing or damaged, as after the cache was deleted."""
    try:
        found = parse_json(_path().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
