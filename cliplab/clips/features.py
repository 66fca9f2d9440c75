"""The features of a clip: what a rating model learns from, by the same names and rules for every clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.bundle import model_digest
from adapters.errors import AdapterError, MediaError
from adapters.media import read_clip
from cliplab.clips.picture_features import picture_features
from cliplab.clips.records import FEATURES_VERSION, VERSION_KEY
from cliplab.clips.sound_features import heard_in

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter

EMBEDDING = "embedding_"
_DIGITS = 6


def clip_features(
    path: str | Path, adapter: BaseModelAdapter | None = None, model: str | Path | None = None
) -> dict[str, Any]:
    """Measure a clip: sound, picture and, with an adapter, its embedding.

    Args:
        path: The clip's file; of sound alone is allowed.
        adapter: A model whose embedding is one more feature; None: none.
        model: Where the adapter was loaded from, so that embeddings of two models are not taken for each other.

    Returns:
        Numbers and lists of numbers by name, such as ``rms_mean``, ``tempo``, ``motion_mean`` and ``shots``; and
        ``features_version``. What a clip does not have is left out.

    Raises:
        MediaError: Neither sound nor picture can be read.
        MissingExtraError: The ``clips`` extra is not installed.
    """
    found: dict[str, Any] = {VERSION_KEY: FEATURES_VERSION}
    failed: list[AdapterError] = []
    for has, measure in (("has_sound", heard_in), ("has_picture", picture_features)):
        try:
            found.update({has: 1.0, **measure(path)})
        except MediaError as error:
            failed.append(error)
            found[has] = 0.0
    if not found["has_sound"] and not found["has_picture"]:
        raise failed[-1] if failed else MediaError(f"{path}: has neither sound nor picture that can be decoded")
    if adapter is not None and found["has_picture"]:
        vector = adapter.embed([read_clip(path, adapter.input_spec)])[0]
        digest = "model" if model is None else model_digest(model)[:8]
        found[EMBEDDING + digest] = np.asarray(vector, np.float64).ravel().tolist()
    return {name: _rounded(value) for name, value in found.items()}


def _rounded(value: Any) -> Any:
    """Six significant digits: more would be noise, and take room in every row."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
