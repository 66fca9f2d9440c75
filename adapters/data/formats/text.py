"""Reading that formats of text files share: text, JSON and label lists, with errors that name the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.errors import DatasetError
from adapters.system import open_regular_file, read_regular_bytes, strict_json

# The largest label files of public datasets have some 100 MB; parsed, a file takes several times its size.
LIMIT_BYTES = 256 * 2**20
# What parsing may cost: a number or string 1, a list 2, an object 4, by its memory in Python (some 30 bytes each), so
# that a file of brackets does not take many times the memory of a file of labels.
_MAX_JSON_COST = 30_000_000


def read_text(path: Path, utf_16: bool = False) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        utf_16: Whether it may be UTF-16 with a byte order mark instead, as Excel's "Unicode Text" is.

    Raises:
        DatasetError: The file cannot be read, is not a regular file, has more than LIMIT_BYTES, is not UTF-8, or has
            NUL bytes.
    """
    try:
        data = read_regular_bytes(path, LIMIT_BYTES, DatasetError)
        text = data.decode("utf-16" if utf_16 and _is_utf16(data) else "utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file. Give a dataset.jsonl, labels.json, CSV or folder.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text. Save it as UTF-8"
        raise DatasetError(f"{path}: could not be read ({reason})") from None
    if "\0" in text:
        raise DatasetError(
            f"{path}: contains NUL bytes, so it is not UTF-8 text. Save it as UTF-8, or use another file."
        )
    return text


def _is_utf16(data: bytes) -> bool:
    # The mark of UTF-32 begins with that of UTF-16.
    return data.startswith((b"\xff\xfe", b"\xfe\xff")) and not data.startswith(b"\xff\xfe\0\0")


def read_head(path: Path) -> str:
    """The first 64 KiB of a file as text, for formats that tell by it whether a file is theirs; empty if unreadable.

    Args:
        path: The file.
    """
    try:
        with open_regular_file(path, DatasetError) as file:
            return file.read(2**16).decode("utf-8-sig", errors="replace")
    except (OSError, DatasetError):
        return ""


def parse_json(text: str, where: str) -> Any:
    """Parse JSON text strictly.

    Args:
        text: A JSON value.
        where: The file, or the place in it, for messages.

    Raises:
        DatasetError: The text is not valid JSON, or holds too many values.
    """
    if len(text) > _MAX_JSON_COST and text.count(",") + 2 * text.count("[") + 4 * text.count("{") > _MAX_JSON_COST:
        raise DatasetError(
            f"{where}: holds too many values: objects count 4, lists 2 and others 1, and at most {_MAX_JSON_COST:,} "
            "are allowed. Split the file, or remove everything that is not a label of a video."
        )
    try:
        return strict_json.parse_json(text)
    except RecursionError:
        raise DatasetError(f"{where}: is nested too deeply to be read. A dataset needs a few levels.") from None
    except ValueError as error:
        raise DatasetError(f"{where}: is not valid JSON ({error})") from None


def label_list(value: object, where: str) -> list[str]:
    """The value, if it is a list of labels.

    Args:
        value: A JSON value.
        where: Its place in the file, for messages.

    Raises:
        DatasetError: It is not a list of non-empty strings.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise DatasetError(f"{where}: labels must be a list of non-empty strings, got {value!r:.80}")
    return value


def not_empty(dataset: Dataset, path: Path) -> Dataset:
    """The dataset, if it has clips.

    Raises:
        DatasetError: It has none.
    """
    if not dataset.examples:
        raise DatasetError(f"{path}: contains no clips. Add rows, or use another file.")
    return dataset


def type_and_value(value: object) -> str:
    """A value with its Python type, shortened, for a message."""
    try:
        return f"{type(value).__name__} {value!r:.60}"
    except RecursionError:  # nested nearly as deeply as can be parsed
        return type(value).__name__
