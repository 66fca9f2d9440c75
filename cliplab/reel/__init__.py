"""Highlights to one video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.reel.reel import ReelReport as ReelReport

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "reel": ("ReelReport",),
    },
)
