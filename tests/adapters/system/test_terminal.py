"""Text that is shown commands no terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.system import terminal_json, terminal_text

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("warm", "warm"),
        ("a\nb\tc", "a\nb\tc"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x1b\\", "\\x1b]8;;http://x\\x07link\\x1b]8;;\\x1b\\"),
        ("over\rwritten\x08", r"over\rwritten\x08"),
        ("\x9b31m\x85\x7f", r"\x9b31m\x85\x7f"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\udce9", r"\udce9"),
        ("Tauchen 🤿 👩‍🚒 می‌خواهم", "Tauchen 🤿 👩‍🚒 می‌خواهم"),
    ],
)
def test_what_commands_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert terminal_text(text) == shown


def test_one_line() -> None:
    assert terminal_text("a\nb\tc\x1b", one_line=True) == r"a\nb\tc\x1b"


@given(st.text())
def test_nothing_unsafe_is_left_and_json_keeps_its_value(text: str) -> None:
    for shown in (terminal_text(text), terminal_json(json.dumps(text, ensure_ascii=False))):
        left = {char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
        assert left <= {"\n", "\t"}
        assert not set(shown) & set(BIDI)
    assert json.loads(terminal_json(json.dumps(text, ensure_ascii=False))) == text
