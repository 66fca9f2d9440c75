"""Bringing a new version to a fleet of devices in stages, and examples that are worth a label back from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.rollout.assignment import assigned as assigned
    from cliplab.rollout.assignment import place_of as place_of
    from cliplab.rollout.report import LATENCY_EDGES_MS as LATENCY_EDGES_MS
    from cliplab.rollout.report import SCORE_BINS as SCORE_BINS
    from cliplab.rollout.report import DeviceReport as DeviceReport
    from cliplab.rollout.report import ReportError as ReportError
    from cliplab.rollout.report import read_report as read_report
    from cliplab.rollout.storing import StoredReport as StoredReport
    from cliplab.rollout.storing import forget_reports as forget_reports
    from cliplab.rollout.storing import make_tables as make_tables
    from cliplab.rollout.storing import store_report as store_report
    from cliplab.rollout.storing import store_reports as store_reports
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "assignment": ("assigned", "place_of"),
            "report": ("LATENCY_EDGES_MS", "SCORE_BINS", "DeviceReport", "ReportError", "read_report"),
            "storing": ("StoredReport", "forget_reports", "make_tables", "store_report", "store_reports"),
        },
    )
