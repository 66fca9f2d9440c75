"""Configs: read, migrate, validate, fill in defaults, override, explain.

A config is a JSON object (or the same in YAML). Its schema is JSON Schema draft 2020-12: the common keys and the
adapter's own under ``allOf``. Every key has a title, a description, a default and ``x-effect``: ``runtime`` (takes
effect at once), ``program`` (needs another LiteRT program) or ``retrain`` (belongs to the weights).
"""

from __future__ import annotations

import copy
import importlib
import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from jsonschema import Draft202012Validator

from adapters.config.messages import explain, kind, show, unknown_key
from adapters.errors import ConfigError
from adapters.system import parse_json, unique_pairs

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter

Config = dict[str, Any]
Effect = Literal["runtime", "program", "retrain"]
SCHEMA_VERSION = 2
COMMON_SCHEMA = Path(__file__).with_name("common.schema.json")


class _YamlLoader(yaml.SafeLoader):
    """YAML as people expect it: 1e-3 is a number, and a key given twice is an error."""


_YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def _yaml_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(key, deep=True), loader.construct_object(v, deep=True)) for key, v in node.value]
    return unique_pairs(pairs)


_YamlLoader.add_constructor("tag:yaml.org,2002:map", _yaml_mapping)


def read_object(path: str | Path) -> Config:
    """A JSON or YAML file that holds one object; YAML where the name ends in .yaml or .yml."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config ({error})") from error
    try:
        if path.suffix.lower() in (".yaml", ".yml"):
            value = yaml.load(text, Loader=_YamlLoader)  # the loader is a SafeLoader
        else:
            value = parse_json(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: is not valid {_format_name(path)}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a config is an object of keys and values, got {kind(value)}")
    return value


def _format_name(path: Path) -> str:
    return "YAML" if path.suffix.lower() in (".yaml", ".yml") else "JSON"


# Classes and schemas ------------------------------------------------------------------------------------------------


# Adapters that have moved: the name that configs and models were saved with -> the name now. Both forms of each are
# found: the one that configs give, and the one that an adapter makes of its own class.
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


def adapter_class(name: str, where: str = "config") -> type[BaseModelAdapter]:
    """The class that ``"module:Class"`` names. Only for configs of the person who runs the process: it imports."""
    from adapters.base import BaseModelAdapter

    module, _, attribute = current_adapter_name(name).partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f'{where}: "adapter" names {name!r}, which cannot be imported ({error}). '
            'It is "module:Class", e.g. "movinet_adapter:MoViNetAdapter"'
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseModelAdapter)):
        raise ConfigError(f'{where}: "adapter" names {name!r}, which is not a BaseModelAdapter')
    return found


@cache
def _schema_file(path: Path) -> Config:
    return read_object(path)


@cache
def _properties(schema_path: Path) -> Config:
    common: Config = copy.deepcopy(_schema_file(COMMON_SCHEMA)["properties"])
    for name, own in _schema_file(schema_path)["properties"].items():
        common[name] = {**common.get(name, {}), **own}
    return common


def properties(adapter: str | type[BaseModelAdapter]) -> Config:
    """Every key of an adapter: name -> its schema, with the adapter's own defaults and effects."""
    cls = adapter_class(adapter) if isinstance(adapter, str) else adapter
    return copy.deepcopy(_properties(cls.schema_path))


def schema(adapter: str | type[BaseModelAdapter]) -> Config:
    """The whole JSON Schema of an adapter's config, self-contained, for editors and forms."""
    cls = adapter_class(adapter) if isinstance(adapter, str) else adapter
    own = copy.deepcopy(_schema_file(cls.schema_path))
    common = copy.deepcopy(_schema_file(COMMON_SCHEMA))
    # A key that the adapter says again is the adapter's alone: under allOf both would hold.
    common["properties"] = {k: v for k, v in common["properties"].items() if k not in own["properties"]}
    own["properties"] = {name: value for name, value in properties(cls).items() if name in own["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": own.get("title", cls.__name__),
        "type": "object",
        "allOf": [common, own],
        "unevaluatedProperties": False,
    }


def effect(adapter: str | type[BaseModelAdapter], key: str) -> Effect:
    """What a change of this key asks for: runtime, program or retrain."""
    value: Effect = properties(adapter)[key]["x-effect"]
    return value


# Migration ----------------------------------------------------------------------------------------------------------


def _from_version_0(config: Config) -> Config:
    """Configs without a version, as Dataloop's MoViNet app read them: other names for two keys."""
    renamed = {"num_frames": "n_frames", "resolution": "imgz"}
    for old, new in renamed.items():
        if old in config and new in config:
            raise ConfigError(f'"{old}" is the old name of "{new}", and both are given. Keep "{new}"')
    return {**{renamed.get(key, key): value for key, value in config.items()}, "schema_version": 1}


def _from_version_1(config: Config) -> Config:
    """Configs that name the built-in adapters as they were called before ``adapters.models``."""
    return {**config, "schema_version": 2}


MIGRATIONS = {0: _from_version_0, 1: _from_version_1}


def migrate(config: Mapping[str, Any], where: str = "config") -> Config:
    """The same config in the present form; pure. A form newer than this library is an error."""
    result = dict(config)
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
    # Also in a config of this version: the table holds whatever people copy from an older one.
    if "adapter" in result:
        result["adapter"] = current_adapter_name(result["adapter"])
    return result


# Validation ---------------------------------------------------------------------------------------------------------


def check_config(config: Mapping[str, Any], where: str = "config") -> Config:
    """The complete config: migrated, validated, every default filled in. ConfigError lists all that is wrong."""
    migrated = migrate(config, where)
    name = migrated.get("adapter")
    if not isinstance(name, str):
        raise ConfigError(f'{where}: "adapter" is required, e.g. "movinet_adapter:MoViNetAdapter", got {name!r}')
    cls = adapter_class(name, where)
    problems = _problems(migrated, cls)
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))
    filled = fill_defaults(migrated, properties(cls))
    for problem in [*_common_problems(filled), *cls.config_problems(filled)]:
        raise ConfigError(f"{where}: {problem}")
    return filled


def fill_defaults(config: Mapping[str, Any], keys: Config) -> Config:
    """The config with every missing key at its schema's default, objects filled in depth, in the schema's order."""
    result: Config = {}
    for name, key in keys.items():
        if name not in config and "default" not in key:
            continue
        value = copy.deepcopy(config.get(name, key.get("default")))
        if isinstance(value, dict) and "properties" in key:
            value = fill_defaults(value, key["properties"])
        result[name] = value
    return result


def _problems(config: Config, cls: type[BaseModelAdapter]) -> list[str]:
    keys = properties(cls)
    problems = [unknown_key(name, keys, config["adapter"]) for name in config if name not in keys]
    for name, value in config.items():
        if name in keys:
            errors = Draft202012Validator(keys[name]).iter_errors(value)
            problems += [explain(name, error) for error in errors]
    return problems


def _common_problems(config: Config) -> Iterable[str]:
    labels, positive = config["labels"], config["positive_label"]
    if positive is not None:
        if config["task"] != "single_label":
            yield f'"positive_label" goes with task "single_label", got task {config["task"]!r}'
        if labels is not None and (len(labels) != 2 or positive not in labels):
            yield f'"positive_label" must be one of two labels, got {positive!r} with labels {labels!r}'
    if config["sampling"] != "spread" and config["fps"] is None:
        yield f'"fps" is required with sampling "{config["sampling"]}", e.g. 5'
    if config["stride_seconds"] is not None and config["window_seconds"] is None and config["sampling"] != "rate":
        yield '"stride_seconds" needs "window_seconds": without a window the whole video is one clip'
    if config["fine_tune_layers"] is not None and config["freeze_layers"] is not None:
        yield '"fine_tune_layers" and "freeze_layers" say the same in two ways: give one'
    if not math.isclose(sum(config["split_fractions"]), 1, abs_tol=1e-6):
        yield f'"split_fractions" must add up to 1, got {config["split_fractions"]}'
    weights = config["class_weights"]
    if isinstance(weights, dict) and labels is not None and set(weights) != set(labels):
        yield f'"class_weights" must name each label once, got {sorted(weights)} for labels {labels}'


# Overrides ----------------------------------------------------------------------------------------------------------


def parse_assignments(assignments: Iterable[str]) -> Config:
    """``["imgz=224", "gates.min_f1=0.9"]`` -> nested keys and values; a value that is no JSON is text."""
    result: Config = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise ConfigError(f'--set takes key=value, got {assignment!r}, e.g. --set "top_k=5"')
        try:
            value = parse_json(text)
        except ValueError:
            value = text
        *parents, last = key.strip().split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError(f'--set "{key}": "{parent}" was given a plain value before')
        target[last] = value
    return result


def merge(config: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """config with changes on top; objects are merged key by key."""
    result = copy.deepcopy(dict(config))
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict) and key in ("augmentation", "gates"):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def override(
    stored: Config, given: Mapping[str, Any], where: str = "config", *, explicit: bool = True
) -> tuple[Config, list[str]]:
    """A stored model's config with a user's keys beside it -> (config, program keys that changed).

    Runtime keys take effect. A program key that differs is reported, so that the caller finds or makes the program.
    A retrain key that differs is an error. With explicit=False, a program or retrain key at its schema's default
    counts as not given: a filled-in config holds every key, whoever wrote it.
    """
    if not given:
        return stored, []
    # The stored keys stand in for those not given, so that only what the user wrote can be wrong.
    complete = check_config({**stored, **migrate({"schema_version": SCHEMA_VERSION, **given}, where)}, where)
    keys = properties(stored["adapter"])
    result, programs = copy.deepcopy(stored), []
    for name in given:
        if name not in keys or complete[name] == stored.get(name):
            continue
        if keys[name]["x-effect"] == "runtime":
            result[name] = complete[name]
        elif not explicit and complete[name] == fill_defaults({}, {name: keys[name]}).get(name):
            continue
        elif keys[name]["x-effect"] == "program":
            result[name] = complete[name]
            programs.append(name)
        else:
            raise ConfigError(
                f'{where}: "{name}" belongs to the model\'s weights: it was made with {show(stored.get(name))}, '
                f"got {show(complete[name])}. Leave it out, or train a model with it"
            )
    return check_config(result, where), programs
