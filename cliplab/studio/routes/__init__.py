"""The pages of the studio, a module each. A new page is a module here and a template: nothing else names it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from starlette.convertors import Convertor, register_url_convertor


class _NumberConvertor(Convertor[int]):
    """A number of an item or a clip. Starlette's "int" takes any length, which neither Python nor SQLite does."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


# Before the modules below are imported: their routes name it.
register_url_convertor("number", _NumberConvertor())


def page_modules() -> Iterator[ModuleType]:
    """Yield each module of this folder. One has ``ROUTES``, a list of routes, and may have ``PAGE``, a ``Page``."""
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        yield importlib.import_module(f"{__name__}.{found.name}")
