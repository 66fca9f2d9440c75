"""Whole numbers written as text."""

from __future__ import annotations

_MOST_DIGITS = 18  # of what 64 bits hold; Python itself refuses texts of thousands


def whole_number(text: str) -> int | None:
    """The number that a text of the digits 0 to 9 is; None for any other text, and for one of more than 18 digits.

    Args:
        text: Such as a header of a request, or a key of a JSON object.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
