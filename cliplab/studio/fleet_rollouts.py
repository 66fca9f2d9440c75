"""What the Fleet page shows of a registry's past: its rollouts with their evidence, and who changed what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from cliplab.registry import Registry
    from cliplab.rollout import Decision, Rollout

_MOST_EVENTS = 50


@dataclass(frozen=True)
class EvidenceBar:
    """One test of a rollout as a bar from no evidence to the threshold at which the rollout halts.

    Attributes:
        test: The test's name.
        width: Of the bar, 0 to 100; 100 is the threshold.
        halts: Whether the threshold is reached.
        words: The figures in words.
    """

    test: str
    width: float
    halts: bool
    words: str


def read_history(registry: Registry) -> list[dict[str, str]]:
    """What happened, the latest first: versions that were promoted or taken back, and every decision of a rollout.

    Args:
        registry: Open for reading.

    Returns:
        At most 50 rows of at, who, what, model, change and reason.
    """
    from cliplab.rollout import load_history, load_rollouts

    rows = [
        {
            "at": event.at[:19].replace("T", " "),
            "who": event.who,
            "what": event.kind,
            "model": event.model or "",
            "change": _change(event.environment, event.from_version, event.to_version or event.version),
            "reason": event.reason,
        }
        for event in registry.history(last=4 * _MOST_EVENTS)
        if event.kind != "rollouts"  # the decisions below say the same, with their reasons
    ]
    with registry.engine.connect() as connection:
        if has_tables(connection):
            for rollout in load_rollouts(connection)[:20]:
                rows += [
                    _decided(rollout, decision) for decision in load_history(connection, rollout.id)[-_MOST_EVENTS:]
                ]
    return sorted(rows, key=lambda row: row["at"], reverse=True)[:_MOST_EVENTS]


def read_rollouts(registry: Registry, at: float) -> list[dict[str, Any]]:
    """The active rollouts, or the latest one.

    Args:
        registry: Open for reading.
        at: Now, in seconds since 1970.
    """
    from cliplab.rollout import load_rollouts, look

    with registry.engine.connect() as connection:
        every = load_rollouts(connection)
    chosen = [item for item in every if item.state in ("running", "paused")] or every[:1]
    found = []
    for rollout in chosen[:5]:
        watched = look(registry.engine, rollout.id, at)
        verdict = watched.verdict
        numbers = {} if verdict is None else verdict.numbers()
        active = rollout.state in ("running", "paused")
        found.append(
            {
                "rollout": rollout,
                "stages": [(f"{stage:g}%", _stage_state(rollout, number)) for number, stage in _numbered(rollout)],
                "reason": verdict.reason if active and verdict is not None else _last_reason(registry, rollout),
                "bars": evidence_bars(numbers.get("tests", ())),
                "groups": numbers,
                "active": active,
            }
        )
    return found


def evidence_bars(tests: Sequence[Mapping[str, Any]]) -> list[EvidenceBar]:
    """The evidence of each test against its threshold, on a logarithmic scale.

    Args:
        tests: As ``Verdict.numbers()["tests"]``.
    """
    bars = []
    for test in tests:
        log_e, threshold = (math.log(max(float(test[key]), 1e-300)) for key in ("e_value", "threshold"))
        devices = f"{test['devices']} device{'' if test['devices'] == 1 else 's'}"
        interval = f"95% interval {test['ratio_low']:.2g} to {test['ratio_high']:.2g}"
        figures = f"{test['ratio']:.2g} times the control group's rate ({interval})"
        if not test["events"]:
            figures = "none happened"
        evidence = f"evidence {test['e_value']:.3g} of {test['threshold']:.0f}" if log_e > 0 else "no evidence"
        bars.append(
            EvidenceBar(
                str(test["test"]).replace("_", " "),
                round(100.0 * min(max(log_e / threshold, 0.0), 1.0), 1),
                log_e >= threshold,
                f"{evidence}; {figures}, {devices}",
            )
        )
    return bars


def _numbered(rollout: Rollout) -> list[tuple[int, float]]:
    return list(enumerate(rollout.settings.stages))


def _stage_state(rollout: Rollout, number: int) -> str:
    if rollout.state == "done" or number < rollout.stage:
        return "passed"
    return "now" if number == rollout.stage else "later"


def _last_reason(registry: Registry, rollout: Rollout) -> str:
    from cliplab.rollout import load_history

    with registry.engine.connect() as connection:
        found = load_history(connection, rollout.id)
    return found[-1].reason if found else ""


def _decided(rollout: Rollout, decision: Decision) -> dict[str, str]:
    return {
        "at": datetime.fromtimestamp(decision.at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "who": decision.who,
        "what": f"rollout: {decision.action}",
        "model": rollout.model,
        "change": f"{rollout.control} to {rollout.candidate}, {decision.percent:g}% of {rollout.environment}",
        "reason": decision.reason,
    }


def _change(environment: str | None, before: str | None, after: str | None) -> str:
    versions = f"{before} to {after}" if before and after else after or ""
    return f"{versions} in {environment}" if environment and versions else versions or environment or ""


def has_tables(connection: Connection) -> bool:
    """Whether devices have ever reported: only a writer makes the tables.

    Args:
        connection: To the registry's database.
    """
    import sqlalchemy as sa

    return bool(sa.inspect(connection).has_table("rollout_devices"))
