"""The fast check of a value agrees with jsonschema on every key of every adapter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from adapters.config import key_schemas
from adapters.config.rules import UnknownKeywordError, satisfies
from adapters.inference import read_config, ready_configs

RULES = [rule for name in ready_configs() for rule in key_schemas(read_config(name)["adapter"]).values()]
WORDS = ["crop", "mean", "native", "none", "balanced", "movinet_adapter:MoViNetAdapter", "", "cpu", "a", "relu"]
SCALARS = st.none() | st.booleans() | st.integers(-2, 2000) | st.floats() | st.sampled_from(WORDS)
NAMES = st.sampled_from(["units", "activation", "dropout", "flip", "crop", "min_f1", "other"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3))


def surely_keeps(rule: Any, value: Any) -> bool | None:
    try:
        return satisfies(rule, value)
    except UnknownKeywordError:
        return None


def test_it_agrees_with_jsonschema() -> None:
    rules = list({repr(rule): rule for rule in RULES}.values())
    validators = [Draft202012Validator(rule) for rule in rules]

    @given(VALUES)
    @settings(max_examples=100, deadline=None)
    def agrees(value: Any) -> None:
        for rule, validator in zip(rules, validators, strict=True):
            assert surely_keeps(rule, value) in (None, validator.is_valid(value)), (rule, value)

    agrees()


def test_every_default_is_decided_without_jsonschema() -> None:
    for rule in RULES:
        if "default" in rule:
            assert surely_keeps(rule, rule["default"])


def test_a_keyword_that_it_does_not_know_is_left_to_jsonschema() -> None:
    with pytest.raises(UnknownKeywordError, match="multipleOf"):
        satisfies({"type": "integer", "multipleOf": 2}, 4)


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ({"enum": [0, 1]}, True, False),
        ({"enum": [True, "balanced"]}, 1, False),
        ({"enum": [0, 1]}, 1.0, True),
        ({"const": False}, 0, False),
        ({"type": "integer"}, 4.0, True),
        ({"type": "integer"}, 4.5, False),
        ({"type": "integer"}, True, False),
    ],
)
def test_true_and_false_are_no_numbers(rule: dict[str, Any], value: object, kept: bool) -> None:
    assert satisfies(rule, value) is kept is Draft202012Validator(rule).is_valid(value)
