"""JSON by its standard (RFC 8259): what Python's ``json`` accepts beyond it is refused."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes | bytearray) -> Any:
    """Parse JSON text strictly.

    Raises:
        ValueError: The text is not JSON or not UTF-8, has NaN or Infinity, or has a key of an object twice.
        RecursionError: The value is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=unique_pairs, parse_constant=_refuse_constant)


def unique_pairs(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Keys and values as a dict.

    Raises:
        ValueError: A key is given twice, so that one of its values would be lost.
    """
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[Any] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f'"{twice}" is given twice')
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
