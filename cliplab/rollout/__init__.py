"""Bring a new version to a fleet of devices in stages, and collect examples that are worth labelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.rollout.assignment import assigned as assigned
    from cliplab.rollout.assignment import place_of as place_of
    from cliplab.rollout.collecting import CollectReport as CollectReport
    from cliplab.rollout.collecting import active_collect as active_collect
    from cliplab.rollout.commands import RolloutReport as RolloutReport
    from cliplab.rollout.commands import rollout_halt as rollout_halt
    from cliplab.rollout.commands import rollout_history as rollout_history
    from cliplab.rollout.commands import rollout_pause as rollout_pause
    from cliplab.rollout.commands import rollout_promote as rollout_promote
    from cliplab.rollout.commands import rollout_resume as rollout_resume
    from cliplab.rollout.commands import rollout_start as rollout_start
    from cliplab.rollout.commands import rollout_status as rollout_status
    from cliplab.rollout.commands import rollout_widen as rollout_widen
    from cliplab.rollout.commands import sync_rollouts as sync_rollouts
    from cliplab.rollout.commands import watch_rollouts as watch_rollouts
    from cliplab.rollout.engine import Watched as Watched
    from cliplab.rollout.engine import change as change
    from cliplab.rollout.engine import decide as decide
    from cliplab.rollout.engine import for_devices as for_devices
    from cliplab.rollout.engine import look as look
    from cliplab.rollout.engine import start_rollout as start_rollout
    from cliplab.rollout.example_queue import ExampleQueue as ExampleQueue
    from cliplab.rollout.example_queue import QueuedExample as QueuedExample
    from cliplab.rollout.example_queue import sampled as sampled
    from cliplab.rollout.example_queue import uncertain as uncertain
    from cliplab.rollout.record import Decision as Decision
    from cliplab.rollout.record import Rollout as Rollout
    from cliplab.rollout.record import RolloutError as RolloutError
    from cliplab.rollout.record import load_history as load_history
    from cliplab.rollout.record import load_rollout as load_rollout
    from cliplab.rollout.record import load_rollouts as load_rollouts
    from cliplab.rollout.report import LATENCY_EDGES_MS as LATENCY_EDGES_MS
    from cliplab.rollout.report import SCORE_BINS as SCORE_BINS
    from cliplab.rollout.report import DeviceReport as DeviceReport
    from cliplab.rollout.report import ReportError as ReportError
    from cliplab.rollout.report import read_report as read_report
    from cliplab.rollout.settings import CLONE_SECONDS as CLONE_SECONDS
    from cliplab.rollout.settings import RolloutSettings as RolloutSettings
    from cliplab.rollout.settings import parse_stages as parse_stages
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
            "collecting": ("CollectReport", "active_collect"),
            "commands": (
                "RolloutReport",
                "rollout_halt",
                "rollout_history",
                "rollout_pause",
                "rollout_promote",
                "rollout_resume",
                "rollout_start",
                "rollout_status",
                "rollout_widen",
                "sync_rollouts",
                "watch_rollouts",
            ),
            "engine": ("Watched", "change", "decide", "for_devices", "look", "start_rollout"),
            "example_queue": ("ExampleQueue", "QueuedExample", "sampled", "uncertain"),
            "record": ("Decision", "Rollout", "RolloutError", "load_history", "load_rollout", "load_rollouts"),
            "report": ("LATENCY_EDGES_MS", "SCORE_BINS", "DeviceReport", "ReportError", "read_report"),
            "settings": ("CLONE_SECONDS", "RolloutSettings", "parse_stages"),
            "storing": ("StoredReport", "forget_reports", "make_tables", "store_report", "store_reports"),
        },
    )
