"""Numbers as text: digits, and not more of them than a number has."""

from __future__ import annotations

import pytest

from adapters.system import whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_digits_are_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1_0", "٣", "²", "9" * 19, "9" * 5000, "1\n"])
def test_anything_else_is_none(text: str) -> None:
    assert whole_number(text) is None
