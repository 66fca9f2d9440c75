"""Config files: JSON or YAML to one object, strictly."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from adapters.config.messages import json_kind
from adapters.errors import ConfigError
from adapters.system import parse_json, unique_pairs

Config = dict[str, Any]


def read_config_file(path: str | Path) -> Config:
    """Read a JSON or YAML file that holds one object.

    Args:
        path: The file; it is YAML if its name ends in .yaml or .yml.

    Returns:
        Keys and values, not checked.

    Raises:
        ConfigError: The file cannot be read, is not valid, has a key twice, or holds another value than an object.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config ({error})") from error
    try:
        value = _parse_yaml(text) if _is_yaml(path) else parse_json(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid {'YAML' if _is_yaml(path) else 'JSON'}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a config is an object of keys and values, got {json_kind(value)}")
    return value


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml")


@cache
def _yaml_loader() -> Any:
    """A safe loader that reads YAML as people expect it: 1e-3 is a number, and a key given twice is an error."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        construct = loader.construct_object
        return unique_pairs([(construct(key, deep=True), construct(value, deep=True)) for key, value in node.value])

    number = re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader


def _parse_yaml(text: str) -> Any:
    """ValueError for text that is not YAML."""
    import yaml

    try:
        return yaml.load(text, Loader=_yaml_loader())  # a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
