"""A Dataloop model's configuration, taken apart: the platform's keys and ours. Needs no dtlpy."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter, model_class
from adapters.bundle import SEAL, read_seal
from adapters.config import Config, check_config, merge
from adapters.errors import BundleError, ConfigError
from adapters.inference import FINETUNE_KEYS, read_stored

# What dtlpy adds to a configuration that lacks it, and pushes to the platform, while it makes a model adapter or runs
# one (AdapterDefaults and configuration.get in dtlpy/ml/base_model_adapter.py). A model that has them is left alone.
PLATFORM_DEFAULTS: dict[str, Any] = {
    "include_background": False,
    "upload_annotations": True,
    "clean_annotations": True,
    "overwrite_annotations": True,
    "upload_features": None,
    "root_path": None,
    "data_path": None,
    "output_path": None,
    "predict_embed_subset_limit": 1000,
    "predict_embed_timeout": 24 * 3600,
}
# Every key that is the platform's: those, and the ones that it reads only where they are there.
PLATFORM_KEYS = frozenset(PLATFORM_DEFAULTS) | {
    "include_model_annotations",
    "embeddings_size",
    "id_to_label_map",
    "label_to_id_map",
    "column",
}


def own_config(configuration: Mapping[str, Any] | None, where: str) -> Config:
    """A copy of our part of a model's configuration, checked and complete. ConfigError names each key that is wrong."""
    own = {key: value for key, value in (configuration or {}).items() if key not in PLATFORM_KEYS}
    return check_config(copy.deepcopy(own), where)


def label_order(configuration: Mapping[str, Any] | None, where: str) -> tuple[str, ...] | None:
    """The labels of ``id_to_label_map`` in the order of their ids; None where there is no map.

    ConfigError where the ids are not 0, 1, 2 and so on.
    """
    mapping = (configuration or {}).get("id_to_label_map")
    if not mapping:
        return None
    try:
        by_id = {int(key): label for key, label in mapping.items()}
    except (AttributeError, TypeError, ValueError):
        by_id = {}
    if sorted(by_id) != list(range(len(mapping))) or len(set(by_id.values())) != len(by_id):
        raise ConfigError(
            f'{where}: "id_to_label_map" must give the ids 0 to {len(mapping) - 1} a label each, got {mapping!r:.200}. '
            "Correct it, or take it out to have the labels of the data"
        )
    return tuple(str(by_id[index]) for index in range(len(by_id)))


def order_labels(found: Sequence[str], known: Sequence[str] | None) -> tuple[str, ...]:
    """The labels that occur in the data, in the model's order; those that it has not come last, to be reported."""
    known = list(known or ())
    return tuple([label for label in known if label in found] + [label for label in found if label not in known])


def open_configured(config: Config, folder: Path, where: str) -> BaseModelAdapter:
    """The adapter that a config names: with the model in ``folder``, or where that is empty with its first weights.
    ``where`` is what messages call the folder, which is a temporary one.

    Keys that govern training alone may differ from those that a stored model was trained with: its next training
    takes them. ConfigError for others that differ, BundleError for files that are no model.
    """
    try:
        return _open(config, folder)
    except (BundleError, ConfigError) as error:
        raise type(error)(str(error).replace(str(folder), where)) from error


def _open(config: Config, folder: Path) -> BaseModelAdapter:
    stored = find_stored_model(folder)
    cls = model_class(config["adapter"])
    if stored is None:
        return cls(config)
    own = read_stored(stored)
    adapter = cls({key: value for key, value in config.items() if key not in FINETUNE_KEYS})
    # By class: one class goes by several names.
    if model_class(str(own.config["adapter"]), str(stored)) is cls:
        adapter.load_stored(own)
        training = {key: config[key] for key in FINETUNE_KEYS if key in config}
        adapter.config = check_config(merge(adapter.config, training), str(stored))
        return adapter
    raise BundleError(
        f'{stored}: is a model of {own.config["adapter"]}, and "adapter" in the configuration is {config["adapter"]}. '
        "Set it to the model's own, or remove the model's artifacts to begin with fresh weights"
    )


def find_stored_model(folder: Path) -> Path | None:
    """The bundle or self-describing .tflite among downloaded artifacts; None where there are no artifacts."""
    if (folder / SEAL).is_file():
        return folder
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    models = [path for path in files if path.suffix.lower() == ".tflite"]
    if len(models) == 1:
        return models[0]
    if files:
        names = ", ".join(path.relative_to(folder).as_posix() for path in files[:5])
        raise BundleError(
            f"{folder}: the model's artifacts ({names}) hold no {SEAL} and not exactly one .tflite, so they are "
            "no model of this app. Upload what `cliplab train` or a training on the platform wrote, or remove them"
        )
    return None


def remove_unlisted_files(folder: Path) -> None:
    """Remove what an earlier training left among the artifacts: a bundle takes no file that its list does not name."""
    if not (folder / SEAL).is_file():
        return
    listed = {folder / name for name in (SEAL, *read_seal(folder)[0])}
    for path in folder.rglob("*"):
        if path.is_file() and path not in listed:
            path.unlink()
