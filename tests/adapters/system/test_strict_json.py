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
        (b'"\xff"', "utf-8"),
        ("", "line 1"),
    ],
)
def test_what_is_not_json(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_near_names() -> None:
    assert did_you_mean("n_frame", ["imgz", "n_frames"]) == ' Did you mean "n_frames"?'
    assert nearest_hint("n_frame", ["imgz", "n_frames"]) == "; the nearest is 'n_frames'"
    assert did_you_mean("x", ["imgz"]) == nearest_hint("x", ["imgz"]) == ""
    assert did_you_mean("start", ["start_seconds"], cutoff=0.75) == ""
