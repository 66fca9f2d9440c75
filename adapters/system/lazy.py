"""Names that a folder exports, imported when first used, so that importing the folder costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(
    package: str, modules: Mapping[str, tuple[str, ...]], base: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names are imported when first used.

    Args:
        package: The package's ``__name__``.
        modules: Each module of the package, and the names in it that the package exports.
        base: The package that the modules are in; None: ``package`` itself.

    Returns:
        The three, in this order, to be assigned in the package's ``__init__.py``.
    """
    home = {name: module for module, names in modules.items() for name in names}

    def fetch(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{base or package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return fetch, names, sorted(home)
