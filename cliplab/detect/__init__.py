"""Ad breaks of a recording: what is seen and heard, where breaks are, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.detect.observations import ROWS as ROWS
    from cliplab.detect.observations import Observations as Observations
    from cliplab.detect.observations import load_observations as load_observations
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {"observations": ("ROWS", "Observations", "load_observations")},
    )
