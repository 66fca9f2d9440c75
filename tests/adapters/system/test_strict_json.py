"""JSON as its standard has it, and names that are near."""

from __future__ import annotations

import pytest

from adapters.system import did_you_mean, nearest_hint, parse_json


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, null, "é"]}', '{"a": [1, 2.5, null, "é"]}'.encode()])
def test_json_is_read(text: str | bytes) -> None:
    assert parse_json(text) == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "NaN"),
        ("[-Infinity]", "-Infinity"),
        ('{"a": 1, "b": {"key": 1, "other": 2, "key": 1}}', '"key" is given twice'),
        ("{'a': 1}", "line 1"),
        (b'"\xff"', "not a text file"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00", "not a text file"),
        ("", "it is empty"),
        ('{"ad": ["a.mp4",]}', "line 1, column 17: remove the comma before the closing bracket"),
        ('{\n"ad": 1,\n}', "remove the comma before the closing bracket"),
        ('{"ad": ["a.mp4"', "it ends there, before a quote, ] or }"),
        ('{"ad": "a.mp4}', "line 1, column 8: the text that begins there has no closing quote"),
        ("hello", "line 1, column 1: a JSON value is expected"),
        ('{"ad" ["a.mp4"]}', "line 1, column 7: expecting ':' delimiter"),
        ("[" + "9" * 309 + "]", "309 digits"),
        ('{"a": -1' + "0" * 400 + "}", "too large"),
        ("[1e999]", "1e999"),
        ("[-1E+309]", "too large"),
    ],
)
def test_what_is_not_json(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_numbers_that_a_float_can_hold_are_read() -> None:
    text = '{"sha": "' + "7" * 400 + '", "a": [1' + "0" * 308 + ', 1e300, 1e-999, -17], "b": "1e999"}'
    assert parse_json(text) == {"sha": "7" * 400, "a": [10**308, 1e300, 0.0, -17], "b": "1e999"}


def test_near_names() -> None:
    assert did_you_mean("n_frame", ["imgz", "n_frames"]) == ' Did you mean "n_frames"?'
    assert nearest_hint("n_frame", ["imgz", "n_frames"]) == "; the nearest is 'n_frames'"
    assert did_you_mean("x", ["imgz"]) == nearest_hint("x", ["imgz"]) == ""
    assert did_you_mean("start", ["start_seconds"], cutoff=0.75) == ""
