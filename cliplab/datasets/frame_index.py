"""frames.jsonl: which frames `cliplab extract` wrote, from which source and at which time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import DatasetError
from adapters.system import open_regular_file

INDEX_NAME = "frames.jsonl"
MAX_LINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class FrameEntry:
    """One extracted frame.

    Attributes:
        file: Its picture, relative to the folder of the index.
        source: The video or address that it is from.
        seconds: When it is shown, in seconds since the source's first frame.
        width: In pixels.
        height: In pixels.
        hash: 16 hexadecimal digits that are alike for pictures that look alike; "": not computed.
    """

    file: str
    source: str
    seconds: float
    width: int
    height: int
    hash: str = ""


def read_index(path: Path) -> Iterator[FrameEntry]:
    """The entries of an index; lines that are not whole, as a kill leaves one, are passed over.

    Args:
        path: The file.

    Yields:
        The frames in the order of the lines.

    Raises:
        DatasetError: It is not a regular file.
        OSError: It cannot be read.
    """
    for line in index_lines(path):
        entry = parse_entry(line)
        if entry is not None:
            yield entry


def index_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of the lines of an index; what is none is passed over.

    Args:
        path: The file.

    Yields:
        JSON objects.

    Raises:
        DatasetError: It is not a regular file.
        OSError: It cannot be read.
    """
    with open_regular_file(path, DatasetError) as file:
        while line := file.readline(MAX_LINE_BYTES):
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict):
                yield content


def index_line(entry: FrameEntry) -> bytes:
    """An entry as a line of the index.

    Args:
        entry: The frame.
    """
    return json.dumps(vars(entry)).encode() + b"\n"  # ASCII: names that are not UTF-8 are escapes


def parse_entry(content: dict[str, Any]) -> FrameEntry | None:
    """The frame of a line; None where the line is of something else, or leads out of the folder.

    Args:
        content: The object of the line.
    """
    try:
        entry = FrameEntry(**content)
    except TypeError:
        return None
    numbers = (entry.seconds, entry.width, entry.height)
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one >= 0 for one in numbers):
        return None
    texts = (entry.file, entry.source, entry.hash)
    if not all(isinstance(one, str) and "\0" not in one for one in texts) or os.path.isabs(entry.file):
        return None
    return None if ".." in Path(entry.file).parts else entry
