"""A JSON file that several formats look at, parsed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from adapters.data.formats.text import parse_json, read_text

_kept: ContextVar[dict[Path, Any] | None] = ContextVar("kept_json", default=None)


@contextmanager
def json_kept() -> Iterator[None]:
    """Keep each file's content until the end of the block: detection and reading need a large file parsed once."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def read_json_file(path: Path) -> Any:
    """The content of a JSON file. It is shared: what it returns must not be changed.

    Args:
        path: The file.

    Raises:
        DatasetError: The file cannot be read, or is not JSON.
    """
    kept = _kept.get()
    if kept is None:
        return parse_json(read_text(path), str(path))
    if path not in kept:
        kept[path] = parse_json(read_text(path), str(path))
    return kept[path]
