"""Label files in every form: lines, numbered lines, JSON; and what is refused or renamed."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.config import label_file
from adapters.config.label_file import read_label_file
from adapters.errors import ConfigError


def _read(folder: Path, text: str | bytes, name: str = "labels.txt") -> tuple[list[str], list[str]]:
    notes: list[str] = []
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_file(path, notes.append), notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\nb\n\n  \n", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("\ufeffa\nb", ["a", "b"]),
        ("  a \n b", ["a", "b"]),
        ("0 a\n1 b", ["a", "b"]),
        ("1 b\n0 a", ["a", "b"]),
        ("1: a\n2: b", ["a", "b"]),
        ("0,a\n1,b", ["a", "b"]),
        ("0;a\n1;b", ["a", "b"]),
        ("0\ta\n1\tb", ["a", "b"]),
        ('0,"a b"\n1,"c"', ["a b", "c"]),
        ("id,name\n0,a\n1,b", ["a", "b"]),
        ("Index , Label\n0,a\n1,b", ["a", "b"]),
        ("id,class\na\nb", ["a", "b"]),
        ("2 a\n3 b", ["2 a", "3 b"]),  # no numbering: it begins at 2
        ("0 a\n2 b", ["0 a", "2 b"]),
        ("0 a\n0 b", ["0 a", "0 b"]),  # a number that is there twice loses no label
        ("0 a\n0 b\n1 c", ["0 a", "0 b", "1 c"]),
        ("0 a\nb", ["0 a", "b"]),
        ("5 fingers\n4 legs", ["5 fingers", "4 legs"]),
        ("cafe\u0301\ntea", ["caf\u00e9", "tea"]),
    ],
)
def test_lines(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert _read(tmp_path, text) == (expected, [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ({"0": "a", "1": "b"}, ["a", "b"]),
        ({"1": "b", "0": "a"}, ["a", "b"]),
        ({"1": "a", "2": "b"}, ["a", "b"]),
        ({"a": 0, "b": 1}, ["a", "b"]),
        ({"b": 1, "a": 0}, ["a", "b"]),
        ({"a": 1, "b": 2}, ["a", "b"]),
        ({"a": "0", "b": "1"}, ["a", "b"]),
    ],
)
def test_json(tmp_path: Path, value: Any, expected: list[str]) -> None:
    assert _read(tmp_path, json.dumps(value), "labels.JSON") == (expected, [])


@pytest.mark.parametrize(
    "value",
    [
        "a",
        7,
        ["a", 1],
        {"0": "a", "2": "b"},
        {"2": "a", "3": "b"},
        {"a": 0, "b": 0},
        {"a": 0, "b": 1, "c": 1},
        {"a": True, "b": False},
        {"a": -1, "b": 0},
        {"a": 0.0, "b": 1.0},
        {"0": "a", "x": "b"},
        {"\u0661": "a", "\u0662": "b"},
        None,
    ],
)
def test_other_json_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be a list of labels, or an object of number -> label"):
        _read(tmp_path, json.dumps(value), "labels.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 1 labels|label 0 is empty|holds 0 labels"),
        ("a", "holds 1 labels; at least two"),
        ("a\n\nb", "label 1 is empty"),
        ("a\n \nb", "label 1 is empty"),
        ("a\0\nb", "is not text"),
        (b"\xff\xfe\x80", "cannot be read as a label file"),
    ],
)
def test_what_is_no_label_file_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _read(tmp_path, text)


def test_places_without_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_label_file(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_label_file(tmp_path)
    with pytest.raises(ConfigError, match="is not valid JSON"):
        _read(tmp_path, "[", "labels.json")


def test_the_largest_label_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_file, "MAX_LABEL_FILE_BYTES", 4)
    assert _read(tmp_path, "a\nb\n")[0] == ["a", "b"]
    with pytest.raises(ConfigError, match="is too large for a label file; at most 4 bytes"):
        _read(tmp_path, "a\nbc\n")


@pytest.mark.parametrize(
    ("text", "expected", "renamed"),
    [
        ("a\nb\na", ["a", "b", "a (2)"], ["a (2)"]),
        ("a\na\na", ["a", "a (2)", "a (3)"], ["a (2)", "a (3)"]),
        ("a\na (2)\na", ["a", "a (2)", "a (3)"], ["a (3)"]),
        ("a\na\na (2)", ["a", "a (3)", "a (2)"], ["a (3)"]),
    ],
)
def test_the_second_of_two_equal_labels_is_numbered(
    tmp_path: Path, text: str, expected: list[str], renamed: list[str]
) -> None:
    found, notes = _read(tmp_path, text)
    assert found == expected
    assert len(notes) == len(renamed)
    assert all(name in note for name, note in zip(renamed, notes, strict=True))
    assert read_label_file(tmp_path / "labels.txt") == expected
