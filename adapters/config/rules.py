"""Whether a value satisfies a schema, for the keywords that config schemas use: the fast way to "yes".

jsonschema, which explains what is wrong, takes longer to import than a config takes to check. It is used only where
this says no or does not know a keyword.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# These say nothing about the value.
_WORDS = {"title", "description", "default", "examples", "x-effect", "x-aliases", "$comment"}
_SCALARS = (str, int, float, bool, type(None))


class UnknownKeywordError(Exception):
    """A keyword, or a value of a kind, that is left to jsonschema."""


def satisfies(rule: Any, value: Any) -> bool:
    """Whether the value is valid by JSON Schema draft 2020-12.

    Args:
        rule: The schema.
        value: A JSON value.

    Raises:
        UnknownKeywordError: The schema has a keyword that is left to jsonschema.
    """
    if not isinstance(rule, Mapping):
        raise UnknownKeywordError(repr(rule))
    return all(_check(keyword, rule, value) for keyword in rule if keyword not in _WORDS)


def _check(keyword: str, rule: Mapping[str, Any], value: Any) -> bool:
    if keyword not in _CHECKS:
        raise UnknownKeywordError(keyword)
    applies, check = _CHECKS[keyword]
    return not applies(value) or check(rule[keyword], value, rule)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _anything(value: Any) -> bool:
    return True


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": _is_number,
    "string": _is_text,
    "array": _is_list,
    "object": _is_object,
}


def _has_type(types: str | list[str], value: Any, rule: Any) -> bool:
    return any(_TYPES[name](value) for name in ([types] if isinstance(types, str) else types))


def _is_one_of(allowed: list[Any], value: Any, rule: Any) -> bool:
    if not all(isinstance(item, _SCALARS) for item in (*allowed, value)):
        raise UnknownKeywordError("enum of objects")
    return any(item == value and isinstance(item, bool) == isinstance(value, bool) for item in allowed)


def _are_unique(wanted: bool, value: list[Any], rule: Any) -> bool:
    if not all(isinstance(item, str) for item in value):
        raise UnknownKeywordError("uniqueItems of values other than text")
    return not wanted or len(set(value)) == len(value)


def _properties(rules: Mapping[str, Any], value: dict[str, Any], rule: Any) -> bool:
    return all(satisfies(rules[name], item) for name, item in value.items() if name in rules)


def _additional(rules: Any, value: dict[str, Any], rule: Mapping[str, Any]) -> bool:
    others = [item for name, item in value.items() if name not in rule.get("properties", {})]
    return not others if rules is False else all(satisfies(rules, item) for item in others)


# Keyword -> which values it applies to, and whether one satisfies it: (the keyword's value, value, whole rule).
_CHECKS: dict[str, tuple[Callable[[Any], bool], Callable[[Any, Any, Mapping[str, Any]], bool]]] = {
    "type": (_anything, _has_type),
    "enum": (_anything, _is_one_of),
    "const": (_anything, lambda only, value, rule: _is_one_of([only], value, rule)),
    "oneOf": (_anything, lambda options, value, rule: sum(satisfies(option, value) for option in options) == 1),
    "minimum": (_is_number, lambda least, value, rule: not value < least),
    "exclusiveMinimum": (_is_number, lambda least, value, rule: not value <= least),
    "maximum": (_is_number, lambda most, value, rule: not value > most),
    "exclusiveMaximum": (_is_number, lambda most, value, rule: not value >= most),
    "minLength": (_is_text, lambda least, value, rule: len(value) >= least),
    "maxLength": (_is_text, lambda most, value, rule: len(value) <= most),
    "pattern": (_is_text, lambda pattern, value, rule: re.search(pattern, value) is not None),
    "items": (_is_list, lambda each, value, rule: all(satisfies(each, item) for item in value)),
    "minItems": (_is_list, lambda least, value, rule: len(value) >= least),
    "maxItems": (_is_list, lambda most, value, rule: len(value) <= most),
    "uniqueItems": (_is_list, _are_unique),
    "required": (_is_object, lambda names, value, rule: all(name in value for name in names)),
    "properties": (_is_object, _properties),
    "additionalProperties": (_is_object, _additional),
}
