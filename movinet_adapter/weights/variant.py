"""Which variant of the architecture a local weights file is of, told without reading its values."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from adapters.bundle import is_bundle, read_bundle_config
from adapters.errors import AdapterError
from movinet_adapter.weights.mapping import Variant

_MAX_HEADER_BYTES = 8 << 20
_SQUEEZE_EXCITE = "/se/"  # in a variable's name; the int8 variant has none


def variant_of_file(path: str, mode: Any) -> Variant | None:
    """The variant of a weights file; None where the file does not say, or cannot be read (which is said when it is).

    Args:
        path: What a config's ``weights`` names.
        mode: The config's ``model_mode``.
    """
    if path.endswith(".tflite"):
        return "int8"
    file = Path(path).expanduser()
    try:
        if file.is_dir() and is_bundle(file):
            return _known(read_bundle_config(file).get("variant"))
        if file.suffix == ".safetensors" and file.is_file() and mode == "stream":
            names = _names(file)
            return "float" if any(_SQUEEZE_EXCITE in name for name in names) else "int8"
    except (AdapterError, OSError, ValueError, struct.error, RecursionError):
        return None
    return None


def _known(value: Any) -> Variant | None:
    return value if value in ("float", "int8") else None


def _names(file: Path) -> list[str]:
    """The names in a .safetensors, from its header."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > _MAX_HEADER_BYTES:
            raise ValueError("the header is too long")
        return list(json.loads(opened.read(length)))
