"""What tells a saved model from any other."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.bundle.sealed_folder import read_seal
from adapters.errors import BundleError, ConfigError
from adapters.system import file_digest


def model_digest(bundle: str | Path) -> str:
    """The digest that identifies a saved model: that of a bundle's list of files, or of a .tflite's bytes.

    Args:
        bundle: A bundle directory or a .tflite.

    Returns:
        A SHA-256 in hexadecimal.

    Raises:
        ConfigError: It is not a saved model: only a saved model stays the same while scores of it are stored.
        BundleError: It cannot be read.
    """
    path = Path(bundle)
    if path.is_dir():
        return read_seal(path)[1]
    if path.suffix.lower() == ".tflite":
        try:
            return file_digest(path)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror}). Check the path.") from None
    if not path.exists():
        raise ConfigError(
            f"{bundle}: is not a saved model: no such file or folder (looked from {os.getcwd()}). Give a bundle "
            "directory or a .tflite; cliplab train writes one"
        )
    raise ConfigError(
        f"{bundle}: is not a saved model (a bundle directory or a .tflite). cliplab train writes one; for an ensemble, "
        f"use open_model({str(bundle)!r}).save('FOLDER')"
    )
