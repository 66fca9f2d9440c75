"""The pages of the studio, a module each. A new page is a module here and a template: nothing else names it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType


def page_modules() -> Iterator[ModuleType]:
    """Yield each module of this folder. One has ``ROUTES``, a list of routes, and may have ``PAGE``, a ``Page``."""
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        yield importlib.import_module(f"{__name__}.{found.name}")
