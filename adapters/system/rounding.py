"""Figures for people and files: 0.3 and not 0.30000000000000004."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_DIGITS = 6


def rounded(value: Any) -> Any:
    """A JSON value whose fractions have six decimals, or six significant digits where they are below 0.1.

    Args:
        value: Numbers, text, mappings, lists and tuples; numpy numbers become plain ones.

    Returns:
        The same with tuples as lists; whole numbers, text and what is not finite stay as they are.
    """
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return float(f"{value:.{_DIGITS}g}") if abs(value) < 0.1 else round(float(value), _DIGITS)
