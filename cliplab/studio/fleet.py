"""What the Fleet page shows: the devices of a registry, its rollouts with their evidence, and its history."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError, MissingExtraError
from cliplab.rollout import CLONE_SECONDS, RolloutSettings
from cliplab.studio.context import Studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from cliplab.registry import Registry
    from cliplab.rollout import Decision, Rollout

MOST_ROWS = 100
SILENT_SECONDS = RolloutSettings.silent_minutes * 60.0
_RECENT_HOURS = 24
_MOST_EVENTS = 50
_FAILING_SHARE = 0.05
KINDS = ("all", "silent", "failing", "warning")


@dataclass(frozen=True)
class DeviceRow:
    """One device as the table shows it.

    Attributes:
        name: Its name.
        versions: Model and version of each model that it uses.
        age: How long ago it reported, in words.
        silent: Whether it has not reported for ``SILENT_SECONDS``.
        warning: What its owner should know, or the empty string.
        predictions: Predictions of the last day.
        errors: Failed predictions, failures of the golden clip and crashes of the last day.
        failing: Whether that is more than one of twenty predictions.
        disk: Free space in words, "-" where unknown.
        temperature: In degrees Celsius in words, "-" where unknown.
    """

    name: str
    versions: tuple[tuple[str, str], ...]
    age: str
    silent: bool
    warning: str
    predictions: int
    errors: int
    failing: bool
    disk: str
    temperature: str


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


@contextmanager
def opened(studio: Studio) -> Iterator[Registry]:
    """The registry of a studio, for reading.

    Args:
        studio: The studio.

    Raises:
        StorageError: There is no registry, or it cannot be read.
        MissingExtraError: The ``registry`` extra is not installed.
    """
    from cliplab.registry import open_registry

    with open_registry(studio.options.registry, read_only=True) as registry:
        yield registry


def why_no_fleet(studio: Studio) -> str | None:
    """One sentence that says how to get a fleet to show; None where there is a registry.

    Args:
        studio: The studio.
    """
    how = (
        "Create one with cliplab registry init --registry DIR, and start the studio with --registry DIR or with "
        "CLIPLAB_REGISTRY set (docs/registry.md)."
    )
    try:
        with opened(studio):
            return None
    except (MissingExtraError, ModuleNotFoundError):
        return "The Fleet page needs the registry extra: pip install '.[registry]' in the project's folder."
    except AdapterError as error:
        return f"There is no registry to show ({reason_of(error)}). {how}"


def reason_of(error: AdapterError) -> str:
    """Why a registry cannot be read, without a final full stop and without the folders above it.

    Where folders are on this machine is not for those who open the studio from another one, and a command that names
    one without its folders could not be run.

    Args:
        error: What ``opened`` raised.
    """
    reason = str(error).partition(" Create it: ")[0]
    return re.sub(r"(/[^/\s:]+)+(?=/[^/\s:]+)", "…", reason).rstrip(".")


def read_summary(registry: Registry, now: float | None = None) -> dict[str, Any]:
    """The numbers of the fleet and the rollouts that matter.

    Args:
        registry: Open for reading.
        now: Seconds since 1970; None reads the clock.

    Returns:
        What the template's upper part shows.
    """
    import sqlalchemy as sa

    from cliplab.rollout.schema import DEVICES

    at = time.time() if now is None else now
    with registry.engine.connect() as connection:
        if not _has_tables(connection):
            return {"devices": 0, "silent": 0, "versions": [], "rollouts": []}
        rows = connection.execute(sa.select(DEVICES.c.last_seen, DEVICES.c.versions)).all()
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        for pair in json.loads(row.versions).items():
            counts[pair] = counts.get(pair, 0) + 1
    return {
        "devices": len(rows),
        "silent": sum(at - row.last_seen > SILENT_SECONDS for row in rows),
        "versions": [(model, version, count) for (model, version), count in sorted(counts.items())[:20]],
        "rollouts": _rollouts(registry, at),
    }


def read_devices(
    registry: Registry, words: str = "", kind: str = "all", after: str = "", now: float | None = None
) -> tuple[list[DeviceRow], str]:
    """Devices by name, a page of them.

    Args:
        registry: Open for reading.
        words: Only devices with this text in their name or versions.
        kind: One of ``KINDS``.
        after: Only names that come after this one.
        now: Seconds since 1970; None reads the clock.

    Returns:
        At most ``MOST_ROWS`` devices, and the name after which the next page begins; empty on the last page.
    """
    import sqlalchemy as sa

    from cliplab.rollout.schema import DEVICES, SUMS

    at = time.time() if now is None else now
    since = int(at // 3600.0) - _RECENT_HOURS
    with registry.engine.connect() as connection:
        if not _has_tables(connection):
            return [], ""
        models = {
            name for text in connection.execute(sa.select(DEVICES.c.versions)).scalars() for name in json.loads(text)
        }
        # Hours before a rollout began are negative. Each range is read by the index of model and hour.
        ranges = [
            sa.select(SUMS).where(SUMS.c.model.in_(sorted(models)), hours)
            for hours in (SUMS.c.hour >= since, SUMS.c.hour <= -since)
        ]
        recent = sa.union_all(*ranges).subquery()
        failures = recent.c.errors + recent.c.golden_failures + recent.c.restarts
        sums = (
            sa.select(
                recent.c.device,
                sa.func.sum(recent.c.predictions).label("predictions"),
                sa.func.sum(failures).label("errors"),
            )
            .group_by(recent.c.device)
            .subquery()
        )
        query = (
            sa.select(DEVICES, sums.c.predictions, sums.c.errors)
            .outerjoin(sums, sums.c.device == DEVICES.c.device)
            .where(DEVICES.c.device > after)
            .order_by(DEVICES.c.device)
            .limit(MOST_ROWS + 1)
        )
        if words:
            query = query.where(
                DEVICES.c.device.icontains(words, autoescape=True)
                | DEVICES.c.versions.icontains(words, autoescape=True)
            )
        if kind == "silent":
            query = query.where(DEVICES.c.last_seen < at - SILENT_SECONDS)
        elif kind == "failing":
            query = query.where(sums.c.errors > _FAILING_SHARE * sums.c.predictions)
        elif kind == "warning":
            query = query.where(DEVICES.c.cloned_at > at - CLONE_SECONDS)
        found = connection.execute(query).all()
    rows = [_device(row, at) for row in found[:MOST_ROWS]]
    return rows, rows[-1].name if len(found) > MOST_ROWS else ""


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
        if _has_tables(connection):
            for rollout in load_rollouts(connection)[:20]:
                rows += [
                    _decided(rollout, decision) for decision in load_history(connection, rollout.id)[-_MOST_EVENTS:]
                ]
    return sorted(rows, key=lambda row: row["at"], reverse=True)[:_MOST_EVENTS]


def _rollouts(registry: Registry, at: float) -> list[dict[str, Any]]:
    """The active rollouts, or the latest one."""
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
        devices = f"{test['devices']} devices"
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


def _device(row: Any, at: float) -> DeviceRow:
    cloned = row.cloned_at is not None and at - row.cloned_at < CLONE_SECONDS
    return DeviceRow(
        row.device,
        tuple(sorted((str(model), str(version)) for model, version in json.loads(row.versions).items())),
        age_words(at - row.last_seen),
        at - row.last_seen > SILENT_SECONDS,
        "two devices have this name" if cloned else "",
        int(row.predictions or 0),
        int(row.errors or 0),
        int(row.errors or 0) > _FAILING_SHARE * int(row.predictions or 0),
        "-" if row.disk_free_bytes is None else f"{row.disk_free_bytes / 1e9:.1f} GB",
        "-" if row.temperature_celsius is None else f"{row.temperature_celsius:.0f} °C",
    )


def age_words(seconds: float) -> str:
    """How long ago something was, such as "3 min".

    Args:
        seconds: The age.
    """
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0.0):.0f} s ago"


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


def _has_tables(connection: Connection) -> bool:
    """Whether devices have ever reported: only a writer makes the tables."""
    import sqlalchemy as sa

    return bool(sa.inspect(connection).has_table("rollout_devices"))
