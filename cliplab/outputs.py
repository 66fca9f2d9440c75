"""Where results go: refuse to overwrite before work begins."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.errors import StorageError


def require_new(path: str | Path | None, force: bool, otherwise: str = "or name another path") -> None:
    """Check, before long work begins, that a result can be written.

    Args:
        path: The file or folder to write; None for no output.
        force: Allow replacing what exists.
        otherwise: What else may be done about it, which ends the message.

    Raises:
        StorageError: It exists without force, or cannot be written.
    """
    if path is None:
        return
    target = Path(path)
    filled = any(target.iterdir()) if target.is_dir() else target.exists()
    if filled and not force:
        raise StorageError(f"{path}: already exists; use --force (force=True) to replace it, {otherwise}")
    parent = target if target.is_dir() else target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise StorageError(f"{path}: cannot be written, because {parent} is a file. Name another path")
    if not os.access(parent, os.W_OK):
        raise StorageError(f"{path}: cannot be written, because {parent} is read-only. Name another path")
