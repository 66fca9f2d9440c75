"""The whole loop on the sample clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.demo.report import DemoReport as DemoReport
    from cliplab.demo.run import demo as demo
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "report": ("DemoReport",),
            "run": ("demo",),
        },
    )
