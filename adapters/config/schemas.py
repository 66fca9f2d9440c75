"""The class that a config names, and the JSON Schema of its keys.

A schema is JSON Schema draft 2020-12: the common keys and the adapter's own under ``allOf``. Every key has a title, a
description, a default and ``x-effect``: ``runtime`` (takes effect at once), ``program`` (needs another LiteRT program)
or ``retrain`` (belongs to the weights). ``x-aliases`` lists other names under which the key is accepted.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from adapters.config.files import Config, read_config_file
from adapters.config.migration import current_adapter_name
from adapters.config.trust import import_trusted
from adapters.errors import ConfigError

Effect = Literal["runtime", "program", "retrain"]
COMMON_SCHEMA = Path(__file__).with_name("common.schema.json")


class AdapterClass(Protocol):
    """The members that a config needs of the class that it names; ``BaseModelAdapter`` and its subclasses have them."""

    @property
    def schema_path(self) -> Path:
        """The JSON Schema of the class's own keys, a file."""

    def config_problems(self, config: Config) -> Iterable[str]:
        """What is wrong between the keys of a complete config, one sentence each."""

    def resolve_paths(self, config: Config, folder: Path) -> Config:
        """The config of a file of this folder, with the paths in it that are relative to the file made usable."""


# Classes whose code runs in this process already: those of adapters that were made, by name.
_in_use: dict[str, AdapterClass] = {}


def use_class(name: str, cls: AdapterClass) -> None:
    """Remember the class of an adapter that was made here, so that its config can be checked further.

    Args:
        name: "module:Class".
        cls: The class.
    """
    _in_use[name] = cls


def adapter_class(name: str, where: str = "config") -> AdapterClass:
    """The class that a config names: of an adapter in use, or one that ``require_trusted`` allows, imported now.

    Args:
        name: "module:Class", also under an older name.
        where: The name of the config, for messages.

    Raises:
        ConfigError: The class is not trusted, cannot be imported, or is not an adapter.
    """
    name = current_adapter_name(name)
    if name in _in_use:
        return _in_use[name]
    try:
        found = getattr(import_trusted(name, where), name.partition(":")[2])
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f'{where}: "adapter" names {name!r}, which cannot be imported ({error}). '
            'It is "module:Class", e.g. "movinet_adapter:MoViNetAdapter". A module that is not installed needs its '
            "folder on PYTHONPATH"
        ) from error
    missing = [part for part in ("schema_path", "config_problems", "resolve_paths") if not hasattr(found, part)]
    if missing or not isinstance(found, type):
        raise ConfigError(
            f'{where}: "adapter" names {name!r}, which is not a BaseModelAdapter: '
            + (f"it has no {missing[0]}" if missing else "it is not a class")
        )
    _in_use[name] = cast(AdapterClass, found)
    return _in_use[name]


@cache
def _schema_file(path: Path) -> Config:
    return read_config_file(path)


@cache
def cached_key_schemas(schema_path: Path) -> Config:
    """``key_schemas`` by the path of the adapter's schema, without a copy: the caller must not change it."""
    common: Config = copy.deepcopy(_schema_file(COMMON_SCHEMA)["properties"])
    for name, own in _schema_file(schema_path)["properties"].items():
        common[name] = {**common.get(name, {}), **own}
    return common


def key_schemas(adapter: str | AdapterClass) -> Config:
    """The schema of each key of an adapter, common or its own, with the adapter's defaults and effects.

    Args:
        adapter: The class, or its name as "module:Class".

    Returns:
        Schemas by the name of the key; a copy.

    Raises:
        ConfigError: The name is not that of an adapter.
    """
    cls = adapter_class(adapter) if isinstance(adapter, str) else adapter
    return copy.deepcopy(cached_key_schemas(cls.schema_path))


def adapter_schema(adapter: str | AdapterClass) -> Config:
    """The JSON Schema of an adapter's whole config, self-contained, for editors and forms.

    Args:
        adapter: The class, or its name as "module:Class".

    Raises:
        ConfigError: The name is not that of an adapter.
    """
    cls = adapter_class(adapter) if isinstance(adapter, str) else adapter
    own = copy.deepcopy(_schema_file(cls.schema_path))
    common = copy.deepcopy(_schema_file(COMMON_SCHEMA))
    # A key that the adapter says again is the adapter's alone: under allOf both would hold.
    common["properties"] = {k: v for k, v in common["properties"].items() if k not in own["properties"]}
    own["properties"] = {name: value for name, value in key_schemas(cls).items() if name in own["properties"]}
    for name, rule in list(own["properties"].items()):
        for alias in rule.get("x-aliases", ()):
            also = {key: value for key, value in rule.items() if key not in ("default", "x-aliases")}
            own["properties"][alias] = also | {"description": f'Another name for "{name}".'}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": own.get("title", cls.schema_path.parent.name),
        "type": "object",
        "allOf": [common, own],
        "unevaluatedProperties": False,
    }


def with_own_names(given: Mapping[str, Any], adapter: object, where: str = "config") -> Config:
    """Keys and values under the names of the adapter's schema, where some were given under an alias (``x-aliases``).

    Args:
        given: Keys and values; not changed.
        adapter: The config's "adapter". The keys stay as they are if it names no class that may be imported, which is
            reported where the config is checked.
        where: The name of the config, for messages.

    Returns:
        ``given`` itself where it has no alias.

    Raises:
        ConfigError: A key is given twice, under two names and with different values.
    """
    same = given if isinstance(given, dict) else dict(given)  # a checked config is known by being the same object
    if not isinstance(adapter, str):
        return same
    try:
        keys = cached_key_schemas(adapter_class(adapter, where).schema_path)
    except ConfigError:
        return same
    listed = ((alias, name) for name, key in keys.items() for alias in key.get("x-aliases", ()))
    found = [(alias, name) for alias, name in listed if alias in given and alias not in keys]
    if not found:
        return same
    result = dict(given)
    for alias, name in found:
        value = result.pop(alias)
        if result.setdefault(name, value) != value:
            raise ConfigError(
                f'{where}: "{alias}" is another name for "{name}", but their values differ: {value!r} and '
                f"{result[name]!r}. "
                f'Keep "{name}"'
            )
    return result


def key_effect(adapter: str | AdapterClass, key: str) -> Effect:
    """What a change of this key requires: ``runtime``, ``program`` or ``retrain`` (see the top of this module).

    Args:
        adapter: The class, or its name as "module:Class".
        key: A key of its config.

    Raises:
        ConfigError: The name is not that of an adapter.
        KeyError: The adapter does not have the key.
    """
    cls = adapter_class(adapter) if isinstance(adapter, str) else adapter
    value: Effect = cached_key_schemas(cls.schema_path)[key]["x-effect"]
    return value


def fill_defaults(config: Mapping[str, Any], keys: Config) -> Config:
    """The config with every missing key at its schema's default, also in nested objects.

    Args:
        config: Keys and values; keys without a schema are left out.
        keys: The schema of each key.

    Returns:
        A new config in the order of the schemas. A key without a default stays missing.
    """
    result: Config = {}
    for name, key in keys.items():
        if name not in config and "default" not in key:
            continue
        value = copy.deepcopy(config.get(name, key.get("default")))
        if isinstance(value, dict) and "properties" in key:
            value = fill_defaults(value, key["properties"])
        result[name] = value
    return result
