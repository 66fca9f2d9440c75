"""Counters and histograms of the HTTP host, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class HttpMetrics:
    """The metrics of one host, in a registry of its own, so that a process may run several hosts.

    Attributes:
        requests: Number of requests, by operation and status.
        request_seconds: Time from a request's head to the end of its answer, by operation.
        model_seconds: Time that a worker spent on a request, by model and operation.
        frames: Number of frames received by WebSocket, by model.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "cliplab_requests", "Requests by operation and status.", ("operation", "status"), registry=self._registry
        )
        self.request_seconds = Histogram(
            "cliplab_request_seconds",
            "Seconds from a request's head to the end of its response.",
            ("operation",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.model_seconds = Histogram(
            "cliplab_model_seconds",
            "Seconds that a worker needed for a request, without waiting.",
            ("model", "operation"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.frames = Counter(
            "cliplab_stream_frames", "Frames received by WebSocket.", ("model",), registry=self._registry
        )

    def watch(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        """Add gauges whose values are read whenever the metrics are.

        Args:
            gauges: Name to its help text and the function that returns its value.
        """
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
