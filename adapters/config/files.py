"""Config files: JSON or YAML to one object, strictly."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from adapters.config.messages import json_kind
from adapters.errors import ConfigError
from adapters.system import MAX_DEPTH, parse_json, read_regular_text, unique_pairs

Config = dict[str, Any]
MAX_JSON_BYTES = 16_000_000
MAX_YAML_BYTES = 500_000  # the reader of YAML takes a second for 100 kB
MAX_YAML_VALUES = 100_000
_YAML_TAG = "tag:yaml.org,2002:"
_YAML_KINDS = ("str", "int", "float", "bool", "null", "map", "seq", "merge")
_MOST_DIGITS = 308


def read_config_file(path: str | Path) -> Config:
    """Read a JSON or YAML file that holds one object.

    Args:
        path: The file; it is YAML if its name ends in .yaml or .yml.

    Returns:
        Keys and values, not checked.

    Raises:
        ConfigError: The file cannot be read, is too large, is not valid, has a key twice, is nested too deeply, or
            holds another value than an object.
    """
    path = Path(path)
    try:
        text = read_regular_text(path, MAX_YAML_BYTES if _is_yaml(path) else MAX_JSON_BYTES, ConfigError)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not a text file, so it is not a config. A model is a bundle directory, a .tflite or a config "
            "in JSON or YAML"
        ) from error
    try:
        value = _parse_yaml(text) if _is_yaml(path) else parse_json(text, MAX_DEPTH)
    except ValueError as error:
        usual = path.suffix.lower() in (".json", ".yaml", ".yml")
        hint = "" if usual else ". A model is a bundle directory, a .tflite or a config in JSON or YAML"
        raise ConfigError(f"{path}: is not valid {'YAML' if _is_yaml(path) else 'JSON'}: {error}{hint}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a config must be an object of keys and values, got {json_kind(value)}")
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
        pairs = [(construct(key, deep=True), construct(value, deep=True)) for key, value in node.value]
        for key, _ in pairs:
            if isinstance(key, (dict, list, set)):
                raise ValueError(f"the key of an object is {json_kind(key)}; keys must be text")
        return unique_pairs(pairs)

    number = re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader


def _parse_yaml(text: str) -> Any:
    """ValueError for text that is not YAML, is nested too deeply, or multiplies itself with aliases."""
    import yaml

    try:
        loader = _yaml_loader()(text)  # a SafeLoader, which looks for control characters
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count_nodes(node, 0, {})
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (IndexError, KeyError, AttributeError, TypeError, OverflowError) as error:
        # What PyYAML makes of a tag on a value that is none of its kind, such as !!int "" or !!bool maybe.
        raise ValueError(f"a value does not match its YAML tag ({type(error).__name__} {error!s:.60})") from None
    finally:
        loader.dispose()


def _count_nodes(node: Any, depth: int, known: dict[int, int]) -> int:
    """How many values a node stands for where each alias is written out. ValueError where that is too many."""
    if id(node) in known:
        return known[id(node)]
    kind = node.tag.removeprefix(_YAML_TAG)
    if kind not in _YAML_KINDS:  # dates, sets, bytes, objects: what JSON has no value for
        raise ValueError(
            f"{str(node.value)[:40]!r} is read as {kind[:40]!r}, which configs do not support: put it in quotes"
        )
    if kind in ("int", "float") and len(node.value) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(node.value)} characters is too large")
    if depth > MAX_DEPTH:  # also where an alias leads back to what it is in
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    inner = node.value if isinstance(node.value, list) else []
    count = 1
    for item in inner:
        for part in item if isinstance(item, tuple) else (item,):
            count += _count_nodes(part, depth + 1, known)
    if count > MAX_YAML_VALUES:
        raise ValueError(f"when its aliases are expanded it has more than {MAX_YAML_VALUES:,} values")
    known[id(node)] = count
    return count
