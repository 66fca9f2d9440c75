"""Counters of the server and gauges of the fleet, in Prometheus' text format."""

from __future__ import annotations

import json
import time
from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from cliplab.registry.schema import Engine, sa
from cliplab.rollout.schema import DEVICES

SILENT_SECONDS = 3600.0
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# The names of models are few and ours; those of devices would make a series each.
_MAX_VERSIONS = 200
# Whoever asks more often gets the same gauges: reading them takes longer the larger the fleet is.
_FLEET_SECONDS = 1.0


class FleetMetrics:
    """The metrics of one server.

    Args:
        engine: Of the registry's database.

    Attributes:
        requests: Requests by operation and status.
        request_seconds: From a request's head to the end of its answer, by operation.
        reports: Reports by what became of them: stored, repeated.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._registry = engine, CollectorRegistry()
        self._counted_at = float("-inf")
        ProcessCollector(registry=self._registry)
        own = self._registry
        self.requests = Counter(
            "cliplab_registry_requests", "Requests by operation and status.", ("operation", "status"), registry=own
        )
        self.request_seconds = Histogram(
            "cliplab_registry_request_seconds",
            "Seconds from a request's head to the end of its response.",
            ("operation",),
            buckets=_SECONDS,
            registry=own,
        )
        self.reports = Counter("cliplab_registry_reports", "Reports of devices by outcome.", ("outcome",), registry=own)
        self._waiting = Gauge("cliplab_registry_reports_waiting", "Reports that wait for the database.", registry=own)
        self._devices = Gauge("cliplab_fleet_devices", "Devices that ever reported.", registry=own)
        self._silent = Gauge("cliplab_fleet_devices_silent", "Devices without a report for an hour.", registry=own)
        self._cloned = Gauge("cliplab_fleet_devices_cloned", "Names that two devices used within a day.", registry=own)
        self._versions = Gauge(
            "cliplab_fleet_devices_by_version", "Devices by model and version.", ("model", "version"), registry=own
        )

    def text(self, waiting: int) -> bytes:
        """All metrics.

        Args:
            waiting: Reports that wait.
        """
        self._waiting.set(waiting)
        if time.monotonic() - self._counted_at >= _FLEET_SECONDS:
            self._counted_at = time.monotonic()
            self._count_fleet()
        return generate_latest(self._registry)

    def _count_fleet(self) -> None:
        now = time.time()
        columns = (DEVICES.c.last_seen, DEVICES.c.cloned_at, DEVICES.c.versions)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*columns)).all()
        versions = Tally(pair for row in rows for pair in json.loads(row.versions).items())
        self._devices.set(len(rows))
        self._silent.set(sum(now - row.last_seen > SILENT_SECONDS for row in rows))
        self._cloned.set(sum(row.cloned_at is not None and now - row.cloned_at < 86400 for row in rows))
        self._versions.clear()
        for (model, version), count in versions.most_common(_MAX_VERSIONS):
            self._versions.labels(model, version).set(count)
