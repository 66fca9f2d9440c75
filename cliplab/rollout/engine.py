"""Deciding about rollouts: at each report and by a clock, and when a person asks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters.errors import AdapterError, ConfigError
from cliplab.registry.schema import Connection, Engine, sa
from cliplab.rollout.groups import read_counts
from cliplab.rollout.histograms import read_pairs
from cliplab.rollout.judging import Verdict, judge
from cliplab.rollout.members import alive, update_members, wide_enough
from cliplab.rollout.record import (
    ENGINE,
    Decision,
    Rollout,
    RolloutError,
    apply,
    insert_rollout,
    load_history,
    load_rollout,
    load_rollouts,
)
from cliplab.rollout.schema import HISTOGRAMS, SUMS
from cliplab.rollout.settings import RolloutSettings
from cliplab.rollout.storing import DAY, HOUR, writing

ACTIVE = ("running", "paused")
OnPromote = Callable[[Rollout], object]


@dataclass(frozen=True)
class Watched:
    """A rollout after a look at it.

    Attributes:
        rollout: As it is now.
        verdict: What the figures say; None where it does not run.
        decision: What was decided; None where nothing changed.
    """

    rollout: Rollout
    verdict: Verdict | None
    decision: Decision | None

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        found = self.rollout.to_json()
        if self.verdict is not None:
            found |= {"action": self.verdict.action, "reason": self.verdict.reason, **self.verdict.numbers()}
        return found | {"decision": None if self.decision is None else self.decision.to_json()}


def start_rollout(
    engine: Engine,
    model: str,
    control: str,
    candidate: str,
    *,
    environment: str = "production",
    settings: RolloutSettings | None = None,
    force: bool = False,
    reason: str = "",
    who: str = "",
    now: float | None = None,
) -> Rollout:
    """Begin a rollout with its first stage.

    Args:
        engine: Of the registry's database, with ``make_tables`` done.
        model: The model.
        control: The version that devices have now.
        candidate: The version to try.
        environment: The environment that gets it in the end.
        settings: The rules; None for the defaults.
        force: Try a version again that was halted before; needs a reason.
        reason: Why; kept.
        who: Who starts it.
        now: The server's time; None reads the clock.

    Raises:
        RolloutError: Another rollout of this model and environment is active, or the candidate was halted before.
        ConfigError: Candidate and control are the same, or force has no reason.
        StorageError: The database cannot be written.
    """
    at, rules = time.time() if now is None else now, settings or RolloutSettings()
    if candidate == control:
        raise ConfigError(f"{model}: candidate and control are both {candidate}. Give another version")
    if force and not reason.strip():
        raise ConfigError("force: needs a reason, which is kept in the history (--force --reason TEXT)")
    with writing(engine) as connection:
        _require_free(connection, model, candidate, environment, force)
        _archive(connection, model, (control, candidate), at)
        salt = f"{model}-{candidate}-{secrets.token_hex(4)}"
        devices = [row.device for row in alive(connection, model, at - rules.silent_minutes * 60.0)]
        percent = wide_enough(salt, devices, rules.stages[0], rules.min_devices)
        rollout = Rollout(salt, model, control, candidate, environment, rules, "running", 0, percent, at, at, 1)
        said = reason or f"first stage: {percent:g}% of the devices"
        insert_rollout(connection, rollout, Decision(salt, "start", said, who or ENGINE, {"fleet": len(devices)}), at)
        update_members(connection, rollout, at)
        return rollout


def decide(
    engine: Engine, name: str | None = None, *, now: float | None = None, on_promote: OnPromote | None = None
) -> list[Watched]:
    """Look at every rollout that runs, and halt, widen or promote it where the figures say so.

    May be called as often as there are reports, and by a clock for devices that fall silent: the tests stay valid. It
    costs up to a second for 1,000 devices, so that a server calls it at most every few seconds.

    Args:
        engine: Of the registry's database, with ``make_tables`` done.
        name: Only this rollout or model.
        now: The server's time; None reads the clock.
        on_promote: Gives the environment the candidate when the last stage has passed; its errors pause the rollout.

    Returns:
        Each rollout with its figures.

    Raises:
        StorageError: The database cannot be read or written.
    """
    at = time.time() if now is None else now
    with engine.connect() as connection:
        found = [load_rollout(connection, name)] if name else load_rollouts(connection, states=("running",))
    return [_decide(engine, rollout, at, on_promote) for rollout in found if rollout.state == "running"]


def look(engine: Engine, name: str, now: float | None = None) -> Watched:
    """A rollout with its present figures. Nothing is decided.

    Args:
        engine: Of the registry's database.
        name: Its id, or its model.
        now: The server's time; None reads the clock.

    Raises:
        RolloutError: There is none.
    """
    at = time.time() if now is None else now
    with engine.connect() as connection:
        rollout = load_rollout(connection, name)
        return Watched(rollout, judge(rollout, _groups(connection, rollout, at), at), None)


def change(
    engine: Engine,
    name: str,
    action: str,
    *,
    reason: str = "",
    who: str = "",
    now: float | None = None,
    on_promote: OnPromote | None = None,
) -> Rollout:
    """What a person decides.

    Args:
        engine: Of the registry's database.
        name: The rollout's id, or its model.
        action: "widen" to the next stage, "pause", "halt" (all devices go back), "resume" after a pause, or "promote"
            (all devices, and the environment, get the candidate).
        reason: Why; kept. Needed to halt, and to promote before the last stage.
        who: The person.
        now: The server's time; None reads the clock.
        on_promote: Gives the environment the candidate.

    Raises:
        RolloutError: The rollout's state does not allow it, or another decision was first.
        ConfigError: A reason is missing.
        StorageError: The database cannot be written.
    """
    at = time.time() if now is None else now
    with engine.connect() as connection:
        rollout = load_rollout(connection, name)
        numbers: Mapping[str, Any] = judge(rollout, _groups(connection, rollout, at), at).numbers()
    _require_allowed(rollout, action)
    last = rollout.stage == len(rollout.settings.stages) - 1
    if not reason.strip() and (action == "halt" or (action == "promote" and not last)):
        raise ConfigError(f"{action}: needs a reason, which is kept in the history (--reason TEXT)")
    after = rollout
    if action == "pause":
        after = replace(rollout, state="paused")
    elif action == "halt":
        after = replace(rollout, state="halted", percent=0.0)
    elif action == "resume":
        # Who resumes after a pause for different scores has looked at them; they would pause it again at once.
        ignores = rollout.settings.on_drift == "pause" and _paused_by_engine(engine, rollout)
        rules = replace(rollout.settings, on_drift="ignore") if ignores else rollout.settings
        after = replace(rollout, state="running", stage_started=at, settings=rules)
    elif action == "widen":
        after = _wider(engine, rollout, at)
    elif action == "promote":
        if on_promote is not None:
            on_promote(rollout)
        after = replace(rollout, state="done", percent=100.0, stage=len(rollout.settings.stages) - 1)
    decision = Decision(rollout.id, action, reason or f"requested by {who or ENGINE}", who or ENGINE, numbers)
    return _applied(engine, rollout, after, decision, at)[0]


def for_devices(engine: Engine) -> list[dict[str, Any]]:
    """What devices read: the active rollouts, and halted ones that no later rollout replaces.

    Args:
        engine: Of the registry's database.
    """
    with engine.connect() as connection:
        found = load_rollouts(connection)
    latest: dict[tuple[str, str], Rollout] = {}
    for rollout in found:
        latest.setdefault((rollout.model, rollout.environment), rollout)
    return [rollout.for_devices() for rollout in latest.values() if rollout.state != "done"]


def _decide(engine: Engine, rollout: Rollout, at: float, on_promote: OnPromote | None) -> Watched:
    with writing(engine) as connection:
        update_members(connection, rollout, at)
    with engine.connect() as connection:
        verdict = judge(rollout, _groups(connection, rollout, at), at)
    after, reason = rollout, verdict.reason
    action: str = verdict.action
    if action == "halt":
        after = replace(rollout, state="halted", percent=0.0)
    elif action == "pause":
        after = replace(rollout, state="paused")
    elif action == "widen" and rollout.settings.automatic:
        after = _wider(engine, rollout, at)
    elif action == "promote" and rollout.settings.automatic:
        try:
            if on_promote is not None:
                on_promote(rollout)
            after = replace(rollout, state="done")
        except AdapterError as error:
            action, reason = "pause", f"the candidate could not be promoted: {error}"
            after = replace(rollout, state="paused")
    else:
        after = replace(rollout, percent=_percent(engine, rollout, rollout.percent, at))
        action, reason = "adjust", f"{after.percent:g}% has at least {rollout.settings.min_devices} devices"
    if after == rollout:
        return Watched(rollout, verdict, None)
    try:
        changed, decision = _applied(
            engine, rollout, after, Decision(rollout.id, action, reason, ENGINE, verdict.numbers()), at
        )
    except RolloutError:  # somebody else decided in the meantime; the next look sees it
        with engine.connect() as connection:
            return Watched(load_rollout(connection, rollout.id), None, None)
    return Watched(changed, verdict, decision)


def _applied(
    engine: Engine, before: Rollout, after: Rollout, decision: Decision, at: float
) -> tuple[Rollout, Decision]:
    changed, stored = apply(engine, before, after, decision, at)
    if changed.state in ACTIVE:
        with writing(engine) as connection:
            update_members(connection, changed, at)
    return changed, stored


def _groups(connection: Connection, rollout: Rollout, at: float) -> Any:
    counts = read_counts(connection, rollout, rollout.settings.silent_minutes * 60.0, at)
    return replace(counts, pairs={**counts.pairs, **read_pairs(connection, rollout)})


def _wider(engine: Engine, rollout: Rollout, at: float) -> Rollout:
    """The next stage whose percentage is above the present one."""
    stages = rollout.settings.stages
    stage = next(
        (number for number in range(rollout.stage + 1, len(stages)) if stages[number] > rollout.percent),
        len(stages) - 1,
    )
    percent = _percent(engine, rollout, stages[stage], at)
    return replace(rollout, stage=stage, percent=percent, stage_started=at)


def _percent(engine: Engine, rollout: Rollout, percent: float, at: float) -> float:
    with engine.connect() as connection:
        devices = [row.device for row in alive(connection, rollout.model, at - rollout.settings.silent_minutes * 60.0)]
    return wide_enough(rollout.id, devices, percent, rollout.settings.min_devices)


def _paused_by_engine(engine: Engine, rollout: Rollout) -> bool:
    with engine.connect() as connection:
        last = load_history(connection, rollout.id)[-1]
    return last.action == "pause" and last.who == ENGINE


def _require_allowed(rollout: Rollout, action: str) -> None:
    allowed = {
        "running": ("widen", "pause", "halt", "promote"),
        "paused": ("resume", "halt", "widen", "promote"),
        "halted": (),
        "done": (),
    }[rollout.state]
    last = action == "widen" and rollout.stage == len(rollout.settings.stages) - 1
    if action not in allowed or last:
        advice = {
            "halted": "A halted version does not return. Try it again: cliplab rollout start --force --reason",
            "done": "To go back: cliplab registry rollback",
        }.get(rollout.state, f"Allowed now: {', '.join(name for name in allowed if not (last and name == 'widen'))}")
        raise RolloutError(f"rollout {rollout.id}: is {rollout.state}, so {action!r:.40} is not possible. {advice}")


def _require_free(connection: Connection, model: str, candidate: str, environment: str, force: bool) -> None:
    for rollout in load_rollouts(connection, model=model):
        if rollout.state in ACTIVE and rollout.environment == environment:
            raise RolloutError(
                f"{model}: rollout {rollout.id} to {environment} is {rollout.state}. End it first (cliplab rollout "
                f"promote | halt {rollout.id})"
            )
        if rollout.state == "halted" and rollout.candidate == candidate and not force:
            last = load_history(connection, rollout.id)[-1]
            raise RolloutError(
                f"{model} {candidate}: was halted before ({last.reason:.200}). Upload a corrected version, or try this "
                "one again with --force --reason TEXT"
            )


def _archive(connection: Connection, model: str, versions: tuple[str, ...], at: float) -> None:
    """Count what both versions did before, in this hour and day, as history: the numbers become negative."""
    for table, column, first in ((SUMS, SUMS.c.hour, int(at // HOUR)), (HISTOGRAMS, HISTOGRAMS.c.day, int(at // DAY))):
        own = (table.c.model == model, table.c.version.in_(versions))
        connection.execute(sa.delete(table).where(*own, column <= -first))
        connection.execute(sa.update(table).where(*own, column >= first).values({column: -column}))
