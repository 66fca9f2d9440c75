"""The studio: a local web app to label, review and manage models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.studio.jobs import Job as Job
    from cliplab.studio.jobs import Jobs as Jobs
    from cliplab.studio.jobs import JobStoppedError as JobStoppedError
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "jobs": ("Job", "JobStoppedError", "Jobs"),
        },
    )
