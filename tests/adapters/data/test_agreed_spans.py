"""One answer of several annotators: of labels and of stretches, whatever the order in which people gave them."""

from itertools import permutations
from typing import Any

import pytest

from adapters.data.formats.studio import IMPORTED, LEAST_SECONDS, agreed_spans, majority


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({}, None),
        ({"a": "x"}, "x"),
        ({"a": "x", "b": "y"}, None),
        ({"a": "x", "b": "y", "c": "y"}, "y"),
        ({"a": "x", "b": "x", "c": "y", "d": "z"}, "x"),
        ({IMPORTED: "x"}, "x"),
        ({IMPORTED: "x", "a": "y"}, "y"),
        ({IMPORTED: "x", "a": "x", "b": "y"}, None),
    ],
)
def test_the_label_of_most_people(votes: dict[str, str], expected: str | None) -> None:
    for order in permutations(votes.items()):
        assert majority(dict(order)) == expected


_ONE, _TWO, _THREE = [(0.0, 10.0, "x")], [(2.0, 12.0, "x")], [(4.0, 6.0, "y"), (6.0, 9.0, "x")]


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ({"a": _THREE}, _THREE),
        ({"a": []}, []),
        ({"a": _ONE, "b": _TWO}, [(2.0, 10.0, "x")]),
        ({"a": _ONE, "b": []}, []),
        ({"a": _ONE, "b": _TWO, "c": _THREE}, [(2.0, 10.0, "x")]),
        ({"a": _ONE, "b": _THREE}, [(6.0, 9.0, "x")]),
        ({"a": _ONE, "b": [(0.0, 5.0, "x"), (5.0, 10.0, "x")]}, [(0.0, 10.0, "x")]),
        ({"a": _ONE, "b": [(0.0, 4.0, "x"), (5.0, 10.0, "x")]}, [(0.0, 4.0, "x"), (5.0, 10.0, "x")]),
        ({IMPORTED: _ONE}, _ONE),
        ({IMPORTED: _ONE, "a": _THREE}, _THREE),
        ({IMPORTED: _ONE, "a": _ONE, "b": _TWO}, [(2.0, 10.0, "x")]),
        # A person who marked a moment twice with one label has one vote.
        ({"a": [(0.0, 4.0, "x"), (2.0, 6.0, "x")], "b": [], "c": [(0.0, 1.0, "x")]}, [(0.0, 1.0, "x")]),
        ({"a": _ONE, "b": [(100.0, 110.0, "x"), (9.0, 10.0, "x")]}, [(9.0, 10.0, "x")]),
    ],
)
def test_the_stretches_of_most_people(people: dict[str, Any], expected: list[Any]) -> None:
    for order in permutations(people.items()):
        assert agreed_spans(dict(order)) == expected


def test_what_is_shorter_than_a_moment_is_left_out() -> None:
    for length, kept in ((LEAST_SECONDS, 1), (LEAST_SECONDS / 2, 0)):
        assert len(agreed_spans({"a": [(0.0, length, "x")], "b": [(0.0, 5.0, "x")]})) == kept
