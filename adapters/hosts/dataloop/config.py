"""A Dataloop model's configuration, split into the platform's keys and ours. Does not import dtlpy."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter, model_class
from adapters.bundle import SEAL, read_seal
from adapters.config import Config, check_config, is_old_dataloop, merge_config, require_trusted
from adapters.errors import BundleError, ConfigError
from adapters.inference import FINETUNE_KEYS, read_stored

# Keys that dtlpy adds to a configuration that lacks them, and pushes to the platform, when it creates or runs a model
# adapter (AdapterDefaults and configuration.get in dtlpy/ml/base_model_adapter.py). It does not change existing keys.
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
# All keys of the platform: those above, and those that it reads only if they exist.
PLATFORM_KEYS = frozenset(PLATFORM_DEFAULTS) | {
    "include_model_annotations",
    "embeddings_size",
    "id_to_label_map",
    "label_to_id_map",
    "column",
}


def own_config(configuration: Mapping[str, Any] | None, where: str) -> Config:
    """Return our part of a model's configuration, checked and with all defaults.

    Args:
        configuration: The model's configuration; it is not changed.
        where: What messages call the configuration.

    Returns:
        The config.

    Raises:
        ConfigError: Keys are wrong; the message names each.
    """
    given = dict(configuration or {})
    if is_old_dataloop(given):  # of the app's earlier version, whose labels are in the platform's map
        return check_config(copy.deepcopy(given), where)
    own = {key: value for key, value in given.items() if key not in PLATFORM_KEYS}
    if "adapter" in own:
        require_trusted(own["adapter"], where)
    return check_config(copy.deepcopy(own), where)


def label_order(configuration: Mapping[str, Any] | None, where: str) -> tuple[str, ...] | None:
    """Return the labels of ``id_to_label_map`` in the order of their ids.

    Args:
        configuration: The model's configuration.
        where: What messages call the configuration.

    Returns:
        The labels, or None if there is no map.

    Raises:
        ConfigError: The ids are not 0, 1, 2 and so on, or labels repeat.
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
            "Correct it, or remove it to use the labels of the data"
        )
    return tuple(str(by_id[index]) for index in range(len(by_id)))


def order_labels(found: Sequence[str], known: Sequence[str] | None) -> tuple[str, ...]:
    """Order the labels of the data as the model does.

    Args:
        found: Labels that occur in the data.
        known: The model's labels in its order; None if it has none.

    Returns:
        The labels of the data, first those of the model in its order, then those unknown to the model.
    """
    known = list(known or ())
    return tuple([label for label in known if label in found] + [label for label in found if label not in known])


def open_configured(config: Config, folder: Path, where: str, given: Collection[str] | None = None) -> BaseModelAdapter:
    """Open the adapter that a config names, with the model in a folder.

    Keys that govern training only may differ from those that a stored model was trained with: its next training uses
    them.

    Args:
        config: The config.
        folder: Folder with the model's artifacts; if it is empty, the config's initial weights are used.
        where: What messages call the folder, which is a temporary one.
        given: The keys that the model's configuration names; what an adapter derives from the weights, as MoViNet its
            "variant", follows them where they do not. None: all keys of the config.

    Returns:
        The adapter.

    Raises:
        ConfigError: Other keys differ from the stored model's.
        BundleError: The files are not a model, or a model of another adapter.
    """
    try:
        return _open(config, folder, given)
    except (BundleError, ConfigError) as error:
        raise type(error)(str(error).replace(str(folder), where)) from error


def _open(config: Config, folder: Path, given: Collection[str] | None) -> BaseModelAdapter:
    cls = model_class(config["adapter"])
    weights = folder / str(config["weights"])
    if not Path(config["weights"]).is_absolute() and weights.is_file() and not (folder / SEAL).is_file():
        # weights among the artifacts, by their name
        return cls({**_without_defaults(config, given), "weights": str(weights)})
    stored = find_stored_model(folder)
    if stored is None:
        return cls(_without_defaults(config, given))
    own = read_stored(stored, trusted_only=True)
    adapter = cls({key: value for key, value in config.items() if key not in FINETUNE_KEYS})
    # Compared by class, since several names may refer to one class.
    if model_class(str(own.config["adapter"]), str(stored)) is cls:
        adapter.load_stored(own)
        training = {key: config[key] for key in FINETUNE_KEYS if key in config}
        adapter.config = check_config(merge_config(adapter.config, training), str(stored))
        return adapter
    raise BundleError(
        f'{stored}: is a model for {own.config["adapter"]}, but "adapter" in the configuration is {config["adapter"]}. '
        "Set it to the model's own, or remove the model's artifacts to start from new weights"
    )


def _without_defaults(config: Config, given: Collection[str] | None) -> Config:
    """The config without defaults that were only filled in, which the adapter fills in itself."""
    if given is None:
        return config
    needed = {key: config[key] for key in ("schema_version", "adapter")}
    defaults = check_config(needed)
    return {key: value for key, value in config.items() if key in needed or key in given or value != defaults[key]}


def find_stored_model(folder: Path) -> Path | None:
    """Return the bundle or self-describing .tflite among downloaded artifacts.

    Args:
        folder: Folder with the artifacts.

    Returns:
        Path of the model, or None if there are no artifacts.

    Raises:
        BundleError: The artifacts are neither a bundle nor exactly one .tflite.
    """
    if (folder / SEAL).is_file():
        return folder
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    models = [path for path in files if path.suffix.lower() == ".tflite"]
    if len(models) == 1:
        return models[0]
    if files:
        names = ", ".join(path.relative_to(folder).as_posix() for path in files[:5])
        raise BundleError(
            f"{folder}: the model's artifacts ({names}) contain neither {SEAL} nor exactly one .tflite, so they are "
            "not a model of this app. Upload what `cliplab train` or a training on the platform wrote, or remove them"
        )
    return None


def remove_unlisted_files(folder: Path) -> None:
    """Remove files that an earlier training left among a bundle's artifacts: a bundle may not have unlisted files.

    Args:
        folder: Folder with the artifacts.
    """
    if not (folder / SEAL).is_file():
        return
    listed = {folder / name for name in (SEAL, *read_seal(folder)[0])}
    for path in folder.rglob("*"):
        if path.is_file() and path not in listed:
            path.unlink()
