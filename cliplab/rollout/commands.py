"""`cliplab rollout`: staged rollouts of a registry's versions, as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError
from cliplab.registry import Event, Registry, has_keys, open_registry, publish, registry_promote
from cliplab.rollout.engine import OnPromote, Watched, change, decide, for_devices, look, start_rollout
from cliplab.rollout.record import ENGINE, Decision, Rollout, RolloutError, load_history, load_rollout, load_rollouts
from cliplab.rollout.settings import OnDrift, RolloutSettings, parse_stages
from cliplab.rollout.storing import make_tables


@dataclass(frozen=True)
class RolloutReport:
    """A rollout after a command.

    Attributes:
        watched: The rollout with its figures.
        notes: What a person should know, such as that devices do not see it yet.
        written: Whether anything was changed.
    """

    watched: Watched
    notes: tuple[str, ...] = ()
    written: bool = True

    @property
    def rollout(self) -> Rollout:
        """The rollout as it is now."""
        return self.watched.rollout

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return self.watched.to_json() | {"notes": list(self.notes), "written": self.written}


def rollout_start(
    model_id: str,
    version: str,
    environment: str = "production",
    *,
    registry: str | Path | None = None,
    stages: str | tuple[float, ...] = "1,5,25,100",
    min_devices: int = RolloutSettings.min_devices,
    stage_minutes: float = RolloutSettings.stage_minutes,
    silent_minutes: float = RolloutSettings.silent_minutes,
    on_drift: OnDrift = "halt",
    manual: bool = False,
    force: bool = False,
    reason: str = "",
    who: str = "",
    dry_run: bool = False,
) -> RolloutReport:
    """Give a version to part of the fleet, and widen it as long as it is not worse than the present version.

    Args:
        model_id: The model.
        version: The version to try.
        environment: The environment whose devices try it.
        registry: The registry; see ``open_registry``.
        stages: Percentages of the fleet, the last one 100.
        min_devices: Devices that must have reported with it before a stage ends.
        stage_minutes: How long each stage lasts at least.
        silent_minutes: A device that has not reported for so long is a failure.
        on_drift: "halt", "pause" or "ignore" where scores are distributed differently.
        manual: Stages widen only when a person says so. Halts stay automatic.
        force: Try a version again that was halted or rolled back; needs a reason.
        reason: Why; kept.
        who: Who starts it; empty for CLIPLAB_USER or this user.
        dry_run: Check everything and start nothing.

    Raises:
        RolloutError: Another rollout is active, or the version was halted or rolled back before.
        ConfigError: The environment has no version of the model yet, there is no such version, or a rule is wrong.
        StorageError: The registry cannot be written.
    """
    rules = RolloutSettings(
        stages=parse_stages(stages),
        min_devices=min_devices,
        stage_minutes=stage_minutes,
        silent_minutes=silent_minutes,
        on_drift=on_drift,
        automatic=not manual,
    )
    with open_registry(registry) as opened:
        stored = opened.version(model_id, version)
        current = opened.current(stored.name, environment)
        if current is None:
            raise ConfigError(
                f"{stored.name}: {environment} has no version yet, so there is nothing to compare with. Give it one: "
                f"cliplab registry promote --model-id {stored.name} --environment {environment}"
            )
        if not force:
            _require_not_rolled_back(opened, stored.name, stored.version, environment)
        make_tables(opened.engine)
        if dry_run:
            planned = Rollout(
                "(planned)",
                stored.name,
                current.version,
                stored.version,
                environment,
                rules,
                "running",
                0,
                rules.stages[0],
                0.0,
                0.0,
                0,
            )
            return RolloutReport(Watched(planned, None, None), written=False)
        person = who or _person()
        rollout = start_rollout(
            opened.engine,
            stored.name,
            current.version,
            stored.version,
            environment=environment,
            settings=rules,
            force=force,
            reason=reason,
            who=person,
        )
        notes = sync_rollouts(opened, [rollout], "start", person)
        return RolloutReport(look(opened.engine, rollout.id), notes)


def rollout_status(rollout: str | None = None, *, registry: str | Path | None = None) -> list[RolloutReport]:
    """Rollouts with their present figures. Nothing is decided.

    Args:
        rollout: One, by its id or its model; None for all that are active, or the latest one.
        registry: The registry; see ``open_registry``.

    Raises:
        RolloutError: There is no such rollout.
        StorageError: The registry cannot be read.
    """
    with open_registry(registry) as opened:
        make_tables(opened.engine)
        with opened.engine.connect() as connection:
            if rollout is not None:
                chosen = [load_rollout(connection, rollout)]
            else:
                every = load_rollouts(connection)
                chosen = [item for item in every if item.state in ("running", "paused")] or every[:1]
        return [RolloutReport(look(opened.engine, item.id), written=False) for item in chosen]


def rollout_history(rollout: str, *, registry: str | Path | None = None) -> list[Decision]:
    """Every decision about a rollout, with the numbers that it rests on.

    Args:
        rollout: Its id, or its model for the latest one.
        registry: The registry; see ``open_registry``.

    Raises:
        RolloutError: There is no such rollout.
        StorageError: The registry cannot be read.
    """
    with open_registry(registry) as opened:
        make_tables(opened.engine)
        with opened.engine.connect() as connection:
            return load_history(connection, load_rollout(connection, rollout).id)


def rollout_widen(
    rollout: str, *, registry: str | Path | None = None, reason: str = "", who: str = ""
) -> RolloutReport:
    """Start the next stage now.

    Args:
        rollout: Its id, or a model for its latest one.
        registry: The registry; see ``open_registry``.
        reason: Why; kept in the history.
        who: Who decides; empty for CLIPLAB_USER or this user.

    Returns:
        The rollout after it.

    Raises:
        RolloutError: There is no such rollout, or its state does not allow it.
        StorageError: The registry cannot be read or written.
    """
    return _changed(rollout, "widen", registry, reason, who)


def rollout_pause(
    rollout: str, *, registry: str | Path | None = None, reason: str = "", who: str = ""
) -> RolloutReport:
    """Pause a rollout: nothing is decided until it is resumed, and devices keep what they have.

    Args:
        rollout: Its id, or a model for its latest one.
        registry: The registry; see ``open_registry``.
        reason: Why; kept in the history.
        who: Who decides; empty for CLIPLAB_USER or this user.

    Returns:
        The rollout after it.

    Raises:
        RolloutError: There is no such rollout, or its state does not allow it.
        StorageError: The registry cannot be read or written.
    """
    return _changed(rollout, "pause", registry, reason, who)


def rollout_resume(
    rollout: str, *, registry: str | Path | None = None, reason: str = "", who: str = ""
) -> RolloutReport:
    """Resume a paused rollout.

    Args:
        rollout: Its id, or a model for its latest one.
        registry: The registry; see ``open_registry``.
        reason: Why; kept in the history.
        who: Who decides; empty for CLIPLAB_USER or this user.

    Returns:
        The rollout after it.

    Raises:
        RolloutError: There is no such rollout, or its state does not allow it.
        StorageError: The registry cannot be read or written.
    """
    return _changed(rollout, "resume", registry, reason, who)


def rollout_halt(rollout: str, *, registry: str | Path | None = None, reason: str = "", who: str = "") -> RolloutReport:
    """Send all devices back to the version before; this rollout is over.

    Args:
        rollout: Its id, or its model for the latest one.
        registry: The registry; see ``open_registry``.
        reason: Why; kept, and needed.
        who: Who decides; empty for CLIPLAB_USER or this user.

    Raises:
        RolloutError: There is no such rollout, its state does not allow it, or another decision was first.
        ConfigError: The reason is missing.
        StorageError: The registry cannot be written.
    """
    return _changed(rollout, "halt", registry, reason, who)


def rollout_promote(
    rollout: str,
    *,
    registry: str | Path | None = None,
    reason: str = "",
    who: str = "",
    trust_adapters: Sequence[str] = (),
) -> RolloutReport:
    """Give the environment the candidate, and all devices with it; this rollout is over. See ``rollout_halt``.

    Args:
        rollout: Its id, or its model for the latest one.
        registry: The registry.
        reason: Why; needed before the last stage.
        who: Who decides.
        trust_adapters: Adapters of other packages that the candidate may name, for its golden clip.

    Raises:
        PromotionRefusedError: The golden clip or a gate of the candidate fails.
    """
    return _changed(rollout, "promote", registry, reason, who, trust_adapters)


def watch_rollouts(registry: Registry, now: float | None = None, trust_adapters: Sequence[str] = ()) -> list[Watched]:
    """Decide about every rollout that runs, and let devices see what changed: for a server, at reports and by a clock.

    Args:
        registry: An open registry.
        now: The server's time; None reads the clock.
        trust_adapters: Adapters of other packages that candidates may name, for their golden clips.

    Returns:
        Each rollout with its figures.

    Raises:
        StorageError: The registry cannot be read or written.
    """
    found = decide(registry.engine, now=now, on_promote=_promoting(registry, "", trust_adapters))
    changed = [item for item in found if item.decision is not None]
    if changed:
        sync_rollouts(registry, [item.rollout for item in changed])
    return found


def sync_rollouts(registry: Registry, changed: Sequence[Rollout], action: str = "", who: str = "") -> tuple[str, ...]:
    """Let devices see the rollouts as they are: stored in the registry's history, and signed where it has keys.

    Args:
        registry: An open registry.
        changed: The rollouts that changed, at least one.
        action: What was done to them; empty for their state.
        who: Who changed them; empty for the engine.

    Returns:
        What a person should know.
    """
    shown: list[Mapping[str, Any]] = list(for_devices(registry.engine))
    if shown != [dict(item) for item in registry.rollouts()]:
        said = [f"rollout {one.id}: {action or one.state}, {one.percent:g}% of the devices" for one in changed]
        # An event is of one model; of several that changed at once the reason has the ids.
        one = changed[0] if len(changed) == 1 else None
        registry.set_rollouts(
            shown,
            who=who or ENGINE,
            reason="; ".join(said),
            model=None if one is None else one.model,
            environment=None if one is None else one.environment,
            versions=(None, None) if one is None else (one.control, one.candidate),
        )
    if not has_keys(registry):
        return ("devices do not see it yet: the registry has no signing keys (cliplab registry init)",)
    try:
        return tuple(publish(registry).warnings)
    except AdapterError as error:
        return (f"stored, and not published yet: {error}. Publish it: cliplab registry publish",)


def _changed(
    rollout: str,
    action: str,
    registry: str | Path | None,
    reason: str,
    who: str,
    trust_adapters: Sequence[str] = (),
) -> RolloutReport:
    with open_registry(registry) as opened:
        make_tables(opened.engine)
        person = who or _person()
        changed = change(
            opened.engine,
            rollout,
            action,
            reason=reason,
            who=person,
            on_promote=_promoting(opened, person, trust_adapters),
        )
        notes = sync_rollouts(opened, [changed], action, person)
        return RolloutReport(replace(look(opened.engine, changed.id), verdict=None), notes)


def _promoting(registry: Registry, who: str, trust_adapters: Sequence[str]) -> OnPromote:
    """Gives the environment the candidate; one that has it already stays."""

    def promote(rollout: Rollout) -> None:
        current = registry.current(rollout.model, rollout.environment)
        if current is not None and current.version == rollout.candidate:
            return
        if current is not None and current.version != rollout.control:
            raise RolloutError(
                f"{rollout.environment} now has {rollout.model} {current.version}, but the rollout compared with "
                f"{rollout.control}. Halt it, and start a new one"
            )
        registry_promote(
            rollout.model,
            rollout.candidate,
            rollout.environment,
            registry=registry.folder,
            reason=f"rollout {rollout.id}",
            who=who or ENGINE,
            trust_adapters=trust_adapters,
        )

    return promote


def _person() -> str:
    from cliplab.registry.events import this_person

    return this_person()


def _require_not_rolled_back(registry: Registry, model: str, version: str, environment: str) -> None:
    events: list[Event] = registry.history(model, environment, kinds=("promote", "rollback"))
    for event in reversed(events):
        if event.kind == "rollback" and event.from_version == version:
            raise RolloutError(
                f"{model} {version}: was rolled back from {environment} by {event.who} at {event.at} "
                f"({event.reason or 'no reason given'}). Upload a corrected version, or try this one again "
                "with --force --reason TEXT"
            )
        if event.kind == "promote" and event.to_version == version:
            return
