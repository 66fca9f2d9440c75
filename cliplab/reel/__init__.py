"""Highlights to one video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.reel.run import ReelReport as ReelReport
    from cliplab.reel.run import reel as reel
    from cliplab.reel.sources import SkippedSource as SkippedSource
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "run": ("ReelReport", "reel"),
            "sources": ("SkippedSource",),
        },
    )
