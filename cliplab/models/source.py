"""What a command accepts as a model: a saved model, a config file, a ready config's name, or the config itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WEIGHTS_SUFFIXES = (".h5", ".hdf5", ".keras", ".pth", ".pt", ".pth.tar", ".bin", ".ckpt", ".safetensors")
ModelSource = str | Path | Mapping[str, Any]


def is_stored(model: str | Path) -> bool:
    """Whether a path is that of a saved model (a bundle directory or a .tflite) and not that of a config."""
    return Path(model).is_dir() or Path(model).suffix.lower() == ".tflite"


def is_weights_file(model: str | Path) -> bool:
    """Whether a path is named as a file of weights alone: of Keras, of PyTorch or .safetensors."""
    return str(model).lower().endswith(WEIGHTS_SUFFIXES)


def name_list(names: Sequence[str]) -> str:
    """The first eight names as text for a message, and how many more there are."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
