"""Label files of other programs: the classes of a model, in the order of its outputs."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.system import parse_json

MAX_LABEL_FILE_BYTES = 16 << 20
_NUMBERED = re.compile(r"(\d+)\s*[:,;\t ]\s*(.+)")


def read_label_file(path: str | Path, on_note: Callable[[str], object] | None = None) -> list[str]:
    """Read a label file.

    A text has a label per line, which may be numbered ("0 tench", "0: tench", "0,tench", from 0 or 1, in any order). A
    .json is a list, an object of number -> label, or an object of label -> number. Spaces around labels are removed,
    and spellings are brought to Unicode's form NFC. The second of two equal labels is numbered: "crane (2)".

    Args:
        path: The file.
        on_note: Receives a sentence about each label that was changed.

    Returns:
        At least two labels, each once.

    Raises:
        ConfigError: The file cannot be read, or holds no such labels.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ConfigError(
                f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}. Give a label file, "
                "one label per line"
            )
        if path.stat().st_size > MAX_LABEL_FILE_BYTES:
            raise ConfigError(
                f"{path}: is too large for a label file; at most {MAX_LABEL_FILE_BYTES} bytes are allowed"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a label file ({error})") from error
    found = _from_json(path, text) if path.suffix.lower() == ".json" else _from_lines(path, text)
    labels = [unicodedata.normalize("NFC", label.strip()) for label in found]
    if empty := [number for number, label in enumerate(labels) if not label]:
        raise ConfigError(f"{path}: label {empty[0]} is empty. Give every class a name, in the order of the outputs")
    if len(labels) < 2:
        raise ConfigError(f"{path}: holds {len(labels)} labels; at least two are needed, one per line")
    return _made_unique(labels, on_note)


def _from_json(path: Path, text: str) -> list[str]:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid JSON: {str(error)[:200]}") from error
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, dict):
        by_number = _numbers(value.items()) or _numbers((number, label) for label, number in value.items())
        if by_number is not None:
            return by_number
    raise ConfigError(
        f"{path}: must be a list of labels, or an object of number -> label with the numbers 0 to N-1, got "
        f"{json.dumps(value)[:80]}"
    )


def _from_lines(path: Path, text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and re.fullmatch(r"\s*(id|index)\s*,\s*(name|label|class)\s*", lines[0], re.IGNORECASE):
        lines = lines[1:]
    matches = [_NUMBERED.fullmatch(line.strip()) for line in lines]
    if matches and all(matches):
        numbered = _numbers((match[1], match[2].strip('"')) for match in matches if match)
        if numbered is not None:
            return numbered
    if any("\0" in line for line in lines):
        raise ConfigError(f"{path}: is not text. Give a label file, one label per line")
    return lines


def _numbers(pairs: Any) -> list[str] | None:
    """The labels of (number, label) pairs whose numbers are 0 to N-1 or 1 to N, each once; None for anything else."""
    found: dict[int, str] = {}
    for number, label in pairs:
        plain = str(number)
        if not isinstance(label, str) or isinstance(number, bool) or not (plain.isascii() and plain.isdigit()):
            return None
        if int(plain[:10]) in found:  # one of the two labels would be lost
            return None
        found[int(plain[:10])] = label
    first = min(found, default=0)
    if first > 1 or sorted(found) != list(range(first, first + len(found))):
        return None
    return [found[number] for number in sorted(found)]


def _made_unique(labels: list[str], on_note: Callable[[str], object] | None) -> list[str]:
    seen: Counter[str] = Counter()
    result = []
    taken = set(labels)
    for label in labels:
        seen[label] += 1
        name, number = label, seen[label]
        while number > 1 and (name := f"{label} ({number})") in taken:
            number += 1
        taken.add(name)
        if name != label and on_note is not None:
            on_note(f"label {label!r} occurs more than once in the file: the later one is renamed to {name!r}")
        result.append(name)
    return result
