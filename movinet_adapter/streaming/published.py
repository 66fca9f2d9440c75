"""A published int8 stream model run as it is: its own operators and states, with our outputs in place of its logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.errors import WeightsError
from adapters.litert import IMAGE, read_graph, with_scores

LOGITS = "logits"
_FIRST_OF_CLASSIFIER = "classifier_head/head/"  # the layer after the pooled features, as tf-models names it


def published_program(path: Path, size: int, activation: Any) -> bytes | None:
    """The program of a published int8 stream model with the outputs ``scores`` and ``features``.

    Args:
        path: The .tflite.
        size: The height and width of frames in pixels.
        activation: "softmax" or "sigmoid", which makes scores of its logits.

    Returns:
        The bytes of the .tflite; None if it takes frames of another size.

    Raises:
        WeightsError: The file cannot be read.
        BundleError: It is damaged.
    """
    try:
        model = path.expanduser().read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path} could not be read ({error.strerror or error}). Give the path of a .tflite."
        ) from error
    if _image_shape(model, str(path)) != (1, 1, size, size, 3):
        return None
    return with_scores(model, LOGITS, activation, lambda kernel: _FIRST_OF_CLASSIFIER in kernel, str(path))


def _image_shape(model: bytes, name: str) -> tuple[int, ...]:
    parts = read_graph(model, name)
    for entry in parts.signatureDefs[0].inputs if parts.signatureDefs else ():
        if entry.name in (IMAGE, IMAGE.encode()):
            shape = parts.subgraphs[0].tensors[entry.tensorIndex].shape
            return () if shape is None else tuple(int(value) for value in shape)
    return ()
