"""Open a name, path or config as an adapter that is ready to use. Every host and command starts here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter, model_class
from adapters.config import (
    PACKAGES,
    Config,
    check_config,
    complete_stored_config,
    merge_config,
    migrate_config,
    override_config,
    read_config_file,
    read_label_file,
    require_trusted,
    trusting,
)
from adapters.errors import BundleError, ConfigError
from adapters.protocols import StoredModel
from adapters.system import did_you_mean, quoted_list

_log = logging.getLogger(__name__)
WEIGHTS_SUFFIXES = (".h5", ".hdf5", ".keras", ".pth", ".pt", ".ckpt", ".safetensors")
CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
# Keys that govern training alone, so that fine-tuning a stored model may change them: its network stays the same.
FINETUNE_KEYS = (
    "head_solver",
    "calibrate",
    "optimize",
    "num_epochs",
    "learning_rate",
    "early_stopping_patience",
    "keep_best",
    "class_weights",
    "fine_tune_layers",
    "freeze_layers",
    "fine_tune_epochs",
    "fine_tune_learning_rate",
    "train_batch_norm",
    "mixed_precision",
    "augment_views",
    "augmentation",
    "split_fractions",
    "seed",
)


def ready_configs() -> dict[str, Path]:
    """The configs that come with the library: name -> file."""
    return {path.stem: path for path in sorted((PACKAGES / "configs").glob("*.json"))}


# Names of ready configs before they were renamed, and those by which the files of other pipelines know them; with or
# without a suffix.
CONFIG_ALIASES = {
    "ad_efficientnet_lite0": "ads_base",
    "base_model": "ads_base",
    "sports_model": "ads_sports",
    "show_specific": "ads_show",
}


def _ready_config(source: str | Path) -> Path | None:
    """The file of a ready config by its name or alias; None where there is none of the name."""
    name, path = str(source), Path(source)
    if path.suffix.lower() in CONFIG_SUFFIXES and path.stem in CONFIG_ALIASES:
        name = path.stem
    return ready_configs().get(CONFIG_ALIASES.get(name, name))


def read_config(source: str | Path | Mapping[str, Any]) -> Config:
    """Read a config as it was written; it is not checked yet. A label file that ``labels`` names is read.

    Args:
        source: An object, a JSON or YAML file, or the name of a ready config.

    Raises:
        ConfigError: There is no such file or ready config, or the file is not an object.
    """
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    if not path.exists():
        ready = _ready_config(source)
        if ready is not None:
            return read_config_file(ready)
        if path.suffix.lower() not in CONFIG_SUFFIXES:
            if len(path.parts) > 1:  # no name, and a list of names would hide what is wrong
                raise ConfigError(
                    f"{source}: there is no such file or folder. A model is a bundle directory, a .tflite file or a "
                    "config file"
                )
            names = ready_configs()
            raise ConfigError(
                f"{source}: there is no such file, and no ready config of this name."
                f"{did_you_mean(str(source), names)} Ready configs: {', '.join(names)}"
            )
    return _with_label_file(read_config_file(path), path.parent)


def open_model(
    source: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    trust_adapters: Sequence[str] = (),
) -> BaseModelAdapter:
    """Open a model as an adapter that is ready to use.

    Args:
        source: A bundle directory, a self-describing .tflite, a config file, a ready config's name, or a config.
        overrides: Keys that the user set beside it. On a saved model only runtime keys, and program keys for which a
            program can be made, may differ.
        trust_adapters: Adapters that the model, or a member of an ensemble, may name beside the built-in ones and those
            of installed packages: "module:Class" each. Their code is run.

    Raises:
        ConfigError: The source does not exist or has no "adapter", or one that is not trusted, or a key is unknown, out
            of range or not allowed to differ.
        BundleError: The saved model is damaged.
        WeightsError: The first weights cannot be found or do not fit.
    """
    with trusting(trust_adapters):
        return _open(source, dict(overrides or {}))


def _open(source: str | Path | Mapping[str, Any], overrides: Config) -> BaseModelAdapter:
    if not isinstance(source, Mapping):
        path = Path(source)
        if path.is_dir() or path.suffix.lower() == ".tflite":
            return _open_stored(path, overrides)
        if path.suffix.lower() in WEIGHTS_SUFFIXES and path.exists():
            raise ConfigError(
                f"{path}: holds weights only; a model is a bundle directory, a .tflite or a config. Give it in a "
                f"config (--set weights={path}), start a training from it (--base-model), or convert a whole Keras "
                "network (cliplab convert)"
            )
    folder = None if isinstance(source, Mapping) else Path(source).parent
    config = _with_label_file(merge_config(read_config(source), overrides), folder)
    if "adapter" not in config:
        config = migrate_config(config, "config" if isinstance(source, Mapping) else str(source))
    if "adapter" not in config:
        where = "config" if isinstance(source, Mapping) else str(source)
        if "ensemble" in config:
            raise ConfigError(
                f"{where}: lists the models of an ensemble. Make a bundle of it and use that: "
                f"cliplab ensemble {where} --output FOLDER"
            )
        raise ConfigError(
            f'{where}: "adapter" is required, e.g. "adapters.models.efficientnet_lite:EfficientNetLiteAdapter". '
            "A model is a bundle directory, a .tflite, a config file or one of: " + ", ".join(ready_configs())
        )
    require_trusted(config["adapter"], "config" if isinstance(source, Mapping) else str(source))
    cls = model_class(config["adapter"])
    _log.info("%s: config of %s", "config" if isinstance(source, Mapping) else source, config["adapter"])
    return cls(config if folder is None else cls.resolve_paths(config, folder))


def _with_label_file(config: Config, folder: Path | None) -> Config:
    """The config with the labels of the file that ``labels`` names, beside the config's own file or from here."""
    name = config.get("labels")
    if not isinstance(name, str):
        return config
    beside = None if folder is None else folder / name
    return {**config, "labels": read_label_file(beside if beside is not None and beside.is_file() else name)}


def _open_stored(path: Path, overrides: Config) -> BaseModelAdapter:
    stored = read_stored(path, trusted_only=True)
    changes = merge_config({key: stored.config[key] for key in overrides if key in stored.config}, overrides)
    config, _ = override_config(stored.config, changes, str(path))
    adapter = model_class(config["adapter"], str(path))(config, explicit=True)
    adapter.load_stored(stored)
    _log.info("%s: loaded and verified, %s, labels %s", path, config["adapter"], quoted_list(adapter.labels, 10))
    return adapter


def read_stored(path: str | Path, *, trusted_only: bool = False) -> StoredModel:
    """Read a saved model; every byte is verified and its config checked.

    Args:
        path: A bundle directory or a self-describing .tflite.
        trusted_only: Refuse a model whose adapter is not trusted even if its class is in use in this process. The
            default is for adapters that load a model of their own class.

    Raises:
        BundleError: Something is missing, damaged or foreign.
        ConfigError: Its config is wrong, or its adapter is not trusted.
    """
    from adapters.bundle import read_bundle
    from adapters.litert import read_described

    path = _existing(Path(path))
    found = read_bundle(path) if path.is_dir() else read_described(path)
    if trusted_only:
        require_trusted(found.config.get("adapter"), str(path))
    return replace(found, config=check_config(complete_stored_config(found.config), str(path)))


def stored_config(path: Path) -> Config:
    """The config inside a saved model, in the present form. Nothing else is read.

    Args:
        path: A bundle directory or a self-describing .tflite.

    Raises:
        BundleError: It is missing or damaged.
        ConfigError: The config is of a newer version.
    """
    from adapters.bundle import read_bundle_config
    from adapters.litert import read_description

    if _existing(path).is_dir():
        return migrate_config(complete_stored_config(read_bundle_config(path)), str(path))
    return migrate_config(complete_stored_config(read_description(path)["config"]), str(path))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BundleError(f"{path}: there is no such file or folder. A model is a bundle directory or a .tflite file")
    return path


def loaded_config(adapter: BaseModelAdapter, stored: StoredModel) -> Config:
    """The config of a saved model with the keys that the adapter that loads it was given.

    Args:
        adapter: The adapter that is to load it.
        stored: The saved model.

    Raises:
        BundleError: The model belongs to another class.
        ConfigError: A key that was given contradicts the saved model.
    """
    require_class(adapter, stored)
    own, name = adapter.given, stored.config["adapter"]
    # A class may be named in several ways, and is the same.
    given = own if own["adapter"] == name else {**own, "adapter": name}
    config, _ = override_config(stored.config, given, str(stored.path), explicit=adapter.explicit)
    return config


def require_class(adapter: BaseModelAdapter, stored: StoredModel) -> None:
    """Refuse a saved model of another adapter's class.

    Args:
        adapter: The adapter that is to load it.
        stored: The saved model.

    Raises:
        BundleError: The model belongs to another class.
    """
    if model_class(stored.config["adapter"], str(stored.path)) is not type(adapter):
        raise BundleError(
            f"{stored.path}: is a model for {stored.config['adapter']}, not for {adapter.given['adapter']}. "
            "Load it with that adapter, or with open_model, which chooses the right one"
        )
