"""What a monitor asks an HTTP host for, in the text form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class HttpMetrics:
    """One registry a host, so that several may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "cliplab_requests", "Requests by operation and status.", ("operation", "status"), registry=self._registry
        )
        self.request_seconds = Histogram(
            "cliplab_request_seconds",
            "From a request's head to its answer's end.",
            ("operation",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.model_seconds = Histogram(
            "cliplab_model_seconds",
            "What a worker took for a request, waiting left out.",
            ("model", "operation"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.frames = Counter(
            "cliplab_stream_frames", "Frames that came by WebSocket.", ("model",), registry=self._registry
        )

    def watch(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        """Values that are asked for when they are shown: name -> (what it is, how to get it)."""
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
