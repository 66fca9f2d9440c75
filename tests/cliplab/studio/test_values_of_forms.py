"""Values of a config as text in a form: what a person reads and types, and the same value back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliplab.studio.form_values import MOST_CHARACTERS, from_text, kinds, option, same, to_text

NUMBER, WHOLE, WORD, FLAG = ({"type": kind} for kind in ("number", "integer", "string", "boolean"))
MAYBE = {"type": ["number", "null"]}
NUMBERS = {"type": "array", "items": NUMBER}
WORDS = {"type": "array", "items": WORD}
MAP = {"type": "object", "additionalProperties": NUMBER}
CHOICE = {"oneOf": [{"enum": ["auto", "none"]}, WHOLE]}
LISTS = {"oneOf": [WORDS, {"type": "null"}], "default": ["a"]}


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (NUMBER, {"number"}),
        (MAYBE, {"number", "null"}),
        ({"enum": ["a", 1, True, None]}, {"string", "number", "boolean", "null"}),
        ({"const": 0.5}, {"number"}),
        (CHOICE, {"string", "integer"}),
        (LISTS, {"array", "null"}),
        ({}, set()),
    ],
)
def test_the_kinds_that_a_rule_allows(rule: Any, found: set[str]) -> None:
    assert kinds(rule) == found


def test_the_part_of_a_rule_that_allows_lists() -> None:
    assert option(WORDS, "array") is WORDS
    assert option(LISTS, "array") is WORDS
    assert option({"type": ["object", "null"]}, "object") == {"type": ["object", "null"]}
    assert option(CHOICE, "array") is option(NUMBER, "object") is None


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (NUMBER, " 0.5 ", 0.5),
        (NUMBER, "5", 5),
        (NUMBER, ".5", 0.5),
        (NUMBER, "5.", 5.0),
        (NUMBER, "-1e-3", -0.001),
        (NUMBER, "1e999", "1e999"),
        (NUMBER, "0,5", "0,5"),
        (NUMBER, "٥", "٥"),
        (NUMBER, "1_0", "1_0"),
        (NUMBER, "", ""),
        (NUMBER, "9" * 100, int("9" * 100)),
        (NUMBER, "9" * 101, "9" * 101),
        (WHOLE, "2e1", 20),
        (WHOLE, "2.5", 2.5),
        (WHOLE, "+7", 7),
        (MAYBE, "null", None),
        (MAYBE, "7", 7),
        (NUMBER, "null", "null"),
        (FLAG, "true", True),
        (FLAG, " false ", False),
        (FLAG, "True", "True"),
        (NUMBER, "true", "true"),
        (WORD, " a ", " a "),
        (WORD, "5", "5"),
        (WORD, '"5"', "5"),
        (WORD, '"a', '"a'),
        (WORD, "[1]", "[1]"),
        (CHOICE, " auto ", "auto"),
        (CHOICE, "12", 12),
        (CHOICE, "other", "other"),
        (NUMBERS, "1 2.5,3;4\n5", [1, 2.5, 3, 4, 5]),
        (NUMBERS, "[1, 2]", [1, 2]),
        (NUMBERS, "1 x", [1, "x"]),
        (WORDS, "a b\r\n\n c \rd", ["a b", "c", "d"]),
        (WORDS, '["a", "b"]', ["a", "b"]),
        (LISTS, "null", None),
        (MAP, "a: 1\nb:2.5\n\n c : 3 ", {"a": 1, "b": 2.5, "c": 3}),
        (MAP, '"a: b": 1', {"a: b": 1}),
        (MAP, "x:y: 1", {"x:y": 1}),
        (MAP, "a: 1\na: 2", "a: 1\na: 2"),
        (MAP, "a 1", "a 1"),
        (MAP, "a: 1\nb", "a: 1\nb"),
        (MAP, '"a: 1', '"a: 1'),
        (MAP, '{"a": 1}', {"a": 1}),
    ],
)
def test_what_is_typed_means_a_value(rule: Any, text: str, value: Any) -> None:
    found = from_text(rule, text)
    assert found == value
    assert type(found) is type(value)


def test_a_text_has_a_length() -> None:
    assert from_text(WORD, "x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS
    assert from_text(WORDS, "x\n" * MOST_CHARACTERS) == ("x\n" * MOST_CHARACTERS)[:MOST_CHARACTERS]


@pytest.mark.parametrize(
    ("rule", "value", "text"),
    [
        (NUMBER, 0.5, "0.5"),
        (WHOLE, 7, "7"),
        (MAYBE, None, "null"),
        (FLAG, True, "true"),
        (WORD, "a b", "a b"),
        (WORD, '"q"', '"\\"q\\""'),
        (CHOICE, "auto", "auto"),
        (NUMBERS, [1, 2.5], "1 2.5"),
        (WORDS, ["a", "b c"], "a\nb c"),
        (WORDS, ["a\nb"], '["a\\nb"]'),
        (WORDS, [" a"], '[" a"]'),
        (MAP, {"a": 1, "b c": 2.5}, "a: 1\nb c: 2.5"),
        (MAP, {" a": 1}, '" a": 1'),
        (MAP, {"": 1}, '"": 1'),
        (LISTS, [], "[]"),
        (WORDS, ["é"], "é"),
        (NUMBER, "wrong", "wrong"),
        (NUMBER, [1], "[1]"),
        (WORD, 5, "5"),
    ],
)
def test_a_value_is_shown_as_a_person_edits_it(rule: Any, value: Any, text: str) -> None:
    assert to_text(rule, value) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NUMBER_VALUES = st.integers(-(10**12), 10**12) | st.floats(-1e300, 1e300)


@given(st.lists(NUMBER_VALUES, min_size=1, max_size=4))
def test_numbers_come_back(values: list[Any]) -> None:
    assert from_text(NUMBERS, to_text(NUMBERS, values)) == values
    assert from_text(NUMBER, to_text(NUMBER, values[0])) == values[0]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_words_come_back(values: list[str]) -> None:
    assert from_text(WORDS, to_text(WORDS, values)) == values


@given(st.text(max_size=12))
def test_a_text_comes_back(value: str) -> None:
    assert from_text(WORD, to_text(WORD, value)).replace("\r\n", "\n") == value.replace("\r\n", "\n") or "\r" in value


@given(st.dictionaries(st.text(max_size=6), NUMBER_VALUES, min_size=1, max_size=4))
def test_a_map_comes_back(value: dict[str, Any]) -> None:
    assert from_text(MAP, to_text(MAP, value)) == value


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (0, False, False),
        (True, True, True),
        ("1", 1, False),
        ([1, 2], [1, 2.0], True),
        ([1], [1, 2], False),
        ([True], [1], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": [True]}, {"a": [1]}, False),
        ("ab", ["a", "b"], False),
        (["a"], "a", False),
        (None, None, True),
        ([], {}, False),
    ],
)
def test_equal_in_value_and_kind(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) == equal
