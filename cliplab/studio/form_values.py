"""Values of a config as text in a form, and back to JSON types, by the rule of each value; the same in every locale."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.system import MAX_DEPTH, parse_json

Rule = Mapping[str, Any]
# ASCII digits and a decimal point, as JSON and Python write numbers.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
_MOST_DIGITS = 100
MOST_CHARACTERS = 200_000  # of one value: a thousand labels are far less


def kinds(rule: Rule) -> set[str]:
    """The JSON types that a rule allows, among its options too: "number", "string", "null", ..."""
    found = {rule["type"]} if isinstance(rule.get("type"), str) else set(rule.get("type", ()))
    for choice in [*rule.get("enum", ()), *([rule["const"]] if "const" in rule else [])]:
        found.add({bool: "boolean", str: "string", type(None): "null"}.get(type(choice), "number"))
    for option in rule.get("oneOf", ()):
        found |= kinds(option)
    return found


def option(rule: Rule, json_type: str) -> Rule | None:
    """The part of a rule that allows lists or objects: the rule itself, or one of its options."""
    if rule.get("type") == json_type or (isinstance(rule.get("type"), list) and json_type in rule["type"]):
        return rule
    return next((found for part in rule.get("oneOf", ()) if (found := option(part, json_type)) is not None), None)


def to_text(rule: Rule, value: Any) -> str:
    """A value as a person edits it; ``from_text`` gives the same value back.

    Args:
        rule: The schema of the value.
        value: A JSON value; it need not be allowed.

    Returns:
        A number or a word as it is, a list of numbers with spaces, other lists and objects with a line for each entry,
        and JSON where that would read as something else. An empty field means the default, so an empty list or object
        that differs from it is JSON too.
    """
    text = _plain_text(rule, value)
    if isinstance(value, (list, dict)) and not value and rule.get("default"):
        text = None
    if text is not None and same(from_text(rule, text), value):
        return text
    return json.dumps(value, ensure_ascii=False)


def _plain_text(rule: Rule, value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        items = _items(rule)
        if items is not None and kinds(items) <= {"number", "integer"}:
            return " ".join(json.dumps(item) for item in value)
        return "\n".join(to_text(items or {}, item) for item in value)
    if isinstance(value, dict):
        return "\n".join(f"{_name_text(name)}: {json.dumps(item)}" for name, item in value.items())
    return json.dumps(value)


def _name_text(name: str) -> str:
    plain = name == name.strip() and name.isprintable() and not name.startswith('"')
    return name if plain and name else json.dumps(name)


def from_text(rule: Rule, text: str) -> Any:
    """The value that a text means; the text itself where it means none that the rule allows.

    Args:
        rule: The schema of the value.
        text: As ``to_text`` writes it, or as JSON.

    Returns:
        A JSON value. It is not checked: a wrong one is reported by the config's check in its own words.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    allowed, stripped = kinds(rule), text.strip()
    if len(text) > MOST_CHARACTERS:
        return text[:MOST_CHARACTERS]
    if stripped == "null" and "null" in allowed:
        return None
    if stripped in ("true", "false") and "boolean" in allowed:
        return stripped == "true"
    if stripped in rule.get("enum", ()) or any(stripped in part.get("enum", ()) for part in rule.get("oneOf", ())):
        return stripped
    if stripped[:1] in ('"', "[", "{"):
        try:
            value = parse_json(stripped, MAX_DEPTH)
        except (ValueError, RecursionError):
            value = None
        if value is not None and _kind(value) in allowed:
            return value
    if allowed & {"number", "integer"} and (number := _number(stripped)) is not None:
        return _whole(number) if "integer" in allowed and "number" not in allowed else number
    for json_type, parse in (("array", _list), ("object", _map)):
        part = option(rule, json_type)
        if part is not None and (json_type == "array" or ":" in stripped):
            return parse(part, text)
    return text if allowed == {"string"} or allowed == {"string", "null"} else stripped


def _kind(value: str | list[Any] | dict[str, Any]) -> str:
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _number(text: str) -> int | float | None:
    if len(text) > _MOST_DIGITS or not _NUMBER.fullmatch(text):
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    value = float(text)
    return value if abs(value) != float("inf") else None


def _whole(value: float) -> int | float:
    """2e1 and 20.0 as a whole number, where one is asked for."""
    return int(value) if value == int(value) else value


def _items(rule: Rule) -> Rule | None:
    part = option(rule, "array")
    items = None if part is None else part.get("items")
    return items if isinstance(items, Mapping) else None


def _list(rule: Rule, text: str) -> list[Any]:
    items = _items(rule) or {}
    if kinds(items) <= {"number", "integer"}:
        parts = re.split(r"[\s,;]+", text.strip())
    else:
        parts = [line for line in text.split("\n") if line.strip()]
    return [from_text(items, part.strip()) for part in parts]


def _map(rule: Rule, text: str) -> Any:
    """Lines of "name: value"; the text itself where a line is not of this form or a name appears twice."""
    found: dict[str, Any] = {}
    values = rule.get("additionalProperties")
    for line in text.split("\n"):
        if not line.strip():
            continue
        name, colon, value = line.rpartition(":")
        name = name.strip()
        if name.startswith('"'):
            try:
                name = str(parse_json(name))
            except ValueError:
                return text.strip()
        if not colon or name in found:
            return text.strip()
        found[name] = from_text(values if isinstance(values, Mapping) else {"type": "number"}, value)
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal in value and kind: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str) and isinstance(other, Sequence):
        return not isinstance(other, str) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
