"""What is wrong with a config, in words: the field, what is allowed, what was received, the nearest key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from jsonschema.exceptions import ValidationError


def unknown_key(name: str, keys: Iterable[str], adapter: str) -> str:
    near = difflib.get_close_matches(str(name), list(keys), n=1, cutoff=0.6)
    hint = f' Did you mean "{near[0]}"?' if near else " `cliplab config schema` lists its keys."
    return f'"{name}" is not a key of {adapter}.{hint}'


def explain(name: str, error: ValidationError) -> str:
    """One sentence: the field, what is allowed, what was received."""
    if error.validator == "oneOf" and error.context:
        # The option that the value came furthest into is the one that was meant.
        deepest = max(error.context, key=lambda option: len(option.absolute_path))
        if len(deepest.absolute_path) > len(error.absolute_path):
            error = deepest
    field = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    schema = error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict) and isinstance(schema, dict):
        allowed = schema.get("properties", {})
        return " ".join(unknown_key(key, allowed, f'"{field}"') for key in error.instance if key not in allowed)
    return f'"{field}" must be {_allowed(error.schema)}, got {show(error.instance)} ({kind(error.instance)})'


def _allowed(rule: Any) -> str:
    """What a schema allows, in words."""
    if not isinstance(rule, dict):
        return "left out"
    if "const" in rule:
        return json.dumps(rule["const"])
    if "enum" in rule:
        return "one of " + ", ".join(json.dumps(value) for value in rule["enum"])
    if "oneOf" in rule:
        return " or ".join(_allowed(option) for option in rule["oneOf"])
    types = [rule["type"]] if isinstance(rule.get("type"), str) else list(rule.get("type", ["a value"]))
    words = " or ".join({"integer": "a whole number", "number": "a number", "string": "text", "array": "a list",
                         "object": "an object", "boolean": "true or false"}.get(t, t) for t in types)  # fmt: skip
    bounds = [
        text.format(rule[key])
        for key, text in {
            "minimum": ">= {}",
            "exclusiveMinimum": "> {}",
            "maximum": "<= {}",
            "exclusiveMaximum": "< {}",
            "minItems": "at least {} entries",
            "maxItems": "at most {} entries",
            "minLength": "at least {} characters",
            "maxLength": "at most {} characters",
            "pattern": "of the form {}",
        }.items()
        if key in rule
    ]
    if rule.get("uniqueItems"):
        bounds.append("no entry twice")
    items = rule.get("items")
    of = f" of {_allowed(items)}" if isinstance(items, dict) else ""
    if "required" in rule:
        of += " with " + ", ".join(f'"{key}"' for key in rule["required"])
    return words + of + (f" ({', '.join(bounds)})" if bounds else "")


def show(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else text[:77] + "..."


def kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)
