"""A published int8 stream model run as it is: its own operators and states, with our outputs in place of its logits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from adapters.errors import StorageError
from adapters.litert import IMAGE, program_cache, read_graph, with_scores
from adapters.models.weights import read_weights_bytes

PUBLISHED_FORMAT = 1  # of the code that edits the file: raise it where a change makes other programs
LOGITS = "logits"
_FIRST_OF_CLASSIFIER = "classifier_head/head/"  # the layer after the pooled features, as tf-models names it


def published_program(path: Path, size: int, activation: Any) -> Path | bytes | None:
    """The program of a published int8 stream model with the outputs ``scores`` and ``features``.

    It is made once for the file's content and kept in the cache.

    Args:
        path: The .tflite.
        size: The height and width of frames in pixels.
        activation: "softmax" or "sigmoid", which makes scores of its logits.

    Returns:
        A .tflite's path, or its bytes where the cache cannot be written; None if it takes frames of another size.

    Raises:
        WeightsError: The file cannot be read.
        BundleError: It is damaged.
    """
    model = _read(path)
    identity = _identity(model, size, activation)
    if (known := program_cache.cached_program(identity)) is not None:
        return known
    if _image_shape(model, str(path)) != (1, 1, size, size, 3):
        return None
    made = with_scores(model, LOGITS, activation, lambda kernel: _FIRST_OF_CLASSIFIER in kernel, str(path))
    try:
        return program_cache.get_or_make(identity, lambda: made)
    except StorageError:
        return made


def is_known(path: Path, size: int, activation: Any) -> bool:
    """Whether the program of a file with this content was made before, so that the file was whole.

    Args:
        path: As for ``published_program``.
        size: As for ``published_program``.
        activation: As for ``published_program``.

    Raises:
        WeightsError: The file cannot be read.
    """
    return program_cache.cached_program(_identity(_read(path), size, activation)) is not None


def _read(path: Path) -> bytes:
    return read_weights_bytes(path.expanduser())


def _identity(model: bytes, size: int, activation: Any) -> dict[str, Any]:
    return {
        "published_sha256": hashlib.sha256(model).hexdigest(),
        "size": size,
        "activation": activation,
        "published": PUBLISHED_FORMAT,
    }


def _image_shape(model: bytes, name: str) -> tuple[int, ...]:
    parts = read_graph(model, name)
    for entry in parts.signatureDefs[0].inputs if parts.signatureDefs else ():
        if entry.name in (IMAGE, IMAGE.encode()):
            shape = parts.subgraphs[0].tensors[entry.tensorIndex].shape
            return () if shape is None else tuple(int(value) for value in shape)
    return ()
