"""JSON by its standard (RFC 8259): what Python's ``json`` accepts beyond it is refused."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

MAX_DEPTH = 64  # of configs and of the files of models, which nest six levels deep at most


def parse_json(text: str | bytes | bytearray, max_depth: int | None = None) -> Any:
    """Parse JSON text strictly.

    Args:
        text: JSON text.
        max_depth: How many levels objects and lists may nest; None: as many as the parser can read.

    Raises:
        ValueError: The text is not JSON or not UTF-8, has NaN, Infinity or a number that a float cannot hold (1e999),
            has a key of an object twice, or is nested too deeply.
    """
    try:
        found = _text_of(text)
        careful = _MANY_DIGITS.search(found) or _LARGE_EXPONENT.search(found)
        value = (_CAREFUL_DECODER if careful else _DECODER).decode(found)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(_explained(error)) from None
    if max_depth is not None:
        check_depth(value, max_depth)
    return value


def check_depth(value: Any, max_depth: int) -> None:
    """Refuse a value whose objects and lists nest too deeply: what reads or copies it goes as deep.

    Args:
        value: A JSON value.
        max_depth: How many levels are allowed.

    Raises:
        ValueError: It is deeper.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        parts = (item.values() if isinstance(item, dict) else item for item in level)
        level = [part for inner in parts for part in inner if isinstance(part, (dict, list))]
        if not level:
            return
    raise ValueError(f"it is nested more than {max_depth} levels deep")


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


def _text_of(text: str | bytes | bytearray) -> str:
    """As ``json.loads`` does, which makes a decoder for each text."""
    if isinstance(text, str):
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark")
        return text
    try:
        return text.decode(json.detect_encoding(text), "surrogatepass")
    except UnicodeDecodeError:
        raise ValueError("it is not a text file") from None


def _explained(error: json.JSONDecodeError) -> str:
    """What is wrong and where, in the words of someone who typed the file."""
    before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos :].lstrip()
    place = f"line {error.lineno}, column {error.colno}"
    if not before and not after:
        return "it is empty"
    if error.msg.startswith("Illegal trailing comma") or (before.endswith(",") and after[:1] in ("]", "}")):
        return f"{place}: remove the comma before the closing bracket"
    if not after:
        return f"{place}: it ends there, before a quote, ] or }} that closes what was begun"
    if error.msg.startswith("Unterminated string"):
        return f"{place}: the text that begins there has no closing quote"
    if error.msg == "Expecting value":
        return f'{place}: a JSON value is expected, such as "text", 1, [...] or {{...}}'
    return f"{place}: {error.msg[:1].lower()}{error.msg[1:]}"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _whole(text: str) -> int:
    value = int(text)
    if abs(value) > sys.float_info.max:
        raise ValueError(f"a number of {len(text)} digits is too large")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text:.40} is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=unique_pairs, parse_constant=_refuse_constant)
# Looks at each number, which takes twice as long: only where a text may hold a number that no float can.
_CAREFUL_DECODER = json.JSONDecoder(
    object_pairs_hook=unique_pairs, parse_constant=_refuse_constant, parse_int=_whole, parse_float=_finite
)
# 309 digits in a row, looked for from their first one only; and an exponent of three digits.
_MANY_DIGITS = re.compile(r"[0-9](?<![0-9].)[0-9]{308}", re.DOTALL)
_LARGE_EXPONENT = re.compile(r"[eE]\+?[0-9]{3}")
