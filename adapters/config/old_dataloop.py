"""Convert configurations of Dataloop's earlier MoViNet app: each old key and the key that replaces it.

That app (dataloop-ai-apps/tensorflow-models, adapters/movinet) has one model and names no adapter. It keeps a trained
model's weights under ``weights_filename``, and reads the training's frames and size as ``num_frames`` and
``resolution``, where its own manifest says ``n_frames`` and ``imgz``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from adapters.system import whole_number

ADAPTER = "movinet_adapter:MoViNetAdapter"
_SIGNS = ("weights_filename", "model_mode", "hub_version")  # a key of the app that no other config without adapter has
_RENAMED = {"num_frames": "n_frames", "resolution": "imgz"}
# What the platform adds to a configuration, and what the app's framework wrote there.
_DROPPED = (
    *("include_background", "upload_annotations", "clean_annotations", "overwrite_annotations", "upload_features"),
    *("root_path", "data_path", "output_path", "include_model_annotations", "embeddings_size", "column"),
    *("predict_embed_subset_limit", "predict_embed_timeout", "label_to_id_map", "id_to_label_map"),
)
_log = logging.getLogger("cliplab.config")


def is_old_dataloop(config: Mapping[str, Any]) -> bool:
    """Whether a config is one of the earlier app: without an adapter and a version, and with a key of that app.

    Args:
        config: Keys and values as they were written.
    """
    return "adapter" not in config and "schema_version" not in config and any(key in config for key in _SIGNS)


def from_old_dataloop(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The config with the present keys, not checked, and a note for each converted key.

    Args:
        config: A config of ``is_old_dataloop``.

    Returns:
        Keys and values with an adapter, and a sentence for each key that was changed.
    """
    result = {key: value for key, value in config.items() if key not in (*_DROPPED, *_RENAMED, "weights_filename")}
    notes = [f'without "adapter": taken for {ADAPTER}, the one model of Dataloop\'s earlier MoViNet app']
    for old, new in _RENAMED.items():
        if old not in config:
            continue
        result[new] = config[old]
        also = f', not "{new}" {config[new]!r}, which the old app did not use in training' if config.get(new) else ""
        notes.append(f'"{old}" {config[old]!r} is read as "{new}"{also}')
    weights = config.get("weights_filename")
    if weights:
        result["weights"] = weights
        notes.append(f'"weights_filename" {weights!r} is read as "weights"')
    version = config.get("hub_version")
    if isinstance(version, str) and (number := whole_number(version)) is not None:
        result["hub_version"] = number
    labels = labels_of_map(config.get("id_to_label_map"))
    if labels is not None and weights and "labels" not in result:
        result["labels"] = labels
        notes.append(f'"id_to_label_map" is read as "labels": the {len(labels)} classes of the weights')
    result["adapter"] = ADAPTER
    return result, notes


def _shown(key: Any) -> str:
    """A key as text; "" for a number that Python does not write, and for anything but text and numbers."""
    if isinstance(key, str):
        return key
    return str(key) if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < 10**9 else ""


def labels_of_map(mapping: Any) -> list[str] | None:
    """The labels of an ``id_to_label_map`` in the order of their numbers; None unless those are 0 to N-1.

    Args:
        mapping: Numbers, or texts of numbers, to labels.
    """
    if not isinstance(mapping, Mapping) or not mapping:
        return None
    by_number = {number: label for key, label in mapping.items() if (number := whole_number(_shown(key))) is not None}
    if sorted(by_number) != list(range(len(mapping))) or not all(isinstance(item, str) for item in by_number.values()):
        return None
    return [by_number[number] for number in range(len(by_number))]


@lru_cache(maxsize=256)  # a config is migrated in several places, and the note is for people
def say_once(where: str, text: str) -> None:
    """Log a note about a config, once in a process.

    Args:
        where: The name of the config.
        text: The note.
    """
    _log.warning("%s: %s", where, text)
