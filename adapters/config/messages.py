"""What is wrong with a config, in words: the field, what is allowed, what was received, the nearest key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

from adapters.system import did_you_mean


def unknown_key_message(name: str, keys: Iterable[str], adapter: str) -> str:
    """The sentence for a key that does not exist, with the nearest one that does.

    Args:
        name: The key.
        keys: The keys that exist.
        adapter: What the keys belong to: an adapter, or a key that holds an object.
    """
    hint = did_you_mean(str(name), keys) or " `cliplab config schema` lists its keys."
    return f'"{name}" is not a key of {adapter}.{hint}'


def violation(name: str, error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """The place of a value that its schema does not allow, and the sentence: what is allowed, what was received.

    Args:
        name: The key of the config.
        error: The violation that jsonschema found in the key's value.

    Returns:
        The key and the keys and indices within its value; the sentence.
    """
    if error.validator == "oneOf" and error.context:
        # The option that the value came furthest into is the one that was meant.
        deepest = max(error.context, key=lambda option: len(option.absolute_path))
        if len(deepest.absolute_path) > len(error.absolute_path):
            error = deepest
    field = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    path, schema = (name, *error.absolute_path), error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict) and isinstance(schema, dict):
        allowed = schema.get("properties", {})
        unknown = [unknown_key_message(key, allowed, f'"{field}"') for key in error.instance if key not in allowed]
        return path, " ".join(unknown)
    received = f"{short_json(error.instance)} ({json_kind(error.instance)})"
    choices = schema.get("enum", ()) if isinstance(schema, dict) else ()
    near = did_you_mean(str(error.instance), [choice for choice in choices if isinstance(choice, str)])
    return path, f'"{field}" must be {allowed_words(schema)}, got {received}' + (f".{near}" if near else "")


def allowed_words(rule: Any) -> str:
    """What a schema allows, in words, such as "a whole number (>= 1, <= 1000) or null".

    Args:
        rule: The schema of a value.
    """
    if not isinstance(rule, dict):
        return "left out"
    if "const" in rule:
        return json.dumps(rule["const"])
    if "enum" in rule:
        return "one of " + ", ".join(json.dumps(value) for value in rule["enum"])
    if "oneOf" in rule:
        return " or ".join(allowed_words(option) for option in rule["oneOf"])
    types = [rule["type"]] if isinstance(rule.get("type"), str) else list(rule.get("type", ["a value"]))
    return " or ".join(_allowed_of(json_type, rule) for json_type in types)


_NUMBERS = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}", "exclusiveMaximum": "< {}"}
_ENTRIES = {"minItems": "at least {} entries", "maxItems": "at most {} entries"}
_CHARACTERS = {"minLength": "at least {} characters", "maxLength": "at most {} characters", "pattern": "of the form {}"}
# By a JSON type: what it is called, and what may bound it.
_TYPES: dict[str, tuple[str, dict[str, str]]] = {
    "integer": ("a whole number", _NUMBERS),
    "number": ("a number", _NUMBERS),
    "string": ("text", _CHARACTERS),
    "array": ("a list", _ENTRIES),
    "object": ("an object", {}),
    "boolean": ("true or false", {}),
}


def _allowed_of(json_type: str, rule: dict[str, Any]) -> str:
    """What a schema allows of one of its types."""
    words, named_bounds = _TYPES.get(json_type, (json_type, {}))
    only = re.fullmatch(r"\^(\w+)\$", str(rule.get("pattern")))
    if json_type == "string" and only:  # a word that is allowed in place of a number
        return f'"{only[1]}"'
    bounds = [text.format(rule[key]) for key, text in named_bounds.items() if key in rule]
    if json_type == "array":
        words += f" of {allowed_words(rule['items'])}" if isinstance(rule.get("items"), dict) else ""
        bounds += ["without duplicates"] if rule.get("uniqueItems") else []
    if json_type == "object" and "required" in rule:
        words += " with " + ", ".join(f'"{key}"' for key in rule["required"])
    return words + (f" ({', '.join(bounds)})" if bounds else "")


def short_json(value: Any) -> str:
    """A value as JSON of at most 80 characters, for a message."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else text[:77] + "..."


def json_kind(value: Any) -> str:
    """The JSON type of a value in words, such as "a list"."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)
