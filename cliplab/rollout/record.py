"""Rollouts as they are stored, and the only way to change one: a decision appended to its history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from adapters.errors import AdapterError
from adapters.system import nearest_hint
from cliplab.registry.schema import Connection, Engine, sa
from cliplab.rollout.schema import DECISIONS, ROLLOUTS
from cliplab.rollout.settings import RolloutSettings
from cliplab.rollout.storing import writing

State = Literal["running", "paused", "halted", "done"]
ENGINE = "cliplab"  # who decides where no person does


_COLUMNS = tuple(ROLLOUTS.columns.keys())


class RolloutError(AdapterError):
    """A rollout that does not exist, or a change that its state does not allow."""


@dataclass(frozen=True)
class Rollout:
    """A rollout at one moment.

    Attributes:
        id: Its id, which is the salt of its assignment.
        model: The model.
        control: The version that devices had before.
        candidate: The version that is tried.
        environment: The environment whose version changes.
        settings: Its rules.
        state: "running"; "paused": devices keep what they have; "halted": all go back to the control version; "done".
        stage: The index of its stage.
        percent: How much of the fleet has the candidate.
        started: When it began, in seconds since 1970.
        stage_started: When its stage began.
        revision: The number of its last decision, from 1.
    """

    id: str
    model: str
    control: str
    candidate: str
    environment: str
    settings: RolloutSettings
    state: State
    stage: int
    percent: float
    started: float
    stage_started: float
    revision: int

    def for_devices(self) -> dict[str, Any]:
        """What devices read in rollouts.json."""
        return {
            "id": self.id,
            "model": self.model,
            "environment": self.environment,
            "control": self.control,
            "candidate": self.candidate,
            "percent": 0.0 if self.state == "halted" else self.percent,
            "salt": self.id,
            "state": self.state,
        }

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        own = ("id", "model", "control", "candidate", "environment", "state", "stage", "percent")
        times = ("started", "stage_started", "revision")
        return {name: getattr(self, name) for name in (*own, *times)} | {"settings": self.settings.to_json()}


@dataclass(frozen=True)
class Decision:
    """What was decided about a rollout.

    Attributes:
        rollout: Its id.
        action: "start", "widen", "pause", "halt", "resume" or "promote".
        reason: Why, in words.
        who: The person, or "cliplab".
        numbers: The figures that it rests on.
        state: The state from then on.
        stage: The stage from then on.
        percent: The percentage from then on.
        revision: Its number.
        at: When, in seconds since 1970.
    """

    rollout: str
    action: str
    reason: str
    who: str = ENGINE
    numbers: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    stage: int = 0
    percent: float = 0.0
    revision: int = 0
    at: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        names = ("rollout", "revision", "at", "who", "action", "state", "stage", "percent", "reason", "numbers")
        return {name: getattr(self, name) for name in names}


def load_rollouts(connection: Connection, *, states: tuple[str, ...] = (), model: str | None = None) -> list[Rollout]:
    """Rollouts, the latest first.

    Args:
        connection: Reading.
        states: Only those in one of these states; empty for all.
        model: Only those of this model.
    """
    query = sa.select(ROLLOUTS).order_by(ROLLOUTS.c.started.desc(), ROLLOUTS.c.id.desc())
    if states:
        query = query.where(ROLLOUTS.c.state.in_(states))
    if model is not None:
        query = query.where(ROLLOUTS.c.model == model)
    return [_rollout(row) for row in connection.execute(query)]


def load_rollout(connection: Connection, name: str) -> Rollout:
    """A rollout by its id, or the latest of a model by the model's name.

    Args:
        connection: Reading.
        name: The id or the model.

    Raises:
        RolloutError: There is none.
    """
    every = load_rollouts(connection)
    for found in every:
        if found.id == name:
            return found
    for found in every:
        if found.model == name:
            return found
    known = [found.id for found in every]
    hint = nearest_hint(name, known)
    raise RolloutError(f"there is no rollout {name!r:.100}{hint}. See `cliplab rollout status`")


def load_history(connection: Connection, rollout: str) -> list[Decision]:
    """The decisions about a rollout, in their order.

    Args:
        connection: Reading.
        rollout: Its id.
    """
    query = sa.select(DECISIONS).where(DECISIONS.c.rollout == rollout).order_by(DECISIONS.c.revision)
    return [
        Decision(
            row.rollout,
            row.action,
            row.reason,
            row.who,
            json.loads(row.numbers),
            row.state,
            row.stage,
            row.percent,
            row.revision,
            row.at,
        )
        for row in connection.execute(query)
    ]


def insert_rollout(connection: Connection, rollout: Rollout, decision: Decision, now: float) -> Decision:
    """Store a new rollout with its first decision.

    Args:
        connection: Writing.
        rollout: With revision 1.
        decision: Its start.
        now: The server's time.
    """
    values = {name: getattr(rollout, name) for name in _COLUMNS if name != "settings"}
    connection.execute(sa.insert(ROLLOUTS).values(**values, settings=json.dumps(rollout.settings.to_json())))
    return _append(connection, rollout, decision, now)


def apply(engine: Engine, before: Rollout, after: Rollout, decision: Decision, now: float) -> tuple[Rollout, Decision]:
    """Change a rollout, if nobody else did since ``before`` was read.

    Args:
        engine: Of the registry's database.
        before: As it was read.
        after: As it becomes.
        decision: Why.
        now: The server's time.

    Raises:
        RolloutError: Another decision was first; the message names the decision.
        StorageError: The database cannot be written.
    """
    changed = replace(after, revision=before.revision + 1)
    values = {name: getattr(changed, name) for name in ("state", "stage", "percent", "stage_started", "revision")}
    values["settings"] = json.dumps(changed.settings.to_json())
    with writing(engine) as connection:
        done = connection.execute(
            sa.update(ROLLOUTS)
            .where(ROLLOUTS.c.id == before.id, ROLLOUTS.c.revision == before.revision)
            .values(**values)
        )
        if done.rowcount != 1:
            last = load_history(connection, before.id)[-1]
            raise RolloutError(
                f"rollout {before.id}: {last.action} by {last.who} was first (decision {last.revision}: "
                f"{last.reason:.200}). Check `cliplab rollout status {before.id}`, and try again"
            )
        return changed, _append(connection, changed, decision, now)


def _append(connection: Connection, rollout: Rollout, decision: Decision, now: float) -> Decision:
    stored = replace(
        decision,
        state=rollout.state,
        stage=rollout.stage,
        percent=rollout.percent,
        revision=rollout.revision,
        at=now,
    )
    values = stored.to_json() | {"numbers": json.dumps(dict(stored.numbers))}
    connection.execute(sa.insert(DECISIONS).values(**values))
    return stored


def _rollout(row: Any) -> Rollout:
    values = {name: getattr(row, name) for name in _COLUMNS if name != "settings"}
    return Rollout(**values, settings=RolloutSettings.from_json(json.loads(row.settings)))
