"""Highlights to one video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.reel.listing import listing_of as listing_of
    from cliplab.reel.run import ReelReport as ReelReport
    from cliplab.reel.run import reel as reel
    from cliplab.reel.run import reel_of as reel_of
    from cliplab.reel.sources import SkippedSource as SkippedSource
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "listing": ("listing_of",),
            "run": ("ReelReport", "reel", "reel_of"),
            "sources": ("SkippedSource",),
        },
    )
