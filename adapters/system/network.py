"""Whether files may be downloaded: not where a search among many models should take those that are here already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_allowed: ContextVar[bool] = ContextVar("downloads allowed", default=True)


def downloads_allowed() -> bool:
    """Whether this code may download files. It is so outside of ``without_downloads``."""
    return _allowed.get()


@contextmanager
def without_downloads() -> Iterator[None]:
    """Within the block, weights that are not on this machine count as not found, at once."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)
