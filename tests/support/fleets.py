"""A simulated fleet that reports to a database, for tests of rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cliplab.rollout import LATENCY_EDGES_MS, Rollout, assigned, decide, read_report, store_reports

HOUR = 3600.0
OLD, NEW, MODEL = "1.0.0", "1.1.0", "base-ads"


class Fleet:
    """Devices that have the candidate where the rollout assigns it, and report 100 predictions at a time."""

    def __init__(
        self, engine: Any, devices: int = 100, seed: int = 0, model: str = MODEL, versions: tuple[str, str] = (OLD, NEW)
    ) -> None:
        self.model, self.versions = model, versions
        self.engine, self.now, self.sequence = engine, 1.7e9, 0
        self.names = [f"device-{number}" for number in range(devices)]
        self.rng = np.random.default_rng(seed)
        self.rollout: Rollout | None = None
        self.last: Any = None

    def has(self, name: str) -> bool:
        rollout = self.rollout
        active = rollout is not None and rollout.state in ("running", "paused")
        return active and assigned(name, rollout.id, rollout.percent)

    def report(
        self,
        errors: float = 0.01,
        slower: float = 1.0,
        drift: float = 0.0,
        own: Callable[[str, bool], dict[str, Any]] = lambda name, has: {},
        silent: Callable[[str, bool], bool] = lambda name, has: False,
        seconds: float = 600.0,
    ) -> None:
        """One report of each device; errors, slower and drift are of the candidate."""
        self.now += seconds
        self.sequence += 1
        reports = []
        for name in self.names:
            has = self.has(name)
            if silent(name, has):
                continue
            milliseconds = 20 * np.exp(0.3 * self.rng.normal(size=100)) * (slower if has else 1.0)
            scores = np.clip(self.rng.beta(2, 2, 100) + (drift if has else 0.0), 0, 1)
            value = {
                "sequence": self.sequence,
                "versions": {self.model: self.versions[has]},
                "predictions": 100,
                "errors": int(self.rng.binomial(100, errors if has else 0.01)),
                "latency_ms": {
                    "edges": list(LATENCY_EDGES_MS),
                    "counts": np.histogram(milliseconds, [0, *LATENCY_EDGES_MS, 1e9])[0].tolist(),
                },
                "scores": {"ad": np.histogram(scores, 20, (0, 1))[0].tolist()},
            }
            reports.append(read_report(name, value | own(name, has)))
        store_reports(self.engine, reports, self.now)

    def run(self, rollout: Rollout, rounds: int, **what: Any) -> Rollout:
        """Report and decide until the rollout does not run any more."""
        self.rollout = rollout
        for _ in range(rounds):
            self.report(**what)
            watched = decide(self.engine, rollout.id, now=self.now)
            if not watched:
                break
            self.last, self.rollout = watched[0], watched[0].rollout
            if self.rollout.state != "running":
                break
        return self.rollout
