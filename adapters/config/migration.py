"""Migrate configs of older versions to the present one: small pure functions, one per version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.config.files import Config
from adapters.config.old_dataloop import from_old_dataloop, is_old_dataloop, say_once
from adapters.errors import ConfigError

SCHEMA_VERSION = 2
# Adapters that have moved: the name that configs and models were saved with -> the name now. Each has two old names:
# the one that configs give, and the one that an adapter makes of its own class.
RENAMED_ADAPTERS = {
    f"adapters.{old}:{cls}": f"adapters.models.{family}:{cls}"
    for family, modules, cls in (
        ("efficientnet_lite", ("efficientnet_lite", "efficientnet_lite.adapter"), "EfficientNetLiteAdapter"),
        ("mobilenet", ("mobilenet", "mobilenet.adapter"), "MobileNetAdapter"),
        ("resnet18", ("resnet18", "resnet18.adapter"), "ResNet18Adapter"),
        ("ensemble", ("ensemble",), "EnsembleAdapter"),
    )
    for old in modules
}


def current_adapter_name(name: Any) -> Any:
    """The present name of an adapter that may have been renamed; anything else unchanged."""
    return RENAMED_ADAPTERS.get(name, name) if isinstance(name, str) else name


def _from_version_0(config: Config) -> Config:
    """Configs without a version, as Dataloop's MoViNet app read them: other names for two keys."""
    renamed = {"num_frames": "n_frames", "resolution": "imgz"}
    for old, new in renamed.items():
        if old in config and new in config:
            raise ConfigError(f'"{old}" is the old name of "{new}", but both are given. Keep "{new}"')
    return {**{renamed.get(key, key): value for key, value in config.items()}, "schema_version": 1}


def _from_version_1(config: Config) -> Config:
    """Configs that name the built-in adapters as they were called before ``adapters.models``."""
    return {**config, "schema_version": 2}


MIGRATIONS = {0: _from_version_0, 1: _from_version_1}


# Keys that came later and change what a model sees, with what was done before. A stored config is complete, so that its
# model continues to see what it was trained on.
VALUES_BEFORE_KEYS = {"sampling_tolerance_seconds": 0.0}


def complete_stored_config(config: Mapping[str, Any]) -> Config:
    """The config of a stored model with the keys that did not exist when it was stored; the given one is not changed.

    Args:
        config: As it was stored, with all keys of its time. What an ensemble sees is in its members' configs.
    """
    return dict(config) if "members" in config else {**VALUES_BEFORE_KEYS, **config}


def migrate_config(config: Mapping[str, Any], where: str = "config") -> Config:
    """The config in the present version; the given one is not changed.

    Args:
        config: Keys and values of any version; without "schema_version" it is version 0.
        where: The name of the config, for messages.

    Returns:
        The migrated config; values are not checked.

    Raises:
        ConfigError: The version is newer than this library, or a key is given under its old and its new name.
    """
    result = dict(config)
    if is_old_dataloop(result):
        result, notes = from_old_dataloop(result)
        for note in notes:
            say_once(where, note)
    version = result.get("schema_version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= SCHEMA_VERSION:
        raise ConfigError(
            f'{where}: "schema_version" must be a whole number from 0 to {SCHEMA_VERSION}, got {version!r}. '
            "A config of a newer version needs a newer cliplab"
        )
    for step in range(version, SCHEMA_VERSION):
        try:
            result = MIGRATIONS[step](result)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    if result.get("quantize") == "none":  # the older word, which people still write
        result["quantize"] = "float32"
    # Also in a config of this version: the table holds whatever people copy from an older one.
    if "adapter" in result:
        result["adapter"] = current_adapter_name(result["adapter"])
    return result
