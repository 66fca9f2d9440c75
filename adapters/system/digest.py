"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from adapters.errors import WeightsError


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal characters. WeightsError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"weights file {path} could not be read ({error.strerror or error}). Give the path of a readable file."
        ) from error
